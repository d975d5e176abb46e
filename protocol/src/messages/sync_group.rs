//! SyncGroup (key 14): the leader hands in the assignment, every member takes its own.
//!
//! Versions 0–5, flexible from 4. 3 brings static members (KIP-345); 5 names the protocol (KIP-559).

use bytes::Bytes;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// A member that waits for its assignment; the leader brings all of them.
    pub struct SyncGroupRequest {
        /// The group.
        pub group_id: Str,
        /// The member's generation.
        pub generation_id: i32,
        /// The member.
        pub member_id: Str,
        /// The id that a static member chose for itself.
        pub group_instance_id: Option<Str>; since(3),
        /// The class of protocols.
        pub protocol_type: Option<Str>; since(5) ignorable(),
        /// The protocol that won the vote.
        pub protocol_name: Option<Str>; since(5) ignorable(),
        /// Everybody's assignment, from the leader only.
        pub assignments: Vec<SyncGroupRequestAssignment>,
    }

    /// One member's assignment.
    pub struct SyncGroupRequestAssignment {
        /// The member.
        pub member_id: Str,
        /// Its bytes: the coordinator passes them on unread.
        pub assignment: Bytes,
    }

    /// The member's own assignment.
    pub struct SyncGroupResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// Why there is none.
        pub error_code: ErrorCode,
        /// The class of protocols.
        pub protocol_type: Option<Str>; since(5) ignorable(),
        /// The protocol that won the vote.
        pub protocol_name: Option<Str>; since(5) ignorable(),
        /// The leader's bytes for this member.
        pub assignment: Bytes,
    }
}

impl Request for SyncGroupRequest {
    const KEY: ApiKey = ApiKey::SyncGroup;
    type Response = SyncGroupResponse;
}
