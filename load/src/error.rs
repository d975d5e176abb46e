//! Why a run broke off.

use std::io;
use std::time::Duration;

use ottla_client::ClientError;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::WireError;
use ottla_protocol::records::BatchError;

/// The outcome of a fallible operation of this crate.
pub type Result<T, E = LoadError> = std::result::Result<T, E>;

/// Why a run broke off. A retry cannot help the figures, so there is none.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No connection.
    #[error("cannot connect to {address}: {}", plain(error))]
    Connect {
        /// Whom to.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The broker hung up or said nothing for too long.
    #[error("{address} broke off: {}", plain(error))]
    Broken {
        /// Who.
        address: String,
        /// How.
        error: io::Error,
    },
    /// The broker answered with an error.
    #[error("{request} was refused with {}: {}", code.name(), code.sentence().trim_end_matches('.'))]
    Refused {
        /// Which request.
        request: &'static str,
        /// Why.
        code: ErrorCode,
    },
    /// The answer is not Kafka's.
    #[error("the answer is not Kafka's: {0}")]
    Wire(#[from] WireError),
    /// What was read is not what can have been written.
    #[error("a damaged record batch at offset {offset} of partition {partition}: {error}")]
    Damaged {
        /// The partition.
        partition: i32,
        /// Where.
        offset: i64,
        /// What is wrong.
        error: BatchError,
    },
    /// The client library, which tries again for longer than that, got nothing done.
    #[error("{what} for {} s", patience.as_secs_f64())]
    Silent {
        /// What did not happen.
        what: &'static str,
        /// In which time it should have.
        patience: Duration,
    },
    /// The client library failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The plan cannot be carried out.
    #[error("{0}")]
    Plan(String),
}

/// An I/O error without the number that the operating system gives it.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_without_the_systems_numbers_and_without_a_full_stop() {
        let connect =
            LoadError::Connect { address: "b:9092".to_owned(), error: io::Error::from_raw_os_error(24) };
        assert_eq!(connect.to_string(), "cannot connect to b:9092: Too many open files");
        let refused = LoadError::Refused { request: "Produce", code: ErrorCode::MESSAGE_TOO_LARGE };
        let told = refused.to_string();
        assert!(
            told.starts_with("Produce was refused with MESSAGE_TOO_LARGE: ") && !told.ends_with('.'),
            "{told}"
        );
    }
}
