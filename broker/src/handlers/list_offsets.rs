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
use crate::connection::Handled;
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

/// How much one turn does, in partitions whose answer is at hand.
const TURN_COST: usize = 4096;

/// What a search by time costs: it reads from the disk and unpacks a batch.
const SEARCH_COST: usize = 256;

/// The answers of one request, as far as they are known.
struct Answers {
    context: RequestContext,
    request: ListOffsetsRequest,
    known: Vec<ListOffsetsTopicResponse>,
}

/// Answers for each partition by itself. Others have their turn during a long search.
pub(super) fn handle(context: RequestContext, request: ListOffsetsRequest) -> Handled {
    let known = Vec::with_capacity(request.topics.len());
    let mut answers = Answers { context, request, known };
    match answers.take_turn() {
        Some(response) => Handled::Done(answers.context.reply::<ListOffsetsRequest>(response)),
        None => Handled::Turns(Box::new(move || {
            let response = answers.take_turn()?;
            Some(Handled::Done(answers.context.reply::<ListOffsetsRequest>(response)))
        })),
    }
}

impl Answers {
    /// Goes on until the turn is over; the response when nothing is left to ask.
    fn take_turn(&mut self) -> Option<ListOffsetsResponse> {
        let topics = self.context.core.topics.load();
        let (isolation_level, api_version) = (self.request.isolation_level, self.context.api_version());
        let mut cost = 0;
        let begun = self.known.len().saturating_sub(1);
        for (place, topic) in self.request.topics.iter().enumerate().skip(begun) {
            if place == self.known.len() {
                let partitions = Vec::with_capacity(topic.partitions.len());
                self.known.push(ListOffsetsTopicResponse { name: topic.name.clone(), partitions });
            }
            let known = &mut self.known[place].partitions;
            for asked in &topic.partitions[known.len()..] {
                if cost >= TURN_COST {
                    return None;
                }
                cost += if is_search(asked.timestamp) { SEARCH_COST } else { 1 };
                let found = topics
                    .partition(&topic.name, asked.partition_index)
                    .and_then(|partition| offset_of(partition, asked, isolation_level, api_version));
                let row = found.unwrap_or_else(|error_code| ListOffsetsPartitionResponse {
                    error_code,
                    ..ListOffsetsPartitionResponse::default()
                });
                known.push(ListOffsetsPartitionResponse { partition_index: asked.partition_index, ..row });
            }
        }
        let topics = std::mem::take(&mut self.known);
        Some(ListOffsetsResponse { topics, ..ListOffsetsResponse::default() })
    }
}

fn is_search(timestamp: i64) -> bool {
    timestamp >= 0 || timestamp == MAX_TIMESTAMP
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
