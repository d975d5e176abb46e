//! From whom a partition is read, and whether what was read so far still is a prefix of that log.
//!
//! After a leader changed without being in sync (or lost its disk), its log may end before what a consumer has read, or
//! hold other records there. So a position remembers the leader epoch of the record before it, and before anything is
//! fetched from a leader of another epoch that leader is asked where the remembered epoch ends (KIP-320); a fetch carries
//! the same epoch and may be answered with the same news. What was fetched ahead and is not handed out yet is dropped
//! first; only when the position itself has left the log is it reset, to the first offset that differs, or told. A topic
//! that was deleted and created again has another id: nothing of its log was read. Reads go to the leader, or to the
//! follower it named, until that fails or the metadata grew old (KIP-392).

use std::time::Instant;

use ottla_protocol::{BrokerId, LeaderEpoch, Offset, TopicId, TopicPartition};

use super::{Assignment, Partition, Place, Remedy, Wanted};
use crate::admin::OffsetSpec;
use crate::consumer::config::OffsetReset;
use crate::error::{ClientError, ErrorKind};

/// Who leads a partition, as the metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub(crate) leader: BrokerId,
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    /// Zero from brokers without topic ids.
    pub(crate) topic_id: TopicId,
}

/// What the shell knows of the cluster at the moment.
pub(crate) trait Cluster {
    /// Who leads a partition, if anybody is known to.
    fn leadership(&self, partition: &TopicPartition) -> Option<Leadership>;
    /// Whether a broker of this id is known.
    fn is_known(&self, broker: BrokerId) -> bool;
    /// Whether a fetch may be sent to it now.
    fn is_free(&self, broker: BrokerId) -> bool;
}

/// A follower that the leader sent us to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Preferred {
    replica: BrokerId,
    until: Instant,
}

/// How far a partition's reading is known to be in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// The leader epoch of the record before the fetch offset, if it is known.
    pub(super) fetch_epoch: Option<LeaderEpoch>,
    /// The epoch of the leader in whose log the fetch offset was found to be in order.
    pub(super) checked_epoch: Option<LeaderEpoch>,
    is_checking: bool,
    preferred: Option<Preferred>,
    /// The topic whose log is read, once that is known.
    topic_id: Option<TopicId>,
}

impl Reading {
    /// Of the same topic from the same replica, but at another place.
    pub(super) fn elsewhere(self, fetch_epoch: Option<LeaderEpoch>) -> Reading {
        Reading { fetch_epoch, checked_epoch: None, is_checking: false, ..self }
    }
}

/// A place that the leader must be asked about before anything is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unchecked {
    pub(crate) partition: TopicPartition,
    pub(crate) era: u64,
    pub(crate) leader: BrokerId,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) fetch_offset: Offset,
    /// The leader epoch of the record before it.
    pub(crate) fetch_epoch: LeaderEpoch,
}

/// Where a leader epoch ends in the leader's log, exclusive; the epoch is the greatest at or below the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochEnd {
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) end_offset: Offset,
}

/// What there is to do for the partitions whose place is known.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// To be fetched. They count as being fetched until [`Assignment::fetched`], `unchanged` or `failed`.
    pub(crate) fetches: Vec<Wanted>,
    /// To be asked of their leaders. They count as asked until [`Assignment::checked`] or `uncheckable`.
    pub(crate) checks: Vec<Unchecked>,
    /// Whether a partition has no leader that is known.
    pub(crate) is_leaderless: bool,
}

enum Step {
    Wait,
    BeginAnew,
    Check { leader_epoch: LeaderEpoch, fetch_epoch: LeaderEpoch },
    Fetch(BrokerId),
}

