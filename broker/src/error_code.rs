//! The one place where the errors of the log become Kafka's error codes.
//!
//! Every match is without `_`, so a new kind of error has to be given its code here.

use ottla_log::{AppendError, LogError, ReadError};
use ottla_protocol::ErrorCode;

/// The code for an append that did not happen.
pub(crate) fn of_append_error(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::LargerThanSegment { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::InvalidTransactionState(_) => ErrorCode::INVALID_TXN_STATE,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        AppendError::StaleLeaderEpoch { .. } => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        // Only a replica's own batches carry offsets; to a client this is a broken broker.
        AppendError::OffsetsOutOfOrder { .. } => ErrorCode::UNKNOWN_SERVER_ERROR,
        AppendError::Log(error) => of_log_error(error),
    }
}

/// The code for a read that did not happen.
pub(crate) fn of_read_error(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        ReadError::Log(error) => of_log_error(error),
    }
}

/// The code for a failure of the log as a whole. KAFKA_STORAGE_ERROR may be retried: clients ask for metadata and come
/// back, which is right for a full disk and does no harm otherwise.
pub(crate) fn of_log_error(error: &LogError) -> ErrorCode {
    match error {
        LogError::Io { .. }
        | LogError::Corrupt { .. }
        | LogError::Malformed { .. }
        | LogError::DirectoryDead(_)
        | LogError::Poisoned(_) => ErrorCode::KAFKA_STORAGE_ERROR,
        LogError::Locked(_) | LogError::NotOurs { .. } => ErrorCode::LOG_DIR_NOT_FOUND,
        LogError::TopicIdMismatch { .. } => ErrorCode::INCONSISTENT_TOPIC_ID,
        LogError::Exists(_) => ErrorCode::TOPIC_ALREADY_EXISTS,
        // The topic was deleted while the request was on its way.
        LogError::Closed => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    }
}
