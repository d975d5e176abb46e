//! What a compaction knows of transactions as it walks through a log: whose records were aborted, and which markers end
//! nothing any more.
//!
//! Batches are shown to it in the order of their offsets, from the first of the log on. It decides about transactions
//! only: whether a marker's time is over is the filter's business. Invariant: a marker is kept as long as one batch of
//! its transaction is seen, an emptied one included.

use std::collections::{HashMap, HashSet, VecDeque};

use foldhash::fast::RandomState;
use ottla_protocol::records::BatchHeader;
use ottla_protocol::{Offset, ProducerId};

use crate::txn_index::AbortedTransaction;

/// See the module.
pub(crate) struct CleanedTransactions {
    /// Aborted transactions that begin behind what was seen, by their first offset.
    to_come: VecDeque<AbortedTransaction>,
    /// Aborted transactions that are open where the walk stands, and whether a batch of them was seen.
    aborted: HashMap<ProducerId, bool, RandomState>,
    /// Producers with batches of a transaction that will be committed.
    committed: HashSet<ProducerId, RandomState>,
}

impl CleanedTransactions {
    /// For a walk over a log with these aborted transactions.
    pub(crate) fn new(mut aborted: Vec<AbortedTransaction>) -> Self {
        aborted.sort_by_key(|transaction| transaction.first_offset);
        Self { to_come: aborted.into(), aborted: HashMap::default(), committed: HashSet::default() }
    }

    /// Shows a batch of data; whether its transaction was aborted.
    pub(crate) fn see_data(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header.last_offset());
        let Some(producer) = header.producer.filter(|_| header.attributes.is_transactional()) else {
            return false;
        };
        match self.aborted.get_mut(&producer.id) {
            Some(was_seen) => {
                *was_seen = true;
                true
            }
            None => {
                self.committed.insert(producer.id);
                false
            }
        }
    }

    /// Shows a transaction marker; whether its transaction has no batch left.
    pub(crate) fn see_marker(&mut self, header: &BatchHeader, is_commit: bool) -> bool {
        self.begin_up_to(header.last_offset());
        let Some(producer) = header.producer else { return false };
        match is_commit {
            true => !self.committed.remove(&producer.id),
            false => !self.aborted.remove(&producer.id).unwrap_or(false),
        }
    }

    fn begin_up_to(&mut self, offset: Offset) {
        while let Some(begun) = self.to_come.pop_front_if(|next| next.first_offset <= offset) {
            self.aborted.entry(begun.producer_id).or_insert(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_protocol::records::{Attributes, BatchProducer};
    use ottla_protocol::{OffsetDelta, ProducerEpoch, Sequence};

    use super::*;

    fn header(producer: i64, offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset: Offset::new(offset),
            batch_length: 100,
            partition_leader_epoch: None,
            crc: 0,
            attributes: Attributes::default().with_transactional(true),
            last_offset_delta: OffsetDelta::new(1),
            base_timestamp: 0,
            max_timestamp: 0,
            producer: Some(BatchProducer {
                id: ProducerId::new(producer),
                epoch: ProducerEpoch::ZERO,
                base_sequence: Some(Sequence::ZERO),
            }),
            records_count: 2,
        }
    }

    fn aborted(producer: i64, first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId::new(producer),
            first_offset: Offset::new(first),
            last_offset: Offset::new(last),
            last_stable_offset: Offset::new(last + 1),
        }
    }

    #[test]
    fn only_data_between_the_begin_and_the_marker_of_an_aborted_transaction_is_aborted() {
        let mut seen = CleanedTransactions::new(vec![aborted(1, 10, 20), aborted(2, 14, 30)]);
        assert!(!seen.see_data(&header(1, 4)), "an earlier one of the same producer");
        assert!(!seen.see_marker(&header(1, 8), true), "its commit has records");
        assert!(seen.see_data(&header(1, 10)));
        assert!(!seen.see_data(&header(3, 12)), "another producer");
        assert!(seen.see_data(&header(2, 14)));
        assert!(!seen.see_marker(&header(1, 20), false), "its abort has records");
        assert!(!seen.see_data(&header(1, 22)), "the next one of the same producer");
        assert!(seen.see_data(&header(2, 24)), "still open");
        assert!(!seen.see_marker(&header(2, 30), false));
        assert!(!seen.see_marker(&header(1, 32), true));
        assert!(!seen.see_marker(&header(3, 34), true));
    }

    #[test]
    fn a_marker_whose_batches_are_gone_ends_nothing() {
        let mut seen = CleanedTransactions::new(vec![aborted(1, 10, 20)]);
        assert!(seen.see_marker(&header(2, 5), true), "committed, no batch left");
        assert!(seen.see_marker(&header(1, 20), false), "aborted, no batch left");
        let plain = BatchHeader { attributes: Attributes::default(), ..header(2, 25) };
        assert!(!seen.see_data(&plain));
        assert!(seen.see_marker(&header(2, 30), true), "idempotent data is no transaction");
    }
}
