//! The 61 bytes in front of the records of a batch.
//!
//! [`BatchHeader`] is a *claim*: `parse` checks only that it is a header of format 2 whose length and offset range can
//! exist at all, so that adding them up cannot overflow. Whether it tells the truth is for
//! [`ValidBatch`](super::ValidBatch) to say.

use super::{BatchError, Compression};
use crate::{LeaderEpoch, Offset, OffsetDelta, ProducerEpoch, ProducerId, Sequence};

/// Size of the header of a record batch.
pub const BATCH_HEADER_BYTES: usize = 61;

/// The bytes in front of the checksum that the log may patch: base offset, batch length, partition leader epoch.
pub const STAMPED_PREFIX_BYTES: usize = 16;

/// The only message format that Kafka 4 writes.
pub const MAGIC: i8 = 2;

/// The timestamp of a record that has none. It is a client's value that is carried, never computed with.
pub const NO_TIMESTAMP: i64 = -1;

/// Base offset and batch length: what the batch length does not count.
pub(super) const LOG_OVERHEAD: usize = 12;

/// Positions of the fields, as drawn in the module documentation.
pub(super) mod at {
    pub(in super::super) const BASE_OFFSET: usize = 0;
    pub(in super::super) const BATCH_LENGTH: usize = 8;
    pub(in super::super) const PARTITION_LEADER_EPOCH: usize = 12;
    pub(in super::super) const MAGIC: usize = 16;
    pub(in super::super) const CRC: usize = 17;
    pub(in super::super) const ATTRIBUTES: usize = 21;
    pub(in super::super) const LAST_OFFSET_DELTA: usize = 23;
    pub(in super::super) const BASE_TIMESTAMP: usize = 27;
    pub(in super::super) const MAX_TIMESTAMP: usize = 35;
    pub(in super::super) const PRODUCER_ID: usize = 43;
    pub(in super::super) const PRODUCER_EPOCH: usize = 51;
    pub(in super::super) const BASE_SEQUENCE: usize = 53;
    pub(in super::super) const RECORDS_COUNT: usize = 57;
}

/// Who set the timestamps of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer, record by record.
    #[default]
    CreateTime,
    /// The broker, one for the whole batch: the batch's max timestamp.
    LogAppendTime,
}

/// The sixteen attribute bits of a batch.
///
/// ```text
/// bit  15 … 7   6               5        4              3               2 1 0
///      unused   delete horizon  control  transactional  timestamp type  compression
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(i16);

impl Attributes {
    const COMPRESSION: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// From the raw bits; unused ones are kept and ignored, as Kafka does.
    pub fn from_bits(bits: i16) -> Self {
        Attributes(bits)
    }

    /// The raw bits.
    pub fn bits(self) -> i16 {
        self.0
    }

    /// The codec of the records.
    pub fn compression(self) -> Result<Compression, BatchError> {
        let id = (self.0 & Self::COMPRESSION) as u8;
        Compression::from_id(id).ok_or(BatchError::UnknownCompression(id))
    }

    /// Who set the timestamps.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Part of a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Written by a broker for brokers: a transaction marker or a quorum's record, never shown to an application.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// The base timestamp field is the time at which tombstones and markers in the batch may go (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// With this codec.
    pub fn with_compression(self, compression: Compression) -> Self {
        Attributes(self.0 & !Self::COMPRESSION | i16::from(compression.id()))
    }

    /// With this timestamp type.
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        self.with(Self::LOG_APPEND_TIME, timestamp_type == TimestampType::LogAppendTime)
    }

    /// As part of a transaction, or not.
    pub fn with_transactional(self, transactional: bool) -> Self {
        self.with(Self::TRANSACTIONAL, transactional)
    }

    /// As a control batch, or not.
    pub fn with_control(self, control: bool) -> Self {
        self.with(Self::CONTROL, control)
    }

    /// With the base timestamp field standing for a deletion horizon, or not.
    pub(super) fn with_delete_horizon(self, set: bool) -> Self {
        self.with(Self::DELETE_HORIZON, set)
    }

    fn with(self, bit: i16, set: bool) -> Self {
        Attributes(if set { self.0 | bit } else { self.0 & !bit })
    }
}

/// Whose batch it is, for idempotent and transactional producers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchProducer {
    /// The producer's id, never negative.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The sequence of the first record; a transaction marker has none.
    pub base_sequence: Option<Sequence>,
}

