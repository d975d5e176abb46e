//! A batch with fewer records: what compaction makes of one (KIP-58, KIP-98, KIP-534).
//!
//! Offsets, producer fields and leader epoch stay; the count, the largest timestamp, the size and the checksum follow the
//! records that are left, packed again by the batch's own codec. Where a deletion horizon is set, it takes the place of
//! the base timestamp, and every record's delta is written anew. It does not decide which records go. Invariant: the
//! first and the last offset of a batch never change, so that no offset between them is ever given out again.

use std::ops::Range;

use super::batch::sign;
use super::compression::compress;
use super::header::{LOG_OVERHEAD, at};
use super::record::append_time;
use super::varint::{Cursor, VARINT_BYTES_MAX, VARLONG_BYTES_MAX, put_varlong, size_of_varlong};
use super::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, Compression, NO_TIMESTAMP, OutputLimit, RecordFault,
    RecordRef, ValidBatch,
};
use crate::{Offset, OffsetDelta};

/// What is left of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filtered {
    /// Every record, and nothing else changes either.
    Whole,
    /// A batch with the records that were kept, or with all of them and a deletion horizon.
    Rewritten(ValidBatch),
    /// No record. [`ValidBatch::emptied`] is what then may stand for the batch.
    Nothing,
}

/// When a batch that has no deletion horizon gets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HorizonRule {
    /// The time from which tombstones, or the marker, in the batch may go.
    pub horizon_ms: i64,
    /// The batch is a marker of a transaction without records; a horizon is set although it holds no tombstone.
    pub marks_empty_transaction: bool,
}

/// The runs of records to keep, as ranges of the uncompressed bytes, and what they come to.
struct Kept {
    runs: Vec<Range<usize>>,
    records_count: i32,
    max_timestamp: i64,
    has_tombstone: bool,
}

impl ValidBatch {
    /// The batch with those records for which `keep` is true, given each with its offset.
    ///
    /// # Errors
    /// What [`ValidBatch::records`] and its iterator may say.
    pub fn filtered(
        &self,
        limit: OutputLimit,
        rule: HorizonRule,
        keep: impl FnMut(Offset, &RecordRef<'_>) -> bool,
    ) -> Result<Filtered, BatchError> {
        let header = self.header();
        let records = self.uncompressed_records(limit)?;
        let kept = choose(header, &records, keep)?;
        let needs_horizon = header.delete_horizon().is_none()
            && kept.records_count > 0
            && (kept.has_tombstone || rule.marks_empty_transaction);
        if kept.records_count == 0 {
            return Ok(Filtered::Nothing);
        }
        if kept.records_count == header.records_count && !needs_horizon {
            return Ok(Filtered::Whole);
        }
        let horizon = needs_horizon.then_some(rule.horizon_ms);
        let mut packed = Vec::with_capacity(records.len() + VARLONG_BYTES_MAX);
        for run in kept.runs {
            match horizon {
                Some(horizon) => put_with_base(header, horizon, &records[run], &mut packed),
                None => packed.extend_from_slice(&records[run]),
            }
        }
        self.rebuilt(&packed, horizon, kept.records_count, kept.max_timestamp).map(Filtered::Rewritten)
    }

    /// The batch without any record: its offsets, its producer and its sequence are all that is left of it.
    pub fn emptied(&self) -> ValidBatch {
        let attributes =
            self.header().attributes.with_compression(Compression::None).with_delete_horizon(false);
        let mut bytes = self.bytes()[..BATCH_HEADER_BYTES].to_vec();
        bytes[at::BASE_TIMESTAMP..][..8].copy_from_slice(&NO_TIMESTAMP.to_be_bytes());
        let max_timestamp = self.header().max_timestamp;
        finish(bytes, attributes.bits(), max_timestamp, 0).expect("a header alone is short enough")
    }

    fn rebuilt(
        &self,
        records: &[u8],
        horizon: Option<i64>,
        records_count: i32,
        max_timestamp: i64,
    ) -> Result<ValidBatch, BatchError> {
        let mut attributes = self.header().attributes;
        let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + records.len());
        bytes.extend_from_slice(&self.bytes()[..BATCH_HEADER_BYTES]);
        if let Some(horizon) = horizon {
            attributes = attributes.with_delete_horizon(true);
            bytes[at::BASE_TIMESTAMP..][..8].copy_from_slice(&horizon.to_be_bytes());
        }
        compress(self.compression().into(), records, &mut bytes);
        finish(bytes, attributes.bits(), max_timestamp, records_count)
    }
}

