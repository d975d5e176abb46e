//! What can go wrong for a client, and what to do about it.
//!
//! One error type for the whole crate. It names the operation, where it happened (broker, topic, partition, offset, as
//! far as known) and answers one question with a method instead of prose: can the same call succeed if it is tried
//! again ([`ClientError::is_retriable`])? Errors are cheap to clone, because one failed batch fails every record in it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ottla_protocol::{ErrorCode, LeaderEpoch, Offset};

/// Shorthand for results of this crate.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// A failed client operation: what, where, why.
#[derive(Clone)]
pub struct ClientError(Arc<Details>);

#[derive(Debug, Clone)]
struct Details {
    kind: ErrorKind,
    operation: &'static str,
    broker: Option<String>,
    group: Option<String>,
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
}

/// Why an operation failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The broker answered with an error of Kafka's table.
    #[error("{}: {}", .code.name(), .message.as_deref().unwrap_or(.code.sentence()))]
    Broker {
        /// Kafka's error.
        code: ErrorCode,
        /// The broker's own words, where the API carries any.
        message: Option<String>,
    },
    /// No connection could be made.
    #[error("cannot connect: {reason}")]
    Connect {
        /// The operating system's words.
        reason: String,
    },
    /// The connection was lost; whether the request took effect is unknown.
    #[error("the connection was lost: {reason}")]
    Disconnected {
        /// What ended it.
        reason: String,
    },
    /// No answer in time; whether the request took effect is unknown.
    #[error("no answer within {} ms", .after.as_millis())]
    Timeout {
        /// How long the operation was allowed to take.
        after: Duration,
    },
    /// The two sides share no version of the API.
    #[error("the broker does not serve {api} in a version this client speaks")]
    UnsupportedApi {
        /// Name of the API.
        api: String,
    },
    /// The broker sent bytes that are not what the protocol says.
    #[error("malformed response: {reason}")]
    Malformed {
        /// What was wrong with them.
        reason: String,
    },
    /// A record batch failed its checks (CRC, sizes, counts).
    #[error("corrupt record batch: {reason}")]
    CorruptBatch {
        /// What was wrong with it.
        reason: String,
    },
    /// The record can never fit.
    #[error("the record takes {bytes} bytes, the limit is {bytes_max}")]
    RecordTooLarge {
        /// Size of the record.
        bytes: usize,
        /// `max_request_bytes` of the producer.
        bytes_max: usize,
    },
    /// The producer's memory is full; waiting for deliveries frees it.
    #[error("the producer's buffer is full")]
    BufferFull,
    /// The partition's log was truncated below the consumer's position, and the consumer is not to go back by itself
    /// (`auto.offset.reset=none`): records that were read are gone (KIP-320).
    #[error("the log was truncated below the position{}", divergence(.divergent, .divergent_epoch))]
    LogTruncation {
        /// The leader epoch of the last record that was read.
        position_epoch: Option<LeaderEpoch>,
        /// The first offset at which the log differs from what was read, if it is known.
        divergent: Option<Offset>,
        /// The leader epoch of the record before that offset.
        divergent_epoch: Option<LeaderEpoch>,
    },
    /// The topic has no such partition.
    #[error("the topic has {partition_count} partitions")]
    NoSuchPartition {
        /// How many it has.
        partition_count: u32,
    },
    /// The group committed no offset of the partition, and `offset_reset` says to fail then.
    #[error("the group has committed no offset")]
    NoCommittedOffset,
    /// The group is being divided anew.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// The consumer is not a member of the group now, or another member owns the partitions: they were read again by it.
    #[error("the consumer lost its place in the group ({})", .code.name())]
    MembershipLost {
        /// What the coordinator said.
        code: ErrorCode,
    },
    /// The client, producer or consumer was closed.
    #[error("it was closed")]
    Closed,
    /// An argument that cannot be right.
    #[error("{reason}")]
    InvalidArgument {
        /// What to change.
        reason: String,
    },
}

fn divergence(offset: &Option<Offset>, epoch: &Option<LeaderEpoch>) -> String {
    match (offset, epoch) {
        (Some(offset), Some(epoch)) => {
            format!(": it differs from offset {offset} on, after leader epoch {epoch}")
        }
        (Some(offset), None) => format!(": it differs from offset {offset} on"),
        (None, _) => String::new(),
    }
}

impl ErrorKind {
    /// Whether the same call can succeed later without anybody changing anything.
    fn is_retriable(&self) -> bool {
        match self {
            ErrorKind::Broker { code, .. } => code.is_retriable(),
            ErrorKind::Connect { .. }
            | ErrorKind::Disconnected { .. }
            | ErrorKind::Timeout { .. }
            | ErrorKind::RebalanceInProgress
            | ErrorKind::BufferFull => true,
            ErrorKind::UnsupportedApi { .. }
            | ErrorKind::Malformed { .. }
            | ErrorKind::CorruptBatch { .. }
            | ErrorKind::RecordTooLarge { .. }
            | ErrorKind::LogTruncation { .. }
            | ErrorKind::NoSuchPartition { .. }
            | ErrorKind::NoCommittedOffset
            | ErrorKind::MembershipLost { .. }
            | ErrorKind::Closed
            | ErrorKind::InvalidArgument { .. } => false,
        }
    }
}

