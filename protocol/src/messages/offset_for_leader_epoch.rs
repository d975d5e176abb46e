//! OffsetForLeaderEpoch (key 23): where a leader epoch ends in the leader's log, so that a reader finds where
//! its own diverges (KIP-101, KIP-320).
//!
//! Versions 2–4, flexible from 4. 2 lets the leader check the asker's epoch, 3 says which follower asks
//! (KIP-392).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks where leader epochs end.
    pub struct OffsetForLeaderEpochRequest {
        /// The follower that asks, -1 for a client, -2 when not said.
        pub replica_id: i32 = -2; since(3) ignorable(),
        /// The topics.
        pub topics: Vec<OffsetForLeaderTopic>,
    }

    /// The partitions of one topic.
    pub struct OffsetForLeaderTopic {
        /// The topic's name.
        pub topic: Str,
        /// The partitions.
        pub partitions: Vec<OffsetForLeaderPartition>,
    }

    /// The epoch to look up in one partition.
    pub struct OffsetForLeaderPartition {
        /// The partition.
        pub partition: i32,
        /// The leader epoch that the client knows, to be checked by the leader; -1 to skip the check.
        pub current_leader_epoch: i32 = -1,
        /// The epoch to look up.
        pub leader_epoch: i32,
    }

    /// Where the epochs end.
    pub struct OffsetForLeaderEpochResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The topics.
        pub topics: Vec<OffsetForLeaderTopicResult>,
    }

    /// The result for one topic.
    pub struct OffsetForLeaderTopicResult {
        /// The topic's name.
        pub topic: Str,
        /// The partitions.
        pub partitions: Vec<EpochEndOffset>,
    }

    /// A leader epoch and where it ends.
    pub struct EpochEndOffset {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The partition.
        pub partition: i32,
        /// The greatest epoch at or below the one asked for, or -1.
        pub leader_epoch: i32 = -1,
        /// Where the epoch ends, exclusive, or -1.
        pub end_offset: i64 = -1,
    }
}

impl Request for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    type Response = OffsetForLeaderEpochResponse;
}
