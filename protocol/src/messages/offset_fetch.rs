//! OffsetFetch (key 9): what a group has committed.
//!
//! Versions 1–8, flexible from 6. From 2 null topics mean all; 5 adds the leader epoch (KIP-320); 7 waits for pending
//! transactions (KIP-447); 8 asks for many groups at once (KIP-709).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for committed offsets.
    pub struct OffsetFetchRequest {
        /// The one group.
        pub group_id: Str; until(7),
        /// Its topics, or null for all that it has committed.
        pub topics: Option<Vec<OffsetFetchRequestTopic>>; until(7) nullable(2),
        /// The groups.
        pub groups: Vec<OffsetFetchRequestGroup>; since(8),
        /// Whether offsets of pending transactions are an error rather than passed over.
        pub require_stable: bool; since(7),
    }

    /// The partitions of one topic.
    pub struct OffsetFetchRequestTopic {
        /// The topic.
        pub name: Str; until(7),
        /// The partitions.
        pub partition_indexes: Vec<i32>; until(7),
    }

    /// One group of several.
    pub struct OffsetFetchRequestGroup {
        /// The group.
        pub group_id: Str; since(8),
        /// Its topics, or null for all that it has committed.
        pub topics: Option<Vec<OffsetFetchRequestTopics>>; since(8),
    }

    /// The partitions of one topic of one group.
    pub struct OffsetFetchRequestTopics {
        /// The topic.
        pub name: Str; since(8),
        /// The partitions.
        pub partition_indexes: Vec<i32>; since(8),
    }

    /// The committed offsets.
    pub struct OffsetFetchResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(3) ignorable(),
        /// The topics of the one group.
        pub topics: Vec<OffsetFetchResponseTopic>; until(7),
        /// What is wrong with the one group.
        pub error_code: ErrorCode; since(2) until(7) ignorable(),
        /// The groups.
        pub groups: Vec<OffsetFetchResponseGroup>; since(8),
    }

    /// The offsets of one topic.
    pub struct OffsetFetchResponseTopic {
        /// The topic.
        pub name: Str; until(7),
        /// The partitions.
        pub partitions: Vec<OffsetFetchResponsePartition>; until(7),
    }

    /// The offset of one partition.
    pub struct OffsetFetchResponsePartition {
        /// The partition.
        pub partition_index: i32; until(7),
        /// The next offset to read, or -1 if none was committed.
        pub committed_offset: i64; until(7),
        /// The leader epoch that was committed, or -1.
        pub committed_leader_epoch: i32 = -1; since(5) until(7) ignorable(),
        /// The member's note.
        pub metadata: Option<Str>; until(7),
        /// What is wrong with this partition.
        pub error_code: ErrorCode; until(7),
    }

    /// The offsets of one group of several.
    pub struct OffsetFetchResponseGroup {
        /// The group.
        pub group_id: Str; since(8),
        /// Its topics.
        pub topics: Vec<OffsetFetchResponseTopics>; since(8),
        /// What is wrong with this group.
        pub error_code: ErrorCode; since(8),
    }

    /// The offsets of one topic of one group.
    pub struct OffsetFetchResponseTopics {
        /// The topic.
        pub name: Str; since(8),
        /// The partitions.
        pub partitions: Vec<OffsetFetchResponsePartitions>; since(8),
    }

    /// The offset of one partition of one group.
    pub struct OffsetFetchResponsePartitions {
        /// The partition.
        pub partition_index: i32; since(8),
        /// The next offset to read, or -1 if none was committed.
        pub committed_offset: i64; since(8),
        /// The leader epoch that was committed, or -1.
        pub committed_leader_epoch: i32 = -1; since(8) ignorable(),
        /// The member's note.
        pub metadata: Option<Str>; since(8),
        /// What is wrong with this partition.
        pub error_code: ErrorCode; since(8),
    }
}

impl Request for OffsetFetchRequest {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    type Response = OffsetFetchResponse;
}
