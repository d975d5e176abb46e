//! Sets of partitions, by the id of their topic: what a member is to own, and what it owns since when.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::TopicId;

/// Partitions by topic. A topic without partitions has no entry.
pub type Partitions = BTreeMap<TopicId, BTreeSet<i32>>;

/// Partitions by topic, each with the group epoch in which it was assigned. A topic without partitions has no entry.
pub type Owned = BTreeMap<TopicId, BTreeMap<i32, i32>>;

/// Whether a set holds this partition.
pub(crate) fn owns(owned: &Owned, topic: TopicId, partition: i32) -> bool {
    owned.get(&topic).is_some_and(|partitions| partitions.contains_key(&partition))
}

/// Every partition of a set.
pub(crate) fn each(owned: &Owned) -> impl Iterator<Item = (TopicId, i32)> {
    owned.iter().flat_map(|(topic, partitions)| partitions.keys().map(move |partition| (*topic, *partition)))
}

/// The same partitions, without their epochs.
pub(crate) fn without_epochs(owned: &Owned) -> Partitions {
    owned.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}