impl Partition {
    fn next_step(&mut self, leadership: &Leadership, now: Instant, cluster: &impl Cluster) -> Step {
        let reading = &mut self.reading;
        if !leadership.topic_id.is_zero() {
            let before = reading.topic_id.replace(leadership.topic_id);
            if before.is_some_and(|before| before != leadership.topic_id) {
                return Step::BeginAnew;
            }
        }
        if let Some(leader_epoch) =
            leadership.leader_epoch.filter(|epoch| reading.checked_epoch < Some(*epoch))
        {
            match reading.fetch_epoch {
                // A leader never loses what it wrote itself.
                Some(fetch_epoch) if fetch_epoch != leader_epoch => {
                    reading.is_checking = true;
                    return Step::Check { leader_epoch, fetch_epoch };
                }
                _ => reading.checked_epoch = Some(leader_epoch),
            }
        }
        reading.preferred.take_if(|preferred| preferred.until <= now || !cluster.is_known(preferred.replica));
        let broker = reading.preferred.map_or(leadership.leader, |preferred| preferred.replica);
        if cluster.is_free(broker) { Step::Fetch(broker) } else { Step::Wait }
    }

    fn can_be_read(&self, now: Instant) -> Option<Offset> {
        let Place::At { fetch_offset, .. } = self.place else { return None };
        let is_held_up = self.is_paused
            || self.is_retiring
            || self.is_fetching
            || self.reading.is_checking
            || self.retry_at.is_some_and(|at| at > now);
        (!is_held_up).then_some(fetch_offset)
    }
}

impl Assignment {
    /// What to do now with the partitions whose place is known.
    pub(crate) fn due(&mut self, now: Instant, cluster: &impl Cluster) -> Due {
        let mut due = Due::default();
        let mut recreated = Vec::new();
        for (partition, known) in &mut self.partitions {
            let Some(fetch_offset) = known.can_be_read(now) else { continue };
            let Some(leadership) = cluster.leadership(partition) else {
                due.is_leaderless = true;
                continue;
            };
            match known.next_step(&leadership, now, cluster) {
                Step::Wait => {}
                Step::BeginAnew => recreated.push(partition.clone()),
                Step::Check { leader_epoch, fetch_epoch } => due.checks.push(Unchecked {
                    partition: partition.clone(),
                    era: known.era,
                    leader: leadership.leader,
                    leader_epoch,
                    fetch_offset,
                    fetch_epoch,
                }),
                Step::Fetch(broker) => {
                    known.is_fetching = true;
                    due.fetches.push(Wanted {
                        partition: partition.clone(),
                        era: known.era,
                        broker,
                        topic_id: leadership.topic_id,
                        fetch_offset,
                        leader_epoch: leadership.leader_epoch,
                        fetch_epoch: known.reading.fetch_epoch,
                    });
                }
            }
        }
        for partition in recreated {
            self.begin_anew(&partition);
        }
        due
    }

    /// The leader's answer: where the epoch before the fetch offset ends, or that it knows of no such epoch.
    pub(crate) fn checked(&mut self, unchecked: &Unchecked, end: Option<EpochEnd>) {
        let Some(known) = self.current(&unchecked.partition, unchecked.era) else { return };
        known.reading.is_checking = false;
        known.recover();
        if end.is_some_and(|end| end.end_offset >= unchecked.fetch_offset) {
            known.reading.checked_epoch = Some(unchecked.leader_epoch);
        } else {
            self.diverged(&unchecked.partition, unchecked.leader_epoch, end);
        }
    }

    /// No answer, or an error.
    pub(crate) fn uncheckable(&mut self, unchecked: &Unchecked, error: ClientError, now: Instant) -> Remedy {
        let backoff = self.backoff;
        let Some(known) = self.current(&unchecked.partition, unchecked.era) else { return Remedy::None };
        known.reading.is_checking = false;
        if matches!(error.kind(), ErrorKind::UnsupportedApi { .. }) {
            known.reading.checked_epoch = Some(unchecked.leader_epoch);
            return Remedy::None;
        }
        if error.is_retriable() {
            known.retry_later(backoff, now);
            return Remedy::RefreshMetadata;
        }
        known.is_paused = true;
        self.failures.push_back(error);
        Remedy::None
    }

