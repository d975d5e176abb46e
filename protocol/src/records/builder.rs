//! Builds a batch record by record, as a producer does.
//!
//! Records are encoded as they arrive, so the size is always known; compression happens once, in [`BatchBuilder::build`].
//! It does not decide when a batch is full: linger and batch size are the producer's business.

use bytes::Bytes;

use super::batch::sign;
use super::compression::compress;
use super::header::{LOG_OVERHEAD, at};
use super::varint::{VARINT_BYTES_MAX, VARLONG_BYTES_MAX, put_varlong, size_of_varlong};
use super::{Attributes, BATCH_HEADER_BYTES, BatchProducer, Codec, Compression, MAGIC, NO_TIMESTAMP};
use crate::{LeaderEpoch, Offset};

/// The batch cannot hold another record: its length or its count is an `i32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record batch cannot hold more than two gigabytes")]
pub struct BatchFull;

/// Length, attributes, timestamp delta, offset delta and key length of a record, at their longest.
const RECORD_PREFIX_BYTES_MAX: usize = 3 * VARINT_BYTES_MAX + VARLONG_BYTES_MAX + 1;

/// The whole batch must fit an `i32`, with room to spare for data that no codec can pack.
const BATCH_BYTES_MAX: usize = i32::MAX as usize - (1 << 24);

