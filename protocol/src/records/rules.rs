//! What a batch must keep, by where it comes from, and the check itself.
//!
//! An uncompressed batch from a client is always walked, which costs a few nanoseconds per record. A compressed one is
//! unpacked only when a rule depends on what is inside (keys, a lower bound of timestamps) or its claims contradict
//! each other. Kafka unpacks every one, to correct the max timestamp; we trust a plausible claim under the checksum.

use super::compression::decompress;
use super::header::at;
use super::record::{Skimmed, append_time, skim};
use super::varint::Cursor;
use super::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, Compression, NO_TIMESTAMP, OutputLimit, RecordFault,
    RecordRef, UnpackBudget, crc32c,
};

/// Where a batch comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A producer: nothing is taken on trust.
    Client,
    /// This broker itself or another one: markers, the log, a leader. It was walked when it first arrived, and
    /// compaction may have left gaps.
    Broker,
}

/// The timestamps that a topic accepts from clients (`message.timestamp.before.max.ms`, `…after.max.ms`), both
/// inclusive, milliseconds. A record without a timestamp is always accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampBounds {
    /// Smallest.
    pub earliest: i64,
    /// Largest.
    pub latest: i64,
}

impl TimestampBounds {
    /// Every timestamp is accepted; right for topics with LogAppendTime, which overwrites it.
    pub const NONE: TimestampBounds = TimestampBounds { earliest: i64::MIN, latest: i64::MAX };

    /// From the two configs and the time of day.
    pub fn around(now_ms: i64, before_max_ms: i64, after_max_ms: i64) -> Self {
        TimestampBounds {
            earliest: if before_max_ms == i64::MAX { i64::MIN } else { now_ms.saturating_sub(before_max_ms) },
            latest: now_ms.saturating_add(after_max_ms),
        }
    }

    fn check(self, timestamp: i64, record: Option<i32>) -> Result<(), BatchError> {
        let TimestampBounds { earliest, latest } = self;
        if timestamp == NO_TIMESTAMP || (earliest..=latest).contains(&timestamp) {
            return Ok(());
        }
        Err(BatchError::Timestamp { timestamp, earliest, latest, record })
    }
}

/// What a batch must keep to become a [`ValidBatch`](super::ValidBatch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Who sent it.
    pub origin: Origin,
    /// `max.message.bytes` of the topic: size of the whole batch, as compressed.
    pub batch_bytes_max: usize,
    /// A codec that must not come: zstd in a produce request below version 7 (KIP-110).
    pub zstd_allowed: bool,
    /// Every record needs a key, because the topic is compacted. Compressed batches are then unpacked.
    pub keys_required: bool,
    /// Timestamps that are accepted. Compressed batches are unpacked for a lower bound; the upper bound is checked
    /// against the max timestamp that the header claims.
    pub timestamps: TimestampBounds,
    /// Unpack and walk compressed batches in any case.
    pub walk_compressed: bool,
    /// How much a compressed batch may unpack to when it is walked.
    pub output: OutputLimit,
}

impl Rules {
    /// For a batch from a producer. The other rules start out permissive.
    pub fn client(batch_bytes_max: usize) -> Self {
        Rules { origin: Origin::Client, batch_bytes_max, ..Rules::stored() }
    }

    /// For a batch from a log, a leader or a broker's own hand: header and checksum only.
    pub fn stored() -> Self {
        Rules {
            origin: Origin::Broker,
            batch_bytes_max: usize::MAX,
            zstd_allowed: true,
            keys_required: false,
            timestamps: TimestampBounds::NONE,
            walk_compressed: false,
            output: OutputLimit::new(Rules::OUTPUT_BYTES_MAX),
        }
    }

    /// What a batch may unpack to unless the caller says otherwise: the largest request that Kafka takes.
    pub const OUTPUT_BYTES_MAX: usize = 100 << 20;

    fn must_unpack(&self, header: &BatchHeader) -> bool {
        self.walk_compressed
            || self.keys_required
            || self.timestamps.earliest > i64::MIN
            // The first record's timestamp is the base, so a smaller maximum is a lie that must be corrected.
            || header.max_timestamp < header.base_timestamp
    }
}

