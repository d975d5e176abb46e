//! Classic groups over the wire: what a client sees from FindCoordinator to DeleteGroups, in rigid and flexible versions,
//! and across a crash. The expectations hold on Apache Kafka too (`OTTLA_TEST_BOOTSTRAP`, with
//! `group.initial.rebalance.delay.ms=0` there), except for the tests that need a broker of their own.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a client is not the broker: it uses the system's clock, and a test may fail at any step"
)]

#[path = "support/mod.rs"]
mod support;

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::delete_groups::DeleteGroupsRequest;
use ottla_protocol::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use ottla_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::list_groups::ListGroupsRequest;
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use support::broker::unique;
use support::client::PATIENCE;
use support::{Client, TestBroker};

const QUICK: [(&str, &str); 2] =
    [("group.initial.rebalance.delay.ms", "0"), ("offsets.topic.num.partitions", "5")];

/// A broker whose first rebalance does not wait, or the one that stands in for ours.
fn broker() -> TestBroker {
    match std::env::var_os("OTTLA_TEST_BOOTSTRAP") {
        Some(_) => TestBroker::any(),
        None => TestBroker::start(&QUICK),
    }
}

/// A new group, whose coordinator is ready.
fn new_group(client: &mut Client) -> Str {
    let group = Str::from(unique("group"));
    find(client, &group);
    group
}

fn find(client: &mut Client, group: &Str) -> FindCoordinatorResponse {
    let began = std::time::Instant::now();
    loop {
        let request = FindCoordinatorRequest { key: group.clone(), ..Default::default() };
        let found = client.call(3, request);
        let ready = list(client, "").is_ok();
        if found.error_code == ErrorCode::NONE && ready && fetch_v5(client, group, "none").is_ok() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "still {found:?}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn join_request(group: &Str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol { name: "range".into(), metadata: subscription() };
    JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    }
}

/// A consumer's subscription to the topic `t`, without user data.
fn subscription() -> Bytes {
    Bytes::from_static(b"\x00\x00\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff")
}

/// Joins in two steps, alone; gives what the leader is told.
fn join(client: &mut Client, version: i16, group: &Str) -> JoinGroupResponse {
    let first = client.call(version, join_request(group, ""));
    if version < 4 {
        assert_eq!(first.error_code, ErrorCode::NONE);
        return first;
    }
    assert_eq!(first.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    let second = client.call(version, join_request(group, &first.member_id));
    assert_eq!(second.error_code, ErrorCode::NONE);
    second
}

fn sync(client: &mut Client, version: i16, group: &Str, joined: &JoinGroupResponse) -> SyncGroupResponse {
    let part = |member_id: &Str| SyncGroupRequestAssignment {
        member_id: member_id.clone(),
        assignment: Bytes::from(format!("for {member_id}")),
    };
    client.call(
        version,
        sync_request(group, joined, joined.members.iter().map(|member| part(&member.member_id)).collect()),
    )
}

fn sync_request(
    group: &Str,
    joined: &JoinGroupResponse,
    assignments: Vec<SyncGroupRequestAssignment>,
) -> SyncGroupRequest {
    SyncGroupRequest {
        group_id: group.clone(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments,
        ..Default::default()
    }
}

fn beat(client: &mut Client, version: i16, group: &Str, joined: &JoinGroupResponse) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: group.clone(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..Default::default()
    };
    client.call(version, request).error_code
}

fn leave(client: &mut Client, version: i16, group: &Str, member: &Str) -> ErrorCode {
    let identity = MemberIdentity { member_id: member.clone(), ..Default::default() };
    let request = match version {
        ..3 => LeaveGroupRequest { group_id: group.clone(), member_id: member.clone(), ..Default::default() },
        _ => LeaveGroupRequest { group_id: group.clone(), members: vec![identity], ..Default::default() },
    };
    let response = client.call(version, request);
    response.members.first().map_or(response.error_code, |member| member.error_code)
}

fn commit_request(group: &Str, topic: &str, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_metadata: Some("a note".into()),
        ..Default::default()
    };
    OffsetCommitRequest {
        group_id: group.clone(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        }],
        ..Default::default()
    }
}

fn commit(client: &mut Client, version: i16, request: OffsetCommitRequest) -> ErrorCode {
    client.call(version, request).topics[0].partitions[0].error_code
}

