//! OffsetDelete (key 47): forgets a group's offsets (KIP-496).
//!
//! Version 0, never flexible.

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Forgets committed offsets.
    pub struct OffsetDeleteRequest {
        /// The group.
        pub group_id: Str,
        /// The topics.
        pub topics: Vec<OffsetDeleteRequestTopic>,
    }

    /// The partitions of one topic.
    pub struct OffsetDeleteRequestTopic {
        /// The topic's name.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<OffsetDeleteRequestPartition>,
    }

    /// A partition to forget.
    pub struct OffsetDeleteRequestPartition {
        /// The partition.
        pub partition_index: i32,
    }

    /// What came of it.
    pub struct OffsetDeleteResponse {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The topics.
        pub topics: Vec<OffsetDeleteResponseTopic>,
    }

    /// The result for one topic.
    pub struct OffsetDeleteResponseTopic {
        /// The topic's name.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<OffsetDeleteResponsePartition>,
    }

    /// The result for one partition.
    pub struct OffsetDeleteResponsePartition {
        /// The partition.
        pub partition_index: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
    }
}

impl Request for OffsetDeleteRequest {
    const KEY: ApiKey = ApiKey::OffsetDelete;
    type Response = OffsetDeleteResponse;
}