/// What [`check`] has found out.
pub(super) struct Checked {
    pub(super) header: BatchHeader,
    /// The true max timestamp, where the records were walked; the claimed one otherwise.
    pub(super) max_timestamp: i64,
}

/// Checks one whole batch. Sizes come first and the checksum second: past it, every lie is the sender's.
pub(super) fn check(bytes: &[u8], rules: &Rules, budget: &mut UnpackBudget) -> Result<Checked, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    let size = header.size_in_bytes();
    if bytes.len() < size {
        return Err(BatchError::Truncated { needed: size, had: bytes.len() });
    }
    if bytes.len() > size {
        return Err(BatchError::TrailingBytes(bytes.len() - size));
    }
    if size > rules.batch_bytes_max {
        return Err(BatchError::TooLarge { bytes: size, bytes_max: rules.batch_bytes_max });
    }
    let computed = crc32c(&bytes[at::ATTRIBUTES..]);
    if computed != header.crc {
        return Err(BatchError::ChecksumMismatch { stored: header.crc, computed });
    }
    let compression = header.attributes.compression()?;
    check_count(&header)?;
    let mut max_timestamp = header.max_timestamp;
    if rules.origin == Origin::Client {
        check_client_claims(bytes, &header, rules)?;
        let packed = &bytes[BATCH_HEADER_BYTES..];
        max_timestamp = match compression {
            Compression::None => walk(packed, &header, rules)?,
            _ if rules.must_unpack(&header) => {
                walk(&decompress(compression, packed, rules.output, budget)?, &header, rules)?
            }
            _ => {
                rules.timestamps.check(max_timestamp, None)?;
                max_timestamp
            }
        };
    }
    Ok(Checked { header, max_timestamp })
}

/// The count of records can be true; compaction may have taken some away.
fn check_count(header: &BatchHeader) -> Result<(), BatchError> {
    let last_offset_delta = header.last_offset_delta.get() as i32;
    let records_count = header.records_count;
    if records_count < 0 || i64::from(records_count) > i64::from(last_offset_delta) + 1 {
        return Err(BatchError::RecordsCount { records_count, last_offset_delta });
    }
    Ok(())
}

/// The stricter half, for producers: `LogValidator.validateBatch` of Kafka.
fn check_client_claims(bytes: &[u8], header: &BatchHeader, rules: &Rules) -> Result<(), BatchError> {
    let last_offset_delta = header.last_offset_delta.get() as i32;
    if header.base_offset.get() != 0 {
        return Err(BatchError::BaseOffset(header.base_offset.get()));
    }
    if i64::from(header.records_count) != i64::from(last_offset_delta) + 1 {
        return Err(BatchError::RecordsCount { records_count: header.records_count, last_offset_delta });
    }
    if header.attributes.is_control() {
        return Err(BatchError::ControlBatch);
    }
    if header.attributes.compression()? == Compression::Zstd && !rules.zstd_allowed {
        return Err(BatchError::CompressionNotAllowed(Compression::Zstd));
    }
    if append_time(header.attributes, header.max_timestamp).is_some() {
        return Err(BatchError::AppendTimeFromClient);
    }
    match header.producer {
        // Some producers that are not idempotent send sequence 0 or epoch 0 beside a producer id of -1: no lie.
        None if header.attributes.is_transactional() => Err(BatchError::TransactionalWithoutProducer),
        Some(producer) if producer.epoch.get() < 0 || producer.base_sequence.is_none() => {
            let mut raw_sequence = [0; 4];
            raw_sequence.copy_from_slice(&bytes[at::BASE_SEQUENCE..at::RECORDS_COUNT]);
            Err(BatchError::ProducerFields {
                producer_id: producer.id.get(),
                producer_epoch: producer.epoch.get(),
                base_sequence: i32::from_be_bytes(raw_sequence),
            })
        }
        _ => Ok(()),
    }
}

/// Walks over records that were packed when their batch was checked. Where compaction has left gaps, the broker that
/// compacted has walked them.
pub(super) fn check_records(records: &[u8], header: &BatchHeader) -> Result<(), BatchError> {
    if i64::from(header.records_count) == header.last_offset_delta.get() + 1 {
        walk(records, header, &Rules::client(usize::MAX))?;
    }
    Ok(())
}

