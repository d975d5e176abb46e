//! DeleteRecords (key 21): moves the start of partitions' logs forward (KIP-107).
//!
//! Versions 0–2, flexible from 2.

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Moves log starts forward.
    pub struct DeleteRecordsRequest {
        /// The topics.
        pub topics: Vec<DeleteRecordsTopic>,
        /// How long to wait for the change to take effect, in ms.
        pub timeout_ms: i32,
    }

    /// The partitions of one topic.
    pub struct DeleteRecordsTopic {
        /// The topic's name.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<DeleteRecordsPartition>,
    }

    /// How far to delete in one partition.
    pub struct DeleteRecordsPartition {
        /// The partition.
        pub partition_index: i32,
        /// The new first offset; -1 for the high watermark.
        pub offset: i64,
    }

    /// What came of it.
    pub struct DeleteRecordsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The topics.
        pub topics: Vec<DeleteRecordsTopicResult>,
    }

    /// The result for one topic.
    pub struct DeleteRecordsTopicResult {
        /// The topic's name.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<DeleteRecordsPartitionResult>,
    }

    /// The result for one partition.
    pub struct DeleteRecordsPartitionResult {
        /// The partition.
        pub partition_index: i32,
        /// The least log start offset of the replicas, or -1 after an error.
        pub low_watermark: i64,
        /// The error, or NONE.
        pub error_code: ErrorCode,
    }
}

impl Request for DeleteRecordsRequest {
    const KEY: ApiKey = ApiKey::DeleteRecords;
    type Response = DeleteRecordsResponse;
}
