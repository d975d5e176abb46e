//! The settings of a consumer, named and defaulted as Kafka's where Kafka has them.

use std::time::Duration;

/// Where to go when a position does not exist (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// To the first record.
    #[default]
    Earliest,
    /// Behind the last record.
    Latest,
    /// Nowhere: `poll` fails.
    Fail,
}

/// Which records of transactions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// All of them, aborted ones too.
    #[default]
    ReadUncommitted,
    /// Only those of committed transactions.
    ReadCommitted,
}

/// Settings of a [`Consumer`](super::Consumer).
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// The broker answers once it has this many bytes (`fetch.min.bytes`) …
    pub fetch_bytes_min: usize,
    /// … or this time has passed (`fetch.max.wait.ms`).
    pub fetch_wait_max: Duration,
    /// One answer carries at most this much (`fetch.max.bytes`) …
    pub fetch_bytes_max: usize,
    /// … and of one partition this much (`max.partition.fetch.bytes`). A single larger batch comes all the same.
    pub partition_bytes_max: usize,
    /// Batches fetched ahead take at most about this much memory.
    pub buffer_bytes_max: usize,
    /// Records of one compressed batch may take this much memory.
    pub decompressed_bytes_max: usize,
    /// Where to go when a position does not exist (`auto.offset.reset`).
    pub offset_reset: OffsetReset,
    /// Which records of transactions are read (`isolation.level`).
    pub isolation_level: IsolationLevel,
    /// Prefer a replica in this rack (`client.rack`).
    pub rack: String,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        ConsumerConfig {
            fetch_bytes_min: 1,
            fetch_wait_max: Duration::from_millis(500),
            fetch_bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            buffer_bytes_max: 64 << 20,
            decompressed_bytes_max: 256 << 20,
            offset_reset: OffsetReset::Earliest,
            isolation_level: IsolationLevel::ReadUncommitted,
            rack: String::new(),
        }
    }
}

impl ConsumerConfig {
    /// Fetching goes on while less than this is buffered.
    pub(crate) fn hungry_bytes(&self) -> usize {
        (self.buffer_bytes_max / 2).max(1)
    }
}
