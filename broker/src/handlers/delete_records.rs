//! DeleteRecords (21), versions 0 to 2: moves the first readable offset of partitions up (KIP-107).
//!
//! -1 stands for the high watermark: nothing above it can be deleted. Whole segments below go at once, what is left of
//! the first goes with retention. Internal topics and those that are only compacted keep their records.

use ottla_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use ottla_protocol::{ErrorCode, Offset, TopicName};

use super::{RequestContext, metadata};
use crate::error_code;
use crate::partition::Partition;

/// `offset` of a client that wants all gone that can go.
const HIGH_WATERMARK: i64 = -1;

/// Answers for each partition by itself.
pub(super) fn handle(context: &RequestContext, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = context.core.topics.load();
    let now_ms = context.core.clock.wall_ms();
    let answers = request.topics.into_iter().map(|topic| {
        let is_internal = TopicName::new(&topic.name).is_ok_and(|name| metadata::is_internal(&name));
        let answer = |asked: &DeleteRecordsPartition| {
            let found = match is_internal {
                true => Err(ErrorCode::INVALID_TOPIC_EXCEPTION),
                false => topics.partition(&topic.name, asked.partition_index),
            };
            let (low_watermark, error_code) =
                match found.and_then(|found| delete(found, asked.offset, now_ms)) {
                    Ok(log_start_offset) => (log_start_offset.get(), ErrorCode::NONE),
                    Err(error_code) => (-1, error_code),
                };
            DeleteRecordsPartitionResult { partition_index: asked.partition_index, low_watermark, error_code }
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        DeleteRecordsTopicResult { name: topic.name.clone(), partitions }
    });
    DeleteRecordsResponse { topics: answers.collect(), ..DeleteRecordsResponse::default() }
}

/// Deletes below `offset` and answers where the log now starts.
fn delete(partition: &Partition, offset: i64, now_ms: i64) -> Result<Offset, ErrorCode> {
    let policy = partition.config();
    // A compacted topic promises the last value of every key.
    if policy.log.cleanup_compact && !policy.log.cleanup_delete {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let high_watermark = partition.high_watermark();
    let before = match offset {
        HIGH_WATERMARK => high_watermark,
        offset => Offset::known(offset).ok_or(ErrorCode::OFFSET_OUT_OF_RANGE)?,
    };
    if before > high_watermark {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    partition.delete_records(before, now_ms).map_err(|error| error_code::of_log_error(&error))
}