/// Fills in what follows from the records and signs the batch.
fn finish(
    mut bytes: Vec<u8>,
    attributes: i16,
    max_timestamp: i64,
    records_count: i32,
) -> Result<ValidBatch, BatchError> {
    let batch_length = i32::try_from(bytes.len() - LOG_OVERHEAD)
        .map_err(|_| BatchError::TooLarge { bytes: bytes.len(), bytes_max: i32::MAX as usize })?;
    bytes[at::BATCH_LENGTH..][..4].copy_from_slice(&batch_length.to_be_bytes());
    bytes[at::ATTRIBUTES..][..2].copy_from_slice(&attributes.to_be_bytes());
    bytes[at::MAX_TIMESTAMP..][..8].copy_from_slice(&max_timestamp.to_be_bytes());
    bytes[at::RECORDS_COUNT..][..4].copy_from_slice(&records_count.to_be_bytes());
    sign(&mut bytes);
    let header = BatchHeader::parse(&bytes)?;
    Ok(ValidBatch::trusted(header, bytes.into()))
}

fn choose(
    header: &BatchHeader,
    records: &[u8],
    mut keep: impl FnMut(Offset, &RecordRef<'_>) -> bool,
) -> Result<Kept, BatchError> {
    let log_append_time = append_time(header.attributes, header.max_timestamp);
    let mut kept =
        Kept { runs: Vec::new(), records_count: 0, max_timestamp: NO_TIMESTAMP, has_tombstone: false };
    let mut cursor = Cursor::new(records);
    for record in 0..header.records_count {
        let blame = |fault| BatchError::Record { record, fault };
        let start = records.len() - cursor.remaining();
        let read = RecordRef::read(&mut cursor).map_err(blame)?;
        let end = records.len() - cursor.remaining();
        let offset = header.base_offset.checked_add(OffsetDelta::new(i64::from(read.offset_delta)));
        let offset = offset.ok_or(blame(RecordFault::OffsetDelta))?;
        if !keep(offset, &read) {
            continue;
        }
        kept.records_count += 1;
        kept.has_tombstone |= read.value.is_none();
        let timestamp =
            log_append_time.unwrap_or_else(|| header.base_timestamp.wrapping_add(read.timestamp_delta));
        kept.max_timestamp = kept.max_timestamp.max(timestamp);
        match kept.runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => kept.runs.push(start..end),
        }
    }
    match cursor.remaining() {
        0 => Ok(kept),
        left_over => Err(BatchError::BytesAfterRecords(left_over)),
    }
}

