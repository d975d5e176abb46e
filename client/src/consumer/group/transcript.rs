//! Dialogues between a membership and an imaginary coordinator, written down as text: one line for what happened, and
//! one, indented, for each thing that the machine asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{Duration, Instant};

use ottla_assignors::Assignor;
use ottla_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use ottla_protocol::messages::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use ottla_protocol::{PartitionIndex, TopicId, TopicName, TopicPartition};
use uuid::Uuid;

use super::effect::{Answer, Effect, Membership, Question, Settings, TopicShape};
use crate::backoff::Backoff;
use crate::error::ClientError;

/// A machine, the time, and what was said.
pub(super) struct Dialogue<M> {
    pub(super) machine: M,
    pub(super) now: Instant,
    text: String,
}

/// The settings of a member of `billing`.
pub(super) fn settings(assignors: &[Assignor]) -> Settings {
    Settings {
        group_id: "billing".to_owned(),
        group_instance_id: None,
        session_timeout: Duration::from_secs(45),
        heartbeat_interval: Duration::from_secs(3),
        rebalance_timeout: Duration::from_secs(300),
        assignors: assignors.to_vec(),
        server_assignor: None,
        rack: None,
        backoff: Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(1) },
    }
}

pub(super) fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("legal")
}

pub(super) fn topics(names: &[&str]) -> Option<BTreeSet<TopicName>> {
    Some(names.iter().map(|name| topic(name)).collect())
}

/// Topics of the consumer protocol have the id of their length.
pub(super) fn id(name: &str) -> TopicId {
    TopicId::new(Uuid::from_u128(name.len() as u128))
}

/// Partitions as `flights 0,1; weather 2` in the words of the classic protocol.
pub(super) fn parts(text: &str) -> Vec<consumer_protocol::TopicPartition> {
    let topic = |part: &str| {
        let (topic, indexes) = part.trim().split_once(' ').expect("topic and partitions");
        let partitions = indexes.split(',').map(|index| index.parse().expect("a number")).collect();
        consumer_protocol::TopicPartition { topic: topic.into(), partitions }
    };
    text.split(';').filter(|part| !part.trim().is_empty()).map(topic).collect()
}

impl<M: Membership> Dialogue<M> {
    pub(super) fn new(machine: M, now: Instant) -> Self {
        Dialogue { machine, now, text: String::new() }
    }

    /// Something happens.
    pub(super) fn when(&mut self, what: &str, event: impl FnOnce(&mut M, Instant)) {
        let _ = writeln!(self.text, "{what}");
        event(&mut self.machine, self.now);
        for effect in self.machine.take_effects() {
            let _ = writeln!(self.text, "  {}", show(&effect));
        }
    }

    pub(super) fn subscribe(&mut self, names: &[&str]) {
        self.when(&format!("subscribe {}", names.join(" ")), |machine, now| {
            machine.subscribe(now, topics(names), None);
        });
    }

    pub(super) fn unsubscribe(&mut self) {
        self.when("unsubscribe", |machine, now| machine.subscribe(now, None, None));
    }

    /// `flights` has so many partitions now.
    pub(super) fn learned(&mut self, shapes: &[(&str, u32)]) {
        let topics: BTreeMap<TopicName, TopicShape> = shapes
            .iter()
            .map(|(name, partition_count)| {
                let shape =
                    TopicShape { id: Some(id(name)), partition_count: *partition_count, racks: Vec::new() };
                (topic(name), shape)
            })
            .collect();
        self.when(&format!("learned {shapes:?}"), |machine, now| machine.topics_learned(now, topics));
    }

    pub(super) fn answer(&mut self, what: &str, answer: Answer) {
        self.when(what, |machine, now| machine.answered(now, Ok(answer)));
    }

    pub(super) fn unanswered(&mut self, error: ClientError) {
        self.when(&format!("{}", error.kind()), |machine, now| machine.answered(now, Err(error)));
    }

    pub(super) fn done(&mut self) {
        self.when("done", |machine, now| machine.done(now));
    }

    /// So much time passes, in which the program polls.
    pub(super) fn after(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.when(&format!("{ms} ms later"), |machine, now| {
            machine.polled(now, now);
            machine.tick(now);
        });
    }

    /// So much time passes, in which the program does not poll.
    pub(super) fn after_without_poll(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.when(&format!("{ms} ms later, without a poll"), |machine, now| machine.tick(now));
    }

