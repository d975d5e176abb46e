//! The settings of a producer, named and defaulted as Kafka's where Kafka has them.

use std::time::Duration;

use ottla_protocol::records::{Codec, Compression};

use super::partition_queue::QueueRules;
use crate::backoff::Backoff;
use crate::partitioner::Partitioner;

/// When a batch counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// When it is written to the socket. Nobody will ever know what happened to it.
    None,
    /// When the leader has it.
    Leader,
    /// When all in-sync replicas have it.
    #[default]
    All,
}

impl Acks {
    /// The number of the Produce request.
    pub(crate) fn wire(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// Settings of a [`Producer`](super::Producer).
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// When a batch counts as delivered (`acks`).
    pub acks: Acks,
    /// Whether each record is appended exactly once even when requests are repeated (`enable.idempotence`). It takes
    /// effect with [`Acks::All`] only; otherwise one batch per partition is in flight, so that retries keep the order.
    pub idempotent: bool,
    /// How batches are compressed (`compression.type`).
    pub compression: Compression,
    /// The codec's level, or its default (`compression.gzip.level`, …).
    pub compression_level: Option<i32>,
    /// A batch of this size is sent at once (`batch.size`), measured before compression.
    pub batch_bytes: usize,
    /// A smaller one is sent after this time (`linger.ms`).
    pub linger: Duration,
    /// A request carries at most this much (`max.request.size`); a larger record is refused.
    pub request_bytes_max: usize,
    /// Records that were sent but not yet acknowledged may take this much memory (`buffer.memory`).
    pub buffer_bytes_max: usize,
    /// How long `send` waits for memory or metadata (`max.block.ms`).
    pub block_timeout: Duration,
    /// How long the broker may take to answer a produce request (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// How long a record may take from `send` to its fate, with all retries (`delivery.timeout.ms`).
    pub delivery_timeout: Duration,
    /// Requests in flight to one broker (`max.in.flight.requests.per.connection`), at most 5.
    pub in_flight_max: usize,
    /// Where records go that name no partition (`partitioner.class`).
    pub partitioner: Partitioner,
    /// Whether sending to a topic that does not exist creates it, if the broker allows.
    pub auto_create_topics: bool,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        ProducerConfig {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::None,
            compression_level: None,
            batch_bytes: 128 << 10,
            linger: Duration::from_millis(5),
            request_bytes_max: 1 << 20,
            buffer_bytes_max: 32 << 20,
            block_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
            delivery_timeout: Duration::from_secs(120),
            in_flight_max: 5,
            partitioner: Partitioner::Murmur2,
            auto_create_topics: true,
        }
    }
}

impl ProducerConfig {
    /// Requests in flight per broker: KIP-98 keeps five batches per producer to recognise duplicates.
    pub(crate) fn lane_in_flight_max(&self) -> usize {
        self.in_flight_max.clamp(1, 5)
    }

    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotent && self.acks == Acks::All
    }

    pub(crate) fn queue_rules(&self, backoff: Backoff) -> QueueRules {
        let pipelined = self.is_idempotent() || self.acks == Acks::None;
        QueueRules {
            codec: Codec { compression: self.compression, level: self.compression_level },
            batch_bytes: self.batch_bytes.min(self.request_bytes_max),
            linger: self.linger,
            in_flight_max: if pipelined { self.lane_in_flight_max() } else { 1 },
            delivery_timeout: self.delivery_timeout,
            idempotent: self.is_idempotent(),
            backoff,
        }
    }
}
