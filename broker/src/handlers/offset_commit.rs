//! OffsetCommit (8), versions 2 to 8: keeps how far a group has read; answered when that is committed.

use ottla_cluster::group::Answer;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::RequestContext;

/// Each partition has its own error.
pub(super) async fn handle(context: RequestContext, request: OffsetCommitRequest) -> OffsetCommitResponse {
    commit(&context, &request).await.unwrap_or_else(|code| refuse(&request, code))
}

async fn commit(
    context: &RequestContext,
    request: &OffsetCommitRequest,
) -> Result<OffsetCommitResponse, ErrorCode> {
    let core = &context.core;
    let topics = core.topics.load_full();
    let exists = |topic: &str, partition: i32| {
        let known = topics.by_name(topic).map_or(0, |topic| topic.replicas.len());
        usize::try_from(partition).is_ok_and(|partition| partition < known)
    };
    let host = core.groups.host(core, &request.group_id).await?;
    match host.ask(core, |shard, now, waiter| shard.handle_commit(now, request, exists, waiter)).await? {
        Answer::Commit(response) => Ok(response),
        _ => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}

fn refuse(request: &OffsetCommitRequest, error_code: ErrorCode) -> OffsetCommitResponse {
    let partition = |partition: &OffsetCommitRequestPartition| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code,
    };
    let topic = |topic: &OffsetCommitRequestTopic| OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partitions.iter().map(partition).collect(),
    };
    OffsetCommitResponse {
        topics: request.topics.iter().map(topic).collect(),
        ..OffsetCommitResponse::default()
    }
}
