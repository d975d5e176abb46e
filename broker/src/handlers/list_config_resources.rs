//! ListConfigResources (74), versions 0 to 1: the names of what has configs of its own (KIP-714, KIP-1142).
//!
//! `kafka-configs.sh --describe` asks it when it is given a type and no name. Version 0 knows client metrics only.

use ottla_protocol::messages::list_config_resources::{
    ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::RequestContext;

/// Lists from the committed image.
pub(super) fn handle(
    context: &RequestContext,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    context.core.quorum.image().list_config_resources(&request, context.api_version())
}