/// The offset and metadata of partition 0, by the request for one group.
fn fetch_v5(client: &mut Client, group: &Str, topic: &str) -> Result<(i64, Option<Str>), ErrorCode> {
    let topic = OffsetFetchRequestTopic { name: topic.into(), partition_indexes: vec![0] };
    let request =
        OffsetFetchRequest { group_id: group.clone(), topics: Some(vec![topic]), ..Default::default() };
    let response = client.call(5, request);
    if response.error_code.is_error() {
        return Err(response.error_code);
    }
    let row = &response.topics[0].partitions[0];
    if row.error_code.is_error() {
        Err(row.error_code)
    } else {
        Ok((row.committed_offset, row.metadata.clone()))
    }
}

fn list(client: &mut Client, state: &str) -> Result<Vec<Str>, ErrorCode> {
    let states_filter = if state.is_empty() { Vec::new() } else { vec![state.into()] };
    let response = client.call(4, ListGroupsRequest { states_filter, ..Default::default() });
    if response.error_code.is_error() {
        return Err(response.error_code);
    }
    Ok(response.groups.into_iter().map(|group| group.group_id).collect())
}

fn describe(client: &mut Client, version: i16, group: &Str) -> DescribedGroup {
    let request =
        DescribeGroupsRequest { groups: vec![group.clone()], include_authorized_operations: version >= 3 };
    client.call(version, request).groups.remove(0)
}

fn delete_group(client: &mut Client, group: &Str) -> ErrorCode {
    client.call(2, DeleteGroupsRequest { groups_names: vec![group.clone()] }).results[0].error_code
}

#[test]
fn a_group_lives_from_its_first_member_to_its_deletion_in_old_and_new_versions() {
    let broker = broker();
    for (join_version, rigid_or_flexible) in [(0, 0), (2, 1), (5, 3), (9, 4)] {
        let mut client = broker.connect();
        let topic = client.new_topic(1, &[]);
        let group = new_group(&mut client);
        let joined = join(&mut client, join_version, &group);
        assert_eq!((joined.generation_id, joined.members.len()), (1, 1));
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        assert_eq!(joined.leader, joined.member_id);
        let synced = sync(&mut client, rigid_or_flexible, &group, &joined);
        assert_eq!(synced.assignment, format!("for {}", joined.member_id));
        assert_eq!(beat(&mut client, rigid_or_flexible, &group, &joined), ErrorCode::NONE);

        let described = describe(&mut client, 5, &group);
        assert_eq!((described.group_state.as_str(), described.protocol_data.as_str()), ("Stable", "range"));
        assert_eq!(described.members[0].member_metadata, subscription());
        assert_eq!(described.members[0].client_host, "/127.0.0.1");
        assert!(list(&mut client, "stable").unwrap().contains(&group));
        assert_eq!(delete_group(&mut client, &group), ErrorCode::NON_EMPTY_GROUP);

        let mut request = commit_request(&group, &topic, 42);
        request.generation_id_or_member_epoch = joined.generation_id;
        request.member_id = joined.member_id.clone();
        assert_eq!(commit(&mut client, 2 + rigid_or_flexible, request), ErrorCode::NONE);
        assert_eq!(fetch_v5(&mut client, &group, &topic), Ok((42, Some("a note".into()))));

        assert_eq!(leave(&mut client, rigid_or_flexible, &group, &joined.member_id), ErrorCode::NONE);
        assert_eq!(
            leave(&mut client, rigid_or_flexible, &group, &joined.member_id),
            ErrorCode::UNKNOWN_MEMBER_ID
        );
        assert_eq!(describe(&mut client, 5, &group).group_state, "Empty");
        assert_eq!(delete_group(&mut client, &group), ErrorCode::NONE);
        assert_eq!(delete_group(&mut client, &group), ErrorCode::GROUP_ID_NOT_FOUND);
        assert!(!list(&mut client, "").unwrap().contains(&group));
        assert_eq!(fetch_v5(&mut client, &group, &topic), Ok((-1, Some("".into()))));
    }
}

