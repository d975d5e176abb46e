//! OffsetFetch (9), versions 1 to 10: how far groups have read; many groups at once since version 8 (KIP-709), members of
//! consumer groups in their epoch since 9, topics by id since 10 (KIP-848).
//!
//! `require_stable` (KIP-447) asks to wait for transactions that have offsets pending; there are none yet.

use ottla_protocol::codec::Str;
use ottla_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use ottla_protocol::{ErrorCode, TopicId};

use super::RequestContext;
use crate::topics::TopicMap;

/// From this version on many groups are asked for.
const MANY_SINCE: i16 = 8;
/// From this version on an error of the whole request has a field; before it, every partition carries it.
const ERROR_SINCE: i16 = 2;
/// From this version on topics go by id.
const TOPIC_IDS_SINCE: i16 = 10;

/// Answers from what is committed.
pub(super) async fn handle(context: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if context.api_version() >= MANY_SINCE {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            groups.push(if context.api_version() >= TOPIC_IDS_SINCE {
                fetch_by_id(&context, group).await
            } else {
                fetch(&context, &group).await
            });
        }
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let wanted = |topic: OffsetFetchRequestTopic| OffsetFetchRequestTopics {
        name: topic.name,
        partition_indexes: topic.partition_indexes,
        ..OffsetFetchRequestTopics::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: request.topics.map(|topics| topics.into_iter().map(wanted).collect()),
        ..OffsetFetchRequestGroup::default()
    };
    let mut answer = fetch(&context, &group).await;
    if answer.error_code.is_error() && context.api_version() < ERROR_SINCE {
        answer.topics = all_with(&group, answer.error_code);
    }
    let topics = answer.topics.into_iter().map(to_single).collect();
    OffsetFetchResponse { topics, error_code: answer.error_code, ..OffsetFetchResponse::default() }
}

async fn fetch(context: &RequestContext, group: &OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let core = &context.core;
    let answer = match core.groups.host(core, &group.group_id).await {
        Ok(host) => Ok(host.look(core, |shard| shard.fetch_offsets(group))),
        Err(code) => Err(code),
    };
    answer.unwrap_or_else(|error_code| OffsetFetchResponseGroup {
        group_id: group.group_id.clone(),
        topics: Vec::new(),
        error_code,
    })
}

/// The same, with topics that go by their ids. Of a topic that is no more nothing can be told, not even that it had
/// offsets: whoever asks by id could not know the topic that has its name now.
async fn fetch_by_id(
    context: &RequestContext,
    mut group: OffsetFetchRequestGroup,
) -> OffsetFetchResponseGroup {
    let topics = context.core.topics.load_full();
    let mut unknown = Vec::new();
    for topic in group.topics.iter_mut().flatten() {
        match topics.by_id(TopicId::new(topic.topic_id)) {
            Some(known) => topic.name = Str::from(&known.name),
            None => unknown.push(topic_with(topic, ErrorCode::UNKNOWN_TOPIC_ID)),
        }
    }
    if let Some(wanted) = &mut group.topics {
        wanted.retain(|topic| !topic.name.is_empty());
    }
    let mut response = fetch(context, &group).await;
    if !response.error_code.is_error() {
        response.topics.retain_mut(|topic| name_to_id(topic, &topics));
        response.topics.extend(unknown);
    }
    response
}

fn name_to_id(topic: &mut OffsetFetchResponseTopics, topics: &TopicMap) -> bool {
    let Some(known) = topics.by_name(&topic.name) else { return false };
    topic.topic_id = known.id.get();
    true
}

/// Every partition that was asked for, with this error.
fn all_with(group: &OffsetFetchRequestGroup, error_code: ErrorCode) -> Vec<OffsetFetchResponseTopics> {
    group.topics.iter().flatten().map(|topic| topic_with(topic, error_code)).collect()
}

fn topic_with(topic: &OffsetFetchRequestTopics, error_code: ErrorCode) -> OffsetFetchResponseTopics {
    let partition = |index: &i32| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        metadata: Some(Str::EMPTY),
        error_code,
        ..OffsetFetchResponsePartitions::default()
    };
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(partition).collect(),
    }
}

/// The form that a topic has before version 8.
fn to_single(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    };
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    }
}
