//! OffsetDelete (key 47): forgets a group's offsets for topics it no longer subscribes to (KIP-496).
//!
//! Version 0, never flexible.

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// What to forget.
    pub struct OffsetDeleteRequest {
        /// The group.
        pub group_id: Str,
        /// The topics.
        pub topics: Vec<OffsetDeleteRequestTopic>,
    }

    /// The partitions of one topic.
    pub struct OffsetDeleteRequestTopic {
        /// The topic.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<OffsetDeleteRequestPartition>,
    }

    /// One partition.
    pub struct OffsetDeleteRequestPartition {
        /// The partition.
        pub partition_index: i32,
    }

    /// What came of it.
    pub struct OffsetDeleteResponse {
        /// What is wrong with the whole request.
        pub error_code: ErrorCode,
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; ignorable(),
        /// The topics.
        pub topics: Vec<OffsetDeleteResponseTopic>,
    }

    /// What came of one topic.
    pub struct OffsetDeleteResponseTopic {
        /// The topic.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<OffsetDeleteResponsePartition>,
    }

    /// What came of one partition.
    pub struct OffsetDeleteResponsePartition {
        /// The partition.
        pub partition_index: i32,
        /// Why its offset is still there.
        pub error_code: ErrorCode,
    }
}

impl Request for OffsetDeleteRequest {
    const KEY: ApiKey = ApiKey::OffsetDelete;
    type Response = OffsetDeleteResponse;
}