#[test]
fn a_second_member_makes_the_first_join_again_and_both_share() {
    let broker = broker();
    let (mut one, mut other) = (broker.connect(), broker.connect());
    let group = new_group(&mut one);
    let joined = join(&mut one, 9, &group);
    sync(&mut one, 5, &group, &joined);
    let id = other.call(9, join_request(&group, "")).member_id;
    other.send(9, join_request(&group, &id));
    while beat(&mut one, 4, &group, &joined) != ErrorCode::REBALANCE_IN_PROGRESS {
        std::thread::yield_now();
    }
    let leader = one.call(9, join_request(&group, &joined.member_id));
    let (_, follower) = other.receive::<JoinGroupRequest>(9);
    assert_eq!((leader.generation_id, leader.members.len()), (2, 2));
    assert_eq!((follower.generation_id, follower.members.len()), (2, 0));
    assert_eq!(follower.leader, leader.member_id);
    other.send(5, sync_request(&group, &follower, Vec::new()));
    assert_eq!(sync(&mut one, 5, &group, &leader).assignment, format!("for {}", leader.member_id));
    let (_, synced) = other.receive::<SyncGroupRequest>(5);
    assert_eq!(synced.assignment, format!("for {}", follower.member_id));
    assert_eq!(beat(&mut one, 4, &group, &joined), ErrorCode::ILLEGAL_GENERATION);
}

