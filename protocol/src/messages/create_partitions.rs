//! CreatePartitions (key 37): adds partitions to topics (KIP-195).
//!
//! Versions 0–3, flexible from 2. 3 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Adds partitions to topics.
    pub struct CreatePartitionsRequest {
        /// The topics.
        pub topics: Vec<CreatePartitionsTopic>,
        /// How long to wait for the change to take effect, in ms.
        pub timeout_ms: i32,
        /// Whether to check only, and change nothing.
        pub validate_only: bool,
    }

    /// A topic to grow.
    pub struct CreatePartitionsTopic {
        /// The topic's name.
        pub name: Str,
        /// How many partitions the topic shall have in all.
        pub count: i32,
        /// Where the new partitions' replicas go; null to let the broker choose.
        pub assignments: Option<Vec<CreatePartitionsAssignment>>,
    }

    /// Where one new partition's replicas go.
    pub struct CreatePartitionsAssignment {
        /// The brokers to hold a replica, the preferred leader first.
        pub broker_ids: Vec<i32>,
    }

    /// What came of it.
    pub struct CreatePartitionsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The topics.
        pub results: Vec<CreatePartitionsTopicResult>,
    }

    /// The result for one topic.
    pub struct CreatePartitionsTopicResult {
        /// The topic's name.
        pub name: Str,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
    }
}

impl Request for CreatePartitionsRequest {
    const KEY: ApiKey = ApiKey::CreatePartitions;
    type Response = CreatePartitionsResponse;
}
