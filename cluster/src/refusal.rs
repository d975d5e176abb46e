//! Why one item of a request was refused, while the others go on.

use ottla_protocol::ErrorCode;

/// A Kafka error with a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", error_code.name())]
pub struct Refusal {
    /// The error.
    pub error_code: ErrorCode,
    /// What was wrong, as the client will show it.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(error_code: ErrorCode, message: impl Into<String>) -> Self {
        Self { error_code, message: message.into() }
    }
}

/// Something that may be refused.
pub type Refused<T> = Result<T, Refusal>;

/// Refuses.
pub(crate) fn refuse<T>(error_code: ErrorCode, message: impl Into<String>) -> Refused<T> {
    Err(Refusal::new(error_code, message))
}
