//! DescribeGroups (15), versions 0 to 6: state, members and assignments of groups.

use ottla_protocol::codec::Str;
use ottla_protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup,
};

use super::{RequestContext, authorized_operations};

/// Each group has its own error.
pub(super) async fn handle(
    context: RequestContext,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in &request.groups {
        let mut described = describe(&context, group).await;
        if request.include_authorized_operations && !described.error_code.is_error() {
            described.authorized_operations = authorized_operations::GROUP;
        }
        groups.push(described);
    }
    DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() }
}

async fn describe(context: &RequestContext, group: &Str) -> DescribedGroup {
    let core = &context.core;
    let version = context.api_version();
    match core.groups.host(core, group).await {
        Ok(host) => host.look(core, |shard| shard.describe(group, version)),
        Err(error_code) => {
            DescribedGroup { error_code, group_id: group.clone(), ..DescribedGroup::default() }
        }
    }
}
