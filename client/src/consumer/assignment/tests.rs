//! Dialogues between an assignment and imaginary leaders.

use super::*;
use ottla_protocol::records::{BatchBuilder, Compression, Rules};
use ottla_protocol::{LeaderEpoch, PartitionIndex, TopicName};

pub(super) fn partition(index: i32) -> TopicPartition {
    TopicPartition::new(TopicName::new("flights").expect("a legal name"), PartitionIndex::new(index))
}

fn batch(base_offset: i64, records: i64) -> ValidBatch {
    let mut builder =
        BatchBuilder::new(Compression::None).with_base_offset(Offset::new(base_offset), LeaderEpoch::ZERO);
    for _ in 0..records {
        builder.push(0, None, Some(b"value"), &[]).expect("room");
    }
    ValidBatch::check(builder.build(), &Rules::stored()).expect("valid")
}

pub(super) fn assignment(reset: OffsetReset) -> Assignment {
    let mut assignment = Assignment::new(reset, Backoff::default());
    assignment.assign([(partition(0), StartAt::Offset(Offset::new(2)))]);
    assignment
}

pub(super) fn fetched(batches: &[(i64, i64)], end: i64) -> Fetched {
    let batches = batches.iter().map(|(base, records)| (batch(*base, *records), true)).collect();
    Fetched { high_watermark: Some(Offset::new(end)), batches, diverging: None, preferred_replica: None }
}

/// A cluster as the metadata shows it.
pub(super) struct Imaginary {
    pub(super) leader: i32,
    pub(super) leader_epoch: i32,
    pub(super) topic_id: u128,
    pub(super) brokers: Vec<i32>,
}

impl Default for Imaginary {
    fn default() -> Self {
        Imaginary { leader: 1, leader_epoch: 0, topic_id: 1, brokers: vec![1, 2, 3] }
    }
}

impl Cluster for Imaginary {
    fn leadership(&self, _: &TopicPartition) -> Option<Leadership> {
        Some(Leadership {
            leader: BrokerId::new(self.leader),
            leader_epoch: LeaderEpoch::known(self.leader_epoch),
            topic_id: TopicId::new(uuid::Uuid::from_u128(self.topic_id)),
        })
    }

    fn is_known(&self, broker: BrokerId) -> bool {
        self.brokers.contains(&broker.get())
    }

    fn is_free(&self, broker: BrokerId) -> bool {
        self.is_known(broker)
    }
}

pub(super) fn all_wanted(assignment: &mut Assignment, now: Instant) -> Vec<Wanted> {
    let due = assignment.due(now, &Imaginary::default());
    assert!(due.checks.is_empty() && !due.is_leaderless);
    due.fetches
}

pub(super) fn only_wanted(assignment: &mut Assignment, now: Instant) -> Wanted {
    let mut wanted = all_wanted(assignment, now);
    assert_eq!(wanted.len(), 1);
    wanted.remove(0)
}

pub(super) fn offsets(assignment: &mut Assignment) -> Vec<i64> {
    let mut offsets = Vec::new();
    while let Some(batch) = assignment.next() {
        let batch = batch.expect("no failure");
        let records = batch.records().expect("whole").map(|record| record.expect("whole").offset.get());
        offsets.extend(records);
    }
    offsets
}

#[test]
fn a_batch_that_begins_before_the_position_is_handed_out_from_the_position_on() {
    let mut assignment = assignment(OffsetReset::Earliest);
    let wanted = only_wanted(&mut assignment, Instant::now());
    assert_eq!(wanted.fetch_offset, Offset::new(2));
    assert!(all_wanted(&mut assignment, Instant::now()).is_empty(), "one fetch at a time");
    assignment.fetched(&wanted, fetched(&[(0, 4), (4, 2)], 9), Instant::now());
    assert_eq!(offsets(&mut assignment), [2, 3, 4, 5]);
    assert_eq!(assignment.position(&partition(0)), Some(Offset::new(6)));
    assert_eq!(assignment.high_watermark(&partition(0)), Some(Offset::new(9)));
    assert_eq!(assignment.buffered_bytes(), 0);
    assert_eq!(only_wanted(&mut assignment, Instant::now()).fetch_offset, Offset::new(6));
}

#[test]
fn the_fetch_offset_runs_ahead_of_the_position() {
    let mut assignment = assignment(OffsetReset::Earliest);
    let wanted = only_wanted(&mut assignment, Instant::now());
    assignment.fetched(&wanted, fetched(&[(2, 3)], 9), Instant::now());
    assert_eq!(only_wanted(&mut assignment, Instant::now()).fetch_offset, Offset::new(5));
    assert_eq!(assignment.position(&partition(0)), Some(Offset::new(2)));
}

