//! The settings of one log, resolved: no defaults to look up, no strings to parse, no -1.
//!
//! Any combination of values is legal, so the fields are public. Names are Kafka's topic configs with `_` for `.`; where
//! these come from (topic, broker, default) is the business of the config table.

/// Which clock a record's timestamp is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageTimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The broker's, at the moment of the append.
    LogAppendTime,
}

/// The settings of one log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// Roll once a segment would grow beyond this.
    pub segment_bytes: u64,
    /// Roll once a batch is this much later than the segment's first.
    pub segment_ms: u64,
    /// Subtract up to this from `segment_ms`, so that partitions do not all roll at once.
    pub segment_jitter_ms: u64,
    /// Roll once an index has grown to this.
    pub segment_index_bytes: u32,
    /// Bytes of log between two index entries.
    pub index_interval_bytes: u32,
    /// Reserve the disk for a whole segment when it is created.
    pub preallocate: bool,
    /// Segments may be deleted by age and size (`cleanup.policy` has `delete`).
    pub cleanup_delete: bool,
    /// Of each key only the last record stays, and records without a key are refused (`cleanup.policy` has `compact`).
    pub cleanup_compact: bool,
    /// How long a tombstone outlives the compaction that first met it.
    pub delete_retention_ms: u64,
    /// Do not compact records younger than this.
    pub min_compaction_lag_ms: u64,
    /// Compact records older than this whatever the dirty ratio; segments are rolled in time for it.
    pub max_compaction_lag_ms: u64,
    /// Compact once more than this share of the log is dirty.
    pub min_cleanable_dirty_ratio: f64,
    /// Delete segments whose newest record is older; `None` keeps them.
    pub retention_ms: Option<u64>,
    /// Delete the oldest segments while the rest is still as large as this; `None` keeps them.
    pub retention_bytes: Option<u64>,
    /// How long a retired file stays on disk.
    pub file_delete_delay_ms: u64,
    /// The largest batch a client may append.
    pub max_message_bytes: usize,
    /// Whose clock stamps the records.
    pub message_timestamp_type: MessageTimestampType,
    /// How far in the past a producer's timestamp may lie.
    pub message_timestamp_before_max_ms: u64,
    /// How far in the future a producer's timestamp may lie.
    pub message_timestamp_after_max_ms: u64,
    /// fsync once this many records are not durable.
    pub flush_messages: u64,
    /// fsync once a record has not been durable for this long.
    pub flush_ms: u64,
    /// Forget a producer that sent nothing for this long.
    pub producer_id_expiration_ms: u64,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: WEEK_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            preallocate: false,
            cleanup_delete: true,
            cleanup_compact: false,
            delete_retention_ms: 86_400_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX as u64,
            min_cleanable_dirty_ratio: 0.5,
            retention_ms: Some(WEEK_MS),
            retention_bytes: None,
            file_delete_delay_ms: 60_000,
            max_message_bytes: 1_048_588,
            message_timestamp_type: MessageTimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX as u64,
            message_timestamp_after_max_ms: 3_600_000,
            flush_messages: i64::MAX as u64,
            flush_ms: i64::MAX as u64,
            producer_id_expiration_ms: 86_400_000,
        }
    }
}
