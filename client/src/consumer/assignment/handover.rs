//! How an assignment changes while a group rebalances: partitions retire, leave, are added and are settled.
//!
//! Two marks lie in each partition. The *position* moves when a batch is handed out. What is *acknowledged* follows it when
//! the program says that it is done with everything handed out before, which it does by polling again or by committing.
//! Only what is acknowledged is committed without being asked. A partition that is taken away first retires (nothing of
//! it is handed out any more) and leaves once it is acknowledged, so that nobody else begins behind unfinished work.

use ottla_protocol::{LeaderEpoch, Offset, TopicPartition};

use super::{Assignment, Partition, Place, StartAt};
use crate::admin::OffsetSpec;
use crate::consumer::config::OffsetReset;
use crate::error::{ClientError, ErrorKind};

/// How far a partition was consumed: everything before `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Consumed {
    pub(crate) offset: Offset,
    /// The epoch of the leader that wrote the last record before it, if known.
    pub(crate) leader_epoch: Option<LeaderEpoch>,
}

/// A partition whose position the group's offsets decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Awaited {
    pub(crate) partition: TopicPartition,
    era: u64,
}

impl Assignment {
    /// The program is done with all that was handed out.
    pub(crate) fn acknowledge(&mut self) {
        for partition in self.handed_out.drain(..) {
            if let Some(known) = self.partitions.get_mut(&partition) {
                known.held = None;
            }
        }
    }

    /// Whether nothing of these partitions is out with the program.
    pub(crate) fn is_acknowledged(&self, partitions: &[TopicPartition]) -> bool {
        !partitions.iter().any(|one| self.partitions.get(one).is_some_and(|known| known.held.is_some()))
    }

    /// Nothing of these partitions is fetched or handed out any more.
    pub(crate) fn retire(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(known) = self.partitions.get_mut(partition) {
                known.is_retiring = true;
            }
        }
    }

    /// These partitions are gone.
    pub(crate) fn remove(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.partitions.remove(partition);
        }
        self.handed_out.retain(|one| self.partitions.contains_key(one));
        self.drop_stale();
    }

    /// These partitions are read too, once their positions are settled.
    pub(crate) fn add(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            let fresh = Partition { place: Place::Awaited, ..self.fresh(StartAt::Earliest) };
            self.partitions.insert(partition.clone(), fresh);
        }
        self.drop_stale();
    }

    /// The partitions that wait for their position.
    pub(crate) fn awaited(&self) -> Vec<Awaited> {
        let waiting = self.partitions.iter().filter(|(_, known)| known.place == Place::Awaited);
        waiting.map(|(partition, known)| Awaited { partition: partition.clone(), era: known.era }).collect()
    }

    /// The group's answer for a partition: where it is read from, or that nothing was committed and the reset decides.
    pub(crate) fn settle(&mut self, awaited: &Awaited, committed: Option<Consumed>) {
        let reset = self.reset;
        let Some(known) = self.current(&awaited.partition, awaited.era) else { return };
        if known.place != Place::Awaited {
            return;
        }
        known.place = match (committed, reset) {
            (Some(consumed), _) => Place::At { position: consumed.offset, fetch_offset: consumed.offset },
            (None, OffsetReset::Earliest) => Place::Unknown(OffsetSpec::Earliest),
            (None, OffsetReset::Latest) => Place::Unknown(OffsetSpec::Latest),
            (None, OffsetReset::Fail) => {
                known.is_paused = true;
                let error = ClientError::new("fetch committed offsets", ErrorKind::NoCommittedOffset);
                let TopicPartition { topic, partition } = &awaited.partition;
                self.failures.push_back(error.for_topic(topic).for_partition(partition.get()));
                return;
            }
        };
        known.position_epoch = committed.and_then(|consumed| consumed.leader_epoch);
        known.reading = known.reading.elsewhere(known.position_epoch);
    }

    /// Whether the partition is assigned.
    pub(crate) fn contains(&self, partition: &TopicPartition) -> bool {
        self.partitions.contains_key(partition)
    }

    /// Tells the program of a failure at its next poll.
    pub(crate) fn fail(&mut self, error: ClientError) {
        self.failures.push_back(error);
    }

    /// How far each partition was handed out, where that is known.
    pub(crate) fn consumed(&self) -> Vec<(TopicPartition, Consumed)> {
        let consumed = self.partitions.iter().map(|(partition, known)| (partition, known.position()));
        consumed.filter_map(|(partition, consumed)| Some((partition.clone(), consumed?))).collect()
    }

    /// How far each partition was handed out and acknowledged, where that is known.
    pub(crate) fn acknowledged(&self) -> Vec<(TopicPartition, Consumed)> {
        let acknowledged =
            self.partitions.iter().map(|(partition, known)| (partition, known.held.or(known.position())));
        acknowledged.filter_map(|(partition, consumed)| Some((partition.clone(), consumed?))).collect()
    }
}

