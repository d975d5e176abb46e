//! Metadata (key 3): which brokers there are, and which of them leads each partition.
//!
//! Versions 0–12, flexible from 9. 1 knows the controller and lets null ask for all topics (in 0 an empty
//! list does); 4 says whether a missing topic may be created; 5 names offline replicas (KIP-112); 7 brings
//! the leader epoch (KIP-320); 8 the authorized operations (KIP-430); 10 topic ids and 12 asking by them
//! (KIP-516).

use uuid::Uuid;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for brokers, topics and partition leaders.
    pub struct MetadataRequest {
        /// The topics, or null for all of them; in version 0 an empty list stands for all.
        pub topics: Option<Vec<MetadataRequestTopic>>; nullable(1),
        /// Whether the broker may create a topic that does not exist.
        pub allow_auto_topic_creation: bool = true; since(4),
        /// Whether to tell what the client may do with the cluster.
        pub include_cluster_authorized_operations: bool; since(8) until(10),
        /// Whether to tell what the client may do with the topics.
        pub include_topic_authorized_operations: bool; since(8),
    }

    /// A topic to describe, by name or by id.
    pub struct MetadataRequestTopic {
        /// The topic's id, or zero.
        pub topic_id: Uuid; since(10) ignorable(),
        /// The topic's name; null when it is asked for by id.
        pub name: Option<Str>; nullable(10),
    }

    /// Brokers, topics and partition leaders.
    pub struct MetadataResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(3) ignorable(),
        /// The brokers.
        pub brokers: Vec<MetadataResponseBroker>,
        /// The id of the cluster.
        pub cluster_id: Option<Str>; since(2) ignorable(),
        /// The broker to send administration to, or -1.
        pub controller_id: i32 = -1; since(1) ignorable(),
        /// The topics.
        pub topics: Vec<MetadataResponseTopic>,
        /// A bit per operation that the client may do with the cluster; `i32::MIN` when not asked for.
        pub cluster_authorized_operations: i32 = i32::MIN; since(8) until(10),
    }

    /// A broker.
    pub struct MetadataResponseBroker {
        /// The broker.
        pub node_id: i32,
        /// The host name or address that clients dial.
        pub host: Str,
        /// The port that clients dial.
        pub port: i32,
        /// The rack, if the broker is in one.
        pub rack: Option<Str>; since(1) ignorable(),
    }

    /// A topic.
    pub struct MetadataResponseTopic {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The topic's name; null for an id that is not known.
        pub name: Option<Str>; nullable(12),
        /// The topic's id, or zero.
        pub topic_id: Uuid; since(10) ignorable(),
        /// Whether the topic is one of the broker's own.
        pub is_internal: bool; since(1) ignorable(),
        /// The partitions.
        pub partitions: Vec<MetadataResponsePartition>,
        /// A bit per operation that the client may do with the topic; `i32::MIN` when not asked for.
        pub topic_authorized_operations: i32 = i32::MIN; since(8),
    }

    /// A partition.
    pub struct MetadataResponsePartition {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The partition.
        pub partition_index: i32,
        /// The broker that leads the partition, or -1.
        pub leader_id: i32,
        /// The leader epoch, or -1 when it is not known.
        pub leader_epoch: i32 = -1; since(7) ignorable(),
        /// The brokers that hold a replica, the preferred leader first.
        pub replica_nodes: Vec<i32>,
        /// The brokers whose replica is in sync.
        pub isr_nodes: Vec<i32>,
        /// The brokers whose replica is offline.
        pub offline_replicas: Vec<i32>; since(5) ignorable(),
    }
}

impl Request for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    type Response = MetadataResponse;
}
