//! What an assignor is given: topics with their replicas' racks, members with what they want and what they hold.
//!
//! Not the subscription as it travels: names are already indexes here, and what a member claims to own may still be
//! wrong (partitions of no topic, or of somebody else). Every assignor treats claims so; indexes of topics it trusts.

use std::collections::HashSet;

/// Which of the topics given to [`Assignor::assign`](crate::Assignor::assign), counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIndex(pub u32);

impl TopicIndex {
    pub(crate) fn at(self) -> usize {
        self.0 as usize
    }
}

/// A partition of one of the topics given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic.
    pub topic: TopicIndex,
    /// Its number within the topic, from 0.
    pub partition: u32,
}

impl Partition {
    /// Partition `partition` of the topic at index `topic`.
    pub fn new(topic: u32, partition: u32) -> Partition {
        Partition { topic: TopicIndex(topic), partition }
    }
}

/// A topic that somebody in the group may have subscribed to.
#[derive(Debug, Clone)]
pub struct Topic<'a> {
    /// Its name: assignors walk topics in the order of names.
    pub name: &'a str,
    /// How many partitions it has; 0 if it does not exist.
    pub partitions: u32,
    /// For each partition the racks of its replicas (KIP-881). Empty, or shorter than `partitions`, where unknown.
    pub racks: Vec<Vec<&'a str>>,
}

impl<'a> Topic<'a> {
    /// A topic whose racks are unknown.
    pub fn new(name: &'a str, partitions: u32) -> Topic<'a> {
        Topic { name, partitions, racks: Vec::new() }
    }
}

/// A member of the group.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// Its id, unique in the group.
    pub member_id: &'a str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<&'a str>,
    /// `client.rack`, if set (an empty one counts as none).
    pub rack: Option<&'a str>,
    /// What it subscribed to.
    pub topics: Vec<TopicIndex>,
    /// What it holds now. Classic groups: `owned_partitions` of its subscription (for the eager sticky assignor, the
    /// partitions in its user data). Consumer groups: its part of the current target assignment.
    pub owned: Vec<Partition>,
    /// The generation in which it held them, if it said so; consumer groups leave it out.
    pub generation: Option<i32>,
}

impl<'a> Member<'a> {
    /// A dynamic member that holds nothing.
    pub fn new(member_id: &'a str, topics: Vec<TopicIndex>) -> Member<'a> {
        Member { member_id, instance_id: None, rack: None, topics, owned: Vec::new(), generation: None }
    }
}

/// Asserts what [`Assignor::assign`](crate::Assignor::assign) says that it panics on.
pub(crate) fn check(topics: &[Topic<'_>], members: &[Member<'_>]) {
    let mut seen = HashSet::with_capacity(members.len());
    for member in members {
        assert!(seen.insert(member.member_id), "two members are called {}", member.member_id);
        let indexes = member.topics.iter().chain(member.owned.iter().map(|owned| &owned.topic));
        for topic in indexes {
            assert!(topic.at() < topics.len(), "{topic:?} of {} topics", topics.len());
        }
    }
}

/// For each topic the members that subscribed to it, each once, in the order in which they are given.
pub(crate) fn subscribers(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Vec<usize>> {
    let mut subscribers = vec![Vec::new(); topics.len()];
    for (member, subscription) in members.iter().enumerate() {
        for topic in &subscription.topics {
            let of_topic: &mut Vec<usize> = &mut subscribers[topic.at()];
            if of_topic.last() != Some(&member) {
                of_topic.push(member);
            }
        }
    }
    subscribers
}
