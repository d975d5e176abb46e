//! The hard state of a consumer group: what its records say. It changes by [`ConsumerGroup::apply`] only.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt};
use ottla_protocol::TopicId;
use ottla_protocol::codec::Str;

use super::member::{ConsumerMember, CurrentAssignment};
use super::partitions::{Partitions, each};
use super::record::{ConsumerRecord, ResolvedRegex};
use crate::group::record::GroupRecord;

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConsumerState {
    /// It has no members; it may have offsets.
    Empty,
    /// Its target assignment is older than the group.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    /// Every member owns what it is to own.
    Stable,
}

impl ConsumerState {
    /// Kafka's word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            ConsumerState::Empty => "Empty",
            ConsumerState::Assigning => "Assigning",
            ConsumerState::Reconciling => "Reconciling",
            ConsumerState::Stable => "Stable",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConsumerGroup {
    pub(crate) id: Str,
    pub(crate) epoch: i32,
    pub(crate) metadata_hash: i64,
    pub(crate) target_epoch: i32,
    pub(crate) members: BTreeMap<Str, ConsumerMember>,
    /// Static members by their own name.
    pub(crate) instances: BTreeMap<Str, Str>,
    pub(crate) target: BTreeMap<Str, Partitions>,
    pub(crate) regexes: BTreeMap<Str, ResolvedRegex>,
    /// Which member has each partition, assigned or not yet given up.
    owners: HashMap<(TopicId, i32), Str>,
    /// A list of topics from before Kafka 4.1 is on record, and wants a tombstone.
    pub(crate) has_topics_record: bool,
}

impl ConsumerGroup {
    /// A group that nothing is on record of.
    pub(crate) fn new(id: Str) -> ConsumerGroup {
        ConsumerGroup {
            id,
            epoch: 0,
            metadata_hash: 0,
            target_epoch: 0,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            target: BTreeMap::new(),
            regexes: BTreeMap::new(),
            owners: HashMap::new(),
            has_topics_record: false,
        }
    }

    /// One of its records.
    pub(crate) fn record(&self, record: ConsumerRecord) -> GroupRecord {
        GroupRecord::Consumer { group: self.id.clone(), record }
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> ConsumerState {
        if self.members.is_empty() {
            ConsumerState::Empty
        } else if self.epoch > self.target_epoch {
            ConsumerState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.target_epoch)) {
            ConsumerState::Stable
        } else {
            ConsumerState::Reconciling
        }
    }

    /// The static member of this name.
    pub(crate) fn static_member(&self, instance: &str) -> Option<&ConsumerMember> {
        self.members.get(self.instances.get(instance)?)
    }

    /// Whether somebody has this partition, assigned or not yet given up.
    pub(crate) fn is_owned(&self, topic: TopicId, partition: i32) -> bool {
        self.owners.contains_key(&(topic, partition))
    }

    /// What a member is to own. A static member that has just come back gets what its place had.
    pub(crate) fn target_of(&self, member: &ConsumerMember) -> Option<&Partitions> {
        self.target.get(&member.id).or_else(|| {
            let before = self.instances.get(member.subscription.instance_id.as_ref()?)?;
            self.target.get(before)
        })
    }

    /// How many members want what this expression matches.
    pub(crate) fn regex_subscribers(&self, regex: &Str) -> usize {
        self.members.values().filter(|member| member.subscription.topic_regex.as_ref() == Some(regex)).count()
    }

    /// Every topic that somebody reads.
    pub(crate) fn subscribed_topics(&self) -> BTreeSet<Str> {
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(member.subscription.topic_names.iter().cloned());
            let resolved = member.subscription.topic_regex.as_ref().and_then(|regex| self.regexes.get(regex));
            topics.extend(resolved.into_iter().flat_map(|resolved| resolved.topics.iter().cloned()));
        }
        topics
    }

    /// Whether somebody reads this topic.
    pub(crate) fn is_subscribed_to(&self, topic: &Str) -> bool {
        self.members.values().any(|member| {
            let regex = member.subscription.topic_regex.as_ref();
            let matched = regex.and_then(|regex| self.regexes.get(regex));
            member.subscription.topic_names.contains(topic)
                || matched.is_some_and(|resolved| resolved.topics.contains(topic))
        })
    }

