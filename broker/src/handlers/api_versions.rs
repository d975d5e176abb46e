//! ApiVersions (18), versions 0 to 4: what this broker serves (KIP-35, KIP-511, KIP-584).
//!
//! A version that we do not know is answered in version 0 with UNSUPPORTED_VERSION and the row of ApiVersions alone, from
//! which the client picks a version and asks again. No row has min above max. Features whose lowest version is 0 are
//! left out below version 4, whose clients cannot parse them (KAFKA-17011).

use ottla_protocol::codec::Str;
use ottla_protocol::frame;
use ottla_protocol::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use ottla_protocol::{ApiKey, ErrorCode};

use super::{RequestContext, SERVED, not_encodable, served_range};
use crate::response::{Reply, Response};

/// The first version whose clients understand a feature that begins at 0.
const FEATURE_MIN_ZERO_SINCE: i16 = 4;

/// A feature that this broker could use, and the level that is in use.
struct Feature {
    name: &'static str,
    min: i16,
    max: i16,
    /// 0 means that the feature is not finalized.
    level: i16,
}

/// Kafka's own feature names. Levels rise as the things behind them arrive.
const FEATURES: &[Feature] = &[
    Feature { name: "group.version", min: 0, max: 0, level: 0 },
    Feature { name: "transaction.version", min: 0, max: 0, level: 0 },
];

/// Answers with the table of what is served.
pub(super) fn handle(context: &RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse {
    if context.api_version() >= 3 && !has_valid_software(&request) {
        return ApiVersionsResponse {
            error_code: ErrorCode::INVALID_REQUEST,
            ..ApiVersionsResponse::default()
        };
    }
    let finalized = FEATURES.iter().filter(|feature| feature.level > 0).map(|feature| FinalizedFeatureKey {
        name: Str::from(feature.name),
        max_version_level: feature.level,
        min_version_level: feature.level,
    });
    ApiVersionsResponse {
        api_keys: SERVED.iter().filter_map(|api| row_of(*api)).collect(),
        supported_features: supported_features(FEATURES, context.api_version()),
        finalized_features_epoch: 0,
        finalized_features: finalized.collect(),
        ..ApiVersionsResponse::default()
    }
}

/// Answers a version that we do not know, in version 0.
pub(super) fn refuse_version(context: &RequestContext) -> Reply {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: row_of(ApiKey::ApiVersions).into_iter().collect(),
        ..ApiVersionsResponse::default()
    };
    match frame::encode_response(context.header.correlation_id, ApiKey::ApiVersions, 0, response) {
        Ok(encoded) => Reply::Send(Response::from_bytes(encoded.bytes)),
        Err(error) => not_encodable(ApiKey::ApiVersions, error),
    }
}

fn row_of(api: ApiKey) -> Option<ApiVersion> {
    let row = served_range(api)?;
    Some(ApiVersion { api_key: api.key(), min_version: row.advertised_min, max_version: row.max })
}

fn supported_features(features: &[Feature], api_version: i16) -> Vec<SupportedFeatureKey> {
    let shown = features.iter().filter(|feature| feature.min > 0 || api_version >= FEATURE_MIN_ZERO_SINCE);
    let key = |feature: &Feature| SupportedFeatureKey {
        name: Str::from(feature.name),
        min_version: feature.min,
        max_version: feature.max,
    };
    shown.map(key).collect()
}

/// Kafka's rule for both (KIP-511): letters, digits, `-` and `.`, and neither end is punctuation.
fn has_valid_software(request: &ApiVersionsRequest) -> bool {
    let valid = |text: &str| {
        let ends = [text.bytes().next(), text.bytes().next_back()];
        ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    valid(&request.client_software_name) && valid(&request.client_software_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_has_min_above_max_and_produce_is_advertised_from_zero() {
        let rows: Vec<ApiVersion> = SERVED.iter().filter_map(|api| row_of(*api)).collect();
        assert_eq!(rows.len(), SERVED.len(), "the codec speaks every API that has a handler");
        assert!(rows.iter().all(|row| row.min_version <= row.max_version));
        assert!(rows.is_sorted_by_key(|row| row.api_key));
        assert_eq!(rows[0].min_version, 0, "KAFKA-18659: without Produce 0 librdkafka does not compress");
    }

    #[test]
    fn features_that_begin_at_zero_are_shown_from_version_4_on() {
        let features = [
            Feature { name: "a", min: 0, max: 1, level: 0 },
            Feature { name: "b", min: 1, max: 2, level: 0 },
        ];
        let names = |version| -> Vec<String> {
            supported_features(&features, version).iter().map(|feature| feature.name.to_string()).collect()
        };
        assert_eq!(names(3), ["b"]);
        assert_eq!(names(4), ["a", "b"]);
    }

    #[test]
    fn a_software_name_is_letters_digits_and_inner_punctuation() {
        let valid = |name: &str| {
            has_valid_software(&ApiVersionsRequest {
                client_software_name: Str::from(name),
                client_software_version: Str::from("2.15.0"),
            })
        };
        assert!(valid("apache-kafka-java") && valid("a"));
        assert!(!valid("") && !valid("-a") && !valid("a b") && !valid("a."));
    }
}
