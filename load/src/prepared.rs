//! Produce requests laid out ahead, so that sending one is a write and nothing else.
//!
//! A generator cycles through a few different ones; only the partition is patched in before each send. Values are
//! noise from a seed, so that nothing can be guessed, but for the share that is to be compressible.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ottla_client::Acks;
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::records::BatchBuilder;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::error::{LoadError, Result};
use crate::plan::Shape;
use crate::wire::request;

/// The newest rigid version: nothing follows the records, so the partition is found by counting from the end.
pub(crate) const PRODUCE_VERSION: i16 = 8;
/// Different batches that a generator cycles through.
const DISTINCT: u64 = 16;
/// How long the broker may wait for replicas.
const TIMEOUT_MS: i32 = 30_000;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    frame: Vec<u8>,
    partition_at: usize,
    /// Records in its batch.
    pub(crate) records: u64,
    /// Bytes of its batch.
    pub(crate) bytes: u64,
}

impl Prepared {
    /// A request with this batch.
    pub(crate) fn new(topic: &str, acks: Acks, batch: Bytes, records: u64) -> Result<Self> {
        let bytes = batch.len();
        let partition_data = vec![PartitionProduceData { index: 0, records: Some(batch) }];
        let topic_data = vec![TopicProduceData { name: topic.into(), partition_data }];
        let acks = match acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let produce = ProduceRequest { acks, timeout_ms: TIMEOUT_MS, topic_data, ..Default::default() };
        let frame = Vec::from(request(PRODUCE_VERSION, produce)?);
        // Before the records stand their length and the partition, four bytes each.
        let partition_at = frame.len() - bytes - 8;
        Ok(Self { frame, partition_at, records, bytes: bytes as u64 })
    }

    /// The frame for this partition.
    pub(crate) fn addressed_to(&mut self, partition: i32) -> &[u8] {
        self.frame[self.partition_at..self.partition_at + 4].copy_from_slice(&partition.to_be_bytes());
        &self.frame
    }
}

/// Lays out what one client cycles through.
pub(crate) fn prepare(topic: &str, acks: Acks, shape: &Shape, client: usize) -> Result<Vec<Prepared>> {
    let mut noise = SmallRng::seed_from_u64(client as u64);
    let one = |_| {
        let (batch, records) = batch(shape, &mut noise)?;
        Prepared::new(topic, acks, batch, records)
    };
    (0..DISTINCT).map(one).collect()
}

/// A batch of as many records as fit, at least one.
fn batch(shape: &Shape, noise: &mut SmallRng) -> Result<(Bytes, u64)> {
    let full = |_| LoadError::Plan("a record batch cannot hold more than two gigabytes".to_owned());
    let mut builder = BatchBuilder::new(shape.compression);
    let mut value = Vec::with_capacity(shape.record_bytes.largest());
    let now_ms = now_ms();
    loop {
        fill(&mut value, shape, noise);
        let key = (shape.keys > 0).then(|| key(noise.next_u64() % shape.keys));
        builder.push(now_ms, key.as_ref().map(|key| &key[..]), Some(&value), &[]).map_err(full)?;
        let records = builder.records_count() as usize;
        let next = builder.size_estimate() + shape.record_bytes.largest();
        if records >= shape.records_per_batch || next > shape.batch_bytes {
            return Ok((builder.build(), records as u64));
        }
    }
}

/// The key of this number, as long for each: sixteen bytes.
pub(crate) fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key-000000000000";
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// A new value: first what repeats, then noise.
pub(crate) fn fill(value: &mut Vec<u8>, shape: &Shape, noise: &mut SmallRng) {
    let length = shape.record_bytes.pick(noise.next_u64());
    value.clear();
    value.resize(length, b'=');
    let repeated = length * usize::from(shape.repeated_percent.min(100)) / 100;
    noise.fill_bytes(&mut value[repeated..]);
}

/// Milliseconds since 1970, for timestamps of records.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::RecordSize;
    use ottla_protocol::codec::decode_request;
    use ottla_protocol::frame::decode_request_header;
    use ottla_protocol::records::{Compression, Rules, ValidBatch};

    const SHAPE: Shape = Shape {
        record_bytes: RecordSize::between(50, 150),
        keys: 10,
        batch_bytes: 4_096,
        records_per_batch: usize::MAX,
        compression: Compression::None,
        repeated_percent: 50,
    };

    #[test]
    fn a_prepared_request_is_a_produce_request_to_the_partition_it_is_sent_to() {
        let mut all = prepare("load", Acks::All, &SHAPE, 3).unwrap();
        let (records, bytes) = (all[0].records, all[0].bytes);
        assert!(bytes <= 4_096 && bytes > 3_900 - 150);
        let frame = Bytes::copy_from_slice(&all[0].addressed_to(7)[4..]);
        let (header, body) = decode_request_header(frame).unwrap();
        let request: ProduceRequest = decode_request(body, header.api_version).unwrap();
        let partition = &request.topic_data[0].partition_data[0];
        assert_eq!((request.acks, partition.index), (-1, 7));
        let batch = ValidBatch::check(partition.records.clone().unwrap(), &Rules::client(1 << 20)).unwrap();
        assert_eq!(i64::from(batch.header().records_count), records as i64);
    }

    #[test]
    fn keys_are_of_one_length() {
        assert_eq!(&key(0), b"key-000000000000");
        assert_eq!(&key(98_765), b"key-000000098765");
    }
}
