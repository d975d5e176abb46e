//! LeaveGroup (key 13): members leave a classic group without waiting for their session to expire.
//!
//! Versions 0–5, flexible from 4. 3 lets many leave at once (KIP-345); 5 adds a reason (KIP-800).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Who leaves.
    pub struct LeaveGroupRequest {
        /// The group.
        pub group_id: Str,
        /// The one member.
        pub member_id: Str; until(2),
        /// The members.
        pub members: Vec<MemberIdentity>; since(3),
    }

    /// A member that leaves.
    pub struct MemberIdentity {
        /// Its id.
        pub member_id: Str; since(3),
        /// The id that a static member chose for itself.
        pub group_instance_id: Option<Str>; since(3),
        /// Why it leaves, in words.
        pub reason: Option<Str>; since(5) ignorable(),
    }

    /// What came of it.
    pub struct LeaveGroupResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// What is wrong with the whole request.
        pub error_code: ErrorCode,
        /// One answer a member.
        pub members: Vec<MemberResponse>; since(3),
    }

    /// What came of one member's leaving.
    pub struct MemberResponse {
        /// Its id.
        pub member_id: Str; since(3),
        /// The id that a static member chose for itself.
        pub group_instance_id: Option<Str>; since(3),
        /// Why it could not leave.
        pub error_code: ErrorCode; since(3),
    }
}

impl Request for LeaveGroupRequest {
    const KEY: ApiKey = ApiKey::LeaveGroup;
    type Response = LeaveGroupResponse;
}
