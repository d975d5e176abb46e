//! CreateTopics (key 19): creates topics.
//!
//! Versions 2–7, flexible from 5. 4 lets -1 stand for the broker's defaults (KIP-464), 5 answers with the
//! effective configuration (KIP-525), 6 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599), 7 brings the topic id
//! (KIP-516).

use uuid::Uuid;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Creates topics.
    pub struct CreateTopicsRequest {
        /// The topics.
        pub topics: Vec<CreatableTopic>,
        /// How long to wait for the change to take effect, in ms.
        pub timeout_ms: i32 = 60000,
        /// Whether to check only, and change nothing.
        pub validate_only: bool,
    }

    /// A topic to create.
    pub struct CreatableTopic {
        /// The topic's name.
        pub name: Str,
        /// How many partitions; -1 for the broker's default or when assignments are given.
        pub num_partitions: i32,
        /// How many replicas; -1 for the broker's default or when assignments are given.
        pub replication_factor: i16,
        /// Where the replicas go; empty to let the broker choose.
        pub assignments: Vec<CreatableReplicaAssignment>,
        /// The configuration overrides.
        pub configs: Vec<CreatableTopicConfig>,
    }

    /// Where one partition's replicas go.
    pub struct CreatableReplicaAssignment {
        /// The partition.
        pub partition_index: i32,
        /// The brokers to hold a replica, the preferred leader first.
        pub broker_ids: Vec<i32>,
    }

    /// A configuration override.
    pub struct CreatableTopicConfig {
        /// The configuration key.
        pub name: Str,
        /// The value.
        pub value: Option<Str>,
    }

    /// What came of it.
    pub struct CreateTopicsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The topics.
        pub topics: Vec<CreatableTopicResult>,
    }

    /// The result for one topic.
    pub struct CreatableTopicResult {
        /// The topic's name.
        pub name: Str,
        /// The topic's id, or zero.
        pub topic_id: Uuid; since(7) ignorable(),
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
        /// Why `configs` is missing, or NONE.
        pub topic_config_error_code: ErrorCode; since(5) tag(0) ignorable(),
        /// How many partitions the topic has, or -1.
        pub num_partitions: i32 = -1; since(5) ignorable(),
        /// How many replicas each partition has, or -1.
        pub replication_factor: i16 = -1; since(5) ignorable(),
        /// The effective configuration; null if the client may not see it.
        pub configs: Option<Vec<CreatableTopicConfigs>>; since(5) ignorable(),
    }

    /// An effective configuration value of the new topic.
    pub struct CreatableTopicConfigs {
        /// The configuration key.
        pub name: Str,
        /// The value; null if it is a secret.
        pub value: Option<Str>,
        /// Whether the value can only be changed by a restart.
        pub read_only: bool,
        /// Where the value comes from: 1 topic, 2 broker, 3 all brokers, 4 file, 5 default, 6 logger, 7
        /// client metrics, 8 group.
        pub config_source: i8 = -1,
        /// Whether the value is a secret, and so not shown.
        pub is_sensitive: bool,
    }
}

impl Request for CreateTopicsRequest {
    const KEY: ApiKey = ApiKey::CreateTopics;
    type Response = CreateTopicsResponse;
}
