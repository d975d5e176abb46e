//! One partition on disk: Kafka-compatible segments, indexes, recovery. No network, no async.

pub mod storage;
