//! Consumer groups (KIP-848) over the wire: heartbeats, descriptions, commits by member epoch and by topic id, changes of
//! protocol while a group runs, and a crash. The expectations hold on Apache Kafka too (`OTTLA_TEST_BOOTSTRAP`, with
//! `group.initial.rebalance.delay.ms=0` and `group.consumer.assignment.interval.ms=0` there), except for the tests that
//! need a broker of their own.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a client is not the broker: it uses the system's clock, and a test may fail at any step"
)]

#[path = "../support/mod.rs"]
mod support;

mod member;
mod migration;

use std::time::Instant;

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use ottla_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_protocol::messages::describe_groups::DescribeGroupsRequest;
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::list_groups::ListGroupsRequest;
use ottla_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use support::TestBroker;
use support::broker::unique;
use support::client::PATIENCE;
use uuid::Uuid;

use self::member::{Member, commit, commit_request, delete, describe, fetch, new_group, topic_id};

const QUICK: [(&str, &str); 2] =
    [("group.initial.rebalance.delay.ms", "0"), ("offsets.topic.num.partitions", "5")];

fn broker() -> TestBroker {
    match std::env::var_os("OTTLA_TEST_BOOTSTRAP") {
        Some(_) => TestBroker::any(),
        None => TestBroker::start(&QUICK),
    }
}

