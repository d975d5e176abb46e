//! A partition to test with: one log directory over any storage, and batches whose contents can be recognised.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use ottla_log::storage::Storage;
use ottla_log::{
    AppendError, AppendOrigin, Appended, DirectoryOwner, Log, LogConfig, LogDir, LogError, Recovery, Stamp,
};
use ottla_protocol::records::{
    BatchBuilder, BatchProducer, Compression, OutputLimit, Rules, ValidBatch, batches,
};
use ottla_protocol::{
    BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TopicId, TopicName,
    TopicPartition,
};

pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) fn flights() -> TopicPartition {
    TopicPartition::new(TopicName::new("flights").unwrap(), PartitionIndex::new(0))
}

pub(crate) fn topic_id() -> TopicId {
    "AAAAAAAAAAAAAAAAAAAAAQ".parse().unwrap()
}

pub(crate) fn owner() -> DirectoryOwner {
    let new_directory_id = "AAAAAAAAAAAAAAAAAAAAAg".parse().unwrap();
    DirectoryOwner { cluster_id: "cluster".to_owned(), node_id: BrokerId::new(1), new_directory_id }
}

/// Settings under which a few small batches fill a segment.
pub(crate) fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 200, ..LogConfig::default() }
}

/// A log directory that is open.
pub(crate) struct Partition {
    pub(crate) dir: LogDir,
    pub(crate) log: Arc<Log>,
    pub(crate) recovery: Recovery,
}

impl Partition {
    /// Opens the partition, creating it if it is not there.
    pub(crate) fn open(
        storage: &Arc<dyn Storage>,
        path: &Path,
        config: LogConfig,
    ) -> Result<Partition, LogError> {
        let dir = LogDir::open(storage.clone(), path, &owner())?;
        let (log, recovery) = match dir.found().iter().any(|found| found.partition == flights()) {
            true => dir.open_log(&flights(), Some(topic_id()), config, NOW_MS)?,
            false => (dir.create_log(&flights(), topic_id(), config, NOW_MS)?, Recovery::default()),
        };
        Ok(Partition { dir, log, recovery })
    }

    pub(crate) fn append(&self, batch: ValidBatch) -> Result<Appended, AppendError> {
        append(&self.log, batch, 0)
    }

    /// Every record's value in order, as text.
    pub(crate) fn values(&self) -> Vec<(i64, String)> {
        values(&self.log)
    }
}

pub(crate) fn append(log: &Log, batch: ValidBatch, epoch: i32) -> Result<Appended, AppendError> {
    let stamp = Stamp { leader_epoch: LeaderEpoch::new(epoch), now_ms: NOW_MS, origin: AppendOrigin::Client };
    append_stamped(log, batch, stamp)
}

pub(crate) fn append_stamped(log: &Log, batch: ValidBatch, stamp: Stamp) -> Result<Appended, AppendError> {
    let (send, receive) = mpsc::channel();
    log.append(batch, stamp, move |outcome| send.send(outcome).unwrap());
    receive.recv().unwrap()
}

pub(crate) fn append_then(
    log: &Log,
    batch: ValidBatch,
    epoch: i32,
    done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
) {
    let stamp = Stamp { leader_epoch: LeaderEpoch::new(epoch), now_ms: NOW_MS, origin: AppendOrigin::Client };
    log.append(batch, stamp, done);
}

/// A batch of these values, the first with this timestamp and each a millisecond later.
pub(crate) fn batch_at(timestamp: i64, values: &[String]) -> ValidBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for (place, value) in values.iter().enumerate() {
        builder.push(timestamp + place as i64, None, Some(value.as_bytes()), &[]).unwrap();
    }
    ValidBatch::check(builder.build(), &Rules::client(1 << 20)).unwrap()
}

/// A batch of `count` records whose values begin with `name`.
pub(crate) fn batch(name: &str, count: usize) -> ValidBatch {
    batch_at(NOW_MS, &(0..count).map(|place| format!("{name}.{place}")).collect::<Vec<_>>())
}

pub(crate) fn producer_batch(producer: i64, epoch: i16, sequence: i32, count: usize) -> ValidBatch {
    built_by(producer, epoch, sequence, count, false)
}

pub(crate) fn transactional_batch(producer: i64, epoch: i16, sequence: i32, count: usize) -> ValidBatch {
    built_by(producer, epoch, sequence, count, true)
}

fn built_by(producer: i64, epoch: i16, sequence: i32, count: usize, transactional: bool) -> ValidBatch {
    let mut builder = BatchBuilder::new(Compression::None).with_producer(BatchProducer {
        id: ProducerId::new(producer),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Sequence::known(sequence),
    });
    if transactional {
        builder = builder.transactional();
    }
    for place in 0..count {
        let value = format!("p{producer}.{}", sequence as usize + place);
        builder.push(NOW_MS, None, Some(value.as_bytes()), &[]).unwrap();
    }
    ValidBatch::check(builder.build(), &Rules::client(1 << 20)).unwrap()
}

/// Reads the whole log in pieces and checks that offsets grow.
pub(crate) fn values(log: &Log) -> Vec<(i64, String)> {
    let mut values = Vec::new();
    let mut from = log.log_start_offset();
    while from < log.log_end_offset() {
        let read = log.read(from, Offset::MAX, 4096, true).unwrap();
        let bytes = read.slice.expect("there is something below the log end").to_bytes().unwrap();
        from = each_record(bytes, |offset, value| {
            if offset >= log.log_start_offset() {
                assert!(values.last().is_none_or(|(last, _)| *last < offset.get()), "offsets grow");
                values.push((offset.get(), value));
            }
        });
    }
    values
}

/// Calls `visit` for every record in `bytes`, which must be whole batches; the offset behind the last.
pub(crate) fn each_record(bytes: Bytes, mut visit: impl FnMut(Offset, String)) -> Offset {
    let mut next = Offset::ZERO;
    for batch in batches(bytes) {
        let batch = batch.expect("whole, sound batches are read");
        next = batch.header().next_offset();
        for record in batch.records(OutputLimit::new(1 << 20)).unwrap() {
            let record = record.unwrap();
            let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            visit(record.offset, value);
        }
    }
    next
}
