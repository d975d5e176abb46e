//! OffsetCommit (8), versions 2 to 10: keeps how far a group has read; answered when that is committed. Since version 10
//! a topic goes by its id (KIP-848); a commit for an id that no topic has is refused, and does not go to a new topic of
//! the same name.

use ottla_cluster::group::Answer;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_protocol::{ErrorCode, TopicId};

use super::RequestContext;

/// From this version on topics go by id.
const TOPIC_IDS_SINCE: i16 = 10;

/// Each partition has its own error.
pub(super) async fn handle(
    context: RequestContext,
    mut request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let mut unknown = Vec::new();
    if context.api_version() >= TOPIC_IDS_SINCE {
        let topics = context.core.topics.load();
        for topic in std::mem::take(&mut request.topics) {
            match topics.by_id(TopicId::new(topic.topic_id)) {
                Some(known) => {
                    request.topics.push(OffsetCommitRequestTopic { name: Str::from(&known.name), ..topic });
                }
                None => unknown.push(refuse_topic(&topic, ErrorCode::UNKNOWN_TOPIC_ID)),
            }
        }
    }
    let mut response = commit(&context, &request).await.unwrap_or_else(|code| refuse(&request, code));
    response.topics.extend(unknown);
    response
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
    let version = context.api_version();
    let answer =
        host.ask(core, |shard, now, waiter| shard.handle_commit(now, request, version, exists, waiter));
    match answer.await? {
        Answer::Commit(response) => Ok(response),
        _ => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}

fn refuse(request: &OffsetCommitRequest, error_code: ErrorCode) -> OffsetCommitResponse {
    OffsetCommitResponse {
        topics: request.topics.iter().map(|topic| refuse_topic(topic, error_code)).collect(),
        ..OffsetCommitResponse::default()
    }
}

fn refuse_topic(topic: &OffsetCommitRequestTopic, error_code: ErrorCode) -> OffsetCommitResponseTopic {
    let partition = |partition: &OffsetCommitRequestPartition| OffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code,
    };
    OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partitions.iter().map(partition).collect(),
    }
}
