//! DescribeTopicPartitions (key 75): topics with their partitions, page by page (KIP-966).
//!
//! Version 0, always flexible.

use uuid::Uuid;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for a page of topics and partitions.
    pub struct DescribeTopicPartitionsRequest {
        /// The topics.
        pub topics: Vec<TopicRequest>,
        /// How many partitions a page may have.
        pub response_partition_limit: i32 = 2000,
        /// Where the page begins; null for the first.
        pub cursor: Option<Cursor>,
    }

    /// A topic to describe.
    pub struct TopicRequest {
        /// The topic's name.
        pub name: Str,
    }

    /// Where a page begins.
    pub struct Cursor {
        /// The first topic of the page.
        pub topic_name: Str,
        /// The first partition of that topic.
        pub partition_index: i32,
    }

    /// A page of topics and partitions.
    pub struct DescribeTopicPartitionsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The topics.
        pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
        /// Where the next page begins; null after the last.
        pub next_cursor: Option<Cursor>,
    }

    /// A topic, or the part of it that is on this page.
    pub struct DescribeTopicPartitionsResponseTopic {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The topic's name.
        pub name: Option<Str>,
        /// The topic's id, or zero.
        pub topic_id: Uuid,
        /// Whether the topic is one of the broker's own.
        pub is_internal: bool,
        /// The partitions.
        pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
        /// A bit per operation that the client may do with the topic; `i32::MIN` when not asked for.
        pub topic_authorized_operations: i32 = i32::MIN,
    }

    /// A partition.
    pub struct DescribeTopicPartitionsResponsePartition {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The partition.
        pub partition_index: i32,
        /// The broker that leads the partition, or -1.
        pub leader_id: i32,
        /// The leader epoch, or -1 when it is not known.
        pub leader_epoch: i32 = -1,
        /// The brokers that hold a replica, the preferred leader first.
        pub replica_nodes: Vec<i32>,
        /// The brokers whose replica is in sync.
        pub isr_nodes: Vec<i32>,
        /// The brokers outside the in-sync set that may still lead without loss.
        pub eligible_leader_replicas: Option<Vec<i32>>,
        /// The last known such brokers.
        pub last_known_elr: Option<Vec<i32>>,
        /// The brokers whose replica is offline.
        pub offline_replicas: Vec<i32>,
    }
}

impl Request for DescribeTopicPartitionsRequest {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    type Response = DescribeTopicPartitionsResponse;
}
