//! Which batches of a fetch are handed out: no control batches, and for `read_committed` no aborted data (KIP-98).
//!
//! The broker lists the aborted transactions that the fetched range touches, by producer and first offset. Walking the
//! batches in order, a producer's transactional data is aborted from the first offset of such a transaction until its
//! abort marker. A pure function over one answer.

use std::collections::HashSet;

use ottla_protocol::messages::fetch::AbortedTransaction;
use ottla_protocol::records::{ControlRecord, OutputLimit, ValidBatch};
use ottla_protocol::{Offset, ProducerId};

/// A control record is a few bytes.
const CONTROL_BYTES_MAX: usize = 1 << 16;

/// The batches with the answer to "is it handed out?".
pub(crate) fn committed(batches: Vec<ValidBatch>, aborted: &[AbortedTransaction]) -> Vec<(ValidBatch, bool)> {
    let mut upcoming: Vec<(Offset, ProducerId)> = aborted
        .iter()
        .map(|transaction| (Offset::new(transaction.first_offset), ProducerId::new(transaction.producer_id)))
        .collect();
    upcoming.sort_unstable_by(|one, other| other.cmp(one));
    let mut aborting: HashSet<ProducerId> = HashSet::new();
    let mut judged = Vec::with_capacity(batches.len());
    for batch in batches {
        let header = batch.header();
        while upcoming.last().is_some_and(|(first_offset, _)| *first_offset <= header.last_offset()) {
            aborting.extend(upcoming.pop().map(|(_, producer)| producer));
        }
        let producer = header.producer.map(|producer| producer.id);
        let is_handed_out = if header.attributes.is_control() {
            if let (Some(producer), true) = (producer, is_abort_marker(&batch)) {
                aborting.remove(&producer);
            }
            false
        } else {
            let is_aborted = producer.is_some_and(|producer| aborting.contains(&producer));
            !(header.attributes.is_transactional() && is_aborted)
        };
        judged.push((batch, is_handed_out));
    }
    judged
}

fn is_abort_marker(batch: &ValidBatch) -> bool {
    let Ok(mut records) = batch.records(OutputLimit::new(CONTROL_BYTES_MAX)) else { return false };
    let Some(Ok(record)) = records.next() else { return false };
    matches!(ControlRecord::parse(&record), Some(ControlRecord::EndTransaction { committed: false, .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::records::{BatchBuilder, BatchProducer, Compression, Rules, end_transaction_marker};
    use ottla_protocol::{LeaderEpoch, ProducerEpoch, Sequence};

    fn producer(id: i64, base_sequence: Option<i32>) -> BatchProducer {
        BatchProducer {
            id: ProducerId::new(id),
            epoch: ProducerEpoch::ZERO,
            base_sequence: base_sequence.map(Sequence::new),
        }
    }

    fn data(offset: i64, producer_id: i64) -> ValidBatch {
        let mut builder = BatchBuilder::new(Compression::None)
            .with_producer(producer(producer_id, Some(0)))
            .with_base_offset(Offset::new(offset), LeaderEpoch::ZERO)
            .transactional();
        builder.push(0, None, Some(b"value"), &[]).expect("room");
        ValidBatch::check(builder.build(), &Rules::stored()).expect("valid")
    }

    fn marker(offset: i64, producer_id: i64, committed: bool) -> ValidBatch {
        let bytes = end_transaction_marker(producer(producer_id, None), committed, 0, 0);
        let batch = ValidBatch::check(bytes, &Rules::stored()).expect("valid");
        batch.stamped(Offset::new(offset), LeaderEpoch::ZERO)
    }

    #[test]
    fn aborted_data_and_markers_are_passed_over_and_what_follows_is_not() {
        let batches = vec![
            data(0, 1),
            data(1, 2),
            marker(2, 1, false),
            data(3, 1),
            marker(4, 1, true),
            marker(5, 2, true),
        ];
        let aborted = [AbortedTransaction { producer_id: 1, first_offset: 0 }];
        let handed_out: Vec<i64> = committed(batches, &aborted)
            .into_iter()
            .filter(|(_, is_handed_out)| *is_handed_out)
            .map(|(batch, _)| batch.header().base_offset.get())
            .collect();
        assert_eq!(handed_out, [1, 3]);
    }
}
