//! What a run found, or why it could not go on.
//!
//! The two are kept apart: a finding is a promise that the broker broke, the rest says that the run itself is no proof.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::WireError;
use ottla_protocol::records::BatchError;
use std::io;
use std::path::PathBuf;

/// Why a run ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Finding {
    /// The broker broke a promise.
    #[error("BROKEN PROMISE: {0}")]
    Broken(String),
    /// The broker answered with an error that no retry mends.
    #[error("BROKEN PROMISE: {operation} was answered with {} ({})", code.name(), code.get())]
    Refused {
        /// What was asked.
        operation: String,
        /// Its answer.
        code: ErrorCode,
    },
    /// The connection failed, as it must when the broker is killed.
    #[error("connection: {0}")]
    Connection(#[from] io::Error),
    /// A response that is not Kafka's.
    #[error("BROKEN PROMISE: undecodable response: {0}")]
    Wire(#[from] WireError),
    /// A batch that came back broken.
    #[error("BROKEN PROMISE: a fetched batch: {0}")]
    Batch(#[from] BatchError),
    /// The broker process did something unexpected.
    #[error("{what}\nthe broker's log is {}", log.display())]
    Process {
        /// What it did.
        what: String,
        /// Where its output is.
        log: PathBuf,
    },
    /// The run did too little to prove anything.
    #[error("the run proves nothing: {0}")]
    Void(String),
}

impl Finding {
    /// Whether it only says that the broker went away.
    pub(crate) fn is_disconnection(&self) -> bool {
        matches!(self, Self::Connection(_))
    }
}
