//! DescribeTopicPartitions (75), version 0: topics page by page, in the order of their names (KIP-966).
//!
//! A page ends after `response_partition_limit` partitions, at most `max.request.partition.size.limit`, and says where the
//! next one begins. Topics may come and go between two pages; each page is true of its own moment.

use std::collections::BTreeSet;

use ottla_cluster::controller::{Image, Partition, Topic};
use ottla_protocol::codec::Str;
use ottla_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use ottla_protocol::{ErrorCode, TopicName};

use super::metadata::is_internal;
use super::{RequestContext, authorized_operations};

/// Answers one page.
pub(super) fn handle(
    context: &RequestContext,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    page(&context.core.quorum.image(), &request, context.core.config.max_request_partition_size_limit)
}

fn page(
    image: &Image,
    request: &DescribeTopicPartitionsRequest,
    partitions_max: usize,
) -> DescribeTopicPartitionsResponse {
    let asked_for = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut page = Page {
        left: asked_for.clamp(1, partitions_max.max(1)),
        response: DescribeTopicPartitionsResponse::default(),
    };
    let begins_at = request.cursor.as_ref();
    let is_due = |name: &str| begins_at.is_none_or(|cursor| name >= &*cursor.topic_name);
    if request.topics.is_empty() {
        for topic in image.topics().filter(|topic| is_due(topic.name.as_str())) {
            if !page.add(topic, begins_at) {
                break;
            }
        }
        return page.response;
    }
    let asked: BTreeSet<&str> = request.topics.iter().map(|topic| &*topic.name).collect();
    for name in asked.into_iter().filter(|name| is_due(name)) {
        let goes_on = match image.topic_named(name) {
            Some(topic) => page.add(topic, begins_at),
            None => page.add_error(name),
        };
        if !goes_on {
            break;
        }
    }
    page.response
}

struct Page {
    left: usize,
    response: DescribeTopicPartitionsResponse,
}

impl Page {
    /// Adds as much of the topic as there is room for; `false` when the page is full.
    fn add(&mut self, topic: &Topic, begins_at: Option<&Cursor>) -> bool {
        let cursor = begins_at.filter(|cursor| *cursor.topic_name == *topic.name.as_str());
        let first = cursor.map_or(0, |cursor| usize::try_from(cursor.partition_index).unwrap_or(0));
        if self.left == 0 {
            self.end_at(&topic.name, first);
            return false;
        }
        let due = topic.partitions.iter().enumerate().skip(first);
        let partitions: Vec<_> =
            due.take(self.left).map(|(index, partition)| row(index, partition)).collect();
        self.left -= partitions.len();
        let next = first + partitions.len();
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(Str::from(&topic.name)),
            topic_id: topic.id.get(),
            is_internal: is_internal(&topic.name),
            partitions,
            topic_authorized_operations: authorized_operations::TOPIC,
            ..Default::default()
        });
        if next < topic.partitions.len() {
            self.end_at(&topic.name, next);
            return false;
        }
        true
    }

    fn add_error(&mut self, name: &str) -> bool {
        let error_code = match TopicName::new(name) {
            Ok(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Err(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
        };
        let name = Some(Str::from(name));
        let row = DescribeTopicPartitionsResponseTopic { error_code, name, ..Default::default() };
        self.response.topics.push(row);
        true
    }

    fn end_at(&mut self, topic: &TopicName, partition: usize) {
        self.response.next_cursor =
            Some(Cursor { topic_name: Str::from(topic), partition_index: partition as i32 });
    }
}

fn row(index: usize, partition: &Partition) -> DescribeTopicPartitionsResponsePartition {
    let ids = |brokers: &[ottla_protocol::BrokerId]| brokers.iter().map(|id| id.get()).collect();
    DescribeTopicPartitionsResponsePartition {
        partition_index: index as i32,
        leader_id: partition.leader.map_or(-1, |leader| leader.get()),
        leader_epoch: partition.leader_epoch.get(),
        replica_nodes: ids(&partition.replicas),
        isr_nodes: ids(&partition.in_sync_replicas),
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use ottla_cluster::controller::MetadataRecord;
    use ottla_protocol::messages::describe_topic_partitions::TopicRequest;
    use ottla_protocol::{BrokerId, LeaderEpoch, PartitionIndex, TopicId};
    use uuid::Uuid;

    use super::*;

    /// Topics a, b and c with two partitions each.
    fn image() -> Image {
        let mut image = Image::default();
        for (number, name) in (1..).zip(["a", "b", "c"]) {
            let id = TopicId::new(Uuid::from_u128(number));
            image.apply(&MetadataRecord::Topic { name: TopicName::new(name).unwrap(), id });
            for partition in 0..2 {
                image.apply(&MetadataRecord::Partition {
                    topic: id,
                    partition: PartitionIndex::new(partition),
                    replicas: vec![BrokerId::new(0)],
                    in_sync_replicas: vec![BrokerId::new(0)],
                    leader: Some(BrokerId::new(0)),
                    leader_epoch: LeaderEpoch::ZERO,
                });
            }
        }
        image
    }

    /// Follows the cursor to the end and names every partition in the order in which it came.
    fn all_pages(topics: &[&str], limit: i32) -> (usize, Vec<String>) {
        let mut request = DescribeTopicPartitionsRequest {
            topics: topics.iter().map(|name| TopicRequest { name: Str::from(*name) }).collect(),
            response_partition_limit: limit,
            cursor: None,
        };
        let (mut pages, mut seen) = (0, Vec::new());
        loop {
            let response = page(&image(), &request, 2_000);
            pages += 1;
            for topic in response.topics {
                let name = topic.name.unwrap().to_string();
                if topic.error_code.is_error() {
                    seen.push(format!("{name}?"));
                }
                seen.extend(topic.partitions.iter().map(|p| format!("{name}{}", p.partition_index)));
            }
            let Some(next) = response.next_cursor else { return (pages, seen) };
            request.cursor =
                Some(Cursor { topic_name: next.topic_name, partition_index: next.partition_index });
        }
    }

    #[test]
    fn pages_of_any_size_hold_every_partition_once_and_in_order() {
        let all = ["a0", "a1", "b0", "b1", "c0", "c1"].map(str::to_owned);
        for (limit, pages) in [(1, 6), (2, 3), (4, 2), (5, 2), (2_000, 1)] {
            assert_eq!(all_pages(&[], limit), (pages, all.to_vec()), "limit {limit}");
        }
    }

    #[test]
    fn a_named_topic_that_is_not_there_has_an_error_of_its_own() {
        let (_, seen) = all_pages(&["c", "nope", "a"], 2_000);
        assert_eq!(seen, ["a0", "a1", "c0", "c1", "nope?"]);
    }
}
