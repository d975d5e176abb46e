//! Why a command failed: one line that says what happened and what to do next.
//!
//! Exit codes: 1 for a failure, 2 for wrong usage. A closed pipe on standard output is nobody's failure.

use std::fmt;
use std::io;
use std::process::ExitCode;

use ottla_client::{ClientError, ErrorCode, ErrorKind};

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Failed,
    Usage,
    /// Whoever read our output went away.
    Quiet,
}

impl Failure {
    /// A failure with this message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), kind: Kind::Failed }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure { message: message.into(), kind: Kind::Usage }
    }

    /// The same failure with something more to say.
    pub(crate) fn with(self, more: &str) -> Self {
        Failure { message: format!("{}; {more}", self.message), ..self }
    }

    /// Reading or writing a file (or standard output) failed.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::Quiet } else { Kind::Failed };
        Failure { message: format!("{what}: {}", plain(error)), kind }
    }

    /// Tells standard error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self.kind {
            Kind::Quiet => ExitCode::SUCCESS,
            Kind::Failed => {
                eprintln!("ottla: {}", self.message);
                ExitCode::from(1)
            }
            Kind::Usage => {
                eprintln!("ottla: {}", self.message);
                ExitCode::from(2)
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An I/O error without the number that the operating system gives it.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (error, advice) = (error.to_string(), advice(&error));
        let error = error.trim_end_matches('.');
        match advice {
            "" => Failure::new(error),
            advice => Failure::new(format!("{error}; {advice}")),
        }
    }
}

/// What to do next.
fn advice(error: &ClientError) -> &'static str {
    match error.kind() {
        ErrorKind::Connect { .. } => {
            "is a broker running there? (--bootstrap HOST:PORT, or start one: ottla serve)"
        }
        ErrorKind::Timeout { .. } => {
            "the broker may be overloaded or unreachable: try again, or raise --timeout"
        }
        ErrorKind::Disconnected { .. } => {
            "is that a Kafka port? One with TLS or SASL is not spoken to; the broker's log may say more"
        }
        ErrorKind::Malformed { .. } => "is that a Kafka port? One with TLS or SASL is not spoken to",
        ErrorKind::RecordTooLarge { .. } => "raise --request-bytes and the topic's max.message.bytes",
        _ => error.code().map_or("", advice_on_code),
    }
}

/// What to do next about what a broker said.
pub(crate) fn advice_on_code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => "see which exist: ottla topic list",
        ErrorCode::TOPIC_ALREADY_EXISTS => "use --if-not-exists if that is fine",
        ErrorCode::MESSAGE_TOO_LARGE => {
            "raise the topic's limit: ottla topic alter TOPIC --set max.message.bytes=N"
        }
        ErrorCode::INVALID_REPLICATION_FACTOR => "it cannot exceed the number of brokers",
        ErrorCode::OFFSET_OUT_OF_RANGE => "see the offsets there are: ottla topic describe TOPIC",
        ErrorCode::NOT_ENOUGH_REPLICAS | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND => {
            "bring replicas back, or lower min.insync.replicas"
        }
        ErrorCode::GROUP_ID_NOT_FOUND => "see which exist: ottla group list",
        ErrorCode::NON_EMPTY_GROUP => "stop its members first; ottla group describe GROUP shows them",
        ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC => "members read that topic: stop them first",
        ErrorCode::INVALID_CONFIG => "see the configs there are: ottla config describe --all",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_quiet_and_other_io_errors_are_told_without_numbers() {
        let pipe = Failure::io("standard output", &io::ErrorKind::BrokenPipe.into());
        assert_eq!(pipe.kind, Kind::Quiet);
        let missing = Failure::io("data.csv", &io::Error::from_raw_os_error(2));
        assert_eq!(missing.to_string(), "data.csv: No such file or directory");
    }
}
