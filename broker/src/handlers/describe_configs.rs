//! DescribeConfigs (32), versions 1 to 4: what is configured, where it comes from and what it does (KIP-133, KIP-226,
//! KIP-569).
//!
//! One row per resource and every key that was asked for; the config table knows the rest.

use ottla_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::RequestContext;

/// Describes from the committed image over what this broker was started with.
pub(super) fn handle(context: &RequestContext, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    context.core.quorum.image().describe_configs(&request, &context.core.config)
}
