//! The target assignment of a group: which member is to own what, by a server-side assignor.

use std::collections::{BTreeMap, BTreeSet};

use ottla_assignors::{Assignor, Member, Partition, Topic, TopicIndex};
use ottla_protocol::codec::Str;

use super::member::ConsumerMember;
use super::partitions::Partitions;
use super::record::{ConsumerRecord, ResolvedRegex, TargetEpoch};
use super::state::ConsumerGroup;
use super::topics::{TopicDirectory, TopicShape};
use crate::group::Now;
use crate::group::record::GroupRecord;

/// The members of a group as they will be: those it has, with one changed or added, and one that it replaces left out.
#[derive(Clone, Copy)]
pub(crate) struct Roster<'a> {
    pub(crate) group: &'a ConsumerGroup,
    pub(crate) changed: Option<&'a ConsumerMember>,
    pub(crate) replaced: Option<&'a Str>,
    pub(crate) regexes: &'a BTreeMap<Str, ResolvedRegex>,
}

impl<'a> Roster<'a> {
    /// Every member, by id.
    pub(crate) fn members(&self) -> BTreeMap<&'a Str, &'a ConsumerMember> {
        let mut members: BTreeMap<&Str, &ConsumerMember> = self.group.members.iter().collect();
        if let Some(replaced) = self.replaced {
            members.remove(replaced);
        }
        if let Some(changed) = self.changed {
            members.insert(&changed.id, changed);
        }
        members
    }

    /// What a member reads: by name, and by expression.
    pub(crate) fn topics_of(&self, member: &'a ConsumerMember) -> BTreeSet<&'a Str> {
        let matched = member.subscription.topic_regex.as_ref().and_then(|regex| self.regexes.get(regex));
        let matched = matched.into_iter().flat_map(|resolved| &resolved.topics);
        member.subscription.topic_names.iter().chain(matched).collect()
    }

    /// Every topic that somebody reads.
    pub(crate) fn topics(&self) -> BTreeSet<Str> {
        self.members().values().flat_map(|member| self.topics_of(member)).cloned().collect()
    }

    /// The assignor that most members want; the group's default when nobody has a wish.
    pub(crate) fn assignor(&self, offered: &[Assignor]) -> Assignor {
        let mut wishes: BTreeMap<&str, usize> = BTreeMap::new();
        for wish in self.members().values().filter_map(|member| member.subscription.server_assignor.as_ref())
        {
            *wishes.entry(wish.as_str()).or_default() += 1;
        }
        let default = offered.first().copied().unwrap_or(Assignor::Uniform);
        let most = wishes.into_iter().max_by_key(|(_, count)| *count);
        let wished = most.and_then(|(name, _)| offered.iter().find(|assignor| assignor.name() == name));
        wished.copied().unwrap_or(default)
    }

    /// What every member is to own.
    pub(crate) fn assign(
        &self,
        offered: &[Assignor],
        directory: &dyn TopicDirectory,
    ) -> BTreeMap<Str, Partitions> {
        let names = self.topics();
        let known: Vec<(&Str, TopicShape)> =
            names.iter().filter_map(|name| Some((name, directory.shape(name)?))).collect();
        let index_of: BTreeMap<&Str, TopicIndex> =
            known.iter().zip(0..).map(|((name, _), index)| (*name, TopicIndex(index))).collect();
        let topics: Vec<Topic<'_>> =
            known.iter().map(|(name, shape)| Topic::new(name, shape.partition_count)).collect();
        let by_id: BTreeMap<_, TopicIndex> =
            known.iter().zip(0..).map(|((_, shape), index)| (shape.id, TopicIndex(index))).collect();
        let roster = self.members();
        let members: Vec<Member<'_>> = roster
            .values()
            .map(|member| Member {
                member_id: &member.id,
                instance_id: member.subscription.instance_id.as_deref(),
                rack: member.subscription.rack_id.as_deref(),
                topics: self
                    .topics_of(member)
                    .iter()
                    .filter_map(|name| index_of.get(*name).copied())
                    .collect(),
                owned: self.owned(member, &by_id, &topics),
                generation: None,
            })
            .collect();
        let rows = self.assignor(offered).assign(&topics, &members);
        let to_partitions = |row: Vec<Partition>| {
            let mut partitions = Partitions::new();
            for partition in row {
                let id = known[partition.topic.0 as usize].1.id;
                partitions.entry(id).or_default().insert(partition.partition as i32);
            }
            partitions
        };
        roster.keys().map(|id| (*id).clone()).zip(rows.into_iter().map(to_partitions)).collect()
    }

    /// What the member was to own so far, as far as it still exists.
    fn owned(
        &self,
        member: &ConsumerMember,
        by_id: &BTreeMap<ottla_protocol::TopicId, TopicIndex>,
        topics: &[Topic<'_>],
    ) -> Vec<Partition> {
        let mut owned = Vec::new();
        for (id, partitions) in self.group.target_of(member).into_iter().flatten() {
            let Some(topic) = by_id.get(id).copied() else { continue };
            let count = topics[topic.0 as usize].partitions;
            let exists = partitions.iter().filter_map(|partition| u32::try_from(*partition).ok());
            owned.extend(exists.filter(|it| *it < count).map(|partition| Partition { topic, partition }));
        }
        owned
    }

    /// The records that make this the group's target assignment: who gets another one, and the epoch.
    pub(crate) fn target_records(
        &self,
        target: &BTreeMap<Str, Partitions>,
        epoch: i32,
        now: Now,
    ) -> Vec<GroupRecord> {
        let changed =
            target.iter().filter(|(id, partitions)| self.group.target.get(*id) != Some(*partitions));
        let mut records: Vec<GroupRecord> = changed
            .map(|(id, partitions)| ConsumerRecord::Target {
                member_id: id.clone(),
                value: Some(partitions.clone()),
            })
            .map(|record| self.group.record(record))
            .collect();
        let epoch = TargetEpoch { epoch, timestamp_ms: now.unix_ms };
        records.push(self.group.record(ConsumerRecord::TargetEpoch(Some(epoch))));
        records
    }
}