/// The header of a record batch of format 2, as claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Bytes that follow this field; the whole batch is twelve more.
    pub batch_length: i32,
    /// The epoch of the leader that appended it; a producer does not know one.
    pub partition_leader_epoch: Option<LeaderEpoch>,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type, transactional, control.
    pub attributes: Attributes,
    /// Offset of the last record, minus the base offset. Compaction keeps it when the last record goes.
    pub last_offset_delta: OffsetDelta,
    /// What the records' timestamp deltas are added to, milliseconds.
    pub base_timestamp: i64,
    /// The largest timestamp of a record, or the append time, milliseconds.
    pub max_timestamp: i64,
    /// The producer, if it is idempotent or transactional.
    pub producer: Option<BatchProducer>,
    /// Number of records.
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads a header at the front of `bytes`; the records need not be there.
    ///
    /// # Errors
    /// `Truncated`, `LegacyMagic`, `UnknownMagic`; `LengthTooSmall` for a length that cannot hold a header, `BaseOffset`
    /// and `OffsetRange` for offsets that do not exist.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        // The magic byte is at the same place in every format, so an old message is named before it looks too short.
        if let Some(&magic) = bytes.get(at::MAGIC) {
            match magic as i8 {
                MAGIC => {}
                legacy @ 0..MAGIC => return Err(BatchError::LegacyMagic(legacy)),
                unknown => return Err(BatchError::UnknownMagic(unknown)),
            }
        }
        let Some(header) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(BatchError::Truncated { needed: BATCH_HEADER_BYTES, had: bytes.len() });
        };
        let parsed = BatchHeader::from_array(header);
        if parsed.batch_length < (BATCH_HEADER_BYTES - LOG_OVERHEAD) as i32 {
            return Err(BatchError::LengthTooSmall(parsed.batch_length));
        }
        parsed.check_offsets()?;
        Ok(parsed)
    }

    /// The batch begins and ends at offsets that exist, and there is one behind it.
    fn check_offsets(&self) -> Result<(), BatchError> {
        let (base_offset, last_offset_delta) = (self.base_offset.get(), self.last_offset_delta.get());
        if base_offset < 0 {
            return Err(BatchError::BaseOffset(base_offset));
        }
        if last_offset_delta < 0 || base_offset >= i64::MAX - last_offset_delta {
            let last_offset_delta = last_offset_delta as i32;
            return Err(BatchError::OffsetRange { base_offset, last_offset_delta });
        }
        Ok(())
    }

    fn from_array(bytes: &[u8; BATCH_HEADER_BYTES]) -> BatchHeader {
        let leader_epoch = i32_at(bytes, at::PARTITION_LEADER_EPOCH);
        let producer_id = i64_at(bytes, at::PRODUCER_ID);
        let base_sequence = i32_at(bytes, at::BASE_SEQUENCE);
        BatchHeader {
            base_offset: Offset::new(i64_at(bytes, at::BASE_OFFSET)),
            batch_length: i32_at(bytes, at::BATCH_LENGTH),
            partition_leader_epoch: (leader_epoch >= 0).then(|| LeaderEpoch::new(leader_epoch)),
            crc: i32_at(bytes, at::CRC) as u32,
            attributes: Attributes(i16_at(bytes, at::ATTRIBUTES)),
            last_offset_delta: OffsetDelta::new(i64::from(i32_at(bytes, at::LAST_OFFSET_DELTA))),
            base_timestamp: i64_at(bytes, at::BASE_TIMESTAMP),
            max_timestamp: i64_at(bytes, at::MAX_TIMESTAMP),
            producer: (producer_id >= 0).then(|| BatchProducer {
                id: ProducerId::new(producer_id),
                epoch: ProducerEpoch::new(i16_at(bytes, at::PRODUCER_EPOCH)),
                base_sequence: (base_sequence >= 0).then(|| Sequence::new(base_sequence)),
            }),
            records_count: i32_at(bytes, at::RECORDS_COUNT),
        }
    }

    /// Size of the whole batch, header included.
    pub fn size_in_bytes(&self) -> usize {
        LOG_OVERHEAD + self.batch_length.max(0) as usize
    }

    /// The time from which tombstones and transaction markers in the batch may go (KIP-534), if compaction has set it.
    pub fn delete_horizon(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> Offset {
        self.base_offset + self.last_offset_delta
    }

    /// The offset behind the batch.
    pub fn next_offset(&self) -> Offset {
        self.base_offset + OffsetDelta::new(self.last_offset_delta.get() + 1)
    }
}

