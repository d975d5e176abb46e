//! Heartbeat (key 12): a member of a classic group is alive.
//!
//! Versions 0–4, flexible from 4. 3 knows static members (KIP-345).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Says that the member is alive.
    pub struct HeartbeatRequest {
        /// The group.
        pub group_id: Str,
        /// The generation of the group.
        pub generation_id: i32,
        /// The member; empty if it has no id yet.
        pub member_id: Str,
        /// The name of a static member, or null.
        pub group_instance_id: Option<Str>; since(3),
    }

    /// REBALANCE_IN_PROGRESS asks the member to join again.
    pub struct HeartbeatResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// The error, or NONE.
        pub error_code: ErrorCode,
    }
}

impl Request for HeartbeatRequest {
    const KEY: ApiKey = ApiKey::Heartbeat;
    type Response = HeartbeatResponse;
}
