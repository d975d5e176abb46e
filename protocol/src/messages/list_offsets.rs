//! ListOffsets (key 2): the offset at a time, or at either end of a partition.
//!
//! Versions 1–7, flexible from 6. 1 answers with one offset, 2 brings isolation levels (KIP-98), 4 leader
//! epochs (KIP-320), 7 the offset of the greatest timestamp (KIP-734). The timestamps -1, -2 and -3 ask for
//! latest, earliest and the greatest timestamp.

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for offsets by time.
    pub struct ListOffsetsRequest {
        /// The follower that asks, or -1 for a client.
        pub replica_id: i32,
        /// 0 reads everything, 1 only what is committed.
        pub isolation_level: i8; since(2),
        /// The topics.
        pub topics: Vec<ListOffsetsTopic>,
    }

    /// The partitions of one topic.
    pub struct ListOffsetsTopic {
        /// The topic's name.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<ListOffsetsPartition>,
    }

    /// What to look for in one partition.
    pub struct ListOffsetsPartition {
        /// The partition.
        pub partition_index: i32,
        /// The leader epoch that the client knows, to be checked by the leader; -1 to skip the check.
        pub current_leader_epoch: i32 = -1; since(4) ignorable(),
        /// The time in ms since the epoch, or -1, -2, -3 (see above).
        pub timestamp: i64,
    }

    /// The offsets.
    pub struct ListOffsetsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(2) ignorable(),
        /// The topics.
        pub topics: Vec<ListOffsetsTopicResponse>,
    }

    /// The offsets in one topic.
    pub struct ListOffsetsTopicResponse {
        /// The topic's name.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<ListOffsetsPartitionResponse>,
    }

    /// The offset in one partition.
    pub struct ListOffsetsPartitionResponse {
        /// The partition.
        pub partition_index: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The timestamp of the record at the offset, or -1.
        pub timestamp: i64 = -1,
        /// The offset, or -1 when there is none.
        pub offset: i64 = -1,
        /// The leader epoch of the record at the offset, or -1.
        pub leader_epoch: i32 = -1; since(4),
    }
}

impl Request for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    type Response = ListOffsetsResponse;
}