    /// The leader's log and ours part before the fetch offset: at `end`, or nobody knows where.
    pub(super) fn diverged(
        &mut self,
        partition: &TopicPartition,
        leader: LeaderEpoch,
        end: Option<EpochEnd>,
    ) {
        if self.fall_back(partition) {
            return;
        }
        let reset = self.reset.spec();
        let Some(known) = self.partitions.get_mut(partition) else { return };
        let Place::At { position, .. } = known.place else { return };
        let position_epoch = known.position_epoch;
        if let Some(spec) = reset {
            tracing::warn!(%partition.topic, partition.index = %partition.partition, %position, ?end, "the log was truncated below the position, which is reset");
            known.place = end.map_or(Place::Unknown(spec), |end| Place::at(end.end_offset));
            known.position_epoch = end.map(|end| end.leader_epoch);
            known.reading = known.reading.elsewhere(known.position_epoch);
            known.reading.checked_epoch = end.map(|_| leader);
            return;
        }
        known.is_paused = true;
        let divergent = end.map(|end| end.end_offset);
        let divergent_epoch = end.map(|end| end.leader_epoch);
        let kind = ErrorKind::LogTruncation { position_epoch, divergent, divergent_epoch };
        let error = ClientError::new("fetch", kind).for_topic(&partition.topic);
        self.failures.push_back(error.for_partition(partition.partition.get()).at_offset(position.get()));
    }

    /// Gives up what was fetched ahead of the position, if anything was: the position itself may be in order.
    pub(super) fn fall_back(&mut self, partition: &TopicPartition) -> bool {
        self.next_era += 1;
        let era = self.next_era;
        let Some(known) = self.partitions.get_mut(partition) else { return false };
        let Place::At { position, fetch_offset } = known.place else { return false };
        if fetch_offset == position {
            return false;
        }
        known.era = era;
        known.is_fetching = false;
        known.place = Place::at(position);
        known.reading = known.reading.elsewhere(known.position_epoch);
        self.drop_stale();
        true
    }

    /// The topic was deleted and created again: all of its log is new.
    fn begin_anew(&mut self, partition: &TopicPartition) {
        self.fall_back(partition);
        let reset = self.reset;
        let Some(known) = self.partitions.get_mut(partition) else { return };
        let Place::At { position, .. } = known.place else { return };
        tracing::warn!(%partition.topic, partition.index = %partition.partition, %position, "the topic was created again");
        let position_epoch = known.position_epoch.take();
        known.reading = known.reading.elsewhere(None);
        known.place = Place::Unknown(OffsetSpec::Earliest);
        if reset == OffsetReset::Fail {
            known.is_paused = true;
            let kind = ErrorKind::LogTruncation { position_epoch, divergent: None, divergent_epoch: None };
            let error = ClientError::new("fetch", kind).for_topic(&partition.topic);
            self.failures.push_back(error.for_partition(partition.partition.get()).at_offset(position.get()));
        }
    }
}

impl Partition {
    /// The leader says that this replica is closer.
    pub(super) fn prefer(&mut self, replica: BrokerId, until: Instant) {
        self.reading.preferred = Some(Preferred { replica, until });
    }

    /// Goes back to the leader. Whether a follower was read from.
    pub(super) fn leave_follower(&mut self) -> bool {
        self.reading.preferred.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Imaginary, assignment, fetched, offsets, only_wanted, partition};
    use super::super::{Fetched, StartAt};
    use super::*;
    use ottla_protocol::ErrorCode;

    /// Read up to 6 from a leader of epoch 0, of which 2..4 was handed out.
    fn read_ahead(reset: OffsetReset) -> Assignment {
        let mut assignment = assignment(reset);
        let wanted = only_wanted(&mut assignment, Instant::now());
        assignment.fetched(&wanted, fetched(&[(2, 2), (4, 2)], 6), Instant::now());
        assert!(assignment.next().is_some());
        assignment
    }

    fn elected(leader_epoch: i32) -> Imaginary {
        Imaginary { leader: 2, leader_epoch, ..Imaginary::default() }
    }

    fn only_check(assignment: &mut Assignment, cluster: &Imaginary) -> Unchecked {
        let mut due = assignment.due(Instant::now(), cluster);
        assert!(due.fetches.is_empty(), "nothing is fetched before the check");
        assert!(assignment.due(Instant::now(), cluster).checks.is_empty(), "asked once");
        assert_eq!(due.checks.len(), 1);
        due.checks.remove(0)
    }

