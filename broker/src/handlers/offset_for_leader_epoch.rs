//! OffsetForLeaderEpoch (23), versions 2 to 4: where a leader epoch ends in this leader's log (KIP-101, KIP-320).
//!
//! A reader that was on another leader asks with the epoch of the last record that it has, and goes back to the offset
//! that it is told if that lies below its own.

use ottla_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};
use ottla_protocol::{ErrorCode, LeaderEpoch};

use super::RequestContext;
use crate::partition::{Partition, check_leader_epoch};

/// Answers for each partition by itself.
pub(super) fn handle(
    context: &RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = context.core.topics.load();
    let results = request.topics.into_iter().map(|topic| {
        let answer = |asked: &OffsetForLeaderPartition| {
            let found = topics.partition(&topic.topic, asked.partition);
            let row = found
                .and_then(|partition| end_of_epoch(partition, asked))
                .unwrap_or_else(|error_code| EpochEndOffset { error_code, ..EpochEndOffset::default() });
            EpochEndOffset { partition: asked.partition, ..row }
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        OffsetForLeaderTopicResult { topic: topic.topic.clone(), partitions }
    });
    OffsetForLeaderEpochResponse { topics: results.collect(), ..OffsetForLeaderEpochResponse::default() }
}

fn end_of_epoch(
    partition: &Partition,
    asked: &OffsetForLeaderPartition,
) -> Result<EpochEndOffset, ErrorCode> {
    check_leader_epoch(asked.current_leader_epoch, partition.leader_epoch())?;
    let row = EpochEndOffset::default();
    let end = LeaderEpoch::known(asked.leader_epoch).and_then(|epoch| partition.epoch_end_offset(epoch));
    Ok(match end {
        None => row,
        Some((epoch, end_offset)) => {
            EpochEndOffset { leader_epoch: epoch.get(), end_offset: end_offset.get(), ..row }
        }
    })
}
