//! DescribeConfigs (key 32): the effective configuration of topics, brokers and groups, and where each value
//! comes from (KIP-133).
//!
//! Versions 1–4, flexible from 4. 1 brings sources and synonyms (KIP-226), 3 types and documentation
//! (KIP-569).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for effective configurations.
    pub struct DescribeConfigsRequest {
        /// The resources.
        pub resources: Vec<DescribeConfigsResource>,
        /// Whether to list every place that could set a value.
        pub include_synonyms: bool,
        /// Whether to explain each key.
        pub include_documentation: bool; since(3),
    }

    /// A resource to describe.
    pub struct DescribeConfigsResource {
        /// The kind of resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        pub resource_type: i8,
        /// The name of the resource; empty for the default of all brokers.
        pub resource_name: Str,
        /// The keys to list, or null for all.
        pub configuration_keys: Option<Vec<Str>>,
    }

    /// The effective configurations.
    pub struct DescribeConfigsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The resources.
        pub results: Vec<DescribeConfigsResult>,
    }

    /// The configuration of one resource.
    pub struct DescribeConfigsResult {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
        /// The kind of resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
        pub resource_type: i8,
        /// The name of the resource; empty for the default of all brokers.
        pub resource_name: Str,
        /// The keys.
        pub configs: Vec<DescribeConfigsResourceResult>,
    }

    /// A configuration key and its effective value.
    pub struct DescribeConfigsResourceResult {
        /// The configuration key.
        pub name: Str,
        /// The effective value; null if it has none or is a secret.
        pub value: Option<Str>,
        /// Whether the value can only be changed by a restart.
        pub read_only: bool,
        /// Where the value comes from: 1 topic, 2 broker, 3 all brokers, 4 file, 5 default, 6 logger, 7
        /// client metrics, 8 group.
        pub config_source: i8 = -1,
        /// Whether the value is a secret, and so not shown.
        pub is_sensitive: bool,
        /// The places that could set the value, the strongest first.
        pub synonyms: Vec<DescribeConfigsSynonym>,
        /// 1 bool, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password, 0 not known.
        pub config_type: i8; since(3) ignorable(),
        /// What the key means, if asked for.
        pub documentation: Option<Str>; since(3) ignorable(),
    }

    /// A place that could set the value, and the value it sets.
    pub struct DescribeConfigsSynonym {
        /// The key in that place.
        pub name: Str,
        /// The value that it sets.
        pub value: Option<Str>,
        /// The place, numbered as in `config_source`.
        pub source: i8,
    }
}

impl Request for DescribeConfigsRequest {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    type Response = DescribeConfigsResponse;
}
