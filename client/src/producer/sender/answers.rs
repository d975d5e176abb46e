//! What a produce response means for each batch in it.

use ottla_protocol::messages::produce::{PartitionProduceResponse, ProduceResponse};
use ottla_protocol::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex};

use crate::error::ClientError;
use crate::metadata::{BrokerInfo, LeaderHint};
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

fn row_of<'a>(
    response: &'a ProduceResponse,
    partition: &PartitionState,
) -> Option<&'a PartitionProduceResponse> {
    let wanted = &partition.topic_partition;
    let topic = response.responses.iter().find(|topic| topic.name == *wanted.topic)?;
    topic.partition_responses.iter().find(|row| PartitionIndex::new(row.index) == wanted.partition)
}

/// The new leader that the response names beside an error, with the address it is reached at (KIP-951).
pub(super) fn leader_hint(response: &ProduceResponse, partition: &PartitionState) -> Option<LeaderHint> {
    let row = row_of(response, partition)?;
    let leader = BrokerId::known(row.current_leader.leader_id)?;
    let leader_epoch = LeaderEpoch::known(row.current_leader.leader_epoch)?;
    let endpoint = response.node_endpoints.iter().find(|node| node.node_id == leader.get());
    let broker = endpoint.and_then(|node| {
        let rack = node.rack.as_ref().map(ToString::to_string);
        BrokerInfo::announced(node.node_id, &node.host, node.port, rack)
    });
    Some(LeaderHint { leader, leader_epoch, broker })
}

/// What the response says about one partition.
pub(super) fn partition_answer(response: &ProduceResponse, partition: &PartitionState) -> Answer {
    let wanted = &partition.topic_partition;
    let error = |code, message: Option<&str>| {
        let error = ClientError::broker("produce", code, message).for_topic(&wanted.topic);
        error.for_partition(wanted.partition.get())
    };
    let Some(row) = row_of(response, partition) else {
        return Answer::Unknown(error(ErrorCode::UNKNOWN_SERVER_ERROR, None));
    };
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
