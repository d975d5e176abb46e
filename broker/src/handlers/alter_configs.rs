//! AlterConfigs (33), versions 0 to 2: replaces all that is set for a resource (KIP-133). IncrementalAlterConfigs took its
//! place; old clients still send it.
//!
//! The controller decides, resource by resource; when the reply leaves, the new values are in force.

use ottla_protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse,
};

use super::RequestContext;

/// Changes what can be changed; each resource has its own error.
pub(super) async fn handle(context: RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let asked: Vec<_> =
        request.resources.iter().map(|one| (one.resource_type, one.resource_name.clone())).collect();
    let config = context.core.config.clone();
    let decide = move |image: &ottla_cluster::controller::Image| Ok(image.alter_configs(&request, &config));
    context.core.quorum.propose(decide).await.unwrap_or_else(|error_code| {
        let row = |(resource_type, resource_name)| AlterConfigsResourceResponse {
            resource_type,
            resource_name,
            error_code,
            ..Default::default()
        };
        AlterConfigsResponse { responses: asked.into_iter().map(row).collect(), ..Default::default() }
    })
}
