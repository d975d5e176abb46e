//! Racks of members and of replicas as small numbers, and when they matter at all (KIP-881).
//!
//! Not a rule of who gets what: the assignors ask whether a member would read from its own rack.

use crate::input::{Member, Topic};
use crate::order::by_utf16;
use std::collections::{BTreeSet, HashMap};

/// Who is in which rack, over the members that subscribed to some of these topics.
pub(crate) struct Racks {
    of_member: Vec<Option<u32>>,
    /// Per topic, per partition: the racks of its replicas, sorted.
    of_partition: Vec<Vec<Vec<u32>>>,
}

impl Racks {
    /// Numbers the racks. `None` if no member has one: then nothing else needs to be looked at.
    pub(crate) fn of(topics: &[Topic<'_>], members: &[Member<'_>]) -> Option<Racks> {
        let mut names: Vec<&str> =
            members.iter().filter_map(|member| member.rack).filter(|rack| !rack.is_empty()).collect();
        if names.is_empty() {
            return None;
        }
        names.extend(topics.iter().flat_map(|topic| topic.racks.iter().flatten().copied()));
        names.sort_unstable_by(|left, right| by_utf16(left, right));
        names.dedup();
        let numbers: HashMap<&str, u32> = names.iter().copied().zip(0..).collect();
        let of_member = members
            .iter()
            .map(|member| member.rack.filter(|rack| !rack.is_empty()).map(|rack| numbers[rack]))
            .collect();
        let of_partition = topics
            .iter()
            .map(|topic| {
                let known = topic.racks.iter().take(topic.partitions as usize);
                let mut partitions: Vec<Vec<u32>> = known
                    .map(|racks| racks.iter().map(|rack| numbers[rack]).collect::<BTreeSet<u32>>())
                    .map(|racks| racks.into_iter().collect())
                    .collect();
                partitions.resize(topic.partitions as usize, Vec::new());
                partitions
            })
            .collect();
        Some(Racks { of_member, of_partition })
    }

    /// The rack of a member.
    pub(crate) fn of_member(&self, member: usize) -> Option<u32> {
        self.of_member[member]
    }

    /// The racks of a partition's replicas, ascending.
    pub(crate) fn of_replicas(&self, topic: usize, partition: u32) -> &[u32] {
        &self.of_partition[topic][partition as usize]
    }

    /// Whether a replica of this partition stands in the rack of this member. True for a member without a rack: it has no
    /// wish that could be disappointed.
    pub(crate) fn matches(&self, member: usize, topic: usize, partition: u32) -> bool {
        match self.of_member[member] {
            Some(rack) => self.of_partition[topic][partition as usize].contains(&rack),
            None => true,
        }
    }

    /// Whether racks can make a difference: some member shares a rack with some replica, and not every partition has
    /// replicas in all the racks that there are.
    pub(crate) fn matter(
        &self,
        members: impl IntoIterator<Item = usize>,
        topics: impl IntoIterator<Item = usize>,
    ) -> bool {
        let of_members: BTreeSet<u32> =
            members.into_iter().filter_map(|member| self.of_member[member]).collect();
        let partitions: Vec<&Vec<u32>> =
            topics.into_iter().flat_map(|topic| self.of_partition[topic].iter()).collect();
        let of_partitions: BTreeSet<u32> =
            partitions.iter().flat_map(|racks| racks.iter().copied()).collect();
        if of_members.is_disjoint(&of_partitions) {
            return false;
        }
        !partitions.iter().all(|racks| racks.len() == of_partitions.len())
    }
}
