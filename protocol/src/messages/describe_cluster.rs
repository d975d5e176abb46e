//! DescribeCluster (key 60): the brokers and the controller, without any topic (KIP-700).
//!
//! Versions 0–2, always flexible. 1 asks for brokers or controllers (KIP-919), 2 may list fenced brokers too
//! (KIP-1073).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for the brokers.
    pub struct DescribeClusterRequest {
        /// Whether to tell what the client may do with the cluster.
        pub include_cluster_authorized_operations: bool,
        /// 1 for brokers, 2 for controllers.
        pub endpoint_type: i8 = 1; since(1),
        /// Whether to list fenced brokers too.
        pub include_fenced_brokers: bool; since(2),
    }

    /// The brokers and the controller.
    pub struct DescribeClusterResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
        /// 1 for brokers, 2 for controllers.
        pub endpoint_type: i8 = 1; since(1),
        /// The id of the cluster.
        pub cluster_id: Str,
        /// The broker to send administration to, or -1.
        pub controller_id: i32 = -1,
        /// The brokers.
        pub brokers: Vec<DescribeClusterBroker>,
        /// A bit per operation that the client may do with the cluster; `i32::MIN` when not asked for.
        pub cluster_authorized_operations: i32 = i32::MIN,
    }

    /// A broker.
    pub struct DescribeClusterBroker {
        /// The broker.
        pub broker_id: i32,
        /// The host name or address that clients dial.
        pub host: Str,
        /// The port that clients dial.
        pub port: i32,
        /// The rack, if the broker is in one.
        pub rack: Option<Str>,
        /// Whether the broker is fenced.
        pub is_fenced: bool; since(2),
    }
}

impl Request for DescribeClusterRequest {
    const KEY: ApiKey = ApiKey::DescribeCluster;
    type Response = DescribeClusterResponse;
}
