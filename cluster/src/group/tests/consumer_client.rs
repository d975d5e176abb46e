//! A client of a consumer group for tests, and the topics that it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_protocol::TopicId;
use ottla_protocol::messages::consumer_group_describe;
use ottla_protocol::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use uuid::Uuid;

use super::*;

/// Topics by name with their numbers of partitions; the id follows from the name.
#[derive(Clone, Debug, Default)]
pub(super) struct Topics(pub(super) BTreeMap<&'static str, u32>);

pub(super) fn id_of(name: &str) -> TopicId {
    let letters = name.bytes().fold(0u128, |id, byte| id << 8 | u128::from(byte));
    TopicId::new(Uuid::from_u128(letters))
}

impl TopicDirectory for Topics {
    fn shape(&self, name: &str) -> Option<TopicShape> {
        self.0.get(name).map(|count| TopicShape { id: id_of(name), partition_count: *count })
    }

    fn name(&self, id: TopicId) -> Option<Str> {
        self.0.keys().find(|name| id_of(name) == id).map(|name| Str::from(*name))
    }

    fn each_name(&self, each: &mut dyn FnMut(&str)) {
        self.0.keys().for_each(|name| each(name));
    }
}

/// What a member of the test knows of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub(super) id: &'static str,
    pub(super) instance: Option<&'static str>,
    pub(super) epoch: i32,
    pub(super) owned: Vec<(&'static str, i32)>,
}

impl Client {
    pub(super) fn new(id: &'static str) -> Client {
        Client { id, ..Client::default() }
    }

    /// A static member.
    pub(super) fn fixed(id: &'static str, instance: &'static str) -> Client {
        Client { instance: Some(instance), ..Client::new(id) }
    }

    pub(super) fn is_fixed(&self) -> bool {
        self.instance.is_some()
    }

    /// The heartbeat with which it leaves.
    pub(super) fn leaving(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..self.request() }
    }

    /// Its next heartbeat: it joins these topics if it is no member, and says what it owns.
    pub(super) fn next_request(&self, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
        if self.epoch <= 0 {
            let names = topics.iter().map(|topic| Str::from(*topic)).collect();
            return ConsumerGroupHeartbeatRequest { subscribed_topic_names: Some(names), ..self.first() };
        }
        ConsumerGroupHeartbeatRequest { topic_partitions: self.claims(), ..self.request() }
    }

    /// The same with everything that a full heartbeat says.
    pub(super) fn with_all(
        &self,
        topics: &[&str],
        request: ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: 20_000,
            subscribed_topic_names: Some(topics.iter().map(|topic| Str::from(*topic)).collect()),
            topic_partitions: if self.epoch <= 0 { Some(Vec::new()) } else { self.claims() },
            ..request
        }
    }

    pub(super) fn request(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: self.id.into(),
            member_epoch: self.epoch,
            instance_id: self.instance.map(Str::from),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    /// A first heartbeat, for the topic `t`.
    pub(super) fn first(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            rebalance_timeout_ms: 20_000,
            subscribed_topic_names: Some(vec!["t".into()]),
            topic_partitions: Some(Vec::new()),
            ..self.request()
        }
    }

    pub(super) fn claims(&self) -> Option<Vec<TopicPartitions>> {
        let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &self.owned {
            topics.entry(id_of(topic).get()).or_default().push(*partition);
        }
        let topics = topics.into_iter();
        Some(topics.map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions }).collect())
    }
}

/// What a member is told, by the names of the topics.
pub(super) fn named(assignment: &Assignment) -> Vec<(&'static str, i32)> {
    let mut owned = Vec::new();
    for topic in &assignment.topic_partitions {
        let id = TopicId::new(topic.topic_id);
        let name = ["t", "u"].into_iter().find(|name| id_of(name) == id).unwrap();
        owned.extend(topic.partitions.iter().map(|partition| (name, *partition)));
    }
    owned
}

impl World {
    /// A world with these topics.
    pub(super) fn with_topics(topics: &[(&'static str, u32)]) -> World {
        let mut world = World::new(0);
        world.show_topics(topics);
        world
    }

    pub(super) fn show_topics(&mut self, topics: &[(&'static str, u32)]) {
        let topics = Arc::new(Topics(topics.iter().copied().collect()));
        let now = self.now();
        self.shard.handle_topics(now, topics);
        self.commit(Ok(()));
    }

    pub(super) fn send(&mut self, request: &ConsumerGroupHeartbeatRequest, version: i16) {
        self.joins += 1;
        let joining = Joining {
            api_version: version,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            unique: Str::from(format!("made-{}", self.joins)),
        };
        let timeouts = ConsumerTimeouts { session_timeout_ms: 45_000, heartbeat_interval_ms: 5_000 };
        let now = self.now();
        self.shard.handle_consumer_heartbeat(now, request, &joining, timeouts, "consumer");
        self.settle();
    }

    pub(super) fn heard(&mut self) -> ConsumerGroupHeartbeatResponse {
        match self.answer("consumer") {
            Some(Answer::ConsumerHeartbeat(response)) => response,
            other => panic!("{other:?} is no ConsumerGroupHeartbeat response"),
        }
    }

    /// Sends, commits what it causes, and gives the answer.
    pub(super) fn ask(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        self.send(request, 1);
        self.commit(Ok(()));
        self.heard()
    }

    pub(super) fn error(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ErrorCode {
        self.ask(request).error_code
    }

    /// A heartbeat of a well-behaved client: it says what it owns, and does what it is told at once.
    pub(super) fn beat_as(&mut self, client: &mut Client) -> ErrorCode {
        let request = client.next_request(&["t"]);
        let response = self.ask(&request);
        if response.error_code == ErrorCode::NONE {
            client.epoch = response.member_epoch;
            if let Some(assignment) = response.assignment {
                client.owned = named(&assignment);
            }
        } else {
            client.owned.clear();
            client.epoch = 0;
        }
        response.error_code
    }

    /// Heartbeats until nothing changes any more.
    pub(super) fn beat_until_stable(&mut self, clients: &mut [&mut Client]) {
        for _ in 0..10 {
            clients.iter_mut().for_each(|client| assert_eq!(self.beat_as(client), ErrorCode::NONE));
            if self.described().group_state == "Stable" {
                return;
            }
        }
        panic!("still {:?}", self.described());
    }

    /// Sends a first heartbeat and commits nothing.
    pub(super) fn send_first(&mut self, client: &Client) {
        self.send(&client.first(), 1);
    }

    /// A heartbeat of a client that leaves.
    pub(super) fn beat_leaving(&mut self, client: &Client) {
        assert_eq!(self.error(&client.request()), ErrorCode::NONE);
        self.commit(Ok(()));
    }

    pub(super) fn described(&self) -> consumer_group_describe::DescribedGroup {
        self.shard.describe_consumer(self.now(), &"g".into())
    }

    /// The same groups in a new process that sees these topics.
    pub(super) fn restarted_with(&self, topics: &[(&'static str, u32)]) -> World {
        let mut world = self.restarted();
        world.show_topics(topics);
        world
    }
}
