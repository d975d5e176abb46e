//! An idempotent producer that outlives the broker: what it sent, what was acknowledged, and what it must send again.
//!
//! Five batches are in flight. When the connection breaks, everything unacknowledged is sent again, in order, with the
//! same sequences: a broker that forgot its producer state shows itself as a duplicate, a gap or a refusal.

use crate::chance::Chance;
use crate::finding::Finding;
use crate::payload::{Identity, value_of};
use crate::wire::Wire;
use bytes::Bytes;
use ottla_protocol::messages::init_producer_id::InitProducerIdRequest;
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::records::{BatchBuilder, BatchProducer, Compression};
use ottla_protocol::{ErrorCode, ProducerEpoch, ProducerId, Sequence};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PRODUCE_VERSION: i16 = 9;
const IN_FLIGHT_MAX: usize = 5;

/// An acknowledged batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    /// The number of its first record.
    pub(crate) first_number: u64,
    /// How many records it has.
    pub(crate) count: u64,
    /// The offset of its first record, if the broker told one.
    pub(crate) base_offset: Option<i64>,
}

/// A batch on its way.
struct Pending {
    first_number: u64,
    count: u64,
    bytes: Bytes,
}

/// When to stop by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Until the broker goes away.
    Endless,
    /// After this many acknowledged batches.
    Batches(usize),
}

/// The producer.
pub(crate) struct Producer {
    /// Its number in this run.
    pub(crate) client: u64,
    /// Its partition.
    pub(crate) partition: i32,
    /// Everything that was acknowledged, in order.
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// The number of the record that comes next: below it, all may be in the log.
    pub(crate) next_number: u64,
    topic: String,
    /// After so many records their keys come again.
    key_count: u64,
    compression: Compression,
    identity: Option<(ProducerId, ProducerEpoch)>,
    in_flight: VecDeque<Pending>,
    acknowledged_at: Vec<Instant>,
    chance: Chance,
}

impl Producer {
    /// A producer that has sent nothing yet.
    pub(crate) fn new(client: u64, topic: &str, partition: i32, seed: u64) -> Self {
        let codecs =
            [Compression::None, Compression::Lz4, Compression::Zstd, Compression::Snappy, Compression::Gzip];
        Self {
            client,
            partition,
            acknowledged: Vec::new(),
            next_number: 0,
            topic: topic.to_owned(),
            key_count: u64::MAX,
            compression: codecs[client as usize % codecs.len()],
            identity: None,
            in_flight: VecDeque::new(),
            acknowledged_at: Vec::new(),
            chance: Chance::new(seed ^ client.wrapping_mul(0x5851_f42d_4c95_7f2d)),
        }
    }

    /// With so many keys only, which are its own.
    pub(crate) fn with_keys(mut self, key_count: u64) -> Self {
        self.key_count = key_count;
        self
    }