    /// Makes a committed record part of the state; the group's own tombstone is its keeper's to act on.
    pub(crate) fn apply(&mut self, record: &ConsumerRecord) {
        match record {
            ConsumerRecord::Epoch(Some(value)) => {
                (self.epoch, self.metadata_hash) = (value.epoch, value.metadata_hash);
            }
            ConsumerRecord::Epoch(None) => {}
            ConsumerRecord::Topics(is_there) => self.has_topics_record = *is_there,
            ConsumerRecord::Member { member_id, value: Some(value) } => {
                let member = self.member_mut(member_id);
                let before = std::mem::replace(&mut member.subscription, value.clone());
                if before.instance_id != value.instance_id {
                    self.forget_instance(member_id, before.instance_id.as_ref());
                }
                if let Some(instance) = &value.instance_id {
                    self.instances.insert(instance.clone(), member_id.clone());
                }
            }
            ConsumerRecord::Member { member_id, value: None } => {
                if let Some(member) = self.members.remove(member_id) {
                    self.release(member_id, &member.current);
                    self.forget_instance(member_id, member.subscription.instance_id.as_ref());
                }
            }
            ConsumerRecord::TargetEpoch(value) => self.target_epoch = value.map_or(0, |value| value.epoch),
            ConsumerRecord::Target { member_id, value: Some(value) } => {
                self.target.insert(member_id.clone(), value.clone());
            }
            ConsumerRecord::Target { member_id, value: None } => {
                self.target.remove(member_id);
            }
            ConsumerRecord::Current { member_id, value } => self.apply_current(member_id, value.as_ref()),
            ConsumerRecord::Regex { regex, value: Some(value) } => {
                self.regexes.insert(regex.clone(), value.clone());
            }
            ConsumerRecord::Regex { regex, value: None } => {
                self.regexes.remove(regex);
            }
        }
    }

    fn apply_current(&mut self, member_id: &Str, value: Option<&CurrentAssignment>) {
        if value.is_none() && !self.members.contains_key(member_id) {
            return;
        }
        let now = value.cloned().unwrap_or_else(|| CurrentAssignment {
            member_epoch: super::member::LEAVING,
            previous_member_epoch: super::member::LEAVING,
            ..CurrentAssignment::default()
        });
        let before = std::mem::take(&mut self.member_mut(member_id).current);
        self.release(member_id, &before);
        for partition in each(&now.assigned).chain(each(&now.pending_revocation)) {
            self.owners.insert(partition, member_id.clone());
        }
        self.member_mut(member_id).current = now;
    }

    /// What a member had has no owner any more, unless a record has given it to somebody else since.
    fn release(&mut self, member_id: &Str, current: &CurrentAssignment) {
        for partition in each(&current.assigned).chain(each(&current.pending_revocation)) {
            if self.owners.get(&partition) == Some(member_id) {
                self.owners.remove(&partition);
            }
        }
    }

    fn forget_instance(&mut self, member_id: &Str, instance: Option<&Str>) {
        if let Some(instance) = instance
            && self.instances.get(instance) == Some(member_id)
        {
            self.instances.remove(instance);
        }
    }

    fn member_mut(&mut self, member_id: &Str) -> &mut ConsumerMember {
        self.members.entry(member_id.clone()).or_insert_with(|| ConsumerMember::new(member_id.clone()))
    }

    /// Tombstones for a member, in the order in which its replay undoes it.
    pub(crate) fn member_tombstones(&self, member_id: &Str) -> [GroupRecord; 3] {
        let member_id = || member_id.clone();
        [
            self.record(ConsumerRecord::Current { member_id: member_id(), value: None }),
            self.record(ConsumerRecord::Target { member_id: member_id(), value: None }),
            self.record(ConsumerRecord::Member { member_id: member_id(), value: None }),
        ]
    }

    /// Tombstones for all that is on record of the group.
    pub(crate) fn tombstones(&self) -> Vec<GroupRecord> {
        let mut records: Vec<GroupRecord> =
            self.members.keys().flat_map(|member_id| self.member_tombstones(member_id)).collect();
        for regex in self.regexes.keys() {
            records.push(self.record(ConsumerRecord::Regex { regex: regex.clone(), value: None }));
        }
        records.push(self.record(ConsumerRecord::TargetEpoch(None)));
        if self.has_topics_record {
            records.push(self.record(ConsumerRecord::Topics(false)));
        }
        records.push(self.record(ConsumerRecord::Epoch(None)));
        records
    }
}
