//! What each idempotent producer sent last: the window by which a repeated batch is recognised and a gap is refused.
//!
//! KIP-98 and KIP-360: per producer id the epoch, the last five batches, and the first offset of an open transaction. It
//! does not write to disk (see `producer_snapshot`) and takes no clock. Invariant: it is a function of the batches in the
//! log from the last snapshot on; a batch that was checked but not written must be undone with the token that noting it
//! returned.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use ottla_protocol::records::{BatchHeader, BatchProducer};
use ottla_protocol::{Offset, OffsetDelta, ProducerEpoch, ProducerId, Sequence};

use crate::error::AppendError;

/// Batches that are remembered per producer; a producer has at most this many requests in flight.
pub(crate) const PRODUCER_WINDOW_BATCHES: usize = 5;

/// Who appends, which decides what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: duplicates, epoch and sequence are checked.
    Client,
    /// A coordinator of this broker: only the epoch is.
    Coordinator,
    /// The leader, or this log itself when it is opened: it was all checked when it was first appended.
    Replication,
}

/// One batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The sequence of its last record.
    pub last_sequence: Sequence,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// Its number of offsets, minus one.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: i64,
}

impl ProducerBatch {
    /// The sequence of its first record.
    pub fn base_sequence(&self) -> Sequence {
        Sequence::new(self.last_sequence.get().wrapping_sub(self.offset_delta) & i32::MAX)
    }

    /// The offset of its first record.
    pub fn base_offset(&self) -> Offset {
        self.last_offset - OffsetDelta::new(i64::from(self.offset_delta))
    }
}

/// What is known of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Its greatest epoch.
    pub epoch: ProducerEpoch,
    /// The coordinator's epoch in its last transaction marker, -1 if there was none, as in Kafka's snapshot.
    pub coordinator_epoch: i32,
    /// The largest timestamp of its last batch.
    pub last_timestamp: i64,
    /// Where its open transaction begins in this log.
    pub current_txn_first_offset: Option<Offset>,
    batches: [Option<ProducerBatch>; PRODUCER_WINDOW_BATCHES],
}

impl ProducerEntry {
    pub(crate) fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            coordinator_epoch: -1,
            last_timestamp: -1,
            current_txn_first_offset: None,
            batches: [None; PRODUCER_WINDOW_BATCHES],
        }
    }

    /// The remembered batches of its epoch, oldest first.
    pub fn batches(&self) -> impl DoubleEndedIterator<Item = &ProducerBatch> {
        self.batches.iter().flatten()
    }

    /// The newest batch of its epoch.
    pub fn last_batch(&self) -> Option<&ProducerBatch> {
        self.batches().next_back()
    }

    pub(crate) fn remember(&mut self, batch: ProducerBatch) {
        match self.batches.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(batch),
            None => {
                self.batches.rotate_left(1);
                self.batches[PRODUCER_WINDOW_BATCHES - 1] = Some(batch);
            }
        }
    }

    fn begin_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches = [None; PRODUCER_WINDOW_BATCHES];
        }
    }
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is in the log already, as this one.
    Duplicate(ProducerBatch),
}

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompletedTransaction {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    /// Where the next open transaction begins, else the offset behind the marker.
    pub(crate) last_stable_offset: Offset,
}

/// How to forget what was just noted.
#[derive(Debug)]
pub(crate) struct Undo {
    producer_id: ProducerId,
    before: Option<ProducerEntry>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ProducerState {
    producers: HashMap<ProducerId, ProducerEntry, RandomState>,
    /// Open transactions by their first offset.
    open_transactions: BTreeMap<Offset, ProducerId>,
}

impl ProducerState {
    pub(crate) fn from_entries(entries: impl IntoIterator<Item = (ProducerId, ProducerEntry)>) -> Self {
        let producers: HashMap<_, _, RandomState> = entries.into_iter().collect();
        let open = producers.iter().filter_map(|(id, entry)| Some((entry.current_txn_first_offset?, *id)));
        Self { open_transactions: open.collect(), producers }
    }

    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = (ProducerId, &ProducerEntry)> {
        self.producers.iter().map(|(id, entry)| (*id, entry))
    }

    /// Where the oldest open transaction begins.
    pub(crate) fn first_undecided_offset(&self) -> Option<Offset> {
        self.open_transactions.first_key_value().map(|(offset, _)| *offset)
    }

