//! Offsets that are committed, fetched, expired and deleted.

use ottla_protocol::messages::list_groups::ListGroupsRequest;
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};

use super::*;

pub(super) fn commit_of(generation: i32, member: &str, offset: i64, metadata: &str) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_metadata: Some(metadata.into()),
        ..OffsetCommitRequestPartition::default()
    };
    OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

impl World {
    fn commit_offset(&mut self, request: &OffsetCommitRequest) {
        let now = self.now();
        self.shard.handle_commit(now, request, 8, |topic, _| topic == "t", "commit");
        self.settle();
    }

    pub(super) fn committed(&mut self) -> ErrorCode {
        match self.answer("commit") {
            Some(Answer::Commit(response)) => response.topics[0].partitions[0].error_code,
            other => panic!("{other:?} is no OffsetCommit response"),
        }
    }

    fn position(&self) -> i64 {
        let topic = OffsetFetchRequestTopics {
            name: "t".into(),
            partition_indexes: vec![0],
            ..OffsetFetchRequestTopics::default()
        };
        let topics = Some(vec![topic]);
        let response = self.shard.fetch_offsets(&OffsetFetchRequestGroup {
            group_id: "g".into(),
            topics,
            ..OffsetFetchRequestGroup::default()
        });
        response.topics[0].partitions[0].committed_offset
    }

    fn delete_offsets(&mut self) -> (ErrorCode, Option<ErrorCode>) {
        let request = OffsetDeleteRequest {
            group_id: "g".into(),
            topics: vec![OffsetDeleteRequestTopic {
                name: "t".into(),
                partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
            }],
        };
        self.shard.handle_offset_delete(&request, |topic, _| topic == "t", "delete");
        self.commit(Ok(()));
        match self.answer("delete") {
            Some(Answer::OffsetDelete(response)) => {
                (response.error_code, response.topics.first().map(|topic| topic.partitions[0].error_code))
            }
            other => panic!("{other:?} is no OffsetDelete response"),
        }
    }

    fn delete_group(&mut self) -> ErrorCode {
        let now = self.now();
        self.shard.handle_delete_group(now, &"g".into(), "delete");
        self.commit(Ok(()));
        match self.answer("delete") {
            Some(Answer::DeleteGroup(code)) => code,
            other => panic!("{other:?} is no answer to a deletion"),
        }
    }

    fn listed(&self, state: &str) -> usize {
        let states_filter = if state.is_empty() { Vec::new() } else { vec![state.into()] };
        self.shard.list(&ListGroupsRequest { states_filter, ..ListGroupsRequest::default() }).len()
    }
}

#[test]
fn an_offset_is_acknowledged_and_readable_once_it_is_committed_and_survives_a_restart() {
    let mut world = World::new(0);
    world.commit_offset(&commit_of(-1, "", 42, "note"));
    assert_eq!((world.answer("commit"), world.position()), (None, -1));
    world.commit(Ok(()));
    assert_eq!((world.committed(), world.position()), (ErrorCode::NONE, 42));
    assert_eq!(world.restarted().position(), 42);
}

#[test]
fn an_offset_that_cannot_be_written_is_an_error_and_stays_unread() {
    let mut world = World::new(0);
    world.commit_offset(&commit_of(-1, "", 42, ""));
    world.commit(Err(ErrorCode::NOT_COORDINATOR));
    assert_eq!((world.committed(), world.position()), (ErrorCode::NOT_COORDINATOR, -1));
}

#[test]
fn metadata_is_bounded_and_unknown_topics_are_refused() {
    let mut world = World::new(0);
    world.commit_offset(&commit_of(-1, "", 1, "more than ten bytes"));
    assert_eq!(world.committed(), ErrorCode::OFFSET_METADATA_TOO_LARGE);
    let mut request = commit_of(-1, "", 1, "");
    request.topics[0].name = "nowhere".into();
    world.commit_offset(&request);
    assert_eq!(world.committed(), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[test]
fn only_the_present_generation_commits() {
    let mut world = World::new(3_000);
    let (a, _) = world.stable_pair();
    let refused = [
        (commit_of(0, &a, 1, ""), ErrorCode::ILLEGAL_GENERATION),
        (commit_of(1, "ghost", 1, ""), ErrorCode::UNKNOWN_MEMBER_ID),
        (commit_of(-1, "", 1, ""), ErrorCode::UNKNOWN_MEMBER_ID),
    ];
    for (request, code) in refused {
        world.commit_offset(&request);
        assert_eq!(world.committed(), code);
    }
    world.commit_offset(&commit_of(1, &a, 9, ""));
    world.commit(Ok(()));
    assert_eq!((world.committed(), world.position()), (ErrorCode::NONE, 9));
}

#[test]
fn a_generation_of_an_unknown_group_is_illegal() {
    let mut world = World::new(0);
    world.commit_offset(&commit_of(3, "m", 1, ""));
    assert_eq!(world.committed(), ErrorCode::ILLEGAL_GENERATION);
}

#[test]
fn the_offsets_of_an_empty_group_end_and_the_group_with_them() {
    let mut world = World::new(3_000);
    let (a, b) = world.stable_pair();
    world.commit_offset(&commit_of(1, &a, 9, ""));
    world.commit(Ok(()));
    world.leave(&a);
    world.leave(&b);
    world.commit(Ok(()));
    world.pass(9_000);
    let now = world.now();
    world.shard.expire_offsets(now);
    world.commit(Ok(()));
    assert_eq!((world.position(), world.listed("")), (9, 1));
    world.pass(1_000);
    let now = world.now();
    world.shard.expire_offsets(now);
    world.commit(Ok(()));
    assert_eq!((world.position(), world.listed("")), (-1, 0));
    assert_eq!(world.restarted().listed(""), 0);
}

#[test]
fn only_an_empty_group_is_deleted() {
    let mut world = World::new(3_000);
    assert_eq!(world.delete_group(), ErrorCode::GROUP_ID_NOT_FOUND);
    let (a, b) = world.stable_pair();
    assert_eq!(world.delete_group(), ErrorCode::NON_EMPTY_GROUP);
    world.leave(&a);
    world.leave(&b);
    world.commit(Ok(()));
    assert_eq!((world.listed("empty"), world.listed("stable")), (1, 0));
    assert_eq!(world.delete_group(), ErrorCode::NONE);
    assert_eq!(world.listed(""), 0);
    assert_eq!(world.restarted().listed(""), 0);
}

#[test]
fn offsets_are_deleted_unless_somebody_reads_the_topic() {
    let mut world = World::new(0);
    assert_eq!(world.delete_offsets(), (ErrorCode::GROUP_ID_NOT_FOUND, None));
    world.commit_offset(&commit_of(-1, "", 42, ""));
    world.commit(Ok(()));
    assert_eq!(world.delete_offsets(), (ErrorCode::NONE, Some(ErrorCode::NONE)));
    assert_eq!(world.position(), -1);
    let reading = JoinGroupRequest {
        protocols: vec![offer("range", "\x00\x00\x00\x00\x00\x01\x00\x01t")],
        ..request("")
    };
    world.join_as("a", &reading, 3);
    assert_eq!(world.delete_offsets(), (ErrorCode::NONE, Some(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC)));
}

#[test]
fn a_group_that_nobody_knows_is_described_as_dead() {
    let world = World::new(0);
    let described = world.shard.describe(&"nobody".into(), 5);
    assert_eq!((described.error_code, &described.group_state), (ErrorCode::NONE, &"Dead".into()));
    assert_eq!(world.shard.describe(&"nobody".into(), 6).error_code, ErrorCode::GROUP_ID_NOT_FOUND);
}
