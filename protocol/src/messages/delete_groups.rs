//! DeleteGroups (key 42): forgets groups that have no members, with their offsets (KIP-229).
//!
//! Versions 0–2, flexible from 2.

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Which groups.
    pub struct DeleteGroupsRequest {
        /// The groups.
        pub groups_names: Vec<Str>,
    }

    /// What came of it.
    pub struct DeleteGroupsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// One answer a group.
        pub results: Vec<DeletableGroupResult>,
    }

    /// What came of one group.
    pub struct DeletableGroupResult {
        /// The group.
        pub group_id: Str,
        /// Why it is still there.
        pub error_code: ErrorCode,
    }
}

impl Request for DeleteGroupsRequest {
    const KEY: ApiKey = ApiKey::DeleteGroups;
    type Response = DeleteGroupsResponse;
}
