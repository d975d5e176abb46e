//! LeaveGroup (13), versions 0 to 5: members leave, or are removed by an administrator (KIP-345).

use ottla_cluster::group::Answer;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};

use super::RequestContext;

/// From this version on many members leave at once, each with its own error.
const MANY_SINCE: i16 = 3;

/// Classic groups answer at once, consumer groups when it is committed.
pub(super) async fn handle(context: RequestContext, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let refuse = |error_code| LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
    if request.group_id.is_empty() {
        return refuse(ErrorCode::INVALID_GROUP_ID);
    }
    let many = context.api_version() >= MANY_SINCE;
    if many && request.members.is_empty() {
        return LeaveGroupResponse::default();
    }
    match leave(&context, &request).await {
        Ok(members) if many => LeaveGroupResponse { members, ..LeaveGroupResponse::default() },
        Ok(members) => refuse(members.first().map_or(ErrorCode::NONE, |member| member.error_code)),
        Err(code) => refuse(code),
    }
}

async fn leave(
    context: &RequestContext,
    request: &LeaveGroupRequest,
) -> Result<Vec<MemberResponse>, ErrorCode> {
    let core = &context.core;
    let host = core.groups.host(core, &request.group_id).await?;
    match host.ask(core, |shard, now, waiter| shard.handle_leave(now, request, waiter)).await? {
        Answer::Leave(members) => Ok(members),
        _ => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}
