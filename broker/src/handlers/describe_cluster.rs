//! DescribeCluster (60), versions 0 to 2: the brokers and the controller (KIP-700).
//!
//! Controllers cannot be reached on a listener of their own here, so asking for them is refused as Kafka's brokers do.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::{RequestContext, authorized_operations};

/// The endpoint type of brokers.
const BROKERS: i8 = 1;

/// Answers with this broker, at the address that the client can reach.
pub(super) fn handle(context: &RequestContext, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let response = DescribeClusterResponse {
        endpoint_type: request.endpoint_type,
        ..DescribeClusterResponse::default()
    };
    if request.endpoint_type != BROKERS {
        return DescribeClusterResponse {
            error_code: ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            error_message: Some(Str::from("This listener is a broker's; it does not describe controllers.")),
            ..response
        };
    }
    let core = &context.core;
    let endpoint = context.connection.listener.endpoint_for(context.connection.local_addr);
    let broker = DescribeClusterBroker {
        broker_id: core.node_id.get(),
        host: Str::from(endpoint.host),
        port: i32::from(endpoint.port),
        rack: core.config.broker_rack.as_ref().map(Str::from),
        is_fenced: false,
    };
    DescribeClusterResponse {
        cluster_id: core.cluster_id.clone(),
        controller_id: core.node_id.get(),
        brokers: vec![broker],
        cluster_authorized_operations: authorized_operations::if_asked(
            request.include_cluster_authorized_operations,
            authorized_operations::CLUSTER,
        ),
        ..response
    }
}
