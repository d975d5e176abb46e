//! How long a group of 100 members over 1,000 partitions takes from the last join until all are assigned, over TCP against
//! a broker in this process. Prints a table; asserts only that every partition is assigned once. The initial rebalance delay
//! brings the first 99 together; it does not concern a group that has members, so nothing that is measured waits for it.
//!
//! Classic: 99 members are in the group and stable; another one joins, all join again, the leader assigns, all fetch their
//! assignment. Consumer (KIP-848): 99 members own all partitions; another one joins, and everybody sends heartbeats one
//! after the other until the group is stable. Real members wait for `group.consumer.heartbeat.interval.ms` in between.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement has its own clock, ends at its first surprise, and is read by people"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ottla_assignors::{Assignor, Member, Topic, TopicIndex};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use ottla_protocol::messages::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use support::{Client, TestBroker};
use uuid::Uuid;

const MEMBERS: usize = 100;
const PARTITIONS: i32 = 1_000;
const TOPIC: &str = "thousand";
const ROUNDS: usize = 7;

fn main() {
    let broker = TestBroker::start(&[("group.initial.rebalance.delay.ms", "300")]);
    let mut client = broker.connect();
    client.create_topic(TOPIC, PARTITIONS, &[]);
    let id = client.wait_for_leaders(TOPIC).topic_id;
    // As Criterion: whoever is not `cargo bench`, or says `--test`, wants to know only that it runs.
    let said = |word: &str| std::env::args().any(|argument| argument == word);
    let rounds = if said("--bench") && !said("--test") { ROUNDS } else { 1 };
    println!("{MEMBERS} members, {PARTITIONS} partitions, from the last join until all are assigned, ms");
    for (name, measure) in
        [("classic", classic as fn(&TestBroker, &Str, Uuid) -> Duration), ("consumer", consumer)]
    {
        let mut times: Vec<Duration> = (0..=rounds)
            .map(|round| {
                let group = Str::from(format!("{name}-{round}"));
                wait_for_coordinator(&mut client, &group);
                measure(&broker, &group, id)
            })
            .skip(1)
            .collect();
        times.sort_unstable();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!("{name:10} median {:7.1}   worst {:7.1}", ms(times[rounds / 2]), ms(times[rounds - 1]));
    }
}

fn wait_for_coordinator(client: &mut Client, group: &Str) {
    while client.call(3, FindCoordinatorRequest { key: group.clone(), ..Default::default() }).error_code
        != ErrorCode::NONE
    {
        std::thread::yield_now();
    }
}

/// One member of a classic group.
struct ClassicMember {
    client: Client,
    id: Str,
    group: Str,
}

impl ClassicMember {
    fn send_join(&mut self) {
        let subscription = ConsumerProtocolSubscription {
            topics: vec![TOPIC.into()],
            ..ConsumerProtocolSubscription::default()
        };
        let metadata = consumer_protocol::encode(subscription, 1).unwrap();
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 60_000,
            member_id: self.id.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata }],
            ..JoinGroupRequest::default()
        };
        self.client.send(9, request);
    }

    fn beat(&mut self, generation: i32) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: generation,
            member_id: self.id.clone(),
            ..HeartbeatRequest::default()
        };
        self.client.call(4, request).error_code
    }

    fn joined(&mut self) -> JoinGroupResponse {
        self.client.receive::<JoinGroupRequest>(9).1
    }

    fn send_sync(&mut self, generation: i32, assignments: Vec<SyncGroupRequestAssignment>) {
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments,
            ..SyncGroupRequest::default()
        };
        self.client.send(5, request);
    }

    fn synced(&mut self) -> Vec<i32> {
        let response = self.client.receive::<SyncGroupRequest>(5).1;
        assert_eq!(response.error_code, ErrorCode::NONE);
        let (_, read) = consumer_protocol::decode::<ConsumerProtocolAssignment>(response.assignment).unwrap();
        read.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
    }
}

