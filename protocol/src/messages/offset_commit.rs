//! OffsetCommit (key 8): a group remembers up to where it has read.
//!
//! Versions 2–8, flexible from 8. 6 adds the leader epoch (KIP-320); 7 static members (KIP-345). 5 dropped the
//! retention time, which the broker's `offsets.retention.minutes` replaced (KIP-211).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// What to remember.
    pub struct OffsetCommitRequest {
        /// The group.
        pub group_id: Str,
        /// The member's generation, or -1 outside any.
        pub generation_id_or_member_epoch: i32 = -1; since(1) ignorable(),
        /// The member.
        pub member_id: Str; since(1) ignorable(),
        /// The id that a static member chose for itself.
        pub group_instance_id: Option<Str>; since(7),
        /// How long to remember, in ms; -1 for the broker's rule.
        pub retention_time_ms: i64 = -1; since(2) until(4) ignorable(),
        /// The topics.
        pub topics: Vec<OffsetCommitRequestTopic>,
    }

    /// The offsets of one topic.
    pub struct OffsetCommitRequestTopic {
        /// The topic.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<OffsetCommitRequestPartition>,
    }

    /// The offset of one partition.
    pub struct OffsetCommitRequestPartition {
        /// The partition.
        pub partition_index: i32,
        /// The next offset to read.
        pub committed_offset: i64,
        /// The leader epoch of the last record read, or -1.
        pub committed_leader_epoch: i32 = -1; since(6) ignorable(),
        /// The member's note, given back as it is.
        pub committed_metadata: Option<Str>,
    }

    /// What came of it.
    pub struct OffsetCommitResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(3) ignorable(),
        /// The topics.
        pub topics: Vec<OffsetCommitResponseTopic>,
    }

    /// What came of one topic.
    pub struct OffsetCommitResponseTopic {
        /// The topic.
        pub name: Str,
        /// The partitions.
        pub partitions: Vec<OffsetCommitResponsePartition>,
    }

    /// What came of one partition.
    pub struct OffsetCommitResponsePartition {
        /// The partition.
        pub partition_index: i32,
        /// Why it was not committed.
        pub error_code: ErrorCode,
    }
}

impl Request for OffsetCommitRequest {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    type Response = OffsetCommitResponse;
}
