//! `sticky` and `cooperative-sticky` of classic groups (KIP-54, KIP-429): balanced first, then as few moves as possible.
//!
//! Both choose the same owners. The eager one hands them out at once, since everybody has given up everything before
//! joining. The cooperative one withholds what somebody else still owns: that member is told to revoke it by not getting
//! it, and the rebalance that follows hands it out. Where Kafka's own answer would break a promise, ours does not follow:
//! it never gives a topic to a member that did not subscribe, nor a partition that the topic does not have.

mod claims;
mod equal;
mod general;
mod hash_order;
mod movements;

use crate::input::{Member, Partition, Topic, subscribers};
use crate::order::{members_by_id, topics_by_name};
use crate::racks::Racks;
use claims::Claims;
use std::collections::{HashMap, HashSet};

/// Who should own what, revoked or not.
pub(crate) fn assign(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Vec<Partition>> {
    Group::new(topics, members).map_or_else(Vec::new, |group| group.assign().rows)
}

/// The same without what has to be revoked first.
pub(crate) fn assign_cooperatively(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Vec<Partition>> {
    let Some(group) = Group::new(topics, members) else { return Vec::new() };
    let Assigned { mut rows, moving } = group.assign();
    let moving = moving.unwrap_or_else(|| moved(members, &rows));
    for (partition, member) in moving {
        rows[member].retain(|one| *one != partition);
    }
    rows
}

/// What somebody else says to own and was not given.
fn moved(members: &[Member<'_>], rows: &[Vec<Partition>]) -> HashMap<Partition, usize> {
    let mut added = HashMap::new();
    let mut revoked = HashSet::new();
    for (number, (member, row)) in members.iter().zip(rows).enumerate() {
        let owned: HashSet<Partition> = member.owned.iter().copied().collect();
        let given: HashSet<Partition> = row.iter().copied().collect();
        added.extend(given.difference(&owned).map(|one| (*one, number)));
        revoked.extend(owned.difference(&given).copied());
    }
    added.retain(|partition, _| revoked.contains(partition));
    added
}

/// An assignment, and what in it moves from an owner to another, if the way it was found says so.
struct Assigned {
    rows: Vec<Vec<Partition>>,
    moving: Option<HashMap<Partition, usize>>,
}

/// The input and what both ways of assigning read of it.
struct Group<'a> {
    topics: &'a [Topic<'a>],
    members: &'a [Member<'a>],
    /// Topics that exist and have a subscriber, in the order of names.
    wanted: Vec<usize>,
    /// For each topic, its place in the order of names.
    name_rank: Vec<usize>,
    /// For each member, its place in the order of ids.
    id_rank: Vec<usize>,
    /// Per topic.
    subscribers: Vec<Vec<usize>>,
    /// The members in the order in which Kafka asks them: that of a Java hash map.
    asked: Vec<usize>,
    /// Only if racks make a difference.
    racks: Option<Racks>,
}

impl<'a> Group<'a> {
    fn new(topics: &'a [Topic<'a>], members: &'a [Member<'a>]) -> Option<Group<'a>> {
        if members.is_empty() {
            return None;
        }
        let by_name = topics_by_name(topics);
        let subscribers = subscribers(topics, members);
        let wanted: Vec<usize> = by_name
            .iter()
            .copied()
            .filter(|topic| topics[*topic].partitions > 0 && !subscribers[*topic].is_empty())
            .collect();
        let racks =
            Racks::of(topics, members).filter(|racks| racks.matter(0..members.len(), wanted.iter().copied()));
        let ids: Vec<&str> = members.iter().map(|member| member.member_id).collect();
        Some(Group {
            name_rank: ranks(&by_name),
            id_rank: ranks(&members_by_id(members)),
            asked: hash_order::of_strings(&ids),
            topics,
            members,
            wanted,
            subscribers,
            racks,
        })
    }

    fn assign(&self) -> Assigned {
        let claims = Claims::of(self);
        if self.subscriptions_are_equal() {
            equal::assign(self, &claims)
        } else {
            general::assign(self, &claims)
        }
    }

    fn subscriptions_are_equal(&self) -> bool {
        let subscription = |member: &Member<'_>| member.topics.iter().copied().collect::<HashSet<_>>();
        let first = subscription(&self.members[0]);
        self.members.iter().all(|member| subscription(member) == first)
    }

    /// Whether the partition exists and its topic is wanted by anybody.
    fn exists(&self, one: Partition) -> bool {
        one.partition < self.topics[one.topic.at()].partitions && !self.subscribers[one.topic.at()].is_empty()
    }

    fn rack_mismatches(&self, member: usize, one: Partition) -> bool {
        self.racks.as_ref().is_some_and(|racks| !racks.matches(member, one.topic.at(), one.partition))
    }

    fn total(&self) -> usize {
        self.wanted.iter().map(|topic| self.topics[*topic].partitions as usize).sum()
    }
}

fn ranks(order: &[usize]) -> Vec<usize> {
    let mut rank = vec![0; order.len()];
    for (place, index) in order.iter().enumerate() {
        rank[*index] = place;
    }
    rank
}