    /// Judges a batch before it is written. `header` carries the producer's claims; its offsets are not looked at.
    pub(crate) fn check(&self, header: &BatchHeader, origin: AppendOrigin) -> Result<Verdict, AppendError> {
        let Some(producer) = header.producer.filter(|_| origin != AppendOrigin::Replication) else {
            return Ok(Verdict::Append);
        };
        let Some(entry) = self.producers.get(&producer.id) else {
            // Unknown, or forgotten with its records: any sequence is accepted.
            return Ok(Verdict::Append);
        };
        let sequence = producer.base_sequence.filter(|_| origin == AppendOrigin::Client);
        if let Some(duplicate) =
            sequence.and_then(|sequence| find_duplicate(entry, &producer, sequence, header))
        {
            return Ok(Verdict::Duplicate(duplicate));
        }
        if producer.epoch < entry.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id: producer.id,
                epoch: producer.epoch,
                current: entry.epoch,
            });
        }
        if let Some(sequence) = sequence {
            let last = entry.last_batch().filter(|_| producer.epoch == entry.epoch);
            let expected = last.map_or(Sequence::ZERO, |batch| batch.last_sequence.next());
            if sequence != expected {
                return Err(AppendError::OutOfOrderSequence { producer_id: producer.id, sequence, expected });
            }
        }
        let is_data = !header.attributes.is_control();
        if is_data && entry.current_txn_first_offset.is_some() && !header.attributes.is_transactional() {
            return Err(AppendError::InvalidTransactionState(producer.id));
        }
        Ok(Verdict::Append)
    }

    /// Refuses a marker of a coordinator that was replaced.
    pub(crate) fn check_marker(
        &self,
        producer: ProducerId,
        coordinator_epoch: i32,
    ) -> Result<(), AppendError> {
        match self.producers.get(&producer) {
            Some(entry) if entry.coordinator_epoch > coordinator_epoch => {
                Err(AppendError::CoordinatorFenced {
                    producer_id: producer,
                    epoch: coordinator_epoch,
                    current: entry.coordinator_epoch,
                })
            }
            _ => Ok(()),
        }
    }

    /// Notes a data batch that begins at `base_offset`.
    pub(crate) fn note_batch(&mut self, header: &BatchHeader, base_offset: Offset) -> Option<Undo> {
        let producer = header.producer?;
        let before = self.producers.get(&producer.id).copied();
        let entry = self.producers.entry(producer.id).or_insert_with(|| ProducerEntry::new(producer.epoch));
        entry.begin_epoch(producer.epoch);
        let records = i32::try_from(header.last_offset_delta.get()).unwrap_or(i32::MAX);
        if let Some(base_sequence) = producer.base_sequence {
            entry.remember(ProducerBatch {
                last_sequence: base_sequence.plus(records),
                last_offset: base_offset + header.last_offset_delta,
                offset_delta: records,
                timestamp: header.max_timestamp,
            });
        }
        entry.last_timestamp = header.max_timestamp;
        if header.attributes.is_transactional() && entry.current_txn_first_offset.is_none() {
            entry.current_txn_first_offset = Some(base_offset);
            self.open_transactions.insert(base_offset, producer.id);
        }
        Some(Undo { producer_id: producer.id, before })
    }

    /// Notes a transaction marker at `offset`; the transaction it ends, if there was one.
    pub(crate) fn note_marker(
        &mut self,
        producer: BatchProducer,
        coordinator_epoch: i32,
        timestamp: i64,
        offset: Offset,
    ) -> (Undo, Option<CompletedTransaction>) {
        let before = self.producers.get(&producer.id).copied();
        let entry = self.producers.entry(producer.id).or_insert_with(|| ProducerEntry::new(producer.epoch));
        entry.begin_epoch(producer.epoch);
        entry.coordinator_epoch = coordinator_epoch;
        entry.last_timestamp = timestamp;
        let completed = entry.current_txn_first_offset.take().map(|first_offset| {
            self.open_transactions.remove(&first_offset);
            CompletedTransaction {
                producer_id: producer.id,
                first_offset,
                last_offset: offset,
                last_stable_offset: self.first_undecided_offset().unwrap_or(offset.next()),
            }
        });
        (Undo { producer_id: producer.id, before }, completed)
    }

    /// Forgets what was noted; several must be undone newest first.
    pub(crate) fn undo(&mut self, undo: Undo) {
        let now = match undo.before {
            Some(entry) => self.producers.insert(undo.producer_id, entry),
            None => self.producers.remove(&undo.producer_id),
        };
        if let Some(first_offset) = now.and_then(|entry| entry.current_txn_first_offset) {
            self.open_transactions.remove(&first_offset);
        }
        if let Some(first_offset) = undo.before.and_then(|entry| entry.current_txn_first_offset) {
            self.open_transactions.insert(first_offset, undo.producer_id);
        }
    }

    /// Forgets producers whose last batch is older than `expiration_ms`, unless they have an open transaction.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: u64) {
        let expired = |entry: &ProducerEntry| {
            entry.current_txn_first_offset.is_none()
                && u64::try_from(now_ms.saturating_sub(entry.last_timestamp))
                    .is_ok_and(|age| age >= expiration_ms)
        };
        self.producers.retain(|_, entry| !expired(entry));
    }
}

fn find_duplicate(
    entry: &ProducerEntry,
    producer: &BatchProducer,
    base_sequence: Sequence,
    header: &BatchHeader,
) -> Option<ProducerBatch> {
    let records = i32::try_from(header.last_offset_delta.get()).ok()?;
    let same = |batch: &&ProducerBatch| {
        batch.base_sequence() == base_sequence && batch.last_sequence == base_sequence.plus(records)
    };
    entry.batches().find(same).copied().filter(|_| entry.epoch == producer.epoch)
}

#[cfg(test)]
mod tests {
    use ottla_protocol::records::Attributes;

    use super::*;

