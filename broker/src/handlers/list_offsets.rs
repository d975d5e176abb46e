//! ListOffsets (2), versions 1 to 7: the offset at a time, or at either end (KIP-98, KIP-320, KIP-734).
//!
//! "Latest" is the high watermark, or the last stable offset for a consumer that reads committed, so that no client is
//! sent to an offset that it cannot read yet.

use ottla_log::{LogError, TimestampedOffset};
use ottla_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use ottla_protocol::{ErrorCode, Offset};

use super::RequestContext;
use crate::error_code;
use crate::partition::{Partition, check_leader_epoch};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

/// `isolation_level` of a consumer that reads committed.
const READ_COMMITTED: i8 = 1;

/// The first version whose response carries the epoch of the record.
const LEADER_EPOCH_SINCE: i16 = 4;

/// The first version that knows [`MAX_TIMESTAMP`].
const MAX_TIMESTAMP_SINCE: i16 = 7;

/// Answers for each partition by itself.
pub(super) fn handle(context: &RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = context.core.topics.load();
    let answers = request.topics.into_iter().map(|topic| {
        let answer = |asked: &ListOffsetsPartition| {
            let found = topics.partition(&topic.name, asked.partition_index).and_then(|partition| {
                offset_of(partition, asked, request.isolation_level, context.api_version())
            });
            let row = found.unwrap_or_else(|error_code| ListOffsetsPartitionResponse {
                error_code,
                ..ListOffsetsPartitionResponse::default()
            });
            ListOffsetsPartitionResponse { partition_index: asked.partition_index, ..row }
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        ListOffsetsTopicResponse { name: topic.name.clone(), partitions }
    });
    ListOffsetsResponse { topics: answers.collect(), ..ListOffsetsResponse::default() }
}

fn offset_of(
    partition: &Partition,
    asked: &ListOffsetsPartition,
    isolation_level: i8,
    api_version: i16,
) -> Result<ListOffsetsPartitionResponse, ErrorCode> {
    check_leader_epoch(asked.current_leader_epoch, partition.leader_epoch())?;
    let ceiling = match isolation_level {
        READ_COMMITTED => partition.last_stable_offset(),
        _ => partition.high_watermark(),
    };
    let log = partition.log();
    let answer = match asked.timestamp {
        LATEST => Some((-1, ceiling)),
        EARLIEST => Some((-1, log.log_start_offset())),
        MAX_TIMESTAMP if api_version >= MAX_TIMESTAMP_SINCE => found(log.max_timestamp())?,
        timestamp if timestamp >= 0 => found(log.offset_for_timestamp(timestamp))?,
        _ => return Err(ErrorCode::UNSUPPORTED_VERSION),
    };
    let is_end = asked.timestamp == LATEST;
    let row = ListOffsetsPartitionResponse::default();
    Ok(match answer.filter(|(_, offset)| is_end || *offset < ceiling || asked.timestamp == EARLIEST) {
        None => row,
        Some((timestamp, offset)) => ListOffsetsPartitionResponse {
            timestamp,
            offset: offset.get(),
            leader_epoch: if api_version < LEADER_EPOCH_SINCE { -1 } else { epoch_at(partition, offset) },
            ..row
        },
    })
}

fn found(record: Result<Option<TimestampedOffset>, LogError>) -> Result<Option<(i64, Offset)>, ErrorCode> {
    let record = record.map_err(|error| error_code::of_log_error(&error))?;
    Ok(record.map(|record| (record.timestamp, record.offset)))
}

/// The epoch of the record at `offset`; that of the next record is the leader's.
fn epoch_at(partition: &Partition, offset: Offset) -> i32 {
    let log = partition.log();
    if offset >= log.log_end_offset() {
        return partition.leader_epoch().get();
    }
    log.epoch_of(offset).map_or(-1, |epoch| epoch.get())
}
