//! ListGroups (key 16): the groups that a broker coordinates.
//!
//! Versions 0–5, flexible from 3. 4 filters by state (KIP-518), 5 by type (KIP-848).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Which groups; an empty filter passes all.
    pub struct ListGroupsRequest {
        /// States, such as `Stable`.
        pub states_filter: Vec<Str>; since(4),
        /// Types, such as `classic`.
        pub types_filter: Vec<Str>; since(5),
    }

    /// The groups.
    pub struct ListGroupsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// What is wrong with the request.
        pub error_code: ErrorCode,
        /// The groups.
        pub groups: Vec<ListedGroup>,
    }

    /// One group.
    pub struct ListedGroup {
        /// The group.
        pub group_id: Str,
        /// The class of protocols, or empty.
        pub protocol_type: Str,
        /// Its state.
        pub group_state: Str; since(4) ignorable(),
        /// Its type.
        pub group_type: Str; since(5) ignorable(),
    }
}

impl Request for ListGroupsRequest {
    const KEY: ApiKey = ApiKey::ListGroups;
    type Response = ListGroupsResponse;
}