impl Partition {
    fn position(&self) -> Option<Consumed> {
        match self.place {
            Place::At { position, .. } => {
                Some(Consumed { offset: position, leader_epoch: self.position_epoch })
            }
            Place::Unknown(_) | Place::Asked(_) | Place::Awaited => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all_wanted, assignment, fetched, offsets, only_wanted, partition};
    use super::*;
    use std::time::Instant;

    /// One partition at offset 2 with batches 2..4 and 4..6 at hand.
    fn filled() -> Assignment {
        let mut assignment = assignment(OffsetReset::Earliest);
        let wanted = only_wanted(&mut assignment, Instant::now());
        assignment.fetched(&wanted, fetched(&[(2, 2), (4, 2)], 6), Instant::now());
        assignment
    }

    fn offset_of(consumed: &[(TopicPartition, Consumed)]) -> Vec<i64> {
        consumed.iter().map(|(_, consumed)| consumed.offset.get()).collect()
    }

    #[test]
    fn what_is_acknowledged_follows_the_position_only_when_the_program_is_done() {
        let mut assignment = filled();
        assert_eq!(offset_of(&assignment.acknowledged()), [2]);
        assert!(assignment.next().is_some() && assignment.next().is_some());
        assert_eq!(
            (offset_of(&assignment.consumed()), offset_of(&assignment.acknowledged())),
            (vec![6], vec![2])
        );
        assert!(!assignment.is_acknowledged(&[partition(0)]));
        assignment.acknowledge();
        assert_eq!(
            assignment.acknowledged()[0].1,
            Consumed { offset: Offset::new(6), leader_epoch: Some(LeaderEpoch::ZERO) }
        );
        assert!(assignment.is_acknowledged(&[partition(0)]));
    }

    #[test]
    fn a_retiring_partition_hands_nothing_out_and_is_not_fetched() {
        let mut assignment = filled();
        assert!(assignment.next().is_some());
        assignment.retire(&[partition(0)]);
        assert!(assignment.next().is_none());
        assert!(all_wanted(&mut assignment, Instant::now()).is_empty());
        assert_eq!(offset_of(&assignment.consumed()), [4]);
        assignment.remove(&[partition(0)]);
        assert!(assignment.partitions().is_empty() && assignment.buffered_bytes() == 0);
    }

    #[test]
    fn an_added_partition_waits_for_its_committed_offset_and_a_seek_comes_first() {
        let mut assignment = filled();
        assignment.add(&[partition(1), partition(2)]);
        let awaited = assignment.awaited();
        assert_eq!(awaited.len(), 2);
        assert!(assignment.seek(&partition(2), StartAt::Offset(Offset::new(70))));
        for one in &awaited {
            assignment.settle(one, Some(Consumed { offset: Offset::new(9), leader_epoch: None }));
        }
        assert_eq!(assignment.position(&partition(1)), Some(Offset::new(9)));
        assert_eq!(assignment.position(&partition(2)), Some(Offset::new(70)));
        assert_eq!(offsets(&mut assignment), [2, 3, 4, 5], "what was kept reads on");
    }

    #[test]
    fn without_a_committed_offset_the_reset_decides_or_the_program_is_told() {
        for (reset, unresolved) in [(OffsetReset::Latest, 1), (OffsetReset::Fail, 0)] {
            let mut assignment = assignment(reset);
            assignment.add(&[partition(1)]);
            let awaited = assignment.awaited();
            assignment.settle(&awaited[0], None);
            assert_eq!(assignment.unresolved(Instant::now()).len(), unresolved);
            assert_eq!(assignment.next().is_some_and(|told| told.is_err()), unresolved == 0);
        }
    }
}
