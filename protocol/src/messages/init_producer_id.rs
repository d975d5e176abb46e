//! InitProducerId (key 22): gives a producer its id and epoch (KIP-98).
//!
//! Versions 0–4, flexible from 2. 3 lets a producer keep its id after an error (KIP-360), 4 may answer
//! PRODUCER_FENCED (KIP-588).

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for a producer id and epoch.
    pub struct InitProducerIdRequest {
        /// The transactional id; null for a producer that is idempotent only.
        pub transactional_id: Option<Str>,
        /// How long a transaction may be open before the broker aborts it, in ms.
        pub transaction_timeout_ms: i32,
        /// The producer id to keep, or -1.
        pub producer_id: i64 = -1; since(3),
        /// The epoch that the producer has now, or -1.
        pub producer_epoch: i16 = -1; since(3),
    }

    /// The producer id and epoch to use.
    pub struct InitProducerIdResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The producer id, or -1 after an error.
        pub producer_id: i64 = -1,
        /// The producer's epoch.
        pub producer_epoch: i16,
    }
}

impl Request for InitProducerIdRequest {
    const KEY: ApiKey = ApiKey::InitProducerId;
    type Response = InitProducerIdResponse;
}