/// Walks over all records of a client's batch and gives their largest timestamp.
fn walk(records: &[u8], header: &BatchHeader, rules: &Rules) -> Result<i64, BatchError> {
    let mut start = 0;
    let mut max_timestamp = NO_TIMESTAMP;
    for index in 0..header.records_count {
        let blame = |fault| BatchError::Record { record: index, fault };
        let record = match skim(records, start) {
            Some(record) => record,
            None => read(records, start).map_err(blame)?,
        };
        if record.offset_delta != index {
            return Err(blame(RecordFault::OffsetDelta));
        }
        if rules.keys_required && !record.has_key {
            return Err(blame(RecordFault::MissingKey));
        }
        // Java wraps here too; a timestamp that wraps is caught by the bounds or is as good as any other lie.
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        rules.timestamps.check(timestamp, Some(index))?;
        max_timestamp = max_timestamp.max(timestamp);
        start = record.end;
    }
    match records.len() - start {
        0 => Ok(max_timestamp),
        left_over => Err(BatchError::BytesAfterRecords(left_over)),
    }
}

/// The slow and exact way to what [`skim`] gives.
#[inline(never)]
fn read(records: &[u8], start: usize) -> Result<Skimmed, RecordFault> {
    let mut cursor = Cursor::new(&records[start..]);
    let record = RecordRef::read(&mut cursor)?;
    Ok(Skimmed {
        timestamp_delta: record.timestamp_delta,
        offset_delta: record.offset_delta,
        has_key: record.key.is_some(),
        end: records.len() - cursor.remaining(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{BatchBuilder, Compression};

    /// Every width of every number, on both sides of where it grows.
    #[test]
    fn skimming_gives_what_reading_gives_or_nothing() {
        let sizes = [None, Some(0), Some(1), Some(63), Some(64), Some(8191), Some(8192), Some(1 << 20)];
        let filler = vec![0x80; 1 << 20];
        let mut skimmed_count = 0;
        for timestamp in [0, 1, -1, 63, 64, -65, 8192, 1 << 20, -1 << 20, i64::MAX] {
            for (key_size, value_size) in
                sizes.iter().flat_map(|key| sizes.iter().map(move |value| (key, value)))
            {
                let mut builder = BatchBuilder::new(Compression::None);
                for timestamp in [0, timestamp] {
                    let (key, value) =
                        (key_size.map(|size| &filler[..size]), value_size.map(|size| &filler[..size]));
                    builder.push(timestamp, key, value, &[]).unwrap();
                }
                let batch = builder.build();
                let records = &batch[BATCH_HEADER_BYTES..];
                let first_end = read(records, 0).unwrap().end;
                for start in [0, first_end] {
                    let exact = read(records, start).unwrap();
                    let Some(skimmed) = skim(records, start) else { continue };
                    skimmed_count += 1;
                    assert_eq!(skimmed.end, exact.end);
                    assert_eq!(skimmed.timestamp_delta, exact.timestamp_delta);
                    assert_eq!((skimmed.offset_delta, skimmed.has_key), (exact.offset_delta, exact.has_key));
                }
            }
        }
        assert!(skimmed_count > 500, "{skimmed_count} of 1280 records are of the usual kind");
    }

    #[test]
    fn a_record_with_a_byte_too_many_or_too_few_is_never_skimmed() {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(5, Some(b"key"), Some(b"a value long enough"), &[]).unwrap();
        let batch = builder.build();
        let records = &batch[BATCH_HEADER_BYTES..];
        assert!(skim(records, 0).is_some());
        for position in 0..records.len() {
            for byte in 0..=u8::MAX {
                let mut damaged = records.to_vec();
                damaged[position] = byte;
                if let Some(skimmed) = skim(&damaged, 0) {
                    assert_eq!(
                        read(&damaged, 0).map(|record| record.end),
                        Ok(skimmed.end),
                        "{position}: {byte}"
                    );
                }
            }
        }
    }
}
