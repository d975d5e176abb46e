//! IncrementalAlterConfigs (44), versions 0 to 1: sets and unsets single keys (KIP-339).
//!
//! The controller decides, resource by resource; when the reply leaves, the new values are in force. The loggers of this
//! process are its own business.

use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::{RequestContext, broker_loggers};

/// Changes what can be changed; each resource has its own error.
pub(super) async fn handle(
    context: RequestContext,
    mut request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let core = &context.core;
    let of_loggers = broker_loggers::take_altered(core, &mut request);
    let asked: Vec<_> =
        request.resources.iter().map(|one| (one.resource_type, one.resource_name.clone())).collect();
    let config = core.config.clone();
    let decide = move |image: &ottla_cluster::controller::Image| {
        Ok(image.incremental_alter_configs(&request, &config))
    };
    let mut response = core.quorum.propose(decide).await.unwrap_or_else(|error_code| {
        let row = |(resource_type, resource_name)| AlterConfigsResourceResponse {
            resource_type,
            resource_name,
            error_code,
            ..Default::default()
        };
        IncrementalAlterConfigsResponse {
            responses: asked.into_iter().map(row).collect(),
            ..Default::default()
        }
    });
    for (place, result) in of_loggers {
        response.responses.insert(place, result);
    }
    response
}
