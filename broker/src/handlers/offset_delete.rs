//! OffsetDelete (47), version 0: forgets offsets of topics that a group does not read any more (KIP-496).

use ottla_cluster::group::Answer;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::RequestContext;

/// Each partition has its own error.
pub(super) async fn handle(context: RequestContext, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let deleted = delete(&context, &request).await;
    deleted
        .unwrap_or_else(|error_code| OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() })
}

async fn delete(
    context: &RequestContext,
    request: &OffsetDeleteRequest,
) -> Result<OffsetDeleteResponse, ErrorCode> {
    let core = &context.core;
    let topics = core.topics.load_full();
    let exists = |topic: &str, partition: i32| {
        let known = topics.by_name(topic).map_or(0, |topic| topic.replicas.len());
        usize::try_from(partition).is_ok_and(|partition| partition < known)
    };
    let host = core.groups.host(core, &request.group_id).await?;
    match host.ask(core, |shard, _, waiter| shard.handle_offset_delete(request, exists, waiter)).await? {
        Answer::OffsetDelete(response) => Ok(response),
        _ => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}