#[test]
fn a_consumer_group_lives_from_its_first_heartbeat_to_its_deletion() {
    let broker = broker();
    let mut client = broker.connect();
    let topic = client.new_topic(3, &[]);
    let id = topic_id(&mut client, &topic);
    let group = new_group(&mut client);
    let mut member = Member::new(&broker, &group, &topic);
    let joined = member.beat(id);
    assert_eq!((joined.member_epoch, joined.member_id.as_ref()), (2, Some(&member.id)));
    assert!(joined.heartbeat_interval_ms > 0);
    assert_eq!(member.owned, [0, 1, 2]);
    let request = member.request();
    let quiet = member.send(request);
    assert_eq!((quiet.member_epoch, quiet.assignment), (2, None));

    let described = describe(&mut client, &group);
    assert_eq!((described.error_code, described.group_state.as_str()), (ErrorCode::NONE, "Stable"));
    assert_eq!((described.group_epoch, described.assignment_epoch), (2, 2));
    assert_eq!(described.assignor_name, "uniform");
    assert!(described.authorized_operations > 0);
    let row = &described.members[0];
    assert_eq!((row.member_epoch, row.member_type, row.client_host.as_str()), (2, 1, "/127.0.0.1"));
    assert_eq!(row.subscribed_topic_names, [topic.as_str()]);
    assert_eq!(row.assignment.topic_partitions[0].topic_name, topic.as_str());
    assert_eq!(row.target_assignment.topic_partitions[0].partitions.len(), 3);

    let filter = |states: &str, types: &str| ListGroupsRequest {
        states_filter: vec![states.into()],
        types_filter: vec![types.into()],
    };
    let listed = client.call(5, filter("stable", "consumer")).groups;
    let row = listed.iter().find(|listed| listed.group_id == group).unwrap();
    assert_eq!((row.group_type.as_str(), row.protocol_type.as_str()), ("consumer", "consumer"));
    assert!(client.call(5, filter("stable", "classic")).groups.iter().all(|listed| listed.group_id != group));
    let classic = DescribeGroupsRequest { groups: vec![group.clone()], ..Default::default() };
    assert_eq!(client.call(6, classic.clone()).groups[0].error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(client.call(5, classic).groups[0].group_state, "Dead");

    assert_eq!(delete(&mut client, &group), ErrorCode::NON_EMPTY_GROUP);
    // As an administrator removes it.
    let who = MemberIdentity { member_id: member.id.clone(), ..Default::default() };
    let leave = LeaveGroupRequest { group_id: group.clone(), members: vec![who], ..Default::default() };
    assert_eq!(client.call(5, leave.clone()).members[0].error_code, ErrorCode::NONE);
    assert_eq!(client.call(5, leave).members[0].error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(member.leave(-1), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(describe(&mut client, &group).group_state, "Empty");
    assert_eq!(delete(&mut client, &group), ErrorCode::NONE);
    assert_eq!(describe(&mut client, &group).error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(member.leave(-1), ErrorCode::GROUP_ID_NOT_FOUND);
}

#[test]
fn a_partition_changes_hands_only_when_it_was_given_up() {
    let broker = broker();
    let mut client = broker.connect();
    let topic = client.new_topic(4, &[]);
    let id = topic_id(&mut client, &topic);
    let group = new_group(&mut client);
    let (mut one, mut other) = (Member::new(&broker, &group, &topic), Member::new(&broker, &group, &topic));
    one.beat(id);
    other.beat(id);
    assert_eq!(other.owned, []);
    assert_eq!(describe(&mut client, &group).group_state, "Reconciling");
    let before = one.epoch;
    one.beat(id);
    assert_eq!((one.epoch, one.owned.len()), (before, 2));
    other.beat(id);
    assert_eq!(other.owned, []);
    one.beat(id);
    assert_eq!(one.epoch, other.epoch);
    other.beat(id);
    let mut all = [one.owned.clone(), other.owned.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
    assert_eq!(describe(&mut client, &group).group_state, "Stable");
    let stale = ConsumerGroupHeartbeatRequest { member_epoch: 99, ..one.request() };
    assert_eq!(one.error(stale), ErrorCode::FENCED_MEMBER_EPOCH);
}

#[test]
fn bad_heartbeats_get_the_error_that_kafka_gives() {
    let broker = broker();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let group = new_group(&mut client);
    let mut member = Member::new(&broker, &group, &topic);
    let first = member.first();
    type Spoil = fn(&mut ConsumerGroupHeartbeatRequest);
    let cases: [(Spoil, ErrorCode); 12] = [
        (|it| it.group_id = Str::EMPTY, ErrorCode::INVALID_REQUEST),
        (|it| it.member_id = Str::EMPTY, ErrorCode::INVALID_REQUEST),
        (|it| it.instance_id = Some(Str::EMPTY), ErrorCode::INVALID_REQUEST),
        (|it| it.rack_id = Some(Str::EMPTY), ErrorCode::INVALID_REQUEST),
        (|it| it.rebalance_timeout_ms = -1, ErrorCode::INVALID_REQUEST),
        (|it| it.topic_partitions = None, ErrorCode::INVALID_REQUEST),
        (|it| it.subscribed_topic_names = None, ErrorCode::INVALID_REQUEST),
        (|it| it.member_epoch = -2, ErrorCode::INVALID_REQUEST),
        (|it| it.member_epoch = -3, ErrorCode::INVALID_REQUEST),
        (|it| it.server_assignor = Some("nobodys".into()), ErrorCode::UNSUPPORTED_ASSIGNOR),
        (|it| it.subscribed_topic_regex = Some("(".into()), ErrorCode::INVALID_REGULAR_EXPRESSION),
        (|it| it.member_epoch = 5, ErrorCode::GROUP_ID_NOT_FOUND),
    ];
    for (spoil, expected) in cases {
        let mut request = first.clone();
        spoil(&mut request);
        assert_eq!(member.error(request.clone()), expected, "{request:?}");
    }
    assert_eq!(member.error(first), ErrorCode::NONE);
    let mut stranger = Member::new(&broker, &group, &topic);
    stranger.epoch = 5;
    let request = stranger.request();
    assert_eq!(stranger.error(request), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(describe(&mut client, &Str::EMPTY).error_code, ErrorCode::INVALID_GROUP_ID);
}

#[test]
fn a_static_member_comes_back_under_another_id_and_the_old_one_is_fenced() {
    let broker = broker();
    let mut client = broker.connect();
    let topic = client.new_topic(2, &[]);
    let id = topic_id(&mut client, &topic);
    let group = new_group(&mut client);
    let mut old = Member::new(&broker, &group, &topic);
    old.instance = Some("i".into());
    let mut new = Member::new(&broker, &group, &topic);
    new.instance = Some("i".into());
    old.beat(id);
    let first = new.first();
    assert_eq!(new.error(first), ErrorCode::UNRELEASED_INSTANCE_ID);
    assert_eq!(old.leave(-2), ErrorCode::NONE);
    new.beat(id);
    assert_eq!((new.epoch, new.owned.clone()), (2, vec![0, 1]));
    let late = old.request();
    assert_eq!(old.error(late), ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(old.leave(-1), ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(new.leave(-1), ErrorCode::NONE);
}

#[test]
fn offsets_go_by_member_epoch_since_version_9_and_by_topic_id_since_10() {
    let broker = broker();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let id = topic_id(&mut client, &topic);
    let group = new_group(&mut client);
    let mut member = Member::new(&broker, &group, &topic);
    member.beat(id);
    let request =
        |member: &str, epoch: i32, id: Uuid| commit_request(&group, &member.into(), epoch, &topic, id);
    let me = member.id.clone();
    for (version, member, epoch, id, expected) in [
        (9, me.as_str(), 2, id, ErrorCode::NONE),
        (10, me.as_str(), 2, id, ErrorCode::NONE),
        (8, me.as_str(), 2, id, ErrorCode::UNSUPPORTED_VERSION),
        (9, me.as_str(), 7, id, ErrorCode::STALE_MEMBER_EPOCH),
        (9, "nobody", 2, id, ErrorCode::UNKNOWN_MEMBER_ID),
        (9, "", -1, id, ErrorCode::UNKNOWN_MEMBER_ID),
        (10, me.as_str(), 2, Uuid::from_u128(77), ErrorCode::UNKNOWN_TOPIC_ID),
    ] {
        let answer = commit(&mut client, version, request(member, epoch, id));
        assert_eq!(answer, expected, "version {version}, {member:?} in epoch {epoch}");
    }
    let nobodys = commit_request(&unique("group").into(), &me, 1, &topic, id);
    assert_eq!(commit(&mut client, 9, nobodys.clone()), ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(commit(&mut client, 8, nobodys), ErrorCode::ILLEGAL_GENERATION);

    for (version, member, epoch, expected) in [
        (9, Some(&me), 2, ErrorCode::NONE),
        (10, None, -1, ErrorCode::NONE),
        (9, Some(&me), 1, ErrorCode::STALE_MEMBER_EPOCH),
        (9, Some(&Str::from("nobody")), 1, ErrorCode::UNKNOWN_MEMBER_ID),
    ] {
        let fetched = fetch(&mut client, version, &group, member, epoch, &topic, id);
        assert_eq!(fetched.error_code, expected, "version {version}, {member:?} in epoch {epoch}");
        if expected == ErrorCode::NONE {
            assert_eq!(fetched.topics[0].partitions[0].committed_offset, 42);
        }
    }
    let by_id = fetch(&mut client, 10, &group, None, -1, "", id);
    assert_eq!(by_id.topics[0].topic_id, id);
    let unknown = fetch(&mut client, 10, &group, None, -1, "", Uuid::from_u128(77));
    assert_eq!(unknown.topics[0].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);

    let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteRequestTopic { name: topic.as_str().into(), partitions }];
    let forget = OffsetDeleteRequest { group_id: group.clone(), topics };
    let refused = client.call(0, forget.clone()).topics[0].partitions[0].error_code;
    assert_eq!(refused, ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
    member.leave(-1);
    let admin = commit_request(&group, &Str::EMPTY, -1, &topic, id);
    assert_eq!(commit(&mut client, 9, admin), ErrorCode::NONE);
    assert_eq!(client.call(0, forget).topics[0].partitions[0].error_code, ErrorCode::NONE);
}

#[test]
fn a_group_survives_a_crash_and_its_members_do_not_notice() {
    let broker = TestBroker::start(&QUICK);
    let mut client = broker.connect();
    let topic = client.new_topic(4, &[]);
    let id = topic_id(&mut client, &topic);
    let group = new_group(&mut client);
    let mut member = Member::new(&broker, &group, &topic);
    member.beat(id);
    let before = describe(&mut client, &group);
    drop(client);
    let Member { id: member_id, epoch, owned, .. } = member;
    let broker = broker.crash_and_restart(&QUICK);
    let mut client = broker.connect();
    assert_eq!(describe(&mut client, &group), before);
    let mut member = Member { id: member_id, epoch, owned, ..Member::new(&broker, &group, &topic) };
    member.beat(id);
    assert_eq!(member.epoch, epoch);
}

#[test]
fn new_partitions_bump_the_epoch_at_once_and_a_silent_member_is_removed_by_the_brokers_timer() {
    let broker = TestBroker::start(&[
        ("group.consumer.min.session.timeout.ms", "300"),
        ("group.consumer.session.timeout.ms", "300"),
        ("group.consumer.min.heartbeat.interval.ms", "100"),
        ("group.consumer.heartbeat.interval.ms", "100"),
        QUICK[1],
    ]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let id = topic_id(&mut client, &topic);
    let group = new_group(&mut client);
    let mut member = Member::new(&broker, &group, &topic);
    assert_eq!(member.beat(id).heartbeat_interval_ms, 100);
    let more = CreatePartitionsTopic { name: topic.as_str().into(), count: 3, ..Default::default() };
    let grown = CreatePartitionsRequest { topics: vec![more], timeout_ms: 5_000, validate_only: false };
    assert_eq!(client.call(3, grown).results[0].error_code, ErrorCode::NONE);
    let began = Instant::now();
    while member.owned.len() < 3 {
        member.beat(id);
        assert!(began.elapsed() < PATIENCE, "the new partitions go to nobody");
    }
    while describe(&mut client, &group).group_state != "Empty" {
        assert!(began.elapsed() < PATIENCE, "the silent member stays");
        std::thread::yield_now();
    }
}
