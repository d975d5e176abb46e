//! What a produce response means for each batch in it.

use ottla_protocol::messages::produce::ProduceResponse;
use ottla_protocol::{ErrorCode, Offset, PartitionIndex};

use crate::error::ClientError;
use crate::producer::PartitionState;
use crate::producer::delivery::Acknowledged;
use crate::producer::partition_queue::Answer;

/// Errors after which the leader should be asked for anew.
pub(super) fn is_about_leaders(code: ErrorCode) -> bool {
    [
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ErrorCode::LEADER_NOT_AVAILABLE,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::UNKNOWN_TOPIC_ID,
        ErrorCode::FENCED_LEADER_EPOCH,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode::BROKER_NOT_AVAILABLE,
    ]
    .contains(&code)
}

/// What the response says about one partition.
pub(super) fn partition_answer(response: &ProduceResponse, partition: &PartitionState) -> Answer {
    let wanted = &partition.topic_partition;
    let error = |code, message: Option<&str>| {
        let error = ClientError::broker("produce", code, message).for_topic(&wanted.topic);
        error.for_partition(wanted.partition.get())
    };
    let topic = response.responses.iter().find(|topic| topic.name == *wanted.topic);
    let row = topic.and_then(|topic| {
        topic.partition_responses.iter().find(|row| PartitionIndex::new(row.index) == wanted.partition)
    });
    let Some(row) = row else { return Answer::Unknown(error(ErrorCode::UNKNOWN_SERVER_ERROR, None)) };
    let log_append_time_ms = (row.log_append_time_ms >= 0).then_some(row.log_append_time_ms);
    match row.error_code {
        ErrorCode::NONE => Answer::Acknowledged(Acknowledged {
            base_offset: Offset::known(row.base_offset),
            log_append_time_ms,
        }),
        ErrorCode::DUPLICATE_SEQUENCE_NUMBER => {
            Answer::Acknowledged(Acknowledged { base_offset: None, log_append_time_ms })
        }
        code @ (ErrorCode::REQUEST_TIMED_OUT
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::UNKNOWN_SERVER_ERROR) => Answer::Unknown(error(code, row.error_message.as_deref())),
        code => Answer::Refused(error(code, row.error_message.as_deref())),
    }
}
