//! What becomes of one batch: kept as it is, written anew with fewer records, kept as a header, or dropped.
//!
//! It asks the map of keys and the transactions, and it knows the time; it reads and writes no file. Batches come in the
//! order of their offsets. Source: KIP-58, KIP-98, KIP-534, `Cleaner` of Apache Kafka.

use ottla_protocol::Offset;
use ottla_protocol::records::{BatchError, Filtered, HorizonRule, OutputLimit, RecordRef, Rules, ValidBatch};

use super::offset_map::OffsetMap;
use super::transactions::CleanedTransactions;
use crate::group::end_marker;

/// See the module.
pub(crate) struct BatchFilter<'a> {
    pub(crate) map: &'a OffsetMap,
    /// Records at and behind it are not in the map, and stay.
    pub(crate) map_end: Offset,
    pub(crate) transactions: CleanedTransactions,
    pub(crate) now_ms: i64,
    pub(crate) delete_retention_ms: u64,
    /// Markers that went, by their offset.
    pub(crate) dropped_markers: Vec<Offset>,
}

/// What is left of a batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The same bytes.
    Kept,
    /// Other bytes for the same offsets.
    Replaced(ValidBatch),
    /// No byte.
    Dropped,
}

impl BatchFilter<'_> {
    /// Judges the next batch. If `must_leave_trace`, a header of it stays in any case.
    pub(crate) fn judge(
        &mut self,
        batch: &ValidBatch,
        must_leave_trace: bool,
    ) -> Result<Outcome, BatchError> {
        let header = batch.header();
        let is_control = header.attributes.is_control();
        let horizon = header.delete_horizon();
        let (is_discarded, marks_empty_transaction) = if is_control {
            let ends_nothing = self.ends_nothing(batch);
            (ends_nothing && horizon.is_some_and(|horizon| horizon <= self.now_ms), ends_nothing)
        } else {
            (self.transactions.see_data(header), false)
        };
        let is_empty = header.records_count == 0;
        if is_empty || is_discarded {
            if is_control {
                self.dropped_markers.push(header.base_offset);
            }
            return Ok(match (must_leave_trace, is_empty) {
                (false, _) => Outcome::Dropped,
                (true, true) => Outcome::Kept,
                (true, false) => Outcome::Replaced(batch.emptied()),
            });
        }
        let rule = HorizonRule {
            horizon_ms: self.now_ms.saturating_add_unsigned(self.delete_retention_ms),
            marks_empty_transaction,
        };
        let keeps_tombstones = horizon.is_none_or(|horizon| self.now_ms < horizon);
        let stays =
            |offset, record: &RecordRef<'_>| is_control || self.stays(offset, record, keeps_tombstones);
        Ok(match batch.filtered(OutputLimit::new(Rules::OUTPUT_BYTES_MAX), rule, stays)? {
            Filtered::Whole => Outcome::Kept,
            Filtered::Rewritten(rewritten) => Outcome::Replaced(rewritten),
            Filtered::Nothing if must_leave_trace => Outcome::Replaced(batch.emptied()),
            Filtered::Nothing => Outcome::Dropped,
        })
    }

    fn stays(&self, offset: Offset, record: &RecordRef<'_>, keeps_tombstones: bool) -> bool {
        if offset >= self.map_end {
            return true;
        }
        // A record without a key came before the topic was compacted. There is nothing to know it by.
        let Some(key) = record.key else { return false };
        let is_latest = self.map.get(key).is_none_or(|latest| latest <= offset);
        is_latest && (record.value.is_some() || keeps_tombstones)
    }

    /// Whether a control batch is the marker of a transaction that has no batch left.
    fn ends_nothing(&mut self, batch: &ValidBatch) -> bool {
        match end_marker(batch) {
            Some((is_commit, _)) => self.transactions.see_marker(batch.header(), is_commit),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_protocol::records::{
        BatchBuilder, BatchHeader, BatchProducer, Compression, end_transaction_marker,
    };
    use ottla_protocol::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};

    use super::*;
    use crate::txn_index::AbortedTransaction;

    const NOW_MS: i64 = 1_700_000_000_000;

    /// A batch at `base` whose records have these keys and values; no value is a tombstone.
    fn batch(base: i64, records: &[(&str, Option<&str>)]) -> ValidBatch {
        built(BatchBuilder::new(Compression::None), base, records)
    }

    fn transactional(base: i64, records: &[(&str, Option<&str>)]) -> ValidBatch {
        let builder = BatchBuilder::new(Compression::None).with_producer(producer()).transactional();
        built(builder, base, records)
    }

    fn built(builder: BatchBuilder, base: i64, records: &[(&str, Option<&str>)]) -> ValidBatch {
        let mut builder = builder.with_base_offset(Offset::new(base), LeaderEpoch::ZERO);
        for (key, value) in records {
            let key = Some(key.as_bytes()).filter(|key| !key.is_empty());
            builder.push(NOW_MS, key, value.map(str::as_bytes), &[]).unwrap();
        }
        ValidBatch::check(builder.build(), &Rules::stored()).unwrap()
    }

    fn producer() -> BatchProducer {
        BatchProducer {
            id: ProducerId::new(1),
            epoch: ProducerEpoch::ZERO,
            base_sequence: Some(Sequence::ZERO),
        }
    }

    fn marker(base: i64, is_commit: bool) -> ValidBatch {
        let bytes = end_transaction_marker(producer(), is_commit, 0, NOW_MS);
        let marker = ValidBatch::check(bytes, &Rules::stored()).unwrap();
        marker.stamped(Offset::new(base), LeaderEpoch::ZERO)
    }

    fn map(keys: &[(&str, i64)]) -> OffsetMap {
        let mut map = OffsetMap::new(1 << 20, 0.9, 100, 7);
        for (key, offset) in keys {
            map.put(key.as_bytes(), Offset::new(*offset)).unwrap();
        }
        map
    }

    fn filter<'a>(map: &'a OffsetMap, aborted: &[(i64, i64)]) -> BatchFilter<'a> {
        let aborted = aborted.iter().map(|(first, last)| AbortedTransaction {
            producer_id: producer().id,
            first_offset: Offset::new(*first),
            last_offset: Offset::new(*last),
            last_stable_offset: Offset::new(last + 1),
        });
        BatchFilter {
            map,
            map_end: Offset::new(100),
            transactions: CleanedTransactions::new(aborted.collect()),
            now_ms: NOW_MS,
            delete_retention_ms: 1000,
            dropped_markers: Vec::new(),
        }
    }

    fn header_of(outcome: Outcome) -> BatchHeader {
        let Outcome::Replaced(batch) = outcome else { panic!("{outcome:?}") };
        *batch.header()
    }

    #[test]
    fn a_record_stays_unless_its_key_has_a_later_one_or_none() {
        let map = map(&[("a", 50), ("b", 11)]);
        let mut filter = filter(&map, &[]);
        let records = [("a", Some("old")), ("b", Some("last")), ("", Some("no key")), ("c", Some("unknown"))];
        let kept = header_of(filter.judge(&batch(10, &records), false).unwrap());
        assert_eq!((kept.records_count, kept.last_offset().get()), (2, 13));
        assert!(matches!(filter.judge(&batch(50, &[("a", Some("last"))]), false), Ok(Outcome::Kept)));
        assert!(matches!(filter.judge(&batch(20, &[("a", Some("old"))]), false), Ok(Outcome::Dropped)));
        let trace = header_of(filter.judge(&batch(21, &[("a", Some("old"))]), true).unwrap());
        assert_eq!((trace.records_count, trace.base_offset.get()), (0, 21));
        // What lies behind the map is not judged by it.
        assert!(matches!(filter.judge(&batch(100, &[("", Some("late"))]), false), Ok(Outcome::Kept)));
    }

    #[test]
    fn a_tombstone_gets_its_time_at_the_first_compaction_and_goes_when_that_is_over() {
        let map = map(&[("a", 10)]);
        let mut first = filter(&map, &[]);
        let Outcome::Replaced(marked) = first.judge(&batch(10, &[("a", None)]), false).unwrap() else {
            panic!("a horizon is set");
        };
        assert_eq!(marked.header().delete_horizon(), Some(NOW_MS + 1000));
        for (now_ms, is_kept) in [(NOW_MS + 999, true), (NOW_MS + 1000, false)] {
            let mut later = filter(&map, &[]);
            later.now_ms = now_ms;
            let outcome = later.judge(&marked, false).unwrap();
            assert_eq!(matches!(outcome, Outcome::Kept), is_kept, "{outcome:?}");
        }
    }

    #[test]
    fn an_aborted_transaction_goes_first_and_its_marker_after_its_time() {
        let map = map(&[("a", 50)]);
        let data = transactional(10, &[("b", Some("aborted"))]);
        let mut first = filter(&map, &[(10, 20)]);
        assert!(matches!(first.judge(&data, false), Ok(Outcome::Dropped)));
        assert!(matches!(first.judge(&marker(20, false), false), Ok(Outcome::Kept)));
        // The data is gone when the second compaction comes.
        let mut second = filter(&map, &[(10, 20)]);
        let Outcome::Replaced(marked) = second.judge(&marker(20, false), false).unwrap() else {
            panic!("a horizon is set");
        };
        assert_eq!(marked.header().delete_horizon(), Some(NOW_MS + 1000));
        assert!(second.dropped_markers.is_empty());
        let mut third = filter(&map, &[(10, 20)]);
        third.now_ms += 1000;
        let trace = header_of(third.judge(&marked, true).unwrap());
        assert_eq!((trace.records_count, trace.attributes.is_control()), (0, true));
        assert_eq!(third.dropped_markers, [Offset::new(20)]);
    }

    #[test]
    fn an_emptied_batch_of_a_transaction_keeps_the_marker() {
        let map = map(&[("b", 50)]);
        let mut first = filter(&map, &[]);
        let data = transactional(10, &[("b", Some("old"))]);
        let Outcome::Replaced(emptied) = first.judge(&data, true).unwrap() else {
            panic!("the header stays");
        };
        let mut second = filter(&map, &[]);
        assert!(matches!(second.judge(&emptied, true), Ok(Outcome::Kept)));
        assert!(matches!(second.judge(&marker(20, true), false), Ok(Outcome::Kept)), "no horizon");
        let mut third = filter(&map, &[]);
        assert!(matches!(third.judge(&emptied, false), Ok(Outcome::Dropped)));
    }
}