#[test]
fn batches_that_are_not_handed_out_still_move_the_position() {
    let mut assignment = assignment(OffsetReset::Earliest);
    let wanted = only_wanted(&mut assignment, Instant::now());
    let control = Fetched { batches: vec![(batch(2, 1), false)], ..fetched(&[], 9) };
    assignment.fetched(&wanted, control, Instant::now());
    assert_eq!(offsets(&mut assignment), Vec::<i64>::new());
    assert_eq!(assignment.position(&partition(0)), Some(Offset::new(3)));
}

#[test]
fn after_a_seek_nothing_from_before_it_is_handed_out() {
    let mut assignment = assignment(OffsetReset::Earliest);
    let wanted = only_wanted(&mut assignment, Instant::now());
    assignment.fetched(&wanted, fetched(&[(2, 3)], 9), Instant::now());
    let late = only_wanted(&mut assignment, Instant::now());
    assert!(assignment.seek(&partition(0), StartAt::Offset(Offset::new(7))));
    assert_eq!(assignment.buffered_bytes(), 0);
    assignment.fetched(&late, fetched(&[(5, 2)], 9), Instant::now());
    assert_eq!(offsets(&mut assignment), Vec::<i64>::new());
    assert_eq!(only_wanted(&mut assignment, Instant::now()).fetch_offset, Offset::new(7));
    assert!(!assignment.seek(&partition(1), StartAt::Earliest));
}

#[test]
fn a_paused_partition_keeps_what_is_buffered_until_it_is_resumed() {
    let mut assignment = assignment(OffsetReset::Earliest);
    let wanted = only_wanted(&mut assignment, Instant::now());
    assignment.fetched(&wanted, fetched(&[(2, 1)], 9), Instant::now());
    assignment.pause(&partition(0), true);
    assert_eq!(offsets(&mut assignment), Vec::<i64>::new());
    assert!(all_wanted(&mut assignment, Instant::now()).is_empty());
    assignment.pause(&partition(0), false);
    assert_eq!(offsets(&mut assignment), [2]);
}

#[test]
fn a_named_place_is_asked_for_before_anything_is_fetched() {
    let mut assignment = Assignment::new(OffsetReset::Earliest, Backoff::default());
    assignment.assign([(partition(0), StartAt::Latest)]);
    let now = Instant::now();
    assert!(all_wanted(&mut assignment, now).is_empty());
    let unresolved = assignment.unresolved(now);
    assert_eq!(unresolved.len(), 1);
    assert!(assignment.unresolved(now).is_empty(), "asked once");
    assignment.resolved(&unresolved[0], Offset::new(30), None);
    assert_eq!(only_wanted(&mut assignment, now).fetch_offset, Offset::new(30));
}

#[test]
fn an_offset_out_of_range_is_reset_as_configured_or_told() {
    let out_of_range = || ClientError::broker("fetch", ErrorCode::OFFSET_OUT_OF_RANGE, None);
    let now = Instant::now();
    let mut resetting = assignment(OffsetReset::Latest);
    let wanted = only_wanted(&mut resetting, now);
    assert_eq!(resetting.failed(&wanted, out_of_range(), now), Remedy::None);
    assert_eq!(resetting.unresolved(now)[0].spec, OffsetSpec::Latest);
    let mut failing = assignment(OffsetReset::Fail);
    let wanted = only_wanted(&mut failing, now);
    failing.failed(&wanted, out_of_range(), now);
    assert!(
        matches!(failing.next(), Some(Err(error)) if error.code() == Some(ErrorCode::OFFSET_OUT_OF_RANGE))
    );
    assert!(failing.next().is_none(), "told once");
}

#[test]
fn a_moved_leader_asks_for_metadata_and_backs_off() {
    let mut assignment = assignment(OffsetReset::Earliest);
    let now = Instant::now();
    let wanted = only_wanted(&mut assignment, now);
    let error = ClientError::broker("fetch", ErrorCode::NOT_LEADER_OR_FOLLOWER, None);
    assert_eq!(assignment.failed(&wanted, error, now), Remedy::RefreshMetadata);
    assert!(all_wanted(&mut assignment, now).is_empty());
    let retry_at = assignment.next_retry().expect("in backoff");
    assert_eq!(all_wanted(&mut assignment, retry_at).len(), 1);
}
