//! ConsumerGroupHeartbeat (68), versions 0 and 1: a member of a consumer group joins, stays or leaves (KIP-848).

use ottla_cluster::group::{Answer, Joining};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};

use super::RequestContext;
use crate::rt::rng;

/// Answered once what it changes is committed.
pub(super) async fn handle(
    context: RequestContext,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    beat(&context, &request).await.unwrap_or_else(|error_code| ConsumerGroupHeartbeatResponse {
        error_code,
        error_message: Some(Str::from_static(error_code.sentence())),
        ..ConsumerGroupHeartbeatResponse::default()
    })
}

async fn beat(
    context: &RequestContext,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
    let core = &context.core;
    let joining = Joining {
        api_version: context.api_version(),
        client_id: Str::from(context.header.client_id.as_deref().unwrap_or_default()),
        client_host: Str::from(format!("/{}", context.connection.peer_addr.ip())),
        unique: Str::from(rng::uuid().to_string()),
    };
    let timeouts = core.groups.timeouts(core, &request.group_id);
    let host = core.groups.host(core, &request.group_id).await?;
    let answer = host.ask(core, |shard, now, waiter| {
        shard.handle_consumer_heartbeat(now, request, &joining, timeouts, waiter);
    });
    match answer.await? {
        Answer::ConsumerHeartbeat(response) => Ok(response),
        _ => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
    }
}
