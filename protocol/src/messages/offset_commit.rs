//! OffsetCommit (key 8): stores how far a group has read.
//!
//! Versions 2–10, flexible from 8. Up to 4 the client chose the retention; 6 brings the leader epoch
//! (KIP-320), 7 static members (KIP-345), 9 members of consumer groups (KIP-848). From 10 on a topic goes by its id
//! alone: whoever sends that version needs the id, whoever answers it gives the id back.

use uuid::Uuid;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Commits offsets.
    pub struct OffsetCommitRequest {
        /// The group.
        pub group_id: Str,
        /// The generation of a classic group, the member epoch of a consumer group, or -1 outside group membership.
        pub generation_id_or_member_epoch: i32 = -1,
        /// The member; empty if it has no id yet.
        pub member_id: Str,
        /// The name of a static member, or null.
        pub group_instance_id: Option<Str>; since(7),
        /// How long to keep the offsets, in ms, or -1.
        pub retention_time_ms: i64 = -1; until(4) ignorable(),
        /// The topics.
        pub topics: Vec<OffsetCommitRequestTopic>,
    }

    /// The offsets in one topic.
    pub struct OffsetCommitRequestTopic {
        /// The topic's name; empty where the id stands for it.
        pub name: Str; until(9) ignorable(),
        /// The topic's id.
        pub topic_id: Uuid; since(10) ignorable(),
        /// The partitions.
        pub partitions: Vec<OffsetCommitRequestPartition>,
    }

    /// The offset in one partition.
    pub struct OffsetCommitRequestPartition {
        /// The partition.
        pub partition_index: i32,
        /// The next offset to read.
        pub committed_offset: i64,
        /// The leader epoch of the last record read, or -1.
        pub committed_leader_epoch: i32 = -1; since(6) ignorable(),
        /// A note to keep with the offset.
        pub committed_metadata: Option<Str>,
    }

    /// What came of it.
    pub struct OffsetCommitResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(3) ignorable(),
        /// The topics.
        pub topics: Vec<OffsetCommitResponseTopic>,
    }

    /// The result for one topic.
    pub struct OffsetCommitResponseTopic {
        /// The topic's name; empty where the id stands for it.
        pub name: Str; until(9) ignorable(),
        /// The topic's id.
        pub topic_id: Uuid; since(10) ignorable(),
        /// The partitions.
        pub partitions: Vec<OffsetCommitResponsePartition>,
    }

    /// The result for one partition.
    pub struct OffsetCommitResponsePartition {
        /// The partition.
        pub partition_index: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
    }
}

impl Request for OffsetCommitRequest {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    type Response = OffsetCommitResponse;
}
