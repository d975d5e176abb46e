//! AlterConfigs (key 33): replaces the whole set of a resource's configuration overrides (KIP-133);
//! IncrementalAlterConfigs has taken its place.
//!
//! Versions 0–2, flexible from 2.

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Replaces configuration overrides.
    pub struct AlterConfigsRequest {
        /// The resources.
        pub resources: Vec<AlterConfigsResource>,
        /// Whether to check only, and change nothing.
        pub validate_only: bool,
    }

    /// What to change for one resource.
    pub struct AlterConfigsResource {
        /// The kind of resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        pub resource_type: i8,
        /// The name of the resource; empty for the default of all brokers.
        pub resource_name: Str,
        /// The keys.
        pub configs: Vec<AlterableConfig>,
    }

    /// A key to change.
    pub struct AlterableConfig {
        /// The configuration key.
        pub name: Str,
        /// The value; null to delete.
        pub value: Option<Str>,
    }

    /// What came of it.
    pub struct AlterConfigsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The resources.
        pub responses: Vec<AlterConfigsResourceResponse>,
    }

    /// The result for one resource.
    pub struct AlterConfigsResourceResponse {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
        /// The kind of resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        pub resource_type: i8,
        /// The name of the resource; empty for the default of all brokers.
        pub resource_name: Str,
    }
}

impl Request for AlterConfigsRequest {
    const KEY: ApiKey = ApiKey::AlterConfigs;
    type Response = AlterConfigsResponse;
}
