//! DeleteTopics (key 20): deletes topics.
//!
//! Versions 1–6, flexible from 4. 5 brings error messages (KIP-599), 6 deletes by topic id (KIP-516).

use uuid::Uuid;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Deletes topics.
    pub struct DeleteTopicsRequest {
        /// The topics, by name or id.
        pub topics: Vec<DeleteTopicState>; since(6),
        /// The topics, by name.
        pub topic_names: Vec<Str>; until(5) ignorable(),
        /// How long to wait for the change to take effect, in ms.
        pub timeout_ms: i32,
    }

    /// A topic to delete: a name, or an id.
    pub struct DeleteTopicState {
        /// The topic's name; null when it is given by id.
        pub name: Option<Str>,
        /// The topic's id, or zero.
        pub topic_id: Uuid,
    }

    /// What came of it.
    pub struct DeleteTopicsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The topics.
        pub responses: Vec<DeletableTopicResult>,
    }

    /// The result for one topic.
    pub struct DeletableTopicResult {
        /// The topic's name; null for an id that is not known.
        pub name: Option<Str>; nullable(6),
        /// The topic's id, or zero.
        pub topic_id: Uuid; since(6) ignorable(),
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>; since(5) ignorable(),
    }
}

impl Request for DeleteTopicsRequest {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    type Response = DeleteTopicsResponse;
}