/// Base offset, batch length and leader epoch as the log stamps them; none of it is under the checksum.
pub(super) fn stamped_prefix(
    base_offset: Offset,
    batch_length: i32,
    leader_epoch: LeaderEpoch,
) -> [u8; STAMPED_PREFIX_BYTES] {
    let mut prefix = [0; STAMPED_PREFIX_BYTES];
    prefix[at::BASE_OFFSET..8].copy_from_slice(&base_offset.get().to_be_bytes());
    prefix[at::BATCH_LENGTH..12].copy_from_slice(&batch_length.to_be_bytes());
    prefix[at::PARTITION_LEADER_EPOCH..16].copy_from_slice(&leader_epoch.get().to_be_bytes());
    prefix
}

fn i16_at(bytes: &[u8; BATCH_HEADER_BYTES], position: usize) -> i16 {
    i16::from_be_bytes([bytes[position], bytes[position + 1]])
}

fn i32_at(bytes: &[u8; BATCH_HEADER_BYTES], position: usize) -> i32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[position..position + 4]);
    i32::from_be_bytes(four)
}

fn i64_at(bytes: &[u8; BATCH_HEADER_BYTES], position: usize) -> i64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[position..position + 8]);
    i64::from_be_bytes(eight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_message_is_named_even_when_it_is_shorter_than_a_batch_header() {
        let mut message = [0u8; 34];
        message[at::MAGIC] = 1;
        assert_eq!(BatchHeader::parse(&message), Err(BatchError::LegacyMagic(1)));
        message[at::MAGIC] = 3;
        assert_eq!(BatchHeader::parse(&message), Err(BatchError::UnknownMagic(3)));
        message[at::MAGIC] = 0x82;
        assert_eq!(BatchHeader::parse(&message), Err(BatchError::UnknownMagic(-126)));
        assert_eq!(BatchHeader::parse(&message[..16]), Err(BatchError::Truncated { needed: 61, had: 16 }));
    }

    #[test]
    fn a_length_that_cannot_hold_a_header_is_refused() {
        let mut header = [0u8; BATCH_HEADER_BYTES];
        header[at::MAGIC] = 2;
        for length in [i32::MIN, -1, 0, 48] {
            header[at::BATCH_LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
            assert_eq!(BatchHeader::parse(&header), Err(BatchError::LengthTooSmall(length)));
        }
        header[at::BATCH_LENGTH..][..4].copy_from_slice(&49i32.to_be_bytes());
        assert_eq!(BatchHeader::parse(&header).unwrap().size_in_bytes(), BATCH_HEADER_BYTES);
    }

    /// Found by fuzzing: a header on a damaged disk is read before its checksum is known to be right.
    #[test]
    fn offsets_that_do_not_exist_are_refused_before_anybody_adds_them_up() {
        let mut header = [0u8; BATCH_HEADER_BYTES];
        header[at::MAGIC] = 2;
        header[at::BATCH_LENGTH..][..4].copy_from_slice(&49i32.to_be_bytes());
        let mut parse = |base_offset: i64, last_offset_delta: i32| {
            header[at::BASE_OFFSET..][..8].copy_from_slice(&base_offset.to_be_bytes());
            header[at::LAST_OFFSET_DELTA..][..4].copy_from_slice(&last_offset_delta.to_be_bytes());
            BatchHeader::parse(&header)
        };
        let range =
            |base_offset, last_offset_delta| BatchError::OffsetRange { base_offset, last_offset_delta };
        assert_eq!(parse(-1, 0), Err(BatchError::BaseOffset(-1)));
        assert_eq!(parse(0, -1), Err(range(0, -1)));
        assert_eq!(parse(i64::MAX, 0), Err(range(i64::MAX, 0)));
        assert_eq!(parse(i64::MAX - 5, 5), Err(range(i64::MAX - 5, 5)));
        assert_eq!(parse(i64::MAX - 6, 5).unwrap().next_offset().get(), i64::MAX);
    }

    #[test]
    fn attribute_bits_are_kept_apart() {
        let all = Attributes::from_bits(0b0111_1100);
        assert_eq!(all.compression(), Ok(Compression::Zstd));
        assert_eq!(all.timestamp_type(), TimestampType::LogAppendTime);
        assert!(all.is_transactional() && all.is_control() && all.has_delete_horizon());
        let changed = all
            .with_compression(Compression::None)
            .with_timestamp_type(TimestampType::CreateTime)
            .with_transactional(false)
            .with_control(false);
        assert_eq!(changed.bits(), 0b0100_0000);
        for unknown in 5..8 {
            let refused = Attributes::from_bits(unknown).compression();
            assert_eq!(refused, Err(BatchError::UnknownCompression(unknown as u8)));
        }
    }
}
