//! Reads one partition of `__consumer_offsets` from its start to its end into a group machine.

use ottla_cluster::group::{GroupConfig, GroupRecord, GroupShard, Now};
use ottla_log::ReadError;
use ottla_protocol::ErrorCode;
use ottla_protocol::records::{BatchError, OutputLimit, Record, Rules, batches};
use tracing::{info, warn};

use super::group_host::Waiter;
use crate::partition::Partition;

/// How much of the log is read at once.
const READ_BYTES: u32 = 1 << 20;

/// Why a partition cannot be loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// The groups of `partition`, as its records say. Blocks on the disk.
pub(super) fn replay(
    partition: &Partition,
    config: GroupConfig,
    now: Now,
) -> Result<GroupShard<Waiter>, ErrorCode> {
    let mut shard = GroupShard::new(config);
    match read_all(partition, |record| replay_record(&mut shard, partition, now, &record)) {
        Ok(0) => {}
        Ok(count) => info!(partition = %partition.topic_partition, records = count, "groups loaded"),
        Err(error) => {
            warn!(partition = %partition.topic_partition, %error, "groups cannot be loaded");
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
    }
    shard.finish_replay(now);
    Ok(shard)
}

/// A record that cannot be read is passed over, as on Kafka: one broken group must not take all others down.
fn replay_record(shard: &mut GroupShard<Waiter>, partition: &Partition, now: Now, record: &Record) {
    match GroupRecord::decode(record.key.as_ref(), record.value.as_ref()) {
        Ok(Some(decoded)) => shard.replay(now, decoded),
        Ok(None) => {}
        Err(error) => {
            let (partition, offset) = (&partition.topic_partition, record.offset.get());
            warn!(%partition, offset, %error, "a group record is passed over");
        }
    }
}

/// Shows every committed record in order; returns how many there were.
fn read_all(partition: &Partition, mut each: impl FnMut(Record)) -> Result<u64, LoadError> {
    let log = partition.log();
    let end = partition.high_watermark();
    let mut next = log.log_start_offset();
    let mut count = 0;
    while next < end {
        let Some(slice) = log.read(next, end, READ_BYTES, true)?.slice else { break };
        for batch in batches(slice.to_bytes()?) {
            let batch = batch?;
            next = batch.header().last_offset().next();
            if batch.header().attributes.is_control() {
                continue;
            }
            for record in batch.records(OutputLimit::new(Rules::OUTPUT_BYTES_MAX))? {
                each(record?);
                count += 1;
            }
        }
    }
    Ok(count)
}
