//! Partitions topic by topic, as the messages of groups list them, and back.
//!
//! What comes from the wire is a claim: names that are not legal and negative partitions are an error there, for whoever
//! asks; nothing here panics.

use std::collections::BTreeSet;

use ottla_protocol::messages::consumer_protocol;
use ottla_protocol::{PartitionIndex, TopicName, TopicPartition};

/// Partitions in order, gathered by topic.
pub(crate) fn by_topic<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> Vec<consumer_protocol::TopicPartition> {
    let mut topics: Vec<consumer_protocol::TopicPartition> = Vec::new();
    for partition in partitions {
        let index = partition.partition.get();
        match topics.last_mut().filter(|last| *last.topic == *partition.topic) {
            Some(last) => last.partitions.push(index),
            None => topics.push(consumer_protocol::TopicPartition {
                topic: (&partition.topic).into(),
                partitions: vec![index],
            }),
        }
    }
    topics
}

/// The partitions that are listed, or why the list makes no sense.
pub(crate) fn listed(
    topics: &[consumer_protocol::TopicPartition],
) -> Result<BTreeSet<TopicPartition>, String> {
    let mut partitions = BTreeSet::new();
    for topic in topics {
        let name = TopicName::new(&topic.topic).map_err(|error| error.to_string())?;
        for index in &topic.partitions {
            let index =
                PartitionIndex::known(*index).ok_or_else(|| format!("partition {index} of {name}"))?;
            partitions.insert(TopicPartition::new(name.clone(), index));
        }
    }
    Ok(partitions)
}
