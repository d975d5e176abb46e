//! Heartbeat (key 12): a member of a classic group shows that it lives, and learns of a rebalance.
//!
//! Versions 0–4, flexible from 4. 3 brings static members (KIP-345).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// A sign of life.
    pub struct HeartbeatRequest {
        /// The group.
        pub group_id: Str,
        /// The member's generation.
        pub generation_id: i32,
        /// The member.
        pub member_id: Str,
        /// The id that a static member chose for itself.
        pub group_instance_id: Option<Str>; since(3),
    }

    /// Whether the generation still stands.
    pub struct HeartbeatResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// REBALANCE_IN_PROGRESS when the member is to join again.
        pub error_code: ErrorCode,
    }
}

impl Request for HeartbeatRequest {
    const KEY: ApiKey = ApiKey::Heartbeat;
    type Response = HeartbeatResponse;
}
