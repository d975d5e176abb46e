//! What can go wrong while measuring. A measurement that fails is reported and void; it is never replaced by a guess.

use std::io;

/// Why a measurement has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The refusal.
        source: io::Error,
    },
    /// A broker answered a request with an error code.
    #[error("{request} was answered with error code {code}")]
    Refused {
        /// The request's name.
        request: &'static str,
        /// Kafka's error code.
        code: i16,
    },
    /// What was read back is not what was acknowledged.
    #[error("void: {0}")]
    Void(String),
    /// Something that a row needs is not here; it is not measured, and the page says why.
    #[error("{0}")]
    Absent(String),
    /// A server did not start, died, or did not become ready in time.
    #[error("{0}")]
    Server(String),
}

/// A result of this crate.
pub(crate) type Result<T> = std::result::Result<T, BenchError>;

/// Adds to an I/O error what was being done.
pub(crate) trait Doing<T> {
    /// Names the operation that failed.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| BenchError::Io { doing: what(), source })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| BenchError::Io { doing: what(), source: errno.into() })
    }
}
