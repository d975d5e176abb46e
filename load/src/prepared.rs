//! Produce requests laid out ahead, so that sending one is a write and nothing else.
//!
//! All clients of a load cycle through the same few: only the head is each client's own, with the partition patched in before
//! each send. Values are noise from a seed, so that nothing can be guessed, but for the share that is to be compressible.

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
/// Different batches that a load cycles through …
const DISTINCT: usize = 16;
/// … or fewer, if they would take more memory than this.
const DISTINCT_BYTES_MAX: usize = 256 << 20;
/// How long the broker may wait for replicas.
const TIMEOUT_MS: i32 = 30_000;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    head: Bytes,
    batch: Bytes,
    /// Records in its batch.
    pub(crate) records: u64,
}

impl Prepared {
    /// A request with this batch.
    pub(crate) fn new(topic: &str, acks: Acks, batch: Bytes, records: u64) -> Result<Self> {
        let partition_data = vec![PartitionProduceData { index: 0, records: Some(batch.clone()) }];
        let topic_data = vec![TopicProduceData { name: topic.into(), partition_data }];
        let acks = match acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let produce = ProduceRequest { acks, timeout_ms: TIMEOUT_MS, topic_data, ..Default::default() };
        let frame = request(PRODUCE_VERSION, produce)?;
        let head = Bytes::copy_from_slice(&frame[..frame.len() - batch.len()]);
        Ok(Self { head, batch, records })
    }

    /// Bytes of its batch.
    pub(crate) fn bytes(&self) -> u64 {
        self.batch.len() as u64
    }

    /// The frame for this partition: its head, built in `head`, and the rest.
    pub(crate) fn addressed_to(&self, partition: i32, head: &mut Vec<u8>) -> &[u8] {
        head.clear();
        head.extend_from_slice(&self.head);
        // The head ends with the partition and the length of the records, four bytes each.
        let at = head.len() - 8;
        head[at..at + 4].copy_from_slice(&partition.to_be_bytes());
        &self.batch
    }
}

/// Lays out what the clients of a load cycle through.
pub(crate) fn prepare(topic: &str, acks: Acks, shape: &Shape) -> Result<Vec<Prepared>> {
    let mut noise = SmallRng::seed_from_u64(0);
    let distinct = (DISTINCT_BYTES_MAX / shape.batch_bytes.max(1)).clamp(1, DISTINCT);
    let one = |_| {
        let (batch, records) = batch(shape, &mut noise)?;
        Prepared::new(topic, acks, batch, records)
    };
    (0..distinct).map(one).collect()
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
        let all = prepare("load", Acks::All, &SHAPE).unwrap();
        let (records, bytes) = (all[0].records, all[0].bytes());
        assert!(bytes <= 4_096 && bytes > 3_900 - 150);
        let mut frame = Vec::new();
        let rest = all[0].addressed_to(7, &mut frame);
        frame.extend_from_slice(rest);
        let frame = Bytes::from(frame).slice(4..);
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
