//! AlterClientQuotas (key 49): sets and removes quotas of users, client ids and addresses (KIP-546).
//!
//! Versions 0–1, flexible from 1.

use crate::codec::{Float64, Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Changes quotas.
    pub struct AlterClientQuotasRequest {
        /// The entities with their changes.
        pub entries: Vec<RequestEntryData>,
        /// Whether to check only.
        pub validate_only: bool,
    }

    /// The changes of one entity.
    pub struct RequestEntryData {
        /// The entity, by its types.
        pub entity: Vec<EntityData>,
        /// The changes.
        pub ops: Vec<OpData>,
    }

    /// What the entity is in one type.
    pub struct EntityData {
        /// The type: `user`, `client-id` or `ip`.
        pub entity_type: Str,
        /// The name; null for the default.
        pub entity_name: Option<Str>,
    }

    /// One change.
    pub struct OpData {
        /// The quota's config key.
        pub key: Str,
        /// The limit to set.
        pub value: Float64,
        /// Whether to remove the limit instead.
        pub remove: bool,
    }

    /// What came of it.
    pub struct AlterClientQuotasResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The results, one per entity.
        pub entries: Vec<ResponseEntryData>,
    }

    /// The result for one entity.
    pub struct ResponseEntryData {
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
        /// The entity, by its types.
        pub entity: Vec<EntityData>,
    }
}

impl Request for AlterClientQuotasRequest {
    const KEY: ApiKey = ApiKey::AlterClientQuotas;
    type Response = AlterClientQuotasResponse;
}
