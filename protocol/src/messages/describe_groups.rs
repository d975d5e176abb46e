//! DescribeGroups (key 15): the state and the members of classic groups.
//!
//! Versions 0–6, flexible from 5. 3 brings the authorized operations (KIP-430), 4 static members (KIP-345), 6
//! GROUP_ID_NOT_FOUND with a message (KIP-1043).

use bytes::Bytes;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for the state of groups.
    pub struct DescribeGroupsRequest {
        /// The groups.
        pub groups: Vec<Str>,
        /// Whether to tell what the client may do with the groups.
        pub include_authorized_operations: bool; since(3),
    }

    /// The state of groups.
    pub struct DescribeGroupsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// The groups.
        pub groups: Vec<DescribedGroup>,
    }

    /// A group.
    pub struct DescribedGroup {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>; since(6),
        /// The group.
        pub group_id: Str,
        /// The state by Kafka's name: `Stable`, `Empty`, `PreparingRebalance` and so on.
        pub group_state: Str,
        /// What kind of group it is: `consumer`, `connect` and so on.
        pub protocol_type: Str,
        /// The protocol that the group has chosen, or empty.
        pub protocol_data: Str,
        /// The members.
        pub members: Vec<DescribedGroupMember>,
        /// A bit per operation that the client may do with the group; `i32::MIN` when not asked for.
        pub authorized_operations: i32 = i32::MIN; since(3),
    }

    /// A member.
    pub struct DescribedGroupMember {
        /// The member; empty if it has no id yet.
        pub member_id: Str,
        /// The name of a static member, or null.
        pub group_instance_id: Option<Str>; since(4) ignorable(),
        /// What the member's client calls itself.
        pub client_id: Str,
        /// The address of the member's client.
        pub client_host: Str,
        /// What the member told the leader.
        pub member_metadata: Bytes,
        /// What the member is to do.
        pub member_assignment: Bytes,
    }
}

impl Request for DescribeGroupsRequest {
    const KEY: ApiKey = ApiKey::DescribeGroups;
    type Response = DescribeGroupsResponse;
}
