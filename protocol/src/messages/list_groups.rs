//! ListGroups (key 16): the groups that a broker coordinates.
//!
//! Versions 0–5, flexible from 3. 4 filters by state (KIP-518), 5 by type (KIP-848).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for the groups of this broker.
    pub struct ListGroupsRequest {
        /// The states to list; empty for all.
        pub states_filter: Vec<Str>; since(4),
        /// The types to list; empty for all.
        pub types_filter: Vec<Str>; since(5),
    }

    /// The groups of this broker.
    pub struct ListGroupsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The groups.
        pub groups: Vec<ListedGroup>,
    }

    /// A group.
    pub struct ListedGroup {
        /// The group.
        pub group_id: Str,
        /// What kind of group it is: `consumer`, `connect` and so on.
        pub protocol_type: Str,
        /// The state by Kafka's name.
        pub group_state: Str; since(4) ignorable(),
        /// The type: `classic`, `consumer`, `share` and so on.
        pub group_type: Str; since(5) ignorable(),
    }
}

impl Request for ListGroupsRequest {
    const KEY: ApiKey = ApiKey::ListGroups;
    type Response = ListGroupsResponse;
}