#[test]
fn bad_requests_get_the_error_that_kafka_gives() {
    let broker = broker();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let group = new_group(&mut client);
    let nobody = Str::EMPTY;
    assert_eq!(client.call(9, join_request(&nobody, "")).error_code, ErrorCode::INVALID_GROUP_ID);
    assert_eq!(client.call(9, join_request(&group, "ghost")).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    let hasty = JoinGroupRequest { session_timeout_ms: 1, ..join_request(&group, "") };
    assert_eq!(client.call(9, hasty).error_code, ErrorCode::INVALID_SESSION_TIMEOUT);
    let joined = join(&mut client, 9, &group);
    let stale = JoinGroupResponse { generation_id: 77, ..joined.clone() };
    assert_eq!(sync(&mut client, 5, &group, &stale).error_code, ErrorCode::ILLEGAL_GENERATION);
    let unnamed = SyncGroupRequest { protocol_name: None, ..sync_request(&group, &joined, Vec::new()) };
    assert_eq!(client.call(5, unnamed).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let renamed = SyncGroupRequest {
        protocol_name: Some("sticky".into()),
        ..sync_request(&group, &joined, Vec::new())
    };
    assert_eq!(client.call(5, renamed).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);

    let stranger = Str::from(unique("group"));
    let mut request = commit_request(&stranger, &topic, 1);
    request.generation_id_or_member_epoch = 3;
    request.member_id = "ghost".into();
    assert_eq!(commit(&mut client, 8, request), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(commit(&mut client, 8, commit_request(&group, &topic, 1)), ErrorCode::UNKNOWN_MEMBER_ID);
    let unknown = commit_request(&stranger, "no-such-topic", 1);
    assert_eq!(commit(&mut client, 8, unknown), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let mut long = commit_request(&stranger, &topic, 1);
    long.topics[0].partitions[0].committed_metadata = Some("x".repeat(4097).into());
    assert_eq!(commit(&mut client, 8, long), ErrorCode::OFFSET_METADATA_TOO_LARGE);
    assert_eq!(delete_group(&mut client, &nobody), ErrorCode::GROUP_ID_NOT_FOUND);
    let dead = describe(&mut client, 5, &Str::from(unique("group")));
    assert_eq!((dead.error_code, dead.group_state.as_str()), (ErrorCode::NONE, "Dead"));
    assert_eq!(
        describe(&mut client, 6, &Str::from(unique("group"))).error_code,
        ErrorCode::GROUP_ID_NOT_FOUND
    );
}

#[test]
fn many_groups_are_asked_for_at_once_and_null_asks_for_all_topics() {
    let broker = broker();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let groups = [new_group(&mut client), new_group(&mut client)];
    for (group, offset) in groups.iter().zip([7, 8]) {
        assert_eq!(commit(&mut client, 8, commit_request(group, &topic, offset)), ErrorCode::NONE);
    }
    let wanted = OffsetFetchRequestTopics {
        name: topic.as_str().into(),
        partition_indexes: vec![0, 1],
        ..OffsetFetchRequestTopics::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![
            OffsetFetchRequestGroup { group_id: groups[0].clone(), ..OffsetFetchRequestGroup::default() },
            OffsetFetchRequestGroup {
                group_id: groups[1].clone(),
                topics: Some(vec![wanted]),
                ..OffsetFetchRequestGroup::default()
            },
        ],
        require_stable: true,
        ..Default::default()
    };
    let response = client.call(8, request);
    let offsets = |index: usize| -> Vec<i64> {
        let partitions = response.groups[index].topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.committed_offset).collect()
    };
    assert_eq!((offsets(0), offsets(1)), (vec![7], vec![8, -1]));
}

#[test]
fn offsets_are_deleted_by_themselves_and_with_their_topic() {
    let broker = broker();
    let mut client = broker.connect();
    let (kept, dropped) = (client.new_topic(1, &[]), client.new_topic(1, &[]));
    let group = new_group(&mut client);
    for topic in [&kept, &dropped] {
        assert_eq!(commit(&mut client, 8, commit_request(&group, topic, 5)), ErrorCode::NONE);
    }
    client.delete_topic(&dropped);
    let began = std::time::Instant::now();
    while fetch_v5(&mut client, &group, &dropped) != Ok((-1, Some("".into()))) {
        assert!(began.elapsed() < PATIENCE, "the offset outlives its topic");
        std::thread::yield_now();
    }
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteRequestTopic { name: kept.as_str().into(), partitions }];
    let deleted = client.call(0, OffsetDeleteRequest { group_id: group.clone(), topics });
    assert_eq!(deleted.error_code, ErrorCode::NONE);
    assert_eq!(deleted.topics[0].partitions[0].error_code, ErrorCode::NONE);
    assert_eq!(fetch_v5(&mut client, &group, &kept), Ok((-1, Some("".into()))));
}

#[test]
fn offsets_and_generations_survive_a_crash_and_the_members_go_on() {
    let broker = TestBroker::start(&QUICK);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let group = new_group(&mut client);
    let joined = join(&mut client, 9, &group);
    sync(&mut client, 5, &group, &joined);
    let mut request = commit_request(&group, &topic, 42);
    request.generation_id_or_member_epoch = joined.generation_id;
    request.member_id = joined.member_id.clone();
    assert_eq!(commit(&mut client, 8, request), ErrorCode::NONE);
    drop(client);
    let broker = broker.crash_and_restart(&QUICK);
    let mut client = broker.connect();
    assert_eq!(fetch_v5(&mut client, &group, &topic), Ok((42, Some("a note".into()))));
    assert_eq!(beat(&mut client, 4, &group, &joined), ErrorCode::NONE);
    let again = client.call(5, sync_request(&group, &joined, Vec::new()));
    assert_eq!(again.assignment, format!("for {}", joined.member_id));
}

#[test]
fn a_silent_member_is_removed_by_the_brokers_timer() {
    let broker = TestBroker::start(&[("group.min.session.timeout.ms", "100"), QUICK[0], QUICK[1]]);
    let mut client = broker.connect();
    let group = new_group(&mut client);
    let brief = |member: &str| JoinGroupRequest { session_timeout_ms: 150, ..join_request(&group, member) };
    let id = client.call(9, brief("")).member_id;
    let joined = client.call(9, brief(&id));
    sync(&mut client, 5, &group, &joined);
    let began = std::time::Instant::now();
    while describe(&mut client, 5, &group).group_state != "Empty" {
        assert!(began.elapsed() < PATIENCE, "the silent member stays");
        std::thread::yield_now();
    }
}

#[test]
fn a_broker_that_stops_does_not_wait_for_a_member_that_waits() {
    let mut broker = TestBroker::start(&[("group.initial.rebalance.delay.ms", "600000")]);
    let mut client = broker.connect();
    let group = new_group(&mut client);
    let id = client.call(9, join_request(&group, "")).member_id;
    client.send(9, join_request(&group, &id));
    let mut onlooker = broker.connect();
    while describe(&mut onlooker, 5, &group).group_state != "PreparingRebalance" {
        std::thread::yield_now();
    }
    let began = std::time::Instant::now();
    let _kept = broker.stop();
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
    let (_, refused) = client.receive::<JoinGroupRequest>(9);
    assert_eq!(refused.error_code, ErrorCode::NOT_COORDINATOR);
}

#[test]
fn before_the_first_group_there_is_no_coordinator() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let group = Str::from("early");
    assert_eq!(fetch_v5(&mut client, &group, "t"), Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    assert_eq!(list(&mut client, ""), Ok(Vec::new()));
    find(&mut client, &group);
    assert_eq!(fetch_v5(&mut client, &group, "t"), Ok((-1, Some("".into()))));
}
