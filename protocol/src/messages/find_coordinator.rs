//! FindCoordinator (key 10): which broker coordinates a group or a transactional id.
//!
//! Versions 0–6, flexible from 3. 1 asks for transactional ids too (KIP-98), 4 for many keys at once
//! (KIP-699), 5 may answer TRANSACTION_ABORTABLE (KIP-890), 6 asks for share groups (KIP-932).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks who coordinates.
    pub struct FindCoordinatorRequest {
        /// The group or transactional id.
        pub key: Str; until(3),
        /// 0 group, 1 transactional id, 2 share group.
        pub key_type: i8; since(1),
        /// The groups or transactional ids; for a share group `group:topic id:partition`.
        pub coordinator_keys: Vec<Str>; since(4),
    }

    /// Who coordinates.
    pub struct FindCoordinatorResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// The error, or NONE.
        pub error_code: ErrorCode; until(3),
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>; since(1) until(3) ignorable(),
        /// The broker, or -1 after an error.
        pub node_id: i32; until(3),
        /// The host name or address that clients dial.
        pub host: Str; until(3),
        /// The port that clients dial.
        pub port: i32; until(3),
        /// The coordinators, one per key.
        pub coordinators: Vec<Coordinator>; since(4),
    }

    /// The coordinator of one key.
    pub struct Coordinator {
        /// The group or transactional id.
        pub key: Str,
        /// The broker, or -1 after an error.
        pub node_id: i32,
        /// The host name or address that clients dial.
        pub host: Str,
        /// The port that clients dial.
        pub port: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
    }
}

impl Request for FindCoordinatorRequest {
    const KEY: ApiKey = ApiKey::FindCoordinator;
    type Response = FindCoordinatorResponse;
}
