//! SyncGroup (key 14): the leader of a classic group hands in the assignment, and each member takes its part.
//!
//! Versions 0–5, flexible from 4. 3 knows static members (KIP-345), 5 checks the protocol (KIP-559).

use bytes::Bytes;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Hands in or asks for the assignment.
    pub struct SyncGroupRequest {
        /// The group.
        pub group_id: Str,
        /// The generation of the group.
        pub generation_id: i32,
        /// The member; empty if it has no id yet.
        pub member_id: Str,
        /// The name of a static member, or null.
        pub group_instance_id: Option<Str>; since(3),
        /// What kind of group it is: `consumer`, `connect` and so on.
        pub protocol_type: Option<Str>; since(5) ignorable(),
        /// The protocol that the group has chosen.
        pub protocol_name: Option<Str>; since(5) ignorable(),
        /// The assignment, from the leader; empty from the others.
        pub assignments: Vec<SyncGroupRequestAssignment>,
    }

    /// What one member is to do.
    pub struct SyncGroupRequestAssignment {
        /// The member; empty if it has no id yet.
        pub member_id: Str,
        /// What the member is to do.
        pub assignment: Bytes,
    }

    /// The member's part of the assignment.
    pub struct SyncGroupResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What kind of group it is: `consumer`, `connect` and so on.
        pub protocol_type: Option<Str>; since(5) ignorable(),
        /// The protocol that the group has chosen.
        pub protocol_name: Option<Str>; since(5) ignorable(),
        /// What the member is to do.
        pub assignment: Bytes,
    }
}

impl Request for SyncGroupRequest {
    const KEY: ApiKey = ApiKey::SyncGroup;
    type Response = SyncGroupResponse;
}
