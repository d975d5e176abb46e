//! LeaveGroup (13), versions 0 to 5: members leave, or are removed by an administrator (KIP-345).

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse};

use super::RequestContext;

/// From this version on many members leave at once, each with its own error.
const MANY_SINCE: i16 = 3;

/// Answers at once.
pub(super) async fn handle(context: RequestContext, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let refuse = |error_code| LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
    if request.group_id.is_empty() {
        return refuse(ErrorCode::INVALID_GROUP_ID);
    }
    let core = &context.core;
    let many = context.api_version() >= MANY_SINCE;
    if many && request.members.is_empty() {
        return LeaveGroupResponse::default();
    }
    let members = match core.groups.host(core, &request.group_id).await {
        Ok(host) => host.act(core, |shard, now| shard.handle_leave(now, &request)),
        Err(code) => return refuse(code),
    };
    if many {
        return LeaveGroupResponse { members, ..LeaveGroupResponse::default() };
    }
    refuse(members.first().map_or(ErrorCode::NONE, |member| member.error_code))
}
