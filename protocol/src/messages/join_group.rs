//! JoinGroup (key 11): a member joins a classic group, or joins it again.
//!
//! Versions 0–9, flexible from 6. 1 brings the rebalance timeout (KIP-62), 4 the two-step member id
//! (KIP-394), 5 static members (KIP-345), 7 the chosen protocol type (KIP-559), 8 a reason (KIP-800), 9 lets
//! the leader skip the assignment (KIP-814).

use bytes::Bytes;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Joins a group.
    pub struct JoinGroupRequest {
        /// The group.
        pub group_id: Str,
        /// How long the member may be silent before it counts as dead, in ms.
        pub session_timeout_ms: i32,
        /// How long a rebalance waits for the member, in ms; -1 for the session timeout.
        pub rebalance_timeout_ms: i32 = -1; since(1) ignorable(),
        /// The member; empty if it has no id yet.
        pub member_id: Str,
        /// The name of a static member, or null.
        pub group_instance_id: Option<Str>; since(5),
        /// What kind of group it is: `consumer`, `connect` and so on.
        pub protocol_type: Str,
        /// The protocols that the member speaks.
        pub protocols: Vec<JoinGroupRequestProtocol>,
        /// Why, for the broker's log.
        pub reason: Option<Str>; since(8) ignorable(),
    }

    /// A protocol that the member speaks, in its order of preference.
    pub struct JoinGroupRequestProtocol {
        /// The name of the protocol.
        pub name: Str,
        /// What the member tells the leader, such as its subscription.
        pub metadata: Bytes,
    }

    /// The new generation of the group.
    pub struct JoinGroupResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(2) ignorable(),
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The generation of the group, or -1 after an error.
        pub generation_id: i32 = -1,
        /// What kind of group it is: `consumer`, `connect` and so on.
        pub protocol_type: Option<Str>; since(7) ignorable(),
        /// The protocol that the group has chosen; before version 7 empty instead of null.
        pub protocol_name: Option<Str>; nullable(7),
        /// The member that makes the assignment.
        pub leader: Str,
        /// Whether the leader must not make a new assignment.
        pub skip_assignment: bool; since(9),
        /// The id that the broker gives the member.
        pub member_id: Str,
        /// The members, for the leader; empty for the others.
        pub members: Vec<JoinGroupResponseMember>,
    }

    /// A member, told to the leader only.
    pub struct JoinGroupResponseMember {
        /// The member; empty if it has no id yet.
        pub member_id: Str,
        /// The name of a static member, or null.
        pub group_instance_id: Option<Str>; since(5) ignorable(),
        /// What the member tells the leader.
        pub metadata: Bytes,
    }
}

impl Request for JoinGroupRequest {
    const KEY: ApiKey = ApiKey::JoinGroup;
    type Response = JoinGroupResponse;
}
