//! ListConfigResources (key 74): the names of everything that has configs of its own (KIP-714, KIP-1142).
//!
//! Versions 0–1, flexible from 0. Version 0 lists client metrics subscriptions only; 1 lists resources of the types that
//! it is asked for.

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for names.
    pub struct ListConfigResourcesRequest {
        /// The types; none for all.
        pub resource_types: Vec<i8>; since(1),
    }

    /// The names.
    pub struct ListConfigResourcesResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The resources.
        pub config_resources: Vec<ConfigResource>,
    }

    /// A resource.
    pub struct ConfigResource {
        /// The resource's name.
        pub resource_name: Str,
        /// The resource's type; 16 is client metrics.
        pub resource_type: i8 = 16; since(1) ignorable(),
    }
}

impl Request for ListConfigResourcesRequest {
    const KEY: ApiKey = ApiKey::ListConfigResources;
    type Response = ListConfigResourcesResponse;
}
