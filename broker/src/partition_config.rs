//! From a topic's configuration to what its partitions do: the bridge between the config table and the log.
//!
//! The table speaks Kafka's keys and the log its own types; neither knows the other, so the mapping is here, field by
//! field and without defaults of its own.

use std::sync::Arc;

use ottla_cluster::config::{CompressionType, TimestampType, TopicConfig};
use ottla_cluster::partition::Acknowledgement;
use ottla_log::config::{LogConfig, MessageTimestampType};
use ottla_protocol::records::{Codec, Compression};

/// What a topic's configuration means to its partitions, resolved. They share it.
#[derive(Debug, Clone)]
pub(crate) struct PartitionConfig {
    /// What the log needs to know.
    pub(crate) log: Arc<LogConfig>,
    /// `min.insync.replicas`.
    pub(crate) min_insync_replicas: usize,
    /// `compression.type`; `None` is `producer`: leave the batches as they come.
    pub(crate) compression: Option<Codec>,
}

impl PartitionConfig {
    /// The same configuration in the words of log and leader.
    pub(crate) fn new(topic: &TopicConfig, producer_id_expiration_ms: u64) -> PartitionConfig {
        PartitionConfig {
            log: Arc::new(log_config(topic, producer_id_expiration_ms)),
            min_insync_replicas: topic.min_insync_replicas as usize,
            compression: codec(topic),
        }
    }

    /// With `flush.messages=1` a record is acknowledged when it is on disk, by a group commit.
    pub(crate) fn acknowledgement(&self) -> Acknowledgement {
        if self.log.flush_messages == 1 { Acknowledgement::Synced } else { Acknowledgement::Appended }
    }
}

fn log_config(topic: &TopicConfig, producer_id_expiration_ms: u64) -> LogConfig {
    LogConfig {
        segment_bytes: u64::from(topic.segment_bytes),
        segment_ms: topic.segment_ms,
        segment_jitter_ms: topic.segment_jitter_ms,
        segment_index_bytes: topic.segment_index_bytes,
        index_interval_bytes: topic.index_interval_bytes,
        preallocate: topic.preallocate,
        cleanup_delete: topic.cleanup_policy.delete,
        cleanup_compact: topic.cleanup_policy.compact,
        delete_retention_ms: topic.delete_retention_ms,
        min_compaction_lag_ms: topic.min_compaction_lag_ms,
        max_compaction_lag_ms: topic.max_compaction_lag_ms,
        min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio,
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        max_message_bytes: topic.max_message_bytes as usize,
        message_timestamp_type: match topic.message_timestamp_type {
            TimestampType::CreateTime => MessageTimestampType::CreateTime,
            TimestampType::LogAppendTime => MessageTimestampType::LogAppendTime,
        },
        message_timestamp_before_max_ms: topic.message_timestamp_before_max_ms,
        message_timestamp_after_max_ms: topic.message_timestamp_after_max_ms,
        flush_messages: topic.flush_messages,
        flush_ms: topic.flush_ms,
        producer_id_expiration_ms,
    }
}

fn codec(topic: &TopicConfig) -> Option<Codec> {
    let codec = |compression, level| Some(Codec { compression, level });
    match topic.compression_type {
        CompressionType::Producer => None,
        CompressionType::Uncompressed => codec(Compression::None, None),
        // -1 is the codec's own default.
        CompressionType::Gzip => {
            codec(Compression::Gzip, Some(topic.compression_gzip_level).filter(|level| *level > 0))
        }
        CompressionType::Snappy => codec(Compression::Snappy, None),
        CompressionType::Lz4 => codec(Compression::Lz4, Some(topic.compression_lz4_level)),
        CompressionType::Zstd => codec(Compression::Zstd, Some(topic.compression_zstd_level)),
    }
}
