//! What the configs of a topic come to: its own values over those of its broker.

use super::layers::{Layers, Overrides};
use super::table;
use super::value::Value;
use super::view::{FromValue, view};

/// What happens to a topic's old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Segments past their retention are deleted.
    pub delete: bool,
    /// Only the last value of each key is kept.
    pub compact: bool,
}

/// How a topic's batches are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// With gzip.
    Gzip,
    /// With snappy.
    Snappy,
    /// With lz4.
    Lz4,
    /// With zstd.
    Zstd,
}

/// Which time a topic's records carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's.
    LogAppendTime,
}

view! {
    /// The configs of a topic, resolved. Times are in milliseconds; `None` means no limit.
    #[derive(Clone, Debug, PartialEq)]
    pub struct TopicConfig {
        cleanup_policy: CleanupPolicy = "cleanup.policy",
        compression_type: CompressionType = "compression.type",
        compression_gzip_level: i32 = "compression.gzip.level",
        compression_lz4_level: i32 = "compression.lz4.level",
        compression_zstd_level: i32 = "compression.zstd.level",
        delete_retention_ms: u64 = "delete.retention.ms",
        file_delete_delay_ms: u64 = "file.delete.delay.ms",
        flush_messages: u64 = "flush.messages",
        flush_ms: u64 = "flush.ms",
        index_interval_bytes: u32 = "index.interval.bytes",
        internal_segment_bytes: Option<u32> = "internal.segment.bytes",
        max_compaction_lag_ms: u64 = "max.compaction.lag.ms",
        max_message_bytes: u32 = "max.message.bytes",
        message_timestamp_after_max_ms: u64 = "message.timestamp.after.max.ms",
        message_timestamp_before_max_ms: u64 = "message.timestamp.before.max.ms",
        message_timestamp_type: TimestampType = "message.timestamp.type",
        min_cleanable_dirty_ratio: f64 = "min.cleanable.dirty.ratio",
        min_compaction_lag_ms: u64 = "min.compaction.lag.ms",
        min_insync_replicas: u32 = "min.insync.replicas",
        preallocate: bool = "preallocate",
        retention_bytes: Option<u64> = "retention.bytes",
        retention_ms: Option<u64> = "retention.ms",
        segment_bytes: u32 = "segment.bytes",
        segment_index_bytes: u32 = "segment.index.bytes",
        segment_jitter_ms: u64 = "segment.jitter.ms",
        segment_ms: u64 = "segment.ms",
        unclean_leader_election_enable: bool = "unclean.leader.election.enable",
    }
}

impl TopicConfig {
    /// The configs of a topic with these own values on a broker with these layers.
    pub fn resolve(own: &Overrides, layers: &Layers) -> Self {
        let row = |key| table::topic(key).unwrap_or_else(|| panic!("{key} is not a config of a topic"));
        let mut config = Self::read(|key| layers.inherited_value(row(key), own));
        // The config for tests goes before the one with a lower bound.
        config.segment_bytes = config.internal_segment_bytes.unwrap_or(config.segment_bytes);
        config
    }
}

impl FromValue for CleanupPolicy {
    fn from_value(value: Value) -> Self {
        let policies = Vec::<String>::from_value(value);
        let has = |policy: &str| policies.iter().any(|given| given == policy);
        Self { delete: has("delete"), compact: has("compact") }
    }
}

impl FromValue for CompressionType {
    fn from_value(value: Value) -> Self {
        match String::from_value(value).as_str() {
            "uncompressed" => Self::Uncompressed,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => Self::Producer,
        }
    }
}

impl FromValue for TimestampType {
    fn from_value(value: Value) -> Self {
        match String::from_value(value).as_str() {
            "LogAppendTime" => Self::LogAppendTime,
            _ => Self::CreateTime,
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Self {
        match value {
            Value::Real(number) => number,
            other => panic!("{other:?} is not a fraction"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_topic_without_values_of_its_own_has_kafkas_defaults() {
        let config = TopicConfig::resolve(&Overrides::new(), &Layers::default());
        assert_eq!(config.cleanup_policy, CleanupPolicy { delete: true, compact: false });
        assert_eq!(config.retention_ms, Some(604_800_000));
        assert_eq!(config.retention_bytes, None);
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(config.max_message_bytes, 1_048_588);
        assert_eq!(config.flush_messages, i64::MAX as u64);
        assert_eq!(config.compression_type, CompressionType::Producer);
        assert_eq!(config.message_timestamp_type, TimestampType::CreateTime);
    }

    #[test]
    fn its_own_values_go_before_its_brokers() {
        let layers = Layers {
            static_broker: overrides(&[("log.retention.hours", "2"), ("log.cleanup.policy", "compact")]),
            ..Layers::default()
        };
        let config = TopicConfig::resolve(&overrides(&[("cleanup.policy", "compact, delete")]), &layers);
        assert_eq!(config.retention_ms, Some(7_200_000));
        assert_eq!(config.cleanup_policy, CleanupPolicy { delete: true, compact: true });
        let config = TopicConfig::resolve(&overrides(&[("retention.ms", "-1")]), &layers);
        assert_eq!(config.retention_ms, None);
        assert_eq!(config.cleanup_policy, CleanupPolicy { delete: false, compact: true });
    }

    #[test]
    fn a_test_can_have_segments_smaller_than_kafka_allows() {
        let config =
            TopicConfig::resolve(&overrides(&[("internal.segment.bytes", "1000")]), &Layers::default());
        assert_eq!(config.segment_bytes, 1000);
    }
}