    fn end(leader_epoch: i32, end_offset: i64) -> Option<EpochEnd> {
        let leader_epoch = LeaderEpoch::new(leader_epoch);
        Some(EpochEnd { leader_epoch, end_offset: Offset::new(end_offset) })
    }

    fn fetches(assignment: &mut Assignment, cluster: &Imaginary) -> Vec<(i32, i64)> {
        let due = assignment.due(Instant::now(), cluster);
        due.fetches.iter().map(|wanted| (wanted.broker.get(), wanted.fetch_offset.get())).collect()
    }

    #[test]
    fn a_new_leader_is_asked_where_the_old_epoch_ends_before_it_is_read_from() {
        let mut assignment = read_ahead(OffsetReset::Earliest);
        let unchecked = only_check(&mut assignment, &elected(1));
        assert_eq!((unchecked.leader.get(), unchecked.leader_epoch.get()), (2, 1));
        assert_eq!((unchecked.fetch_offset.get(), unchecked.fetch_epoch.get()), (6, 0));
        assignment.checked(&unchecked, end(0, 6));
        assert_eq!(fetches(&mut assignment, &elected(1)), [(2, 6)]);
        assert_eq!(offsets(&mut assignment), [4, 5]);
    }

    #[test]
    fn what_was_fetched_ahead_goes_first_and_the_position_stays_if_it_is_in_order() {
        let mut assignment = read_ahead(OffsetReset::Fail);
        let unchecked = only_check(&mut assignment, &elected(1));
        assignment.checked(&unchecked, end(0, 5));
        assert_eq!(assignment.buffered_bytes(), 0);
        let unchecked = only_check(&mut assignment, &elected(1));
        assert_eq!(unchecked.fetch_offset, Offset::new(4));
        assignment.checked(&unchecked, end(0, 5));
        assert_eq!(fetches(&mut assignment, &elected(1)), [(2, 4)]);
        assert!(assignment.next().is_none(), "nothing was lost that was handed out");
    }

    #[test]
    fn a_position_that_left_the_log_goes_back_to_the_first_offset_that_differs() {
        let mut assignment = read_ahead(OffsetReset::Latest);
        for _ in 0..2 {
            let unchecked = only_check(&mut assignment, &elected(3));
            assignment.checked(&unchecked, end(0, 3));
        }
        assert_eq!(assignment.position(&partition(0)), Some(Offset::new(3)));
        assert_eq!(fetches(&mut assignment, &elected(3)), [(2, 3)]);
    }

    #[test]
    fn without_a_reset_the_program_is_told_what_was_truncated_and_where_it_differs() {
        let mut assignment = read_ahead(OffsetReset::Fail);
        for _ in 0..2 {
            let unchecked = only_check(&mut assignment, &elected(3));
            assignment.checked(&unchecked, end(0, 3));
        }
        let error = assignment.next().expect("told").expect_err("an error");
        assert_eq!(error.offset(), Some(4));
        let ErrorKind::LogTruncation { position_epoch, divergent, divergent_epoch } = error.kind() else {
            panic!("{error}");
        };
        assert_eq!((*position_epoch, *divergent_epoch), (Some(LeaderEpoch::ZERO), Some(LeaderEpoch::ZERO)));
        assert_eq!(*divergent, Some(Offset::new(3)));
        assert!(fetches(&mut assignment, &elected(3)).is_empty());
    }

    #[test]
    fn an_epoch_that_the_leader_never_heard_of_resets_as_configured() {
        let mut assignment = read_ahead(OffsetReset::Latest);
        for _ in 0..2 {
            let unchecked = only_check(&mut assignment, &elected(3));
            assignment.checked(&unchecked, None);
        }
        assert_eq!(assignment.unresolved(Instant::now())[0].spec, OffsetSpec::Latest);
    }