    /// What was said since this was called last.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    #[track_caller]
    pub(super) fn expect(&mut self, expected: &str) {
        let expected: Vec<&str> = expected.lines().filter(|line| !line.trim().is_empty()).collect();
        let indent = expected.first().map_or(0, |line| line.len() - line.trim_start().len());
        let expected: String = expected.iter().map(|line| format!("{}\n", &line[indent..])).collect();
        let said = self.take();
        assert!(said == expected, "\nexpected:\n{expected}\nsaid:\n{said}");
    }
}

fn partitions(partitions: &[TopicPartition]) -> String {
    let mut text = String::new();
    let mut last: Option<&TopicPartition> = None;
    for partition in partitions {
        match last.filter(|last| last.topic == partition.topic) {
            Some(_) => drop(write!(text, ",{}", partition.partition)),
            None if last.is_some() => drop(write!(text, "; {} {}", partition.topic, partition.partition)),
            None => drop(write!(text, "{} {}", partition.topic, partition.partition)),
        }
        last = Some(partition);
    }
    if text.is_empty() { "nothing".to_owned() } else { text }
}

fn blob(topics: &[consumer_protocol::TopicPartition]) -> String {
    let flat: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|one| {
            one.partitions
                .iter()
                .map(|index| TopicPartition::new(topic(&one.topic), PartitionIndex::new(*index)))
        })
        .collect();
    partitions(&flat)
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::Ask(question) => show_question(question),
        Effect::ForgetCoordinator => "forget the coordinator".to_owned(),
        Effect::LearnTopics(names) => format!("learn {}", join(names)),
        Effect::LearnTopicIds(ids) => format!("learn {} ids", ids.len()),
        Effect::Take(taken, taking) => format!("{taking:?}: {}", partitions(taken)).to_lowercase(),
        Effect::Give(given) => format!("assigned: {}", partitions(given)),
        Effect::Fail(error) => format!("fail: {}", error.code().map_or("malformed", |code| code.name())),
        Effect::Left => "left".to_owned(),
    }
}

fn join(names: &BTreeSet<TopicName>) -> String {
    names.iter().map(TopicName::as_str).collect::<Vec<_>>().join(" ")
}

fn show_question(question: &Question) -> String {
    match question {
        Question::Join(request) => {
            let protocols = request.protocols.iter().map(|protocol| {
                let (_, told): (i16, ConsumerProtocolSubscription) =
                    consumer_protocol::decode(protocol.metadata.clone()).expect("whole");
                let topics: Vec<&str> = told.topics.iter().map(|topic| topic.as_str()).collect();
                let owned = blob(&told.owned_partitions);
                let generation = told.generation_id;
                format!("{}(wants {}; owns {owned} @{generation})", protocol.name, topics.join(" "))
            });
            let protocols: Vec<String> = protocols.collect();
            format!("JoinGroup member={:?} {}", request.member_id.as_str(), protocols.join(" "))
        }
        Question::Sync(request) => {
            let parts = request.assignments.iter().map(|part| {
                let (_, told): (i16, ConsumerProtocolAssignment) =
                    consumer_protocol::decode(part.assignment.clone()).expect("whole");
                format!(" {}=({})", part.member_id, blob(&told.assigned_partitions))
            });
            let parts: String = parts.collect();
            format!("SyncGroup {} @{}{parts}", request.member_id, request.generation_id)
        }
        Question::Heartbeat(request) => format!("Heartbeat {} @{}", request.member_id, request.generation_id),
        Question::Leave { member_id, .. } => format!("LeaveGroup {member_id}"),
        Question::ConsumerHeartbeat(request) => show_consumer_heartbeat(request),
    }
}

fn show_consumer_heartbeat(request: &ConsumerGroupHeartbeatRequest) -> String {
    let mut text = format!("Heartbeat {} @{}", request.member_id, request.member_epoch);
    if let Some(names) = &request.subscribed_topic_names {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let _ = write!(text, " wants [{}]", names.join(" "));
    }
    if let Some(pattern) = &request.subscribed_topic_regex {
        let _ = write!(text, " matching {:?}", pattern.as_str());
    }
    if let Some(owned) = &request.topic_partitions {
        let owned: Vec<String> = owned
            .iter()
            .map(|topic| {
                let indexes: Vec<String> = topic.partitions.iter().map(ToString::to_string).collect();
                format!("#{} {}", topic.topic_id.as_u128(), indexes.join(","))
            })
            .collect();
        let _ = write!(text, " owns [{}]", owned.join("; "));
    }
    text
}
