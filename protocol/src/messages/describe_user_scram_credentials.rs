//! DescribeUserScramCredentials (key 50): which users have SCRAM credentials, of which kind (KIP-554). The credentials
//! themselves are never told.
//!
//! Version 0, flexible.

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks about users.
    pub struct DescribeUserScramCredentialsRequest {
        /// The users; null or none for all.
        pub users: Option<Vec<UserName>>,
    }

    /// A user.
    pub struct UserName {
        /// The user's name.
        pub name: Str,
    }

    /// The users.
    pub struct DescribeUserScramCredentialsResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The error, or NONE; an error of one user stands there.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
        /// The users.
        pub results: Vec<DescribeUserScramCredentialsResult>,
    }

    /// What is known of one user.
    pub struct DescribeUserScramCredentialsResult {
        /// The user's name.
        pub user: Str,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>,
        /// The credentials.
        pub credential_infos: Vec<CredentialInfo>,
    }

    /// A credential.
    pub struct CredentialInfo {
        /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
        pub mechanism: i8,
        /// How often the password was hashed.
        pub iterations: i32,
    }
}

impl Request for DescribeUserScramCredentialsRequest {
    const KEY: ApiKey = ApiKey::DescribeUserScramCredentials;
    type Response = DescribeUserScramCredentialsResponse;
}