impl ClientError {
    /// An error of `operation` for `kind`.
    pub(crate) fn new(operation: &'static str, kind: ErrorKind) -> Self {
        ClientError(Arc::new(Details {
            kind,
            operation,
            broker: None,
            group: None,
            topic: None,
            partition: None,
            offset: None,
        }))
    }

    /// The broker's error `code` in answer to `operation`.
    pub(crate) fn broker(operation: &'static str, code: ErrorCode, message: Option<&str>) -> Self {
        let message = message.filter(|words| !words.is_empty()).map(str::to_owned);
        ClientError::new(operation, ErrorKind::Broker { code, message })
    }

    /// A caller's argument cannot be right.
    pub(crate) fn invalid(operation: &'static str, reason: impl Into<String>) -> Self {
        ClientError::new(operation, ErrorKind::InvalidArgument { reason: reason.into() })
    }

    /// The same error, said of another operation (the one the user asked for).
    pub(crate) fn during(mut self, operation: &'static str) -> Self {
        Arc::make_mut(&mut self.0).operation = operation;
        self
    }

    /// The same error, at broker `address`.
    pub(crate) fn at_broker(mut self, address: impl fmt::Display) -> Self {
        Arc::make_mut(&mut self.0).broker = Some(address.to_string());
        self
    }

    /// The same error, for `group`.
    pub(crate) fn for_group(mut self, group: impl fmt::Display) -> Self {
        Arc::make_mut(&mut self.0).group = Some(group.to_string());
        self
    }

    /// The same error, for `topic`.
    pub(crate) fn for_topic(mut self, topic: impl fmt::Display) -> Self {
        Arc::make_mut(&mut self.0).topic = Some(topic.to_string());
        self
    }

    /// The same error, for `partition`.
    pub(crate) fn for_partition(mut self, partition: i32) -> Self {
        Arc::make_mut(&mut self.0).partition = Some(partition);
        self
    }

    /// The same error, at `offset`.
    pub(crate) fn at_offset(mut self, offset: i64) -> Self {
        Arc::make_mut(&mut self.0).offset = Some(offset);
        self
    }

    /// Why it failed.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// What was asked for, e.g. `produce`.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The group, where one is concerned.
    pub fn group(&self) -> Option<&str> {
        self.0.group.as_deref()
    }

    /// The topic, where one is concerned.
    pub fn topic(&self) -> Option<&str> {
        self.0.topic.as_deref()
    }

    /// The partition, where one is concerned.
    pub fn partition(&self) -> Option<i32> {
        self.0.partition
    }

    /// The offset, where one is concerned.
    pub fn offset(&self) -> Option<i64> {
        self.0.offset
    }

    /// Kafka's error code, if a broker answered with one.
    pub fn code(&self) -> Option<ErrorCode> {
        match &self.0.kind {
            ErrorKind::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same call can succeed later without anybody changing anything.
    pub fn is_retriable(&self) -> bool {
        self.0.kind.is_retriable()
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.operation)?;
        if let Some(group) = &self.0.group {
            write!(f, " {group}")?;
        }
        match (&self.0.topic, self.0.partition) {
            (Some(topic), Some(partition)) => write!(f, " {topic}-{partition}")?,
            (Some(topic), None) => write!(f, " {topic}")?,
            (None, Some(partition)) => write!(f, " partition {partition}")?,
            (None, None) => {}
        }
        if let Some(offset) = self.0.offset {
            write!(f, " at offset {offset}")?;
        }
        if let Some(broker) = &self.0.broker {
            write!(f, " ({broker})")?;
        }
        write!(f, ": {}", self.0.kind)
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientError({self}; retriable: {})", self.is_retriable())
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_topic_partition_offset_and_broker() {
        let error = ClientError::broker("fetch", ErrorCode::OFFSET_OUT_OF_RANGE, None)
            .for_topic("flights")
            .for_partition(3)
            .at_offset(42)
            .at_broker("localhost:9092");
        let text = error.to_string();
        assert!(
            text.starts_with("fetch flights-3 at offset 42 (localhost:9092): OFFSET_OUT_OF_RANGE: "),
            "{text}"
        );
        assert!(!error.is_retriable());
    }

    #[test]
    fn lost_connections_and_leader_changes_are_worth_a_retry_and_bad_arguments_are_not() {
        let lost = ErrorKind::Disconnected { reason: "reset".to_owned() };
        assert!(ClientError::new("produce", lost).is_retriable());
        assert!(ClientError::broker("produce", ErrorCode::NOT_LEADER_OR_FOLLOWER, None).is_retriable());
        assert!(!ClientError::invalid("produce", "no topic").is_retriable());
    }
}
