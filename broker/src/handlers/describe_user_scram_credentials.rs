//! DescribeUserScramCredentials (50), version 0: which users have SCRAM credentials (KIP-554).
//!
//! Nobody has any yet, because SASL is not served. The API is, since `kafka-configs.sh --describe --entity-type users`
//! asks it beside the quotas.

use std::collections::BTreeMap;

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};

use super::RequestContext;

/// Nobody when all are asked for, an error for each who is named.
pub(super) fn handle(
    _: &RequestContext,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let mut counts: BTreeMap<Str, usize> = BTreeMap::new();
    for user in request.users.into_iter().flatten() {
        *counts.entry(user.name).or_default() += 1;
    }
    let result = |(user, count): (Str, usize)| {
        let (error_code, message) = match count {
            1 => (
                ErrorCode::RESOURCE_NOT_FOUND,
                format!("Attempt to describe a user credential that does not exist: {user}"),
            ),
            _ => (
                ErrorCode::DUPLICATE_RESOURCE,
                format!(
                    "Cannot describe SCRAM credentials for the same user twice in a single request: {user}"
                ),
            ),
        };
        let error_message = Some(Str::from(message));
        DescribeUserScramCredentialsResult { user, error_code, error_message, ..Default::default() }
    };
    DescribeUserScramCredentialsResponse {
        results: counts.into_iter().map(result).collect(),
        ..DescribeUserScramCredentialsResponse::default()
    }
}
