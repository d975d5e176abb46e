//! One partition's log: the offsets everybody asks for, and the parts that move them.
//!
//! A `Log` is shared by reference between connections (append, read) and background work (prepare, sync, retain). Readers
//! take no lock: they look at atomics and at an immutable list of segments. It knows no leader and no high watermark;
//! where one matters it is a parameter. Invariants: `log_start <= log_end`, `recovery_point <= durable_end <= log_end`,
//! and each of the four only grows except in a truncation.
//!
//! Locks, in the order in which they may be taken: background → writer → syncing → (epochs, transaction index). The queue's
//! lock is taken alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use ottla_protocol::{LeaderEpoch, Offset, TopicPartition};
use parking_lot::{Mutex, RwLock};

use crate::append::Queue;
use crate::config::LogConfig;
use crate::epoch_cache::{EpochCache, EpochStart};
use crate::error::LogError;
use crate::home::Home;
use crate::last_stable::LastStable;
use crate::maintenance::Background;
use crate::producer_state::ProducerEntry;
use crate::segments::Segments;
use crate::storage::Storage;
use crate::txn_index::{AbortedTransaction, TxnIndex};
use crate::writer::Writer;

pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";

/// One partition on disk.
#[derive(Debug)]
pub struct Log {
    pub(crate) partition: TopicPartition,
    pub(crate) directory: PathBuf,
    pub(crate) shared: Arc<Home>,
    pub(crate) config: ArcSwap<LogConfig>,
    pub(crate) segments: ArcSwap<Segments>,
    pub(crate) log_start: AtomicI64,
    pub(crate) log_end: AtomicI64,
    pub(crate) durable_end: AtomicI64,
    pub(crate) recovery_point: AtomicI64,
    /// When the oldest record that is not durable was appended.
    pub(crate) dirty_since_ms: AtomicI64,
    pub(crate) wants_preparation: AtomicBool,
    pub(crate) wants_room: AtomicBool,
    /// An assertion failed while something was appended.
    pub(crate) is_contradictory: AtomicBool,
    pub(crate) last_stable: LastStable,
    pub(crate) epochs: RwLock<EpochCache>,
    pub(crate) transactions: TxnIndex,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) background: Mutex<Background>,
    pub(crate) syncing: Mutex<()>,
    /// Held for a whole compaction; taken before the background lock, and never waited for.
    pub(crate) cleaning: Mutex<()>,
}

impl Log {
    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The directory of the partition.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The first readable offset.
    pub fn log_start_offset(&self) -> Offset {
        Offset::new(self.log_start.load(Ordering::Acquire))
    }

    /// The next offset to be assigned. All before it can be read.
    pub fn log_end_offset(&self) -> Offset {
        Offset::new(self.log_end.load(Ordering::Acquire))
    }

    /// All before it outlives a power loss.
    pub fn durable_end_offset(&self) -> Offset {
        Offset::new(self.durable_end.load(Ordering::Acquire))
    }

    /// What recovery may take for granted: below it everything is durable, the index of every sealed segment included.
    pub fn recovery_point(&self) -> Offset {
        Offset::new(self.recovery_point.load(Ordering::Acquire))
    }

    /// Up to where a read_committed consumer may read while the high watermark stands at `high_watermark`.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        self.last_stable.below(high_watermark)
    }

    /// The aborted transactions that overlap the records `[from, to)`.
    pub fn aborted_transactions(&self, from: Offset, to: Offset) -> Vec<AbortedTransaction> {
        self.transactions.overlapping(from, to)
    }

    /// The bytes of all segments, without their indexes.
    pub fn size_bytes(&self) -> u64 {
        self.segments.load().iter().map(|segment| segment.size()).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.load().len()
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    /// Puts new settings in force for the next append, read and retention. Partitions of a topic may share them.
    pub fn update_config(&self, config: impl Into<Arc<LogConfig>>) {
        self.config.store(config.into());
    }

    /// The latest leader epoch and where it begins.
    pub fn latest_epoch(&self) -> Option<EpochStart> {
        self.epochs.read().latest()
    }

    /// Every leader epoch that has records in the log, oldest first.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.epochs.read().entries().to_vec()
    }

    /// Notes that a leader with this epoch has begun, before it appends anything. False if the epoch is not news.
    pub fn begin_epoch(&self, epoch: LeaderEpoch) -> bool {
        let mut writer = self.writer.lock();
        writer.note_epoch(&self.epochs, epoch, self.log_end_offset())
    }

    /// Where `epoch` ended: the greatest known epoch that is not later, and the offset behind its last record (KIP-101).
    /// `None` if every known epoch is later.
    pub fn epoch_end_offset(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.read().end_offset(epoch, self.log_end_offset())
    }

    /// The leader epoch of the record at `offset`, if it is known.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.read().epoch_of(offset)
    }

    /// What is known of each producer, for DescribeProducers.
    pub fn producers(&self) -> Vec<(ottla_protocol::ProducerId, ProducerEntry)> {
        self.writer.lock().producers.entries().map(|(id, entry)| (id, *entry)).collect()
    }

    /// Whether the whole log directory is offline because an fsync failed in it.
    pub fn is_offline(&self) -> bool {
        self.shared.is_dead()
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &**self.shared.storage()
    }

    pub(crate) fn check_invariants(&self) {
        let (start, end) = (self.log_start_offset(), self.log_end_offset());
        assert!(start <= end, "{}: log start {start} is behind log end {end}", self.partition);
        let (recovery, durable) = (self.recovery_point(), self.durable_end_offset());
        assert!(recovery <= durable, "{}: recovery point {recovery} > durable end {durable}", self.partition);
        assert!(durable <= end, "{}: durable end {durable} > log end {end}", self.partition);
    }

    pub(crate) fn io(&self, action: &'static str, path: &Path, error: std::io::Error) -> LogError {
        LogError::io(action, path, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::append_only::AppendOnly;
    use crate::segment::{LogFile, Segment};

    #[test]
    fn an_idle_log_takes_less_than_four_kibibytes() {
        let indexes = 2 * size_of::<AppendOnly<std::sync::atomic::AtomicU64>>();
        let segment = size_of::<Segment>() + size_of::<LogFile>() + indexes;
        let whole = size_of::<Log>() + size_of::<LogConfig>() + segment;
        // Names, reference counts and the allocator's rounding take the rest.
        assert!(whole < 3072, "{whole} bytes");
    }
}
