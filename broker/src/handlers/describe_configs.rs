//! DescribeConfigs (32), versions 1 to 4: what is configured, where it comes from and what it does (KIP-133, KIP-226,
//! KIP-569).
//!
//! One row per resource and every key that was asked for; the config table knows the rest. The loggers of this process
//! are no configs and answered here.

use ottla_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::{RequestContext, broker_loggers};

/// Describes from the committed image over what this broker was started with.
pub(super) fn handle(
    context: &RequestContext,
    mut request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let core = &context.core;
    let of_loggers = broker_loggers::take_described(core, &mut request.resources);
    let mut response = core.quorum.image().describe_configs(&request, &core.config);
    for (place, result) in of_loggers {
        response.results.insert(place, result);
    }
    response
}
