//! Produce (0), versions 3 to 9: appends one record batch to each partition (KIP-98, KIP-110, KIP-467).
//!
//! Batches are checked here, outside of every lock, and then appended in the order of the request. Each partition has its
//! own error. The reply is [`crate::produce_reply`]'s; this file does not wait for anything.

use bytes::Bytes;
use ottla_log::MessageTimestampType;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use ottla_protocol::records::{BatchError, OutputLimit, Rules, TimestampBounds, ValidBatch};

use super::RequestContext;
use crate::connection::Handled;
use crate::partition::Partition;
use crate::partition_config::PartitionConfig;
use crate::produce_reply::{Acks, ProduceReply, ProduceTicket};
use crate::rt::time;

/// The first version that may carry zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;

/// Why a batch did not reach the log.
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    /// The record that is to blame, counted from 0, when there is one.
    record: Option<i32>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal { code, message: None, record: None }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Refusal {
        let record = match &error {
            BatchError::Record { record, .. } => Some(*record),
            BatchError::Timestamp { record, .. } => *record,
            _ => None,
        };
        Refusal { code: error.code(), message: Some(error.to_string()), record }
    }
}

/// Starts the appends of a request.
pub(super) fn handle(context: RequestContext, mut request: ProduceRequest) -> Handled {
    let acks = Acks::new(request.acks);
    let mut ticket_count = 0;
    let responses = request.topic_data.iter().map(|topic| {
        ticket_count += topic.partition_data.len();
        let row = |data: &PartitionProduceData| PartitionProduceResponse {
            index: data.index,
            ..PartitionProduceResponse::default()
        };
        TopicProduceResponse {
            name: topic.name.clone(),
            partition_responses: topic.partition_data.iter().map(row).collect(),
        }
    });
    let response = ProduceResponse { responses: responses.collect(), ..ProduceResponse::default() };
    let core = std::sync::Arc::clone(&context.core);
    let api_version = context.api_version();
    let reply = ProduceReply::new(context, acks.unwrap_or(Acks::Leader), response, ticket_count);

    let now_ms = time::wall_clock_ms();
    let deadline = core.clock.now() + time::duration_ms(i64::from(request.timeout_ms));
    let topics = core.topics.load();
    for (topic_place, topic) in request.topic_data.iter_mut().enumerate() {
        let found = topics.by_name(&topic.name);
        for (place, data) in topic.partition_data.iter_mut().enumerate() {
            let ticket = reply.ticket(topic_place, place);
            let Some(acks) = acks else {
                ticket.refuse(ErrorCode::INVALID_REQUIRED_ACKS, None, None);
                continue;
            };
            let partition = match found.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) {
                Ok(topic) => topic.partition(data.index),
                Err(unknown) => Err(unknown),
            };
            let checked = partition.map_err(Refusal::from).and_then(|partition| {
                let batch = check(partition, data.records.take(), acks, api_version, now_ms)?;
                Ok((partition, batch))
            });
            match checked {
                Ok((partition, batch)) => partition.append(batch, acks, now_ms, deadline, ticket),
                Err(refusal) => refuse(ticket, refusal),
            }
        }
    }
    reply.finish()
}

fn refuse(ticket: ProduceTicket, refusal: Refusal) {
    ticket.blame(refusal.record, refusal.message.as_deref());
    ticket.refuse(refusal.code, None, refusal.message);
}

/// Everything that can be said against a batch before it takes its place in the log.
fn check(
    partition: &Partition,
    records: Option<Bytes>,
    acks: Acks,
    api_version: i16,
    now_ms: i64,
) -> Result<ValidBatch, Refusal> {
    if acks == Acks::All {
        partition.check_in_sync().map_err(|too_few| Refusal {
            code: ErrorCode::NOT_ENOUGH_REPLICAS,
            message: Some(too_few.to_string()),
            record: None,
        })?;
    }
    let config = partition.config();
    let rules = rules(&config, api_version, now_ms);
    let records = records.unwrap_or_default();
    let batch = ValidBatch::check(records, &rules)?;
    // Transactions arrive with their coordinator; until then nobody could ever end one.
    if batch.header().attributes.is_transactional() {
        return Err(ErrorCode::INVALID_TXN_STATE.into());
    }
    let batch = convert(batch, &config)?;
    if !partition.directory().has_room_for(batch.size_in_bytes()) {
        let message = Some("the disk of this partition is full".to_owned());
        return Err(Refusal { code: ErrorCode::KAFKA_STORAGE_ERROR, message, record: None });
    }
    Ok(batch)
}

fn rules(config: &PartitionConfig, api_version: i16, now_ms: i64) -> Rules {
    let log = &config.log;
    let timestamps = match log.message_timestamp_type {
        MessageTimestampType::LogAppendTime => TimestampBounds::NONE,
        MessageTimestampType::CreateTime => TimestampBounds::around(
            now_ms,
            i64::try_from(log.message_timestamp_before_max_ms).unwrap_or(i64::MAX),
            i64::try_from(log.message_timestamp_after_max_ms).unwrap_or(i64::MAX),
        ),
    };
    Rules {
        zstd_allowed: api_version >= ZSTD_SINCE,
        keys_required: log.cleanup_compact,
        timestamps,
        ..Rules::client(log.max_message_bytes)
    }
}

/// Packs the batch as the topic wants it; as a rule that is as it came, and then no byte is copied. Packed anew it must
/// keep within the topic's limit again. The append time is the log's to write.
fn convert(batch: ValidBatch, config: &PartitionConfig) -> Result<ValidBatch, Refusal> {
    let Some(codec) = config.compression.filter(|codec| codec.compression != batch.compression()) else {
        return Ok(batch);
    };
    let packed = batch.recompressed(codec, OutputLimit::new(Rules::OUTPUT_BYTES_MAX))?;
    let (bytes, bytes_max) = (packed.size_in_bytes(), config.log.max_message_bytes);
    if bytes > bytes_max { Err(BatchError::TooLarge { bytes, bytes_max }.into()) } else { Ok(packed) }
}
