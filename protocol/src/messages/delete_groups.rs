//! DeleteGroups (key 42): deletes empty groups (KIP-229).
//!
//! Versions 0–2, flexible from 2.

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Deletes groups.
    pub struct DeleteGroupsRequest {
        /// The groups.
        pub groups_names: Vec<Str>,
    }

    /// What came of it.
    pub struct DeleteGroupsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The groups.
        pub results: Vec<DeletableGroupResult>,
    }

    /// The result for one group.
    pub struct DeletableGroupResult {
        /// The group.
        pub group_id: Str,
        /// The error, or NONE.
        pub error_code: ErrorCode,
    }
}

impl Request for DeleteGroupsRequest {
    const KEY: ApiKey = ApiKey::DeleteGroups;
    type Response = DeleteGroupsResponse;
}
