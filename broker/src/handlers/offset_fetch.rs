//! OffsetFetch (9), versions 1 to 8: how far groups have read; many groups at once since version 8 (KIP-709).
//!
//! `require_stable` (KIP-447) asks to wait for transactions that have offsets pending; there are none yet.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::RequestContext;

/// From this version on many groups are asked for.
const MANY_SINCE: i16 = 8;
/// From this version on an error of the whole request has a field; before it, every partition carries it.
const ERROR_SINCE: i16 = 2;

/// Answers from what is committed.
pub(super) async fn handle(context: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if context.api_version() >= MANY_SINCE {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in &request.groups {
            groups.push(fetch(&context, group).await);
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

/// Every partition that was asked for, with this error.
fn all_with(group: &OffsetFetchRequestGroup, error_code: ErrorCode) -> Vec<OffsetFetchResponseTopics> {
    let partition = |index: &i32| OffsetFetchResponsePartitions {
        partition_index: *index,
        committed_offset: -1,
        metadata: Some(Str::EMPTY),
        error_code,
        ..OffsetFetchResponsePartitions::default()
    };
    let topic = |topic: &OffsetFetchRequestTopics| OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(partition).collect(),
    };
    group.topics.iter().flatten().map(topic).collect()
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
