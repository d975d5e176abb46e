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

/// The most users in one request: each gets a row with a sentence, which is many times what naming it took.
const USERS_MAX: usize = 10_000;

/// Nobody when all are asked for, an error for each who is named.
pub(super) fn handle(
    _: &RequestContext,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let users = request.users.unwrap_or_default();
    if users.len() > USERS_MAX {
        return DescribeUserScramCredentialsResponse {
            error_code: ErrorCode::POLICY_VIOLATION,
            error_message: Some(Str::from_static("Excessively large number of users per request.")),
            ..DescribeUserScramCredentialsResponse::default()
        };
    }
    let mut counts: BTreeMap<Str, usize> = BTreeMap::new();
    for user in users {
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
