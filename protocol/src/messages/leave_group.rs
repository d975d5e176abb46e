//! LeaveGroup (key 13): members leave a classic group.
//!
//! Versions 0–5, flexible from 4. 3 removes many members at once, static ones too (KIP-345), 5 gives a reason
//! (KIP-800).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Removes members from the group.
    pub struct LeaveGroupRequest {
        /// The group.
        pub group_id: Str,
        /// The member; empty if it has no id yet.
        pub member_id: Str; until(2),
        /// The members that leave.
        pub members: Vec<MemberIdentity>; since(3),
    }

    /// A member that leaves.
    pub struct MemberIdentity {
        /// The member; empty if it has no id yet.
        pub member_id: Str,
        /// The name of a static member, or null.
        pub group_instance_id: Option<Str>,
        /// Why, for the broker's log.
        pub reason: Option<Str>; since(5) ignorable(),
    }

    /// What came of it.
    pub struct LeaveGroupResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The members.
        pub members: Vec<MemberResponse>; since(3),
    }

    /// The result for one member.
    pub struct MemberResponse {
        /// The member; empty if it has no id yet.
        pub member_id: Str,
        /// The name of a static member, or null.
        pub group_instance_id: Option<Str>,
        /// The error, or NONE.
        pub error_code: ErrorCode,
    }
}

impl Request for LeaveGroupRequest {
    const KEY: ApiKey = ApiKey::LeaveGroup;
    type Response = LeaveGroupResponse;
}