/// What the leader decides.
fn assign(joined: &JoinGroupResponse) -> Vec<SyncGroupRequestAssignment> {
    let topics = [Topic::new(TOPIC, PARTITIONS as u32)];
    let members: Vec<Member<'_>> =
        joined.members.iter().map(|member| Member::new(&member.member_id, vec![TopicIndex(0)])).collect();
    let rows = Assignor::Range.assign(&topics, &members);
    let part = |(member, row): (&Member<'_>, Vec<ottla_assignors::Partition>)| {
        let partitions = row.into_iter().map(|partition| partition.partition as i32).collect();
        let assigned_partitions = vec![TopicPartition { topic: TOPIC.into(), partitions }];
        let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
        SyncGroupRequestAssignment {
            member_id: member.member_id.into(),
            assignment: consumer_protocol::encode(assignment, 1).unwrap(),
        }
    };
    members.iter().zip(rows).map(part).collect()
}

fn classic(broker: &TestBroker, group: &Str, _topic: Uuid) -> Duration {
    let new = || ClassicMember { client: broker.connect(), id: Str::EMPTY, group: group.clone() };
    let mut members: Vec<ClassicMember> = (0..MEMBERS).map(|_| new()).collect();
    for member in &mut members {
        member.send_join();
        member.id = member.joined().member_id;
    }
    let (last, first) = members.split_last_mut().unwrap();
    first.iter_mut().for_each(ClassicMember::send_join);
    let generation = settle(&mut first.iter_mut().collect::<Vec<_>>());
    let began = Instant::now();
    last.send_join();
    while first[0].beat(generation) != ErrorCode::REBALANCE_IN_PROGRESS {
        std::thread::yield_now();
    }
    first.iter_mut().for_each(ClassicMember::send_join);
    settle(&mut members.iter_mut().collect::<Vec<_>>());
    began.elapsed()
}

/// Takes the answers to JoinGroup and fetches all assignments; gives the generation.
fn settle(members: &mut [&mut ClassicMember]) -> i32 {
    let answers: Vec<JoinGroupResponse> = members.iter_mut().map(|member| member.joined()).collect();
    let generation = answers[0].generation_id;
    for (member, answer) in members.iter_mut().zip(&answers) {
        assert_eq!((answer.error_code, answer.generation_id), (ErrorCode::NONE, generation));
        let parts = if answer.members.is_empty() { Vec::new() } else { assign(answer) };
        member.send_sync(generation, parts);
    }
    let owned: BTreeSet<i32> = members.iter_mut().flat_map(|member| member.synced()).collect();
    assert_eq!(owned.len(), PARTITIONS as usize, "every partition is assigned");
    generation
}

/// One member of a consumer group, which does at once what it is told.
struct ConsumerMember {
    client: Client,
    request: ConsumerGroupHeartbeatRequest,
    owned: Vec<i32>,
}

impl ConsumerMember {
    fn beat(&mut self, topic: Uuid) -> bool {
        let response = self.client.call(1, self.request.clone());
        assert_eq!(response.error_code, ErrorCode::NONE);
        let changed = response.assignment.is_some() || self.request.member_epoch != response.member_epoch;
        if let Some(assignment) = response.assignment {
            self.owned = assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions).collect();
        }
        let (group_id, member_id) = (self.request.group_id.clone(), self.request.member_id.clone());
        let owned = TopicPartitions { topic_id: topic, partitions: self.owned.clone() };
        self.request = ConsumerGroupHeartbeatRequest {
            group_id,
            member_id,
            member_epoch: response.member_epoch,
            topic_partitions: Some(vec![owned]),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        changed
    }
}

fn consumer(broker: &TestBroker, group: &Str, topic: Uuid) -> Duration {
    let new = |index: usize| ConsumerMember {
        client: broker.connect(),
        request: ConsumerGroupHeartbeatRequest {
            group_id: group.clone(),
            member_id: format!("member-{index}").into(),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec![TOPIC.into()]),
            topic_partitions: Some(Vec::new()),
            ..ConsumerGroupHeartbeatRequest::default()
        },
        owned: Vec::new(),
    };
    let mut members: Vec<ConsumerMember> = (0..MEMBERS).map(new).collect();
    let (last, first) = members.split_last_mut().unwrap();
    until_stable(first, topic);
    let began = Instant::now();
    last.beat(topic);
    until_stable(&mut members, topic);
    let took = began.elapsed();
    let owned: BTreeSet<i32> = members.iter().flat_map(|member| member.owned.clone()).collect();
    assert_eq!(owned.len(), PARTITIONS as usize, "every partition is assigned");
    took
}

fn until_stable(members: &mut [ConsumerMember], topic: Uuid) {
    while members.iter_mut().fold(false, |changed, member| member.beat(topic) | changed) {}
}
