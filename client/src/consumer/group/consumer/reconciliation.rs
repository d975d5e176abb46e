//! What a member owns, what it may own, and the next step from the one to the other.
//!
//! The broker speaks of topics by id; a program reads them by name. A partition whose topic has no name yet waits until it
//! is learned and keeps nothing else waiting. Invariant: a step never adds what another still owns, because the broker
//! puts a partition into one member's target only when everybody else has given it back.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use ottla_protocol::{PartitionIndex, TopicId, TopicName, TopicPartition};

/// A partition as the broker speaks of it.
pub(super) type Target = BTreeSet<(TopicId, PartitionIndex)>;

/// What is owned and what may be.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    /// With the names under which they were given out.
    owned: BTreeMap<(TopicId, PartitionIndex), TopicName>,
    target: Target,
    names: BTreeMap<TopicId, TopicName>,
    /// Topics whose names were asked for.
    asked: BTreeSet<TopicId>,
}

/// What to do next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) revoked: Vec<TopicPartition>,
    pub(super) added: Vec<TopicPartition>,
    /// Topics whose names have to be learned first; each is asked for once, until [`Ownership::ask_again`].
    pub(super) unknown: BTreeSet<TopicId>,
}

impl Ownership {
    /// The broker says what may be owned.
    pub(super) fn set_target(&mut self, target: Target) {
        self.target = target;
    }

    /// These are the names of topics.
    pub(super) fn name(&mut self, names: BTreeMap<TopicId, TopicName>) {
        self.names.extend(names);
    }

    /// Names that did not come are asked for again.
    pub(super) fn ask_again(&mut self) {
        self.asked.clear();
    }

    /// The next step; what it says counts as done.
    pub(super) fn next_step(&mut self) -> Step {
        let mut step = Step::default();
        let target = &self.target;
        self.owned.retain(|(id, index), name| {
            let stays = target.contains(&(*id, *index));
            if !stays {
                step.revoked.push(TopicPartition::new(name.clone(), *index));
            }
            stays
        });
        for (id, index) in target {
            if self.owned.contains_key(&(*id, *index)) {
                continue;
            }
            match self.names.get(id) {
                None if self.asked.insert(*id) => drop(step.unknown.insert(*id)),
                None => {}
                Some(name) => {
                    step.added.push(TopicPartition::new(name.clone(), *index));
                    self.owned.insert((*id, *index), name.clone());
                }
            }
        }
        step
    }

    /// Nothing is owned any more, and nothing may be until the broker says so; what was.
    pub(super) fn take_all(&mut self) -> Vec<TopicPartition> {
        self.target.clear();
        let owned = std::mem::take(&mut self.owned);
        owned.into_iter().map(|((_, index), name)| TopicPartition::new(name, index)).collect()
    }

    /// What is owned, in the broker's words.
    pub(super) fn owned(&self) -> Vec<TopicPartitions> {
        let mut topics: Vec<TopicPartitions> = Vec::new();
        for (id, index) in self.owned.keys() {
            match topics.last_mut().filter(|last| last.topic_id == id.get()) {
                Some(last) => last.partitions.push(index.get()),
                None => {
                    topics.push(TopicPartitions { topic_id: id.get(), partitions: vec![index.get()] });
                }
            }
        }
        topics
    }

    /// The topics that are owned.
    pub(super) fn topics(&self) -> impl Iterator<Item = TopicName> + '_ {
        self.owned.values().cloned()
    }
}

/// The partitions that are listed, or why the list makes no sense.
pub(super) fn listed(topics: &[TopicPartitions]) -> Result<Target, String> {
    let mut target = Target::new();
    for topic in topics {
        let id = TopicId::new(topic.topic_id);
        for index in &topic.partitions {
            let index = PartitionIndex::known(*index).ok_or_else(|| format!("partition {index} of {id}"))?;
            target.insert((id, index));
        }
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn id(number: u128) -> TopicId {
        TopicId::new(Uuid::from_u128(number))
    }

    fn target(partitions: &[(u128, i32)]) -> Target {
        partitions.iter().map(|(topic, index)| (id(*topic), PartitionIndex::new(*index))).collect()
    }

    fn show(partitions: &[TopicPartition]) -> String {
        partitions.iter().map(|one| format!("{}-{} ", one.topic, one.partition)).collect()
    }

    fn named() -> Ownership {
        let mut ownership = Ownership::default();
        ownership.name([(id(1), TopicName::new("flights").expect("legal"))].into());
        ownership
    }

    #[test]
    fn a_step_gives_back_what_may_not_be_owned_and_takes_what_may() {
        let mut ownership = named();
        ownership.set_target(target(&[(1, 0), (1, 1)]));
        assert_eq!(show(&ownership.next_step().added), "flights-0 flights-1 ");
        ownership.set_target(target(&[(1, 1), (1, 2)]));
        let step = ownership.next_step();
        assert_eq!((&*show(&step.revoked), &*show(&step.added)), ("flights-0 ", "flights-2 "));
        assert_eq!(ownership.next_step(), Step::default());
        assert_eq!(ownership.owned()[0].partitions, [1, 2]);
    }

    #[test]
    fn a_topic_without_a_name_waits_for_it_alone() {
        let mut ownership = named();
        ownership.set_target(target(&[(1, 0), (2, 5)]));
        let step = ownership.next_step();
        assert_eq!((&*show(&step.added), step.unknown.len()), ("flights-0 ", 1));
        assert_eq!(ownership.next_step(), Step::default(), "asked for once");
        ownership.ask_again();
        assert_eq!(ownership.next_step().unknown.len(), 1);
        ownership.name([(id(2), TopicName::new("weather").expect("legal"))].into());
        assert_eq!(show(&ownership.next_step().added), "weather-5 ");
    }

    #[test]
    fn a_topic_that_was_created_anew_is_another() {
        let mut ownership = named();
        ownership.set_target(target(&[(1, 0)]));
        ownership.next_step();
        ownership.name([(id(3), TopicName::new("flights").expect("legal"))].into());
        ownership.set_target(target(&[(3, 0)]));
        let step = ownership.next_step();
        assert_eq!((&*show(&step.revoked), &*show(&step.added)), ("flights-0 ", "flights-0 "));
    }
}
