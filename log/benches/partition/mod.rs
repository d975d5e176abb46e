//! A partition on a real file system, in a temporary directory, filled with batches of known shape.

// Each bench is a crate of its own and needs a part of this.
#![allow(dead_code, reason = "each bench uses a part")]

use std::sync::Arc;

use ottla_log::storage::RealStorage;
use ottla_log::{AppendOrigin, Appended, DirectoryOwner, Log, LogConfig, LogDir, Stamp};
use ottla_protocol::records::{BatchBuilder, Compression, Rules, ValidBatch};
use ottla_protocol::{
    BrokerId, DirectoryId, LeaderEpoch, PartitionIndex, TopicId, TopicName, TopicPartition,
};

const NOW_MS: i64 = 1_700_000_000_000;

/// An open partition; its files go when it is dropped.
pub(crate) struct Partition {
    pub(crate) log: Arc<Log>,
    _directory: LogDir,
    _files: tempfile::TempDir,
}

impl Partition {
    pub(crate) fn create(config: LogConfig) -> Partition {
        let files = tempfile::tempdir().expect("a temporary directory");
        let owner = DirectoryOwner {
            cluster_id: "bench".to_owned(),
            node_id: BrokerId::new(1),
            new_directory_id: DirectoryId::new(topic_id().get()),
        };
        let directory =
            LogDir::open(Arc::new(RealStorage::new()), files.path(), &owner).expect("a new directory");
        let partition = TopicPartition::new(TopicName::new("bench").expect("legal"), PartitionIndex::new(0));
        let log = directory.create_log(&partition, topic_id(), config, NOW_MS).expect("a new partition");
        Partition { log, _directory: directory, _files: files }
    }

    /// A partition of `bytes` in batches of `batch`.
    pub(crate) fn filled(config: LogConfig, batch: &ValidBatch, bytes: u64) -> Partition {
        let partition = Partition::create(config);
        while partition.log.size_bytes() < bytes {
            append(&partition.log, batch.clone());
        }
        partition
    }
}

fn topic_id() -> TopicId {
    "AAAAAAAAAAAAAAAAAAAAAQ".parse().expect("a legal id")
}

/// Appends as a producer; on one thread the callback has run when this returns.
pub(crate) fn append(log: &Log, batch: ValidBatch) {
    append_then(log, batch, |_| ());
}

/// Appends and tells what became of it.
pub(crate) fn append_then(log: &Log, batch: ValidBatch, then: impl FnOnce(Appended) + Send + 'static) {
    log.append(batch, stamp(), |result| then(result.expect("an append")));
}

/// Appends so many copies, which are written with one call.
pub(crate) fn append_together(log: &Arc<Log>, batch: &ValidBatch, count: usize) {
    let mut duty = None;
    for _ in 0..count {
        duty = duty.or(log.enqueue(batch.clone(), stamp(), |result| {
            result.expect("an append");
        }));
    }
    drop(duty);
}

fn stamp() -> Stamp {
    Stamp { leader_epoch: LeaderEpoch::ZERO, now_ms: NOW_MS, origin: AppendOrigin::Client }
}

/// A batch of about this size with values of 100 bytes.
pub(crate) fn batch(batch_bytes: usize) -> ValidBatch {
    let mut builder = BatchBuilder::new(Compression::None).with_capacity(batch_bytes);
    let value = [b'v'; 100];
    let mut timestamp = NOW_MS;
    while builder.is_empty() || builder.size_estimate() + 110 < batch_bytes {
        builder.push(timestamp, None, Some(&value), &[]).expect("it fits");
        timestamp += 1;
    }
    ValidBatch::check(builder.build(), &Rules::client(usize::MAX)).expect("our own batch")
}

/// Segments small enough that a bench does not fill the disk.
pub(crate) fn config() -> LogConfig {
    LogConfig { segment_bytes: 256 << 20, ..LogConfig::default() }
}
