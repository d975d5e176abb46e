//! ListGroups (16), versions 0 to 5: the groups of this broker, by state and type (KIP-518, KIP-848).

use ottla_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse};

use super::RequestContext;
use crate::coordinators::GroupHost;

/// Lists those that pass the filters.
pub(super) async fn handle(context: RequestContext, request: ListGroupsRequest) -> ListGroupsResponse {
    let core = &context.core;
    match core.groups.all_hosts(core).await {
        Ok(hosts) => {
            let of_host =
                |host: &std::sync::Arc<_>| GroupHost::look(host, core, |shard| shard.list(&request));
            let groups = hosts.iter().flat_map(of_host).collect();
            ListGroupsResponse { groups, ..ListGroupsResponse::default() }
        }
        Err(error_code) => ListGroupsResponse { error_code, ..ListGroupsResponse::default() },
    }
}
