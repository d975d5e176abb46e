//! DescribeGroups (key 15): the state and the members of classic groups.
//!
//! Versions 0–6, flexible from 5. 3 adds the authorized operations (KIP-430); 4 static members (KIP-345); 6 an error
//! message, and an unknown group is an error (KIP-1043).

use bytes::Bytes;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Which groups.
    pub struct DescribeGroupsRequest {
        /// The groups.
        pub groups: Vec<Str>,
        /// Whether to say what the caller may do with them.
        pub include_authorized_operations: bool; since(3),
    }

    /// The groups.
    pub struct DescribeGroupsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// One answer a group.
        pub groups: Vec<DescribedGroup>,
    }

    /// One group.
    pub struct DescribedGroup {
        /// What is wrong with it.
        pub error_code: ErrorCode,
        /// The same in words.
        pub error_message: Option<Str>; since(6) ignorable(),
        /// The group.
        pub group_id: Str,
        /// Its state, such as `Stable`, or empty.
        pub group_state: Str,
        /// The class of protocols, or empty.
        pub protocol_type: Str,
        /// The protocol that won the vote, or empty.
        pub protocol_data: Str,
        /// Its members.
        pub members: Vec<DescribedGroupMember>,
        /// What the caller may do, as a bit set; the least number when it was not asked.
        pub authorized_operations: i32 = i32::MIN; since(3) ignorable(),
    }

    /// One member.
    pub struct DescribedGroupMember {
        /// Its id.
        pub member_id: Str,
        /// The id that a static member chose for itself.
        pub group_instance_id: Option<Str>; since(4) ignorable(),
        /// What its client calls itself.
        pub client_id: Str,
        /// Where it connects from.
        pub client_host: Str,
        /// Its bytes for the protocol that won.
        pub member_metadata: Bytes,
        /// Its assignment.
        pub member_assignment: Bytes,
    }
}

impl Request for DescribeGroupsRequest {
    const KEY: ApiKey = ApiKey::DescribeGroups;
    type Response = DescribeGroupsResponse;
}
