//! ConsumerGroupDescribe (69), versions 0 and 1: state, members and assignments of consumer groups (KIP-848).

use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_describe::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
};

use super::{RequestContext, authorized_operations};
use crate::coordinators;

/// Each group has its own error.
pub(super) async fn handle(
    context: RequestContext,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for group in &request.group_ids {
        let mut described = describe(&context, group).await;
        if request.include_authorized_operations && !described.error_code.is_error() {
            described.authorized_operations = authorized_operations::GROUP;
        }
        groups.push(described);
    }
    ConsumerGroupDescribeResponse { groups, ..ConsumerGroupDescribeResponse::default() }
}

async fn describe(context: &RequestContext, group: &Str) -> DescribedGroup {
    let core = &context.core;
    match core.groups.host(core, group).await {
        Ok(host) => host.look(core, |shard| shard.describe_consumer(coordinators::now(core), group)),
        Err(error_code) => {
            DescribedGroup { error_code, group_id: group.clone(), ..DescribedGroup::default() }
        }
    }
}
