//! ConsumerGroupDescribe (key 69): the state, members and assignments of consumer groups (KIP-848).
//!
//! Versions 0–1, flexible from 0. 1 tells members that still speak the classic protocol from others (KIP-1099).

use uuid::Uuid;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks about groups.
    pub struct ConsumerGroupDescribeRequest {
        /// The groups.
        pub group_ids: Vec<Str>,
        /// Whether to answer what the client may do with each.
        pub include_authorized_operations: bool,
    }

    /// The groups.
    pub struct ConsumerGroupDescribeResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The groups, one per id.
        pub groups: Vec<DescribedGroup>,
    }

    /// A group.
    pub struct DescribedGroup {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
        /// The group.
        pub group_id: Str,
        /// The group's state, or the empty text.
        pub group_state: Str,
        /// The group's epoch.
        pub group_epoch: i32,
        /// The epoch of the group's target assignment.
        pub assignment_epoch: i32,
        /// The assignor in use.
        pub assignor_name: Str,
        /// The members.
        pub members: Vec<Member>,
        /// A bit per operation that the client may do with the group; `i32::MIN` when not asked for.
        pub authorized_operations: i32 = i32::MIN,
    }

    /// A member.
    pub struct Member {
        /// The member.
        pub member_id: Str,
        /// The name of a static member, or null.
        pub instance_id: Option<Str>,
        /// The member's rack, or null.
        pub rack_id: Option<Str>,
        /// The member's epoch.
        pub member_epoch: i32,
        /// What the client calls itself.
        pub client_id: Str,
        /// Where the client connects from.
        pub client_host: Str,
        /// The topics that it subscribes to by name.
        pub subscribed_topic_names: Vec<Str>,
        /// The regular expression that it subscribes by, or null.
        pub subscribed_topic_regex: Option<Str>,
        /// What it is assigned now.
        pub assignment: Assignment,
        /// What it is to be assigned in the end.
        pub target_assignment: Assignment,
        /// -1 unknown, 0 speaks the classic protocol, 1 the consumer protocol.
        pub member_type: i8 = -1; since(1) ignorable(),
    }

    /// The partitions of one member.
    pub struct Assignment {
        /// The partitions by topic.
        pub topic_partitions: Vec<TopicPartitions>,
    }

    /// Partitions of one topic.
    pub struct TopicPartitions {
        /// The topic's id.
        pub topic_id: Uuid,
        /// The topic's name.
        pub topic_name: Str,
        /// The partitions.
        pub partitions: Vec<i32>,
    }
}

impl Request for ConsumerGroupDescribeRequest {
    const KEY: ApiKey = ApiKey::ConsumerGroupDescribe;
    type Response = ConsumerGroupDescribeResponse;
}
