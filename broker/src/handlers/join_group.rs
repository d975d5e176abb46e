//! JoinGroup (11), versions 0 to 9: see [`ottla_cluster::group`], which decides when it is answered.

use ottla_cluster::group::{Answer, Joining};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse};

use super::RequestContext;
use crate::rt::rng;

/// Below this version "no protocol" is an empty text, not null.
const NULL_PROTOCOL_SINCE: i16 = 7;

/// Waits until the group has its next generation.
pub(super) async fn handle(context: RequestContext, request: JoinGroupRequest) -> JoinGroupResponse {
    let mut response = join(&context, &request).await.unwrap_or_else(|error_code| JoinGroupResponse {
        error_code,
        member_id: request.member_id.clone(),
        ..JoinGroupResponse::default()
    });
    if context.api_version() < NULL_PROTOCOL_SINCE {
        response.protocol_name.get_or_insert(Str::EMPTY);
    }
    response
}

async fn join(context: &RequestContext, request: &JoinGroupRequest) -> Result<JoinGroupResponse, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    let joining = Joining {
        api_version: context.api_version(),
        client_id: Str::from(context.header.client_id.as_deref().unwrap_or_default()),
        client_host: Str::from(format!("/{}", context.connection.peer_addr.ip())),
        unique: Str::from(rng::uuid().to_string()),
    };
    let core = &context.core;
    let host = core.groups.host(core, &request.group_id).await?;
    match host.ask(core, |shard, now, waiter| shard.handle_join(now, request, &joining, waiter)).await? {
        Answer::Join(response) => Ok(response),
        _ => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}
