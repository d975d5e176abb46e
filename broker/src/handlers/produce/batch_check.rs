//! Everything that can be said against a batch before it takes its place in the log, and the codec that the topic wants.
//!
//! Outside of every lock. What is unpacked on the way is charged to the budget of the request, so that a request of many
//! bombs costs no more than one of honest batches.

use bytes::Bytes;
use ottla_log::MessageTimestampType;
use ottla_protocol::ErrorCode;
use ottla_protocol::records::{BatchError, OutputLimit, Rules, TimestampBounds, UnpackBudget, ValidBatch};

use crate::partition::Partition;
use crate::partition_config::PartitionConfig;
use crate::produce_reply::Acks;

/// The first version that may carry zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;

/// What the check of a batch needs to know of its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// What has to happen before the reply.
    pub(super) acks: Acks,
    /// The version of the request.
    pub(super) api_version: i16,
    /// The time of day when it came.
    pub(super) now_ms: i64,
}

/// Why a batch did not reach the log.
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) message: Option<String>,
    /// The record that is to blame, counted from 0, when there is one.
    pub(super) record: Option<i32>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal { code, message: None, record: None }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Refusal {
        Refusal { code: error.code(), message: Some(error.to_string()), record: error.record_index() }
    }
}

/// A batch that may be appended.
pub(super) fn check(
    partition: &Partition,
    records: Option<Bytes>,
    asked: Asked,
    budget: &mut UnpackBudget,
) -> Result<ValidBatch, Refusal> {
    if asked.acks == Acks::All {
        partition.check_in_sync().map_err(|too_few| Refusal {
            code: ErrorCode::NOT_ENOUGH_REPLICAS,
            message: Some(too_few.to_string()),
            record: None,
        })?;
    }
    let config = partition.config();
    let rules = rules(&config, asked);
    let records = records.unwrap_or_default();
    let batch = ValidBatch::check_within(records, &rules, budget)?;
    // Transactions arrive with their coordinator; until then nobody could ever end one.
    if batch.header().attributes.is_transactional() {
        return Err(ErrorCode::INVALID_TXN_STATE.into());
    }
    let batch = convert(batch, &config, budget)?;
    if !partition.directory().has_room_for(batch.size_in_bytes()) {
        let message = Some("the disk of this partition is full".to_owned());
        return Err(Refusal { code: ErrorCode::KAFKA_STORAGE_ERROR, message, record: None });
    }
    Ok(batch)
}

fn rules(config: &PartitionConfig, asked: Asked) -> Rules {
    let log = &config.log;
    let timestamps = match log.message_timestamp_type {
        MessageTimestampType::LogAppendTime => TimestampBounds::NONE,
        MessageTimestampType::CreateTime => TimestampBounds::around(
            asked.now_ms,
            i64::try_from(log.message_timestamp_before_max_ms).unwrap_or(i64::MAX),
            i64::try_from(log.message_timestamp_after_max_ms).unwrap_or(i64::MAX),
        ),
    };
    Rules {
        zstd_allowed: asked.api_version >= ZSTD_SINCE,
        keys_required: log.cleanup_compact,
        timestamps,
        ..Rules::client(log.max_message_bytes)
    }
}

/// Packs the batch as the topic wants it; as a rule that is as it came, and then no byte is copied. Packed anew it must
/// keep within the topic's limit again. The append time is the log's to write.
fn convert(
    batch: ValidBatch,
    config: &PartitionConfig,
    budget: &mut UnpackBudget,
) -> Result<ValidBatch, Refusal> {
    let Some(codec) = config.compression.filter(|codec| codec.compression != batch.compression()) else {
        return Ok(batch);
    };
    let packed = batch.recompressed_within(codec, OutputLimit::new(Rules::OUTPUT_BYTES_MAX), budget)?;
    let (bytes, bytes_max) = (packed.size_in_bytes(), config.log.max_message_bytes);
    if bytes > bytes_max { Err(BatchError::TooLarge { bytes, bytes_max }.into()) } else { Ok(packed) }
}
