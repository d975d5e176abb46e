//! DeleteGroups (42), versions 0 to 2: deletes groups that have no members, with their offsets (KIP-229).

use ottla_cluster::group::Answer;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use super::RequestContext;

/// Each group has its own error. The empty group id is a legal one here, as old clients could commit under it.
pub(super) async fn handle(context: RequestContext, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let error_code = delete(&context, &group_id).await.unwrap_or_else(|code| code);
        results.push(DeletableGroupResult { group_id, error_code });
    }
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}

async fn delete(context: &RequestContext, group: &Str) -> Result<ErrorCode, ErrorCode> {
    let core = &context.core;
    let host = core.groups.host(core, group).await?;
    match host.ask(core, |shard, now, waiter| shard.handle_delete_group(now, group, waiter)).await? {
        Answer::DeleteGroup(code) => Ok(code),
        _ => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}
