//! Heartbeat (12), versions 0 to 4: a member of a group is alive, and learns of a rebalance.

use ottla_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::RequestContext;

/// Answers at once.
pub(super) async fn handle(context: RequestContext, request: HeartbeatRequest) -> HeartbeatResponse {
    let core = &context.core;
    let error_code = match core.groups.host(core, &request.group_id).await {
        Ok(host) => host.act(core, |shard, now| shard.handle_heartbeat(now, &request)),
        Err(code) => code,
    };
    HeartbeatResponse { error_code, ..HeartbeatResponse::default() }
}
