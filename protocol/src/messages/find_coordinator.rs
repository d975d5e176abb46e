//! FindCoordinator (key 10): which broker coordinates a consumer group, a transactional id or a share group.
//!
//! Versions 0–4, flexible from 3. 1 adds the key type; 4 asks for many keys at once (KIP-699).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for the coordinator of one key, or from version 4 of several.
    pub struct FindCoordinatorRequest {
        /// The one key.
        pub key: Str; until(3),
        /// 0 for a group, 1 for a transactional id.
        pub key_type: i8; since(1),
        /// The keys.
        pub coordinator_keys: Vec<Str>; since(4),
    }

    /// Where the coordinator is.
    pub struct FindCoordinatorResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// Why there is no coordinator.
        pub error_code: ErrorCode; until(3) ignorable(),
        /// The same in words.
        pub error_message: Option<Str>; since(1) until(3) ignorable(),
        /// The coordinator's broker id.
        pub node_id: i32; until(3) ignorable(),
        /// Its host.
        pub host: Str; until(3) ignorable(),
        /// Its port.
        pub port: i32; until(3) ignorable(),
        /// One answer a key.
        pub coordinators: Vec<Coordinator>; since(4) ignorable(),
    }

    /// The coordinator of one key.
    pub struct Coordinator {
        /// The key that was asked for.
        pub key: Str; since(4),
        /// The coordinator's broker id.
        pub node_id: i32; since(4),
        /// Its host.
        pub host: Str; since(4),
        /// Its port.
        pub port: i32; since(4),
        /// Why there is no coordinator.
        pub error_code: ErrorCode; since(4),
        /// The same in words.
        pub error_message: Option<Str>; since(4),
    }
}

impl Request for FindCoordinatorRequest {
    const KEY: ApiKey = ApiKey::FindCoordinator;
    type Response = FindCoordinatorResponse;
}
