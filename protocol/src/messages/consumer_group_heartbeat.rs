//! ConsumerGroupHeartbeat (key 68): how a member of a consumer group joins, stays, is assigned and leaves (KIP-848).
//!
//! Versions 0–1, flexible from 0. From 1 on the member makes its own id (KIP-1082) and may subscribe by a regular
//! expression. After the first heartbeat a field that is null, or a timeout of -1, means that nothing changed.

use uuid::Uuid;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// A sign of life, with what changed since the last one.
    pub struct ConsumerGroupHeartbeatRequest {
        /// The group.
        pub group_id: Str,
        /// The member. It keeps its id as long as it lives.
        pub member_id: Str,
        /// The member's epoch; 0 to join, -1 to leave, -2 for a static member that will come back.
        pub member_epoch: i32,
        /// The name of a static member, or null.
        pub instance_id: Option<Str>,
        /// The member's rack, or null.
        pub rack_id: Option<Str>,
        /// How long the coordinator waits for the member to give partitions back, in ms, or -1.
        pub rebalance_timeout_ms: i32 = -1,
        /// The topics by name, or null.
        pub subscribed_topic_names: Option<Vec<Str>>,
        /// The topics by a regular expression, or null.
        pub subscribed_topic_regex: Option<Str>; since(1),
        /// The broker's assignor to use, or null.
        pub server_assignor: Option<Str>,
        /// What the member owns, or null.
        pub topic_partitions: Option<Vec<TopicPartitions>>,
    }

    /// Partitions of one topic.
    pub struct TopicPartitions {
        /// The topic's id.
        pub topic_id: Uuid,
        /// The partitions.
        pub partitions: Vec<i32>,
    }

    /// The member's epoch, and what it is assigned.
    pub struct ConsumerGroupHeartbeatResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
        /// The member.
        pub member_id: Option<Str>,
        /// The member's epoch.
        pub member_epoch: i32,
        /// How often to send a heartbeat, in ms.
        pub heartbeat_interval_ms: i32,
        /// What the member may own now; null when that did not change.
        pub assignment: Option<Assignment>,
    }

    /// What a member may own.
    pub struct Assignment {
        /// The partitions, usable at once.
        pub topic_partitions: Vec<TopicPartitions>,
    }
}

impl Request for ConsumerGroupHeartbeatRequest {
    const KEY: ApiKey = ApiKey::ConsumerGroupHeartbeat;
    type Response = ConsumerGroupHeartbeatResponse;
}
