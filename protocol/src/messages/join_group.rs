//! JoinGroup (key 11): a member asks to be in a group's next generation, and waits for it to form.
//!
//! Versions 0–9, flexible from 6. 1 separates the rebalance timeout; 4 gives the member id first (KIP-394); 5 brings
//! static members (KIP-345); 8 a reason (KIP-800); 9 lets a leader skip the assignment (KIP-814).

use bytes::Bytes;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// A member that wants in, or wants in again.
    pub struct JoinGroupRequest {
        /// The group.
        pub group_id: Str,
        /// The member is dead when it has been silent for so long, in ms.
        pub session_timeout_ms: i32,
        /// How long the group waits for it in a rebalance, in ms; version 0 takes the session timeout.
        pub rebalance_timeout_ms: i32 = -1; since(1) ignorable(),
        /// The id the coordinator gave it, or empty.
        pub member_id: Str,
        /// The id that a static member chose for itself.
        pub group_instance_id: Option<Str>; since(5),
        /// The class of protocols, such as `consumer`.
        pub protocol_type: Str,
        /// What the member supports, most preferred first.
        pub protocols: Vec<JoinGroupRequestProtocol>,
        /// Why it joins, in words.
        pub reason: Option<Str>; since(8) ignorable(),
    }

    /// One protocol that a member supports.
    pub struct JoinGroupRequestProtocol {
        /// Its name, such as `range`.
        pub name: Str,
        /// The member's bytes for it: the coordinator passes them on unread.
        pub metadata: Bytes,
    }

    /// The generation that formed.
    pub struct JoinGroupResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(2) ignorable(),
        /// Why it is not in.
        pub error_code: ErrorCode,
        /// The generation.
        pub generation_id: i32 = -1,
        /// The class of protocols.
        pub protocol_type: Option<Str>; since(7) ignorable(),
        /// The protocol that won the vote.
        pub protocol_name: Option<Str>; nullable(7),
        /// The member id of the leader.
        pub leader: Str,
        /// Whether the leader need not assign.
        pub skip_assignment: bool; since(9),
        /// The id of the member that is answered.
        pub member_id: Str,
        /// All members, told to the leader only.
        pub members: Vec<JoinGroupResponseMember>,
    }

    /// One member of the generation.
    pub struct JoinGroupResponseMember {
        /// Its id.
        pub member_id: Str,
        /// The id that a static member chose for itself.
        pub group_instance_id: Option<Str>; since(5) ignorable(),
        /// Its bytes for the protocol that won.
        pub metadata: Bytes,
    }
}

impl Request for JoinGroupRequest {
    const KEY: ApiKey = ApiKey::JoinGroup;
    type Response = JoinGroupResponse;
}
