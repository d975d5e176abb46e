//! Why a record batch was refused, and which Kafka error says so to a client.
//!
//! One variant per broken claim, so that a test can name the lie it told. The codes are those that Apache Kafka's
//! `ProduceRequest`, `UnifiedLog` and `LogValidator` answer with: a broken checksum is `CORRUPT_MESSAGE` (the wire may
//! have done it, a retry may help), a lie is `INVALID_RECORD` (the producer did it, a retry does not help).

use super::Compression;
use crate::ErrorCode;

/// A record batch that breaks a rule of its format or of the partition that it was meant for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does. At the end of a fetch response this is normal.
    #[error("the record batch needs {needed} bytes and has {had}")]
    Truncated {
        /// Bytes that the batch (or its header) needs.
        needed: usize,
        /// Bytes that are there.
        had: usize,
    },
    /// More bytes follow the one batch that was expected.
    #[error("{0} bytes follow the record batch where exactly one batch is expected")]
    TrailingBytes(usize),
    /// The claimed batch length cannot hold a header.
    #[error("batch length {0} is smaller than a batch header")]
    LengthTooSmall(i32),
    /// Message format 0 or 1, which Kafka 4 no longer accepts from clients.
    #[error("message format {0} is no longer accepted: only record batches of format 2 are")]
    LegacyMagic(i8),
    /// A magic byte of no known format.
    #[error("unknown message format {0}")]
    UnknownMagic(i8),
    /// The checksum does not match the bytes.
    #[error("CRC-32C is {computed:#010x}, the batch says {stored:#010x}")]
    ChecksumMismatch {
        /// What the batch says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// Larger than the topic's `max.message.bytes`.
    #[error("the record batch has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// Size of the whole batch.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A client must leave the base offset 0, a stored one is never negative.
    #[error("base offset {0} is not allowed here")]
    BaseOffset(i64),
    /// Last offset delta negative, or past the end of all offsets.
    #[error("invalid offset range: base offset {base_offset}, last offset delta {last_offset_delta}")]
    OffsetRange {
        /// Claimed base offset.
        base_offset: i64,
        /// Claimed last offset delta.
        last_offset_delta: i32,
    },
    /// The count of records is impossible, or not last offset delta + 1 where that must hold.
    #[error("{records_count} records do not fit a last offset delta of {last_offset_delta}")]
    RecordsCount {
        /// Claimed number of records.
        records_count: i32,
        /// Claimed last offset delta.
        last_offset_delta: i32,
    },
    /// Codec 5, 6 or 7.
    #[error("unknown compression codec {0}")]
    UnknownCompression(u8),
    /// A codec that this request version must not carry.
    #[error("{0} compression is not allowed in this version of the request")]
    CompressionNotAllowed(Compression),
    /// Only brokers write control batches.
    #[error("clients are not allowed to write control records")]
    ControlBatch,
    /// A transactional batch needs a producer id.
    #[error("a transactional batch without a producer id")]
    TransactionalWithoutProducer,
    /// A negative sequence (or epoch) beside a producer id.
    #[error("producer id {producer_id} with epoch {producer_epoch} and base sequence {base_sequence}")]
    ProducerFields {
        /// Claimed producer id.
        producer_id: i64,
        /// Claimed epoch.
        producer_epoch: i16,
        /// Claimed first sequence number.
        base_sequence: i32,
    },
    /// Producers do not stamp append times.
    #[error("producers must not set the timestamp type to LogAppendTime")]
    AppendTimeFromClient,
    /// The timestamp lies outside of what the topic accepts.
    #[error("timestamp {timestamp} is outside of [{earliest}, {latest}]")]
    Timestamp {
        /// The offending timestamp, milliseconds.
        timestamp: i64,
        /// Smallest that is accepted.
        earliest: i64,
        /// Largest that is accepted.
        latest: i64,
        /// Which record, counted from 0, when it is known.
        record: Option<i32>,
    },
    /// A record inside of the batch is broken.
    #[error("record {record}: {fault}")]
    Record {
        /// Which record, counted from 0.
        record: i32,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// Bytes are left over behind the last claimed record.
    #[error("{0} bytes are left behind the last record")]
    BytesAfterRecords(usize),
    /// The compressed bytes are not what the codec writes.
    #[error("the {0} data is damaged")]
    Decompression(Compression),
    /// The output would exceed the caller's limit: perhaps a decompression bomb.
    #[error("the {compression} data unpacks to more than {bytes_max} bytes")]
    DecompressedTooLarge {
        /// The codec.
        compression: Compression,
        /// The limit that was hit.
        bytes_max: usize,
    },
    /// This batch and those before it in the request would unpack to more than a request may.
    #[error("the batches of the request unpack to more than {bytes_max} bytes together")]
    UnpackBudget {
        /// What one request may unpack to.
        bytes_max: usize,
    },
}

/// What is wrong with one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// The claimed length is negative or reaches past the end of the batch.
    #[error("its length does not fit the batch")]
    Length,
    /// A field reaches past the end of the record, or is no number.
    #[error("a field is damaged or reaches past its end")]
    Field,
    /// Bytes are left over behind its last field.
    #[error("bytes are left behind its last field")]
    LeftOver,
    /// The header count is negative or more than could fit.
    #[error("its number of headers is impossible")]
    HeadersCount,
    /// A header has no key.
    #[error("a header has no key")]
    HeaderKey,
    /// Offset deltas are not 0, 1, 2 … (or, in a compacted batch, do not grow).
    #[error("its offset delta is out of order")]
    OffsetDelta,
    /// A compacted topic needs keys.
    #[error("a compacted topic cannot accept a record without a key")]
    MissingKey,
}

impl BatchError {
    /// The Kafka error that tells a client.
    pub fn code(&self) -> ErrorCode {
        match self {
            BatchError::LengthTooSmall(_)
            | BatchError::UnknownMagic(_)
            | BatchError::ChecksumMismatch { .. } => ErrorCode::CORRUPT_MESSAGE,
            // A client that gets this splits its batches and sends smaller requests, which then fit.
            BatchError::TooLarge { .. }
            | BatchError::DecompressedTooLarge { .. }
            | BatchError::UnpackBudget { .. } => ErrorCode::MESSAGE_TOO_LARGE,
            BatchError::UnknownCompression(_) | BatchError::CompressionNotAllowed(_) => {
                ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
            }
            BatchError::AppendTimeFromClient | BatchError::Timestamp { .. } => ErrorCode::INVALID_TIMESTAMP,
            BatchError::Truncated { .. }
            | BatchError::TrailingBytes(_)
            | BatchError::LegacyMagic(_)
            | BatchError::BaseOffset(_)
            | BatchError::OffsetRange { .. }
            | BatchError::RecordsCount { .. }
            | BatchError::ControlBatch
            | BatchError::TransactionalWithoutProducer
            | BatchError::ProducerFields { .. }
            | BatchError::Record { .. }
            | BatchError::BytesAfterRecords(_)
            | BatchError::Decompression(_) => ErrorCode::INVALID_RECORD,
        }
    }

    /// Which record is to blame, for `record_errors` of a produce response.
    pub fn record_index(&self) -> Option<i32> {
        match self {
            BatchError::Record { record, .. } => Some(*record),
            BatchError::Timestamp { record, .. } => *record,
            _ => None,
        }
    }
}
