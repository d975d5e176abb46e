//! ApiVersions (key 18): which APIs and versions a broker speaks; the first request on most connections.
//!
//! Versions 0–4, flexible from 3. 3 names the client's software (KIP-511) and brings features (KIP-584), 4
//! lets a supported feature begin at 0. The header of the response is never flexible.

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks what the broker speaks.
    pub struct ApiVersionsRequest {
        /// The name of the client's software.
        pub client_software_name: Str; since(3) ignorable(),
        /// The version of the client's software.
        pub client_software_version: Str; since(3) ignorable(),
    }

    /// What the broker speaks.
    pub struct ApiVersionsResponse {
        /// UNSUPPORTED_VERSION, with this API's own row, when the request's version is not spoken.
        pub error_code: ErrorCode,
        /// The APIs.
        pub api_keys: Vec<ApiVersion>,
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32; since(1) ignorable(),
        /// The features that the broker could use; before version 4 only those that begin above 0.
        pub supported_features: Vec<SupportedFeatureKey>; since(3) tag(0) ignorable(),
        /// Grows with every change of the finalized features; -1 when not known.
        pub finalized_features_epoch: i64 = -1; since(3) tag(1) ignorable(),
        /// The features that the whole cluster uses.
        pub finalized_features: Vec<FinalizedFeatureKey>; since(3) tag(2) ignorable(),
        /// Whether the controller is ready for a migration from ZooKeeper.
        pub zk_migration_ready: bool; since(3) tag(3) ignorable(),
    }

    /// The versions of one API.
    pub struct ApiVersion {
        /// The API.
        pub api_key: i16,
        /// The lowest version, inclusive.
        pub min_version: i16,
        /// The highest version, inclusive.
        pub max_version: i16,
    }

    /// A feature that the broker could use.
    pub struct SupportedFeatureKey {
        /// The name of the feature.
        pub name: Str,
        /// The lowest version.
        pub min_version: i16,
        /// The highest version.
        pub max_version: i16,
    }

    /// A feature that the whole cluster uses.
    pub struct FinalizedFeatureKey {
        /// The name of the feature.
        pub name: Str,
        /// The highest version in use.
        pub max_version_level: i16,
        /// The lowest version in use.
        pub min_version_level: i16,
    }
}

impl Request for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    type Response = ApiVersionsResponse;
}
