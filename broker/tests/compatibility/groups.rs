//! Rule 12, and of rules 7 and 13 what concerns groups: classic groups as clients in other languages meet them.

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};

use crate::support::broker::unique;
use crate::support::{Client, TestBroker};

/// A broker whose groups do not wait for more members, or the one that stands in for ours.
fn broker() -> TestBroker {
    TestBroker::any_with(&[("group.initial.rebalance.delay.ms", "0")])
}

/// A group that has its coordinator.
fn new_group(client: &mut Client) -> Str {
    let group = Str::from(unique("group"));
    loop {
        let request = FindCoordinatorRequest { key: group.clone(), ..FindCoordinatorRequest::default() };
        let found = client.call(3, request);
        // The offsets topic is made by the first question; each later one asks whether it is there yet.
        let ready = heartbeat(client, &group, 0, "nobody") == ErrorCode::UNKNOWN_MEMBER_ID;
        if found.error_code == ErrorCode::NONE && ready {
            return group;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// A member that offers these protocols.
struct Member {
    client: Client,
    group: Str,
    id: Str,
    instance: Option<Str>,
    protocols: Vec<&'static str>,
}

impl Member {
    fn new(broker: &TestBroker, group: &Str, protocols: &[&'static str]) -> Member {
        Member {
            client: broker.connect(),
            group: group.clone(),
            id: Str::default(),
            instance: None,
            protocols: protocols.to_vec(),
        }
    }

    fn request(&self) -> JoinGroupRequest {
        let protocol = |name: &&str| JoinGroupRequestProtocol {
            name: Str::from(*name),
            metadata: Bytes::from_static(b"subscription"),
        };
        JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            // Of consumers, Apache Kafka would want to read the metadata.
            protocol_type: Str::from("test"),
            protocols: self.protocols.iter().map(protocol).collect(),
            ..JoinGroupRequest::default()
        }
    }

    /// Asks for a member id, where the version has two steps.
    fn introduce(&mut self) {
        let response = self.client.call(5, self.request());
        assert_eq!(response.error_code, ErrorCode::MEMBER_ID_REQUIRED);
        self.id = response.member_id;
    }

    fn send_join(&mut self) {
        self.client.send(5, self.request());
    }

    fn joined(&mut self) -> JoinGroupResponse {
        let (_, response) = self.client.receive::<JoinGroupRequest>(5);
        assert_eq!(response.error_code, ErrorCode::NONE);
        self.id = response.member_id.clone();
        response
    }

    fn join(&mut self) -> JoinGroupResponse {
        self.send_join();
        self.joined()
    }

    /// Synchronises; as leader it gives everybody `assignment`.
    fn sync(&mut self, joined: &JoinGroupResponse) -> SyncGroupResponse {
        let assignment = |member_id: &Str| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: Bytes::from_static(b"assignment"),
        };
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: joined.generation_id,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
            assignments: joined.members.iter().map(|member| assignment(&member.member_id)).collect(),
            ..SyncGroupRequest::default()
        };
        self.client.call(3, request)
    }

    fn beat(&mut self, generation_id: i32) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id,
            member_id: self.id.clone(),
            group_instance_id: self.instance.clone(),
        };
        self.client.call(3, request).error_code
    }
}

fn heartbeat(client: &mut Client, group: &Str, generation_id: i32, member_id: &str) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: group.clone(),
        generation_id,
        member_id: Str::from(member_id),
        group_instance_id: None,
    };
    client.call(3, request).error_code
}

