//! SyncGroup (14), versions 0 to 5: a member asks for its assignment, the leader brings everybody's.

use ottla_cluster::group::Answer;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::RequestContext;

/// From this version on the request names the protocol.
const PROTOCOL_SINCE: i16 = 5;

/// Waits until the assignment is committed.
pub(super) async fn handle(context: RequestContext, request: SyncGroupRequest) -> SyncGroupResponse {
    let answered = sync(&context, &request).await;
    answered.unwrap_or_else(|error_code| SyncGroupResponse { error_code, ..SyncGroupResponse::default() })
}

async fn sync(context: &RequestContext, request: &SyncGroupRequest) -> Result<SyncGroupResponse, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.api_version() >= PROTOCOL_SINCE && !names_protocol {
        return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    let core = &context.core;
    let host = core.groups.host(core, &request.group_id).await?;
    match host.ask(core, |shard, now, waiter| shard.handle_sync(now, request, waiter)).await? {
        Answer::Sync(response) => Ok(response),
        _ => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}