    /// Produces until the amount is reached or the connection breaks. Every acknowledgement is counted in `progress`.
    pub(crate) fn run(
        &mut self,
        address: SocketAddr,
        amount: Amount,
        progress: &AtomicU64,
    ) -> Result<(), Finding> {
        loop {
            match self.run_connected(address, amount, progress)? {
                Outcome::Reached => return Ok(()),
                // A retriable error: a new connection makes the order of what is sent again plain.
                Outcome::Again => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn run_connected(
        &mut self,
        address: SocketAddr,
        amount: Amount,
        progress: &AtomicU64,
    ) -> Result<Outcome, Finding> {
        let mut wire = Wire::connect(address)?;
        if self.identity.is_none() && !self.identify(&mut wire)? {
            return Ok(Outcome::Again);
        }
        for at in 0..self.in_flight.len() {
            let request = self.request(&self.in_flight[at].bytes);
            wire.send(PRODUCE_VERSION, request)?;
        }
        loop {
            while self.in_flight.len() < self.in_flight_max() && self.wants_more(amount) {
                let pending = self.next_batch();
                let request = self.request(&pending.bytes);
                // Before it is sent: from here on it may be in the log.
                self.in_flight.push_back(pending);
                wire.send(PRODUCE_VERSION, request)?;
            }
            if self.in_flight.is_empty() {
                return Ok(Outcome::Reached);
            }
            if !self.acknowledge(&mut wire)? {
                return Ok(Outcome::Again);
            }
            progress.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many batches were acknowledged before that.
    pub(crate) fn acknowledged_before(&self, instant: Instant) -> usize {
        self.acknowledged_at.partition_point(|at| *at < instant)
    }

    /// One until the first acknowledgement: a broker that knows nothing of a producer takes any first sequence, as Kafka
    /// does, so a second batch could overtake a first one that was refused for a moment.
    fn in_flight_max(&self) -> usize {
        if self.acknowledged.is_empty() { 1 } else { IN_FLIGHT_MAX }
    }

    fn wants_more(&self, amount: Amount) -> bool {
        match amount {
            Amount::Endless => true,
            Amount::Batches(count) => self.acknowledged.len() + self.in_flight.len() < count,
        }
    }

    fn identify(&mut self, wire: &mut Wire) -> Result<bool, Finding> {
        let response = wire.call(4, InitProducerIdRequest::default())?;
        if response.error_code.is_retriable() {
            return Ok(false);
        }
        if response.error_code.is_error() {
            return Err(Finding::Refused {
                operation: "InitProducerId".to_owned(),
                code: response.error_code,
            });
        }
        self.identity =
            Some((ProducerId::new(response.producer_id), ProducerEpoch::new(response.producer_epoch)));
        Ok(true)
    }

    fn next_batch(&mut self) -> Pending {
        let (id, epoch) = self.identity.unwrap_or((ProducerId::new(0), ProducerEpoch::ZERO));
        // Sequences wrap at 2³¹; no run sends that many.
        let base_sequence = Some(Sequence::new(self.next_number as i32));
        let mut builder =
            BatchBuilder::new(self.compression).with_producer(BatchProducer { id, epoch, base_sequence });
        // The time of now: after a restart Kafka expires producer state by the time stamps of its records.
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let first_number = self.next_number;
        let count = self.chance.between(1, 60);
        for number in first_number..first_number + count {
            let value = value_of(Identity { producer: self.client, number });
            let key = [self.client.to_be_bytes(), (number % self.key_count).to_be_bytes()].concat();
            if builder.push(now_ms, Some(&key), Some(&value), &[]).is_err() {
                break;
            }
        }
        let count = builder.records_count() as u64;
        self.next_number += count;
        Pending { first_number, count, bytes: builder.build() }
    }

    fn request(&self, batch: &Bytes) -> ProduceRequest {
        let partition = PartitionProduceData { index: self.partition, records: Some(batch.clone()) };
        let topic = TopicProduceData { name: self.topic.as_str().into(), partition_data: vec![partition] };
        ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 30_000, topic_data: vec![topic] }
    }

    /// Takes the next acknowledgement; false if the broker asks to try again.
    fn acknowledge(&mut self, wire: &mut Wire) -> Result<bool, Finding> {
        let response = wire.receive::<ProduceRequest>(PRODUCE_VERSION)?;
        let answer = response.responses.first().and_then(|topic| topic.partition_responses.first());
        let Some(answer) = answer else {
            return Err(Finding::Broken("a produce response without its partition".to_owned()));
        };
        let duplicate = answer.error_code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER;
        if answer.error_code.is_error() && !duplicate {
            if answer.error_code.is_retriable() {
                return Ok(false);
            }
            let first = self.in_flight.front().map_or(0, |pending| pending.first_number);
            let operation =
                format!("batch of producer {} from {first} in partition {}", self.client, self.partition);
            return Err(Finding::Refused { operation, code: answer.error_code });
        }
        if let Some(Pending { first_number, count, .. }) = self.in_flight.pop_front() {
            let base_offset = (!duplicate && answer.base_offset >= 0).then_some(answer.base_offset);
            self.acknowledged.push(Acknowledged { first_number, count, base_offset });
            self.acknowledged_at.push(Instant::now());
        }
        Ok(true)
    }
}

enum Outcome {
    Reached,
    Again,
}