/// A batch under construction.
///
/// ```
/// use ottla_protocol::records::{BatchBuilder, Compression, Rules, ValidBatch};
/// let mut builder = BatchBuilder::new(Compression::None);
/// builder.push(1_700_000_000_000, None, Some(b"hello"), &[("source", Some(b"docs"))])?;
/// builder.push(1_700_000_000_005, Some(b"key"), None, &[])?;
/// let batch = ValidBatch::check(builder.build(), &Rules::client(1_000))?;
/// assert_eq!(batch.header().records_count, 2);
/// assert_eq!(batch.header().max_timestamp, 1_700_000_000_005);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    codec: Codec,
    attributes: Attributes,
    base_offset: Offset,
    leader_epoch: Option<LeaderEpoch>,
    producer: Option<BatchProducer>,
    base_timestamp: i64,
    max_timestamp: i64,
    records_count: i32,
    /// Room for the header, then the records: without compression this becomes the batch as it is.
    bytes: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch, as a producer that is not idempotent sends it: base offset 0, no leader epoch.
    pub fn new(codec: impl Into<Codec>) -> Self {
        let codec = codec.into();
        BatchBuilder {
            codec,
            attributes: Attributes::default().with_compression(codec.compression),
            base_offset: Offset::ZERO,
            leader_epoch: None,
            producer: None,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            records_count: 0,
            bytes: vec![0; BATCH_HEADER_BYTES],
        }
    }

    /// Makes room for a batch of about this size, so that it is not moved while it grows.
    pub fn with_capacity(mut self, batch_bytes: usize) -> Self {
        self.bytes.reserve_exact(batch_bytes.saturating_sub(self.bytes.len()));
        self
    }

    /// From an idempotent or transactional producer.
    pub fn with_producer(mut self, producer: BatchProducer) -> Self {
        self.producer = Some(producer);
        self
    }

    /// With offsets assigned already, as a broker writes its own records.
    pub fn with_base_offset(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        self.base_offset = base_offset;
        self.leader_epoch = Some(leader_epoch);
        self
    }

    /// As part of a transaction.
    pub fn transactional(mut self) -> Self {
        self.attributes = self.attributes.with_transactional(true);
        self
    }

    /// As a control batch.
    pub(super) fn control(mut self) -> Self {
        self.attributes = self.attributes.with_control(true);
        self
    }

    /// Appends a record and gives its offset delta.
    ///
    /// # Errors
    /// `BatchFull`, and the batch is as it was.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<i32, BatchFull> {
        let base_timestamp = if self.records_count == 0 { timestamp } else { self.base_timestamp };
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let offset_delta = self.records_count;
        let headers_bytes: usize = headers.iter().map(|(key, value)| size_of_header(key, *value)).sum();
        let body = 1
            + size_of_varlong(timestamp_delta)
            + size_of_varlong(i64::from(offset_delta))
            + size_of_nullable(key)
            + size_of_nullable(value)
            + size_of_varlong(headers.len() as i64)
            + headers_bytes;
        if self.bytes.len() + body + VARINT_BYTES_MAX > BATCH_BYTES_MAX || offset_delta == i32::MAX {
            return Err(BatchFull);
        }
        let mut prefix = [0; RECORD_PREFIX_BYTES_MAX];
        let mut end = put_varlong(&mut prefix, 0, body as i64);
        // The attributes of a record, unused.
        end += 1;
        end = put_varlong(&mut prefix, end, timestamp_delta);
        end = put_varlong(&mut prefix, end, i64::from(offset_delta));
        end = put_varlong(&mut prefix, end, length_of(key));
        self.bytes.reserve(body + VARINT_BYTES_MAX);
        self.bytes.extend_from_slice(&prefix[..end]);
        self.bytes.extend_from_slice(key.unwrap_or_default());
        self.put_nullable(value);
        self.put_number(headers.len() as i64);
        for (key, value) in headers {
            self.put_nullable(Some(key.as_bytes()));
            self.put_nullable(*value);
        }
        self.base_timestamp = base_timestamp;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.records_count += 1;
        Ok(offset_delta)
    }

    fn put_nullable(&mut self, field: Option<&[u8]>) {
        self.put_number(length_of(field));
        self.bytes.extend_from_slice(field.unwrap_or_default());
    }

    fn put_number(&mut self, number: i64) {
        let mut encoded = [0; VARLONG_BYTES_MAX];
        let end = put_varlong(&mut encoded, 0, number);
        self.bytes.extend_from_slice(&encoded[..end]);
    }

    /// Size of the batch so far, header included and uncompressed; an upper bound in practice for the built batch.
    pub fn size_estimate(&self) -> usize {
        self.bytes.len()
    }

    /// Number of records so far.
    pub fn records_count(&self) -> i32 {
        self.records_count
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.records_count == 0
    }

    /// The finished batch: records packed, header filled in, signed.
    pub fn build(mut self) -> Bytes {
        let mut bytes = if self.codec.compression == Compression::None {
            std::mem::take(&mut self.bytes)
        } else {
            let mut packed = Vec::with_capacity(BATCH_HEADER_BYTES + self.bytes.len() / 2);
            packed.resize(BATCH_HEADER_BYTES, 0);
            compress(self.codec, &self.bytes[BATCH_HEADER_BYTES..], &mut packed);
            packed
        };
        self.fill_header(&mut bytes);
        sign(&mut bytes);
        bytes.into()
    }

    fn fill_header(&self, batch: &mut [u8]) {
        let mut put =
            |position: usize, field: &[u8]| batch[position..position + field.len()].copy_from_slice(field);
        let (producer_id, producer_epoch, base_sequence) = match self.producer {
            Some(producer) => (
                producer.id.get(),
                producer.epoch.get(),
                producer.base_sequence.map_or(-1, |base| base.get()),
            ),
            None => (-1, -1, -1),
        };
        put(at::BASE_OFFSET, &self.base_offset.get().to_be_bytes());
        put(at::PARTITION_LEADER_EPOCH, &self.leader_epoch.map_or(-1, |epoch| epoch.get()).to_be_bytes());
        put(at::MAGIC, &MAGIC.to_be_bytes());
        put(at::ATTRIBUTES, &self.attributes.bits().to_be_bytes());
        put(at::LAST_OFFSET_DELTA, &(self.records_count - 1).max(0).to_be_bytes());
        put(at::BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(at::MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        put(at::PRODUCER_ID, &producer_id.to_be_bytes());
        put(at::PRODUCER_EPOCH, &producer_epoch.to_be_bytes());
        put(at::BASE_SEQUENCE, &base_sequence.to_be_bytes());
        put(at::RECORDS_COUNT, &self.records_count.to_be_bytes());
        let batch_length = (batch.len() - LOG_OVERHEAD) as i32;
        batch[at::BATCH_LENGTH..at::PARTITION_LEADER_EPOCH].copy_from_slice(&batch_length.to_be_bytes());
    }
}

fn length_of(field: Option<&[u8]>) -> i64 {
    field.map_or(-1, |field| field.len() as i64)
}

fn size_of_nullable(field: Option<&[u8]>) -> usize {
    size_of_varlong(length_of(field)) + field.map_or(0, <[u8]>::len)
}

fn size_of_header(key: &str, value: Option<&[u8]>) -> usize {
    size_of_nullable(Some(key.as_bytes())) + size_of_nullable(value)
}