/// Appends a run of sound records with their timestamps counted from `base`.
fn put_with_base(header: &BatchHeader, base: i64, run: &[u8], into: &mut Vec<u8>) {
    let mut cursor = Cursor::new(run);
    while cursor.remaining() > 0 {
        let length = cursor.varint().expect("the record was read before");
        let body = cursor.take(length as usize).expect("the record was read before");
        let mut body = Cursor::new(body);
        let attributes = body.byte().expect("the record was read before");
        let delta = body.varlong().expect("the record was read before");
        let delta = header.base_timestamp.wrapping_add(delta).wrapping_sub(base);
        let rest = body.rest();
        let mut prefix = [0; VARINT_BYTES_MAX + 1 + VARLONG_BYTES_MAX];
        let mut end = put_varlong(&mut prefix, 0, (1 + size_of_varlong(delta) + rest.len()) as i64);
        prefix[end] = attributes;
        end = put_varlong(&mut prefix, end + 1, delta);
        into.extend_from_slice(&prefix[..end]);
        into.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{BatchBuilder, BatchProducer, Rules, end_transaction_marker};
    use crate::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};

    const LIMIT: usize = 1 << 20;
    const NO_HORIZON: HorizonRule = HorizonRule { horizon_ms: 0, marks_empty_transaction: false };

    fn producer() -> BatchProducer {
        BatchProducer {
            id: ProducerId::new(9),
            epoch: ProducerEpoch::new(1),
            base_sequence: Sequence::known(5),
        }
    }

    /// Records at 100.. with times 1000, 1001, …; a value of `-` is a tombstone.
    fn batch(compression: Compression, values: &[&str]) -> ValidBatch {
        let mut builder = BatchBuilder::new(compression)
            .with_producer(producer())
            .with_base_offset(Offset::new(100), LeaderEpoch::new(3));
        for (place, value) in values.iter().enumerate() {
            let key = format!("k{place}");
            let value = Some(value.as_bytes()).filter(|value| *value != b"-");
            let headers: [(&str, Option<&[u8]>); 1] = [("h", Some(b"x"))];
            builder.push(1000 + place as i64, Some(key.as_bytes()), value, &headers).unwrap();
        }
        ValidBatch::check(builder.build(), &Rules::stored()).unwrap()
    }

    fn keeping(batch: &ValidBatch, rule: HorizonRule, offsets: &[i64]) -> Filtered {
        batch.filtered(OutputLimit::new(LIMIT), rule, |offset, _| offsets.contains(&offset.get())).unwrap()
    }

    fn rows(batch: &ValidBatch) -> Vec<(i64, i64, String)> {
        let records = batch.records(OutputLimit::new(LIMIT)).unwrap();
        records
            .map(|record| {
                let record = record.unwrap();
                assert_eq!(record.headers.len(), 1);
                let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                (record.offset.get(), record.timestamp, key)
            })
            .collect()
    }

    #[test]
    fn what_is_kept_of_a_batch_has_its_offsets_times_and_producer_with_every_codec() {
        for compression in Compression::ALL {
            let whole = batch(compression, &["a", "b", "c", "d"]);
            assert_eq!(keeping(&whole, NO_HORIZON, &[100, 101, 102, 103]), Filtered::Whole);
            assert_eq!(keeping(&whole, NO_HORIZON, &[]), Filtered::Nothing);
            let Filtered::Rewritten(kept) = keeping(&whole, NO_HORIZON, &[101, 102]) else {
                panic!("two of four records are kept");
            };
            // The claims hold when they are checked from the bytes alone.
            let kept = ValidBatch::check(kept.into_bytes(), &Rules::stored()).unwrap();
            assert_eq!(rows(&kept), [(101, 1001, "k1".to_owned()), (102, 1002, "k2".to_owned())]);
            let (before, after) = (whole.header(), kept.header());
            assert_eq!((after.base_offset, after.last_offset()), (before.base_offset, before.last_offset()));
            assert_eq!(
                (after.producer, after.partition_leader_epoch, after.records_count, after.max_timestamp),
                (before.producer, before.partition_leader_epoch, 2, 1002)
            );
            assert_eq!(kept.compression(), compression);
        }
    }

    #[test]
    fn a_tombstone_gets_a_horizon_once_and_every_record_keeps_its_time() {
        for compression in Compression::ALL {
            let whole = batch(compression, &["a", "-", "c"]);
            let rule = HorizonRule { horizon_ms: 1_700_000_000_000, marks_empty_transaction: false };
            let Filtered::Rewritten(kept) = keeping(&whole, rule, &[100, 101, 102]) else {
                panic!("a horizon is set");
            };
            assert_eq!(kept.header().delete_horizon(), Some(1_700_000_000_000));
            assert_eq!(rows(&kept), rows(&whole));
            assert_eq!(kept.header().max_timestamp, 1002);
            let later = HorizonRule { horizon_ms: 1_800_000_000_000, ..rule };
            assert_eq!(keeping(&kept, later, &[100, 101, 102]), Filtered::Whole);
            let Filtered::Rewritten(fewer) = keeping(&kept, later, &[102]) else {
                panic!("one of three records is kept");
            };
            assert_eq!(fewer.header().delete_horizon(), Some(1_700_000_000_000));
            assert_eq!(rows(&fewer), [(102, 1002, "k2".to_owned())]);
        }
    }

    #[test]
    fn a_batch_with_append_time_keeps_it() {
        let whole = batch(Compression::None, &["a", "-", "c"]).with_log_append_time(5000);
        let rule = HorizonRule { horizon_ms: 9000, marks_empty_transaction: false };
        let Filtered::Rewritten(kept) = keeping(&whole, rule, &[101, 102]) else {
            panic!("two of three records are kept");
        };
        assert_eq!(rows(&kept), [(101, 5000, "k1".to_owned()), (102, 5000, "k2".to_owned())]);
    }

    #[test]
    fn an_emptied_batch_keeps_its_offsets_and_its_sequence() {
        for compression in Compression::ALL {
            let whole = batch(compression, &["a", "-", "c"]);
            let empty = ValidBatch::check(whole.emptied().into_bytes(), &Rules::stored()).unwrap();
            let (before, after) = (whole.header(), empty.header());
            assert_eq!(empty.size_in_bytes(), BATCH_HEADER_BYTES);
            assert_eq!((after.base_offset, after.next_offset()), (before.base_offset, before.next_offset()));
            assert_eq!((after.producer, after.max_timestamp), (before.producer, before.max_timestamp));
            assert_eq!((after.records_count, after.base_timestamp), (0, NO_TIMESTAMP));
            assert_eq!(rows(&empty), []);
        }
    }

    #[test]
    fn the_marker_of_an_empty_transaction_gets_a_horizon() {
        let marker = end_transaction_marker(producer(), true, 4, 1000);
        let marker = ValidBatch::check(marker, &Rules::stored()).unwrap();
        let rule = HorizonRule { horizon_ms: 7000, marks_empty_transaction: true };
        let kept = marker.filtered(OutputLimit::new(LIMIT), rule, |_, _| true).unwrap();
        let Filtered::Rewritten(kept) = kept else { panic!("a horizon is set") };
        assert_eq!(kept.header().delete_horizon(), Some(7000));
        assert!(kept.header().attributes.is_control());
        assert_eq!(kept.header().max_timestamp, 1000);
    }
}
