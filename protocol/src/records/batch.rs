//! A whole record batch that has been checked once.
//!
//! [`ValidBatch`] exists only if every claim of its header holds: magic, checksum, sizes, count, offset range, producer
//! fields and, for records that were walked, every length inside them and the max timestamp ([`Rules`] says what is
//! asked). It is *not* a statement about the partition: whether a producer's sequence is the next one is for the log
//! to decide.

use bytes::{Bytes, BytesMut};

use super::compression::{compress, decompress};
use super::header::{at, stamped_prefix};
use super::rules::{check, check_records};
use super::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, Codec, Compression, OutputLimit, RecordIter, Rules,
    STAMPED_PREFIX_BYTES, TimestampType, UnpackBudget, crc32c,
};
use crate::{LeaderEpoch, Offset};

/// One whole record batch whose claims have been verified.
///
/// ```
/// use ottla_protocol::records::{BatchBuilder, Compression, OutputLimit, Rules, ValidBatch};
/// let mut builder = BatchBuilder::new(Compression::Lz4);
/// builder.push(1_700_000_000_000, Some(b"N14228"), Some(b"{}"), &[])?;
/// let batch = ValidBatch::check(builder.build(), &Rules::client(1 << 20))?;
/// let records = batch.records(OutputLimit::new(1 << 20))?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(records[0].key.as_deref(), Some(&b"N14228"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl ValidBatch {
    /// Checks that `bytes` are exactly one batch that keeps the rules.
    ///
    /// A wrong max timestamp over records that were walked is corrected as Kafka corrects it, not refused; then alone
    /// the bytes are copied.
    ///
    /// # Errors
    /// The first claim that does not hold; [`BatchError::code`] is what to answer.
    pub fn check(bytes: Bytes, rules: &Rules) -> Result<ValidBatch, BatchError> {
        ValidBatch::check_within(bytes, rules, &mut UnpackBudget::unlimited())
    }

    /// As [`ValidBatch::check`], within what is left of a request's budget.
    ///
    /// # Errors
    /// Those of `check`, and `UnpackBudget`.
    pub fn check_within(
        bytes: Bytes,
        rules: &Rules,
        budget: &mut UnpackBudget,
    ) -> Result<ValidBatch, BatchError> {
        let checked = check(&bytes, rules, budget)?;
        let batch = ValidBatch { header: checked.header, bytes };
        if checked.max_timestamp == batch.header.max_timestamp {
            return Ok(batch);
        }
        Ok(batch.with_timestamps(batch.header.attributes.timestamp_type(), checked.max_timestamp))
    }

    /// A batch that this crate has just built itself.
    pub(super) fn trusted(header: BatchHeader, bytes: Bytes) -> ValidBatch {
        ValidBatch { header, bytes }
    }

    /// The verified header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch, header included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole batch, given away.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Size of the whole batch.
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The codec of its records.
    pub fn compression(&self) -> Compression {
        self.header.attributes.compression().expect("checked when the batch was")
    }

    /// The sixteen bytes to write in place of the first sixteen when the log assigns the offset. They lie outside of
    /// the checksum, so `bytes()[16..]` follows them unchanged.
    pub fn stamped_prefix(
        &self,
        base_offset: Offset,
        leader_epoch: LeaderEpoch,
    ) -> [u8; STAMPED_PREFIX_BYTES] {
        stamped_prefix(base_offset, self.header.batch_length, leader_epoch)
    }

    /// The batch as the log would write it, in one piece. It copies: the log itself writes the prefix and the rest.
    pub fn stamped(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> ValidBatch {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[..STAMPED_PREFIX_BYTES].copy_from_slice(&self.stamped_prefix(base_offset, leader_epoch));
        let header = BatchHeader {
            base_offset,
            partition_leader_epoch: LeaderEpoch::known(leader_epoch.get()),
            ..self.header
        };
        ValidBatch { header, bytes: bytes.freeze() }
    }

    /// The batch with every record's timestamp set to the append time (`message.timestamp.type=LogAppendTime`).
    pub fn with_log_append_time(&self, append_time: i64) -> ValidBatch {
        self.with_timestamps(TimestampType::LogAppendTime, append_time)
    }

    fn with_timestamps(&self, timestamp_type: TimestampType, max_timestamp: i64) -> ValidBatch {
        let attributes = self.header.attributes.with_timestamp_type(timestamp_type);
        let mut bytes = BytesMut::from(&self.bytes[..]);
        bytes[at::ATTRIBUTES..][..2].copy_from_slice(&attributes.bits().to_be_bytes());
        bytes[at::MAX_TIMESTAMP..][..8].copy_from_slice(&max_timestamp.to_be_bytes());
        let crc = sign(&mut bytes);
        ValidBatch {
            header: BatchHeader { attributes, max_timestamp, crc, ..self.header },
            bytes: bytes.freeze(),
        }
    }

    /// The batch with its records packed by another codec (`compression.type` other than `producer`).
    ///
    /// Records that come from a packed batch are walked on the way, for the new checksum is ours.
    ///
    /// # Errors
    /// What [`ValidBatch::records`] may say of records that were never unpacked before.
    pub fn recompressed(&self, codec: Codec, limit: OutputLimit) -> Result<ValidBatch, BatchError> {
        self.recompressed_within(codec, limit, &mut UnpackBudget::unlimited())
    }

    /// As [`ValidBatch::recompressed`], within what is left of a request's budget.
    ///
    /// # Errors
    /// Those of `recompressed`, and `UnpackBudget`.
    pub fn recompressed_within(
        &self,
        codec: Codec,
        limit: OutputLimit,
        budget: &mut UnpackBudget,
    ) -> Result<ValidBatch, BatchError> {
        let records = self.unpack(limit, budget)?;
        if self.compression() != Compression::None {
            check_records(&records, &self.header)?;
        }
        let attributes = self.header.attributes.with_compression(codec.compression);
        let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + records.len());
        bytes.extend_from_slice(&self.bytes[..BATCH_HEADER_BYTES]);
        compress(codec, &records, &mut bytes);
        let batch_length = (bytes.len() - super::header::LOG_OVERHEAD) as i32;
        bytes[at::BATCH_LENGTH..][..4].copy_from_slice(&batch_length.to_be_bytes());
        bytes[at::ATTRIBUTES..][..2].copy_from_slice(&attributes.bits().to_be_bytes());
        let crc = sign(&mut bytes);
        let header = BatchHeader { batch_length, attributes, crc, ..self.header };
        Ok(ValidBatch { header, bytes: bytes.into() })
    }

    /// The records, unpacked within the limit.
    ///
    /// # Errors
    /// `Decompression` or `DecompressedTooLarge` at once; the iterator itself reports broken records, which only a
    /// batch that was not walked can still hold.
    pub fn records(&self, limit: OutputLimit) -> Result<RecordIter, BatchError> {
        Ok(RecordIter::new(&self.header, self.uncompressed_records(limit)?))
    }

    pub(super) fn uncompressed_records(&self, limit: OutputLimit) -> Result<Bytes, BatchError> {
        self.unpack(limit, &mut UnpackBudget::unlimited())
    }

    fn unpack(&self, limit: OutputLimit, budget: &mut UnpackBudget) -> Result<Bytes, BatchError> {
        match self.compression() {
            Compression::None => Ok(self.bytes.slice(BATCH_HEADER_BYTES..)),
            packed => decompress(packed, &self.bytes[BATCH_HEADER_BYTES..], limit, budget).map(Bytes::from),
        }
    }
}

/// Computes the checksum of a whole batch and writes it into its place.
pub(super) fn sign(batch: &mut [u8]) -> u32 {
    let crc = crc32c(&batch[at::ATTRIBUTES..]);
    batch[at::CRC..at::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    crc
}

/// The batches of a fetch response or of a piece of a log, one after the other.
///
/// The last one may be cut, as a fetch may end anywhere: it comes out as [`BatchError::Truncated`], and a consumer
/// ignores it. After an error the iterator ends, for nothing says where the next batch would begin.
pub fn batches(bytes: Bytes) -> Batches {
    Batches { rest: bytes }
}

/// See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
}

impl Iterator for Batches {
    type Item = Result<ValidBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = BatchHeader::parse(&self.rest).and_then(|header| {
            let needed = header.size_in_bytes();
            if needed > self.rest.len() {
                return Err(BatchError::Truncated { needed, had: self.rest.len() });
            }
            ValidBatch::check(self.rest.split_to(needed), &Rules::stored())
        });
        if batch.is_err() {
            self.rest = Bytes::new();
        }
        Some(batch)
    }
}