/// Commits offset 5 of partition 0 for a group without members.
fn commit(client: &mut Client, group: &Str, topic: &str, metadata: Option<&str>) -> ErrorCode {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: 5,
        committed_metadata: metadata.map(Str::from),
        ..OffsetCommitRequestPartition::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.clone(),
        topics: vec![OffsetCommitRequestTopic {
            name: Str::from(topic),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    client.call(8, request).topics[0].partitions[0].error_code
}

/// The committed offset of partition 0 and its metadata.
fn committed(client: &mut Client, group: &Str, topic: &str) -> (i64, Option<String>) {
    let topic = OffsetFetchRequestTopic { name: Str::from(topic), partition_indexes: vec![0] };
    let request = OffsetFetchRequest {
        group_id: group.clone(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequest::default()
    };
    let response = client.call(7, request);
    let row = &response.topics[0].partitions[0];
    assert_eq!((response.error_code, row.error_code), (ErrorCode::NONE, ErrorCode::NONE));
    (row.committed_offset, row.metadata.as_ref().map(|text| text.to_string()))
}

#[test]
fn rule_07_the_metadata_of_a_committed_offset_comes_back() {
    let broker = broker();
    let mut client = broker.connect();
    let group = new_group(&mut client);
    let topic = client.new_topic(1, &[]);
    assert_eq!(committed(&mut client, &group, &topic), (-1, Some(String::new())));
    let longest = "m".repeat(4096);
    for metadata in ["", "where I was", "ünïcode", &longest] {
        assert_eq!(commit(&mut client, &group, &topic, Some(metadata)), ErrorCode::NONE);
        assert_eq!(committed(&mut client, &group, &topic), (5, Some(metadata.to_owned())));
    }
    let longer = "m".repeat(4097);
    let code = commit(&mut client, &group, &topic, Some(&longer));
    assert_eq!(code, ErrorCode::OFFSET_METADATA_TOO_LARGE);
    assert_eq!(commit(&mut client, &group, &topic, None), ErrorCode::NONE);
    assert_eq!(committed(&mut client, &group, &topic), (5, Some(String::new())));
}

#[test]
fn rule_12_a_member_without_an_id_gets_one_and_joins_with_it() {
    let broker = broker();
    let group = new_group(&mut broker.connect());
    let mut member = Member::new(&broker, &group, &["range"]);
    member.introduce();
    assert!(!member.id.is_empty());
    let joined = member.join();
    assert_eq!((&joined.leader, &joined.member_id, joined.generation_id), (&member.id, &member.id, 1));
    assert_eq!(joined.members.len(), 1, "the leader hears of everybody");
    assert_eq!(member.sync(&joined).assignment, "assignment");
    assert_eq!(member.beat(1), ErrorCode::NONE);
}

#[test]
fn rule_12_below_version_4_one_step_is_enough() {
    let broker = broker();
    let mut client = broker.connect();
    for version in [0, 3] {
        let member = Member::new(&broker, &new_group(&mut client), &["range"]);
        let response = client.call(version, member.request());
        assert_eq!((response.error_code, response.generation_id), (ErrorCode::NONE, 1), "version {version}");
        assert!(!response.member_id.is_empty());
    }
}

#[test]
fn rule_12_an_id_that_nobody_was_given_is_unknown() {
    let broker = broker();
    let mut client = broker.connect();
    let group = new_group(&mut client);
    let mut stranger = Member::new(&broker, &group, &["range"]);
    stranger.id = Str::from("made-up");
    let response = stranger.client.call(5, stranger.request());
    assert_eq!(response.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(heartbeat(&mut client, &group, 1, "made-up"), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn rule_12_members_that_join_at_once_all_get_in() {
    let broker = broker();
    let group = new_group(&mut broker.connect());
    let mut members: Vec<Member> = (0..8).map(|_| Member::new(&broker, &group, &["range"])).collect();
    members.iter_mut().for_each(Member::introduce);
    // Whoever is in a finished generation when the next one comes hears so by its heartbeat, and joins again.
    let mut joined: Vec<JoinGroupResponse> = std::thread::scope(|scope| {
        let join = |member| scope.spawn(move || settle(member));
        let joining: Vec<_> = members.iter_mut().map(join).collect();
        joining.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    joined.dedup_by_key(|response| (response.generation_id, response.leader.clone()));
    assert_eq!(joined.len(), 1, "one generation, one leader");
}

/// Joins until the group holds all eight members and stays as it is.
fn settle(member: &mut Member) -> JoinGroupResponse {
    loop {
        let joined = member.join();
        let synced = member.sync(&joined);
        let mut code = synced.error_code;
        for _ in 0..100 {
            if code != ErrorCode::NONE {
                assert_eq!(
                    code,
                    ErrorCode::REBALANCE_IN_PROGRESS,
                    "UNKNOWN_MEMBER_ID here is the commonest bug"
                );
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
            code = member.beat(joined.generation_id);
        }
        if code == ErrorCode::NONE {
            return joined;
        }
    }
}

#[test]
fn rule_13_metadata_and_assignments_may_be_larger_than_64_kib() {
    let broker = broker();
    let group = new_group(&mut broker.connect());
    let mut member = Member::new(&broker, &group, &["streams"]);
    member.introduce();
    let mut request = member.request();
    let large = Bytes::from(vec![7; 200_000]);
    request.protocols[0].metadata = large.clone();
    let joined = member.client.call(5, request);
    assert_eq!(joined.error_code, ErrorCode::NONE);
    assert_eq!(joined.members[0].metadata, large);
    let assignment = SyncGroupRequestAssignment { member_id: member.id.clone(), assignment: large.clone() };
    let request = SyncGroupRequest {
        group_id: group,
        generation_id: joined.generation_id,
        member_id: member.id.clone(),
        assignments: vec![assignment],
        ..SyncGroupRequest::default()
    };
    assert_eq!(member.client.call(3, request).assignment, large);
}

#[test]
fn rule_12_a_heartbeat_tells_of_a_rebalance() {
    let broker = broker();
    let group = new_group(&mut broker.connect());
    let mut first = Member::new(&broker, &group, &["range"]);
    first.introduce();
    let joined = first.join();
    first.sync(&joined);
    assert_eq!(first.beat(1), ErrorCode::NONE);
    let mut second = Member::new(&broker, &group, &["range"]);
    second.introduce();
    second.send_join();
    while first.beat(1) == ErrorCode::NONE {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(first.beat(1), ErrorCode::REBALANCE_IN_PROGRESS);
    let (again, other) = (first.join(), second.joined());
    assert_eq!((again.generation_id, other.generation_id), (2, 2));
    assert_eq!(again.leader, other.leader);
    assert_eq!(again.members.len() + other.members.len(), 2, "only the leader hears of the members");
    assert_eq!(first.beat(1), ErrorCode::ILLEGAL_GENERATION);
}

#[test]
fn rule_12_the_protocol_is_the_one_that_all_support_and_most_prefer() {
    let broker = broker();
    let group = new_group(&mut broker.connect());
    let offers: [&[&str]; 3] =
        [&["mine", "roundrobin", "range"], &["range", "roundrobin"], &["range", "roundrobin"]];
    let mut members: Vec<Member> = offers.map(|offer| Member::new(&broker, &group, offer)).into();
    members.iter_mut().for_each(Member::introduce);
    let joined = members[0].join();
    assert_eq!(joined.protocol_name.as_deref(), Some("mine"), "alone it has its way");
    members[0].sync(&joined);
    members[1].send_join();
    members[2].send_join();
    // All three in one generation: the last to join is the member that was there.
    std::thread::sleep(std::time::Duration::from_millis(100));
    members[0].send_join();
    for member in &mut members {
        assert_eq!(member.joined().protocol_name.as_deref(), Some("range"));
    }
}

#[test]
fn rule_12_a_member_without_a_protocol_of_the_group_is_inconsistent() {
    let broker = broker();
    let group = new_group(&mut broker.connect());
    let mut first = Member::new(&broker, &group, &["range"]);
    first.introduce();
    let joined = first.join();
    first.sync(&joined);
    let mut other = Member::new(&broker, &group, &["sticky"]);
    let response = other.client.call(5, other.request());
    assert_eq!(response.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn rule_12_a_static_member_that_comes_back_fences_its_former_self() {
    let broker = broker();
    let group = new_group(&mut broker.connect());
    let new = || {
        let mut member = Member::new(&broker, &group, &["range"]);
        member.instance = Some(Str::from("instance-1"));
        member
    };
    let mut former = new();
    let joined = former.join();
    assert_eq!(former.sync(&joined).error_code, ErrorCode::NONE);
    let mut present = new();
    let again = present.join();
    assert_ne!(again.member_id, former.id);
    assert_eq!(again.generation_id, joined.generation_id, "nobody else has to rebalance");
    assert_eq!(former.beat(joined.generation_id), ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(present.beat(again.generation_id), ErrorCode::NONE);
}
