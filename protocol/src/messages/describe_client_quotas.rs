//! DescribeClientQuotas (key 48): the quotas of users, client ids and addresses (KIP-546).
//!
//! Versions 0–1, flexible from 1.

use crate::codec::{Float64, Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for the quotas of the entities that match every component.
    pub struct DescribeClientQuotasRequest {
        /// The components of the filter; none matches everything.
        pub components: Vec<ComponentData>,
        /// Whether an entity may have no type that the filter does not name.
        pub strict: bool,
    }

    /// What the entity must be in one type.
    pub struct ComponentData {
        /// The type: `user`, `client-id` or `ip`.
        pub entity_type: Str,
        /// 0 this very name, 1 the default, 2 any name or the default.
        pub match_type: i8,
        /// The name, or null where the match needs none.
        pub r#match: Option<Str>,
    }

    /// The quotas.
    pub struct DescribeClientQuotasResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
        /// The entities; null after an error.
        pub entries: Option<Vec<EntryData>>,
    }

    /// An entity and its quotas.
    pub struct EntryData {
        /// The entity, by its types.
        pub entity: Vec<EntityData>,
        /// The quotas.
        pub values: Vec<ValueData>,
    }

    /// What the entity is in one type.
    pub struct EntityData {
        /// The type.
        pub entity_type: Str,
        /// The name; null for the default.
        pub entity_name: Option<Str>,
    }

    /// A quota.
    pub struct ValueData {
        /// The quota's config key.
        pub key: Str,
        /// The limit.
        pub value: Float64,
    }
}

impl Request for DescribeClientQuotasRequest {
    const KEY: ApiKey = ApiKey::DescribeClientQuotas;
    type Response = DescribeClientQuotasResponse;
}
