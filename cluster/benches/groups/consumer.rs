//! Consumer groups (KIP-848): a heartbeat with which nothing changes, and a member that comes and goes, up to where everybody
//! has what it shall have.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use ottla_cluster::group::{Answer, TopicDirectory, TopicShape};
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use ottla_protocol::{ErrorCode, TopicId};
use uuid::Uuid;

use crate::shell::{Shell, TIMEOUTS};
use crate::{GROUP, TOPIC, member_counts};

const VERSION: i16 = 1;
const TOPIC_ID: Uuid = Uuid::from_u128(1);

/// One topic with so many partitions.
#[derive(Debug)]
struct OneTopic(u32);

impl TopicDirectory for OneTopic {
    fn shape(&self, name: &str) -> Option<TopicShape> {
        (name == TOPIC).then(|| TopicShape { id: TopicId::new(TOPIC_ID), partition_count: self.0 })
    }

    fn name(&self, id: TopicId) -> Option<Str> {
        (id.get() == TOPIC_ID).then(|| TOPIC.into())
    }

    fn each_name(&self, each: &mut dyn FnMut(&str)) {
        each(TOPIC);
    }
}

/// What a member knows of itself; it does at once what it is told.
struct Member {
    request: ConsumerGroupHeartbeatRequest,
    owned: usize,
}

impl Member {
    fn new(number: usize) -> Member {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: Str::from(Uuid::from_u128(number as u128).to_string()),
            member_epoch: 0,
            rebalance_timeout_ms: 300_000,
            subscribed_topic_names: Some(vec![TOPIC.into()]),
            topic_partitions: Some(Vec::new()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        Member { request, owned: 0 }
    }

    /// Whether the answer changed anything.
    fn hear(&mut self, response: ConsumerGroupHeartbeatResponse) -> bool {
        assert_eq!(response.error_code, ErrorCode::NONE);
        let changed = self.request.member_epoch != response.member_epoch || response.assignment.is_some();
        self.request.member_epoch = response.member_epoch;
        self.request.subscribed_topic_names = None;
        // What it owns it says when that changes, and in no other heartbeat.
        self.request.topic_partitions = response.assignment.map(|assignment| {
            let partitions: Vec<i32> =
                assignment.topic_partitions.into_iter().flat_map(|topic| topic.partitions).collect();
            self.owned = partitions.len();
            vec![TopicPartitions { topic_id: TOPIC_ID, partitions }]
        });
        changed
    }
}

/// A group that reads ten partitions for each of its members.
struct Members {
    shell: Shell,
    members: Vec<Member>,
    partitions: usize,
}

impl Members {
    fn stable(count: usize) -> Members {
        let partitions = count * 10;
        let mut shell = Shell::new();
        shell.shard.handle_topics(shell.now, Arc::new(OneTopic(partitions as u32)));
        let members = (0..count).map(Member::new).collect();
        let mut members = Members { shell, members, partitions };
        members.settle();
        members
    }

    fn beat(&mut self, number: usize) -> bool {
        let joining = self.shell.joining(VERSION);
        let request = &self.members[number].request;
        self.shell.shard.handle_consumer_heartbeat(self.shell.now, request, &joining, TIMEOUTS, number);
        self.shell.settle();
        match self.shell.answers.pop() {
            Some((_, Answer::ConsumerHeartbeat(response))) => self.members[number].hear(response),
            other => panic!("{other:?} is no answer to ConsumerGroupHeartbeat"),
        }
    }

    /// Everybody sends heartbeats until nothing changes any more.
    fn settle(&mut self) {
        while (0..self.members.len()).fold(false, |changed, number| self.beat(number) | changed) {}
        let owned: usize = self.members.iter().map(|member| member.owned).sum();
        assert_eq!(owned, self.partitions, "all is assigned");
    }

    /// One more comes, and when all is settled it goes.
    fn visit(&mut self) {
        self.shell.log.clear();
        self.members.push(Member::new(self.members.len()));
        self.settle();
        let mut visitor = self.members.pop().unwrap();
        visitor.request.member_epoch = -1;
        let joining = self.shell.joining(VERSION);
        let (now, request) = (self.shell.now, &visitor.request);
        self.shell.shard.handle_consumer_heartbeat(now, request, &joining, TIMEOUTS, self.members.len());
        self.shell.settle();
        self.shell.answers.clear();
        self.settle();
    }
}

/// Every member after the other sends a heartbeat; and one member comes and goes.
pub(crate) fn groups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("consumer group");
    for count in member_counts() {
        let mut members = Members::stable(count);
        let mut turns = (0..count).cycle();
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("heartbeat, {count} members"), |bencher| {
            bencher.iter(|| assert!(!members.beat(turns.next().unwrap()), "nothing changes"));
        });
        group.throughput(Throughput::Elements(count as u64)).sample_size(10);
        group.bench_function(format!("a member comes and goes, {count} members"), |bencher| {
            bencher.iter(|| members.visit());
        });
        group.sample_size(100);
    }
    group.finish();
}
