//! DescribeLogDirs (key 35): how large the replicas in each log directory are (KIP-113).
//!
//! Versions 1–4, flexible from 2. 3 brings a top-level error, 4 the size of the volume (KIP-827).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks what the log directories hold.
    pub struct DescribeLogDirsRequest {
        /// The topics, or null for all.
        pub topics: Option<Vec<DescribableLogDirTopic>>,
    }

    /// The partitions of one topic.
    pub struct DescribableLogDirTopic {
        /// The topic's name.
        pub topic: Str,
        /// The partitions.
        pub partitions: Vec<i32>,
    }

    /// What the log directories hold.
    pub struct DescribeLogDirsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode; since(3) ignorable(),
        /// The log directories.
        pub results: Vec<DescribeLogDirsResult>,
    }

    /// One log directory.
    pub struct DescribeLogDirsResult {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The absolute path.
        pub log_dir: Str,
        /// The topics.
        pub topics: Vec<DescribeLogDirsTopic>,
        /// The size of the volume in bytes, or -1.
        pub total_bytes: i64 = -1; since(4) ignorable(),
        /// The free part of the volume in bytes, or -1.
        pub usable_bytes: i64 = -1; since(4) ignorable(),
    }

    /// The replicas of one topic in the directory.
    pub struct DescribeLogDirsTopic {
        /// The topic's name.
        pub name: Str,
        /// The replicas.
        pub partitions: Vec<DescribeLogDirsPartition>,
    }

    /// A replica in the directory.
    pub struct DescribeLogDirsPartition {
        /// The partition.
        pub partition_index: i32,
        /// The size of the segments in bytes.
        pub partition_size: i64,
        /// How many records the replica is behind.
        pub offset_lag: i64,
        /// Whether the replica is still being copied to this directory.
        pub is_future_key: bool,
    }
}

impl Request for DescribeLogDirsRequest {
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    type Response = DescribeLogDirsResponse;
}