    fn header(epoch: i16, sequence: i32, records: i64) -> BatchHeader {
        BatchHeader {
            base_offset: Offset::ZERO,
            batch_length: 100,
            partition_leader_epoch: None,
            crc: 0,
            attributes: Attributes::default(),
            last_offset_delta: OffsetDelta::new(records - 1),
            base_timestamp: 0,
            max_timestamp: 1000,
            producer: Some(BatchProducer {
                id: ProducerId::new(7),
                epoch: ProducerEpoch::new(epoch),
                base_sequence: Sequence::known(sequence),
            }),
            records_count: records as i32,
        }
    }

    fn check(state: &ProducerState, epoch: i16, sequence: i32, records: i64) -> Result<Verdict, AppendError> {
        state.check(&header(epoch, sequence, records), AppendOrigin::Client)
    }

    /// Batches of ten records each, sequences 0.., offsets 100...
    fn after(batches: i32) -> ProducerState {
        let mut state = ProducerState::default();
        for batch in 0..batches {
            let header = header(0, batch * 10, 10);
            assert_eq!(state.check(&header, AppendOrigin::Client).unwrap(), Verdict::Append);
            state.note_batch(&header, Offset::new(100 + i64::from(batch) * 10));
        }
        state
    }

    #[test]
    fn each_of_the_last_five_batches_is_recognised_and_answered_with_its_offset() {
        let state = after(7);
        for batch in 2..7 {
            let Verdict::Duplicate(found) = check(&state, 0, batch * 10, 10).unwrap() else {
                panic!("batch {batch} was not recognised");
            };
            assert_eq!(found.base_offset(), Offset::new(100 + i64::from(batch) * 10));
        }
        assert!(matches!(check(&state, 0, 10, 10), Err(AppendError::OutOfOrderSequence { .. })));
    }

    #[test]
    fn a_gap_and_a_batch_of_another_length_are_out_of_order() {
        let state = after(2);
        assert!(matches!(check(&state, 0, 30, 10), Err(AppendError::OutOfOrderSequence { .. })));
        assert!(matches!(check(&state, 0, 10, 9), Err(AppendError::OutOfOrderSequence { .. })));
        assert_eq!(check(&state, 0, 20, 1).unwrap(), Verdict::Append);
    }

    #[test]
    fn an_unknown_producer_may_begin_anywhere_but_a_new_epoch_begins_at_zero() {
        assert_eq!(check(&ProducerState::default(), 3, 55, 1).unwrap(), Verdict::Append);
        let state = after(1);
        assert!(matches!(check(&state, 1, 10, 1), Err(AppendError::OutOfOrderSequence { .. })));
        assert_eq!(check(&state, 1, 0, 1).unwrap(), Verdict::Append);
    }

    #[test]
    fn a_zombie_of_an_older_epoch_is_refused() {
        let mut state = after(1);
        state.note_batch(&header(1, 0, 1), Offset::new(110));
        assert!(matches!(check(&state, 0, 10, 1), Err(AppendError::InvalidProducerEpoch { .. })));
    }

    #[test]
    fn sequences_begin_again_at_zero_after_the_greatest() {
        let mut state = ProducerState::default();
        state.note_batch(&header(0, i32::MAX - 1, 4), Offset::ZERO);
        assert_eq!(check(&state, 0, 2, 1).unwrap(), Verdict::Append);
        assert!(matches!(check(&state, 0, i32::MAX - 1, 4).unwrap(), Verdict::Duplicate(_)));
    }

    #[test]
    fn what_is_undone_was_never_there() {
        let mut state = after(1);
        let before = state.clone();
        let mut transactional = header(0, 10, 5);
        transactional.attributes = transactional.attributes.with_transactional(true);
        let undo = state.note_batch(&transactional, Offset::new(110)).unwrap();
        assert_eq!(state.first_undecided_offset(), Some(Offset::new(110)));
        state.undo(undo);
        assert_eq!(state.producers, before.producers);
        assert_eq!(state.first_undecided_offset(), None);
    }

    #[test]
    fn a_marker_ends_the_transaction_and_a_plain_batch_inside_it_is_refused() {
        let mut state = ProducerState::default();
        let mut transactional = header(0, 0, 5);
        transactional.attributes = transactional.attributes.with_transactional(true);
        state.note_batch(&transactional, Offset::new(10));
        assert!(matches!(check(&state, 0, 5, 1), Err(AppendError::InvalidTransactionState(_))));
        let producer = transactional.producer.unwrap();
        let (_, completed) = state.note_marker(producer, 3, 2000, Offset::new(15));
        assert_eq!(completed.unwrap().first_offset, Offset::new(10));
        assert_eq!(completed.unwrap().last_stable_offset, Offset::new(16));
        assert_eq!(state.first_undecided_offset(), None);
        assert!(matches!(state.check_marker(producer.id, 2), Err(AppendError::CoordinatorFenced { .. })));
    }

    #[test]
    fn a_silent_producer_is_forgotten() {
        let mut state = after(1);
        state.expire(1999, 1000);
        assert_eq!(state.entries().len(), 1);
        state.expire(2000, 1000);
        assert_eq!(state.entries().len(), 0);
    }
}