    #[test]
    fn a_diverging_epoch_in_an_answer_is_the_same_news() {
        let mut assignment = read_ahead(OffsetReset::Earliest);
        for (fetch_offset, position) in [(6, 4), (4, 3)] {
            let wanted = only_wanted(&mut assignment, Instant::now());
            assert_eq!(
                (wanted.fetch_offset.get(), wanted.fetch_epoch),
                (fetch_offset, Some(LeaderEpoch::ZERO))
            );
            let diverging = Fetched { diverging: end(0, 3), ..fetched(&[], 9) };
            assignment.fetched(&wanted, diverging, Instant::now());
            assert_eq!(assignment.position(&partition(0)), Some(Offset::new(position)));
        }
    }

    #[test]
    fn a_broker_that_cannot_tell_is_trusted_and_one_that_fails_is_asked_again() {
        let mut assignment = read_ahead(OffsetReset::Earliest);
        let now = Instant::now();
        let unchecked = only_check(&mut assignment, &elected(1));
        let fenced = ClientError::broker("check", ErrorCode::FENCED_LEADER_EPOCH, None);
        assert_eq!(assignment.uncheckable(&unchecked, fenced, now), Remedy::RefreshMetadata);
        let later = assignment.next_retry().expect("in backoff");
        let unchecked = assignment.due(later, &elected(1)).checks.remove(0);
        let unsupported = ErrorKind::UnsupportedApi { api: "OffsetForLeaderEpoch".to_owned() };
        assignment.uncheckable(&unchecked, ClientError::new("check", unsupported), later);
        assert_eq!(assignment.due(later, &elected(1)).fetches.len(), 1);
    }

    #[test]
    fn a_committed_offset_with_an_epoch_is_checked_against_a_later_leader_only() {
        for (leader_epoch, checks) in [(4, 1), (3, 0)] {
            let mut assignment = assignment(OffsetReset::Earliest);
            let start = StartAt::OffsetAtEpoch(Offset::new(7), LeaderEpoch::new(3));
            assignment.assign([(partition(0), start)]);
            let due = assignment.due(Instant::now(), &elected(leader_epoch));
            assert_eq!((due.checks.len(), due.fetches.len()), (checks, 1 - checks));
        }
    }

    #[test]
    fn a_topic_that_was_created_again_is_read_from_its_beginning() {
        let mut assignment = read_ahead(OffsetReset::Latest);
        let again = Imaginary { topic_id: 2, ..Imaginary::default() };
        assert!(assignment.due(Instant::now(), &again).fetches.is_empty());
        let unresolved = assignment.unresolved(Instant::now());
        assert_eq!(unresolved[0].spec, OffsetSpec::Earliest);
        assert!(assignment.next().is_none(), "nothing of the old topic is handed out any more");
        assignment.resolved(&unresolved[0], Offset::ZERO, None);
        assert_eq!(fetches(&mut assignment, &again), [(1, 0)]);
    }

    #[test]
    fn the_replica_that_the_leader_prefers_is_read_from_until_it_fails_or_time_is_up() {
        let preferred = || Fetched { preferred_replica: Some(BrokerId::new(3)), ..fetched(&[], 9) };
        let cluster = Imaginary::default();
        let mut assignment = assignment(OffsetReset::Earliest);
        let now = Instant::now();
        let wanted = only_wanted(&mut assignment, now);
        assignment.fetched(&wanted, preferred(), now);
        let wanted = only_wanted(&mut assignment, now);
        assert_eq!(wanted.broker, BrokerId::new(3));
        let out_of_range = ClientError::broker("fetch", ErrorCode::OFFSET_OUT_OF_RANGE, None);
        assert_eq!(assignment.failed(&wanted, out_of_range, now), Remedy::None);
        let wanted = only_wanted(&mut assignment, now);
        assert_eq!(wanted.broker, BrokerId::new(1), "the leader knows better what is in range");
        assignment.fetched(&wanted, preferred(), now);
        let gone = Imaginary { brokers: vec![1, 2], ..Imaginary::default() };
        assert_eq!(fetches(&mut assignment, &gone), [(1, 2)]);
        let wanted = Wanted { broker: BrokerId::new(1), ..wanted };
        assignment.fetched(&wanted, preferred(), now);
        let due = assignment.due(now + std::time::Duration::from_secs(300), &cluster);
        assert_eq!(due.fetches[0].broker, BrokerId::new(1));
    }
}
