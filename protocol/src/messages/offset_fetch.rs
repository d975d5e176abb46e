//! OffsetFetch (key 9): how far groups have read.
//!
//! Versions 1–10, flexible from 6. 2 lets null ask for all topics, 5 brings the leader epoch (KIP-320), 7 can
//! wait for open transactions (KIP-447), 8 asks for many groups (KIP-709), 9 lets a member of a consumer group say who it
//! is (KIP-848). From 10 on a topic goes by its id alone.

use uuid::Uuid;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for committed offsets.
    pub struct OffsetFetchRequest {
        /// The group.
        pub group_id: Str; until(7),
        /// The topics, or null for all.
        pub topics: Option<Vec<OffsetFetchRequestTopic>>; until(7) nullable(2),
        /// The groups.
        pub groups: Vec<OffsetFetchRequestGroup>; since(8),
        /// Whether to answer UNSTABLE_OFFSET_COMMIT while a transaction has offsets open.
        pub require_stable: bool; since(7),
    }

    /// The partitions of one topic (up to version 7).
    pub struct OffsetFetchRequestTopic {
        /// The topic's name.
        pub name: Str,
        /// The partitions.
        pub partition_indexes: Vec<i32>,
    }

    /// The partitions of one group.
    pub struct OffsetFetchRequestGroup {
        /// The group.
        pub group_id: Str,
        /// The member that asks, or null.
        pub member_id: Option<Str>; since(9) ignorable(),
        /// The member's epoch, or -1.
        pub member_epoch: i32 = -1; since(9) ignorable(),
        /// The topics, or null for all.
        pub topics: Option<Vec<OffsetFetchRequestTopics>>,
    }

    /// The partitions of one topic.
    pub struct OffsetFetchRequestTopics {
        /// The topic's name; empty where the id stands for it.
        pub name: Str; until(9) ignorable(),
        /// The topic's id.
        pub topic_id: Uuid; since(10) ignorable(),
        /// The partitions.
        pub partition_indexes: Vec<i32>,
    }

    /// The committed offsets.
    pub struct OffsetFetchResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(3) ignorable(),
        /// The topics.
        pub topics: Vec<OffsetFetchResponseTopic>; until(7),
        /// The error, or NONE.
        pub error_code: ErrorCode; since(2) until(7) ignorable(),
        /// The groups.
        pub groups: Vec<OffsetFetchResponseGroup>; since(8),
    }

    /// The offsets in one topic (up to version 7).
    pub struct OffsetFetchResponseTopic {
        /// The topic's name.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<OffsetFetchResponsePartition>,
    }

    /// The offset in one partition (up to version 7).
    pub struct OffsetFetchResponsePartition {
        /// The partition.
        pub partition_index: i32,
        /// The next offset to read, or -1 when there is none.
        pub committed_offset: i64,
        /// The leader epoch of the last record read, or -1.
        pub committed_leader_epoch: i32 = -1; since(5) ignorable(),
        /// The note that was kept with the offset.
        pub metadata: Option<Str>,
        /// The error, or NONE.
        pub error_code: ErrorCode,
    }

    /// The offsets of one group.
    pub struct OffsetFetchResponseGroup {
        /// The group.
        pub group_id: Str,
        /// The topics.
        pub topics: Vec<OffsetFetchResponseTopics>,
        /// The error, or NONE.
        pub error_code: ErrorCode,
    }

    /// The offsets in one topic.
    pub struct OffsetFetchResponseTopics {
        /// The topic's name; empty where the id stands for it.
        pub name: Str; until(9) ignorable(),
        /// The topic's id.
        pub topic_id: Uuid; since(10) ignorable(),
        /// The partitions.
        pub partitions: Vec<OffsetFetchResponsePartitions>,
    }

    /// The offset in one partition.
    pub struct OffsetFetchResponsePartitions {
        /// The partition.
        pub partition_index: i32,
        /// The next offset to read, or -1 when there is none.
        pub committed_offset: i64,
        /// The leader epoch of the last record read, or -1.
        pub committed_leader_epoch: i32 = -1,
        /// The note that was kept with the offset.
        pub metadata: Option<Str>,
        /// The error, or NONE.
        pub error_code: ErrorCode,
    }
}

impl Request for OffsetFetchRequest {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    type Response = OffsetFetchResponse;
}
