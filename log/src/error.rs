//! What can go wrong with a log, as types: what, which file, which offset, and whether trying again can help.
//!
//! The broker maps these to Kafka's error codes in one place; no Kafka error code appears here. An error is made where
//! the failure is seen and logged where it is handled, not in this crate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use ottla_protocol::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TopicId, TopicPartition};

/// A failure of the log as a whole: opening, syncing, truncating, directory work.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused; the log is as it was, unless an append or a sync says otherwise.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The bytes on disk contradict the format or each other where they were said to be safe. Nothing was changed.
    #[error("{} is corrupt at byte {position} (offset {offset}): {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The position in it.
        position: u64,
        /// The offset that was expected there.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
    /// A small file (checkpoint, metadata, properties) does not read as one.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another broker holds the directory.
    #[error("{} is locked by another broker", .0.display())]
    Locked(PathBuf),
    /// The directory belongs to another cluster, node or directory id.
    #[error("{} belongs to {key} {found}, not to {expected}", path.display())]
    NotOurs {
        /// The properties file.
        path: PathBuf,
        /// Which property differs.
        key: &'static str,
        /// Its value in the file.
        found: String,
        /// The value of this broker.
        expected: String,
    },
    /// The partition's directory holds another incarnation of the topic.
    #[error("{partition} on disk has topic id {found}, not {expected}")]
    TopicIdMismatch {
        /// The partition.
        partition: TopicPartition,
        /// The id on disk.
        found: TopicId,
        /// The id asked for.
        expected: TopicId,
    },
    /// The partition is open already, or its directory exists where a new one was to be created.
    #[error("{0} exists already")]
    Exists(TopicPartition),
    /// An fsync failed in this directory; nothing in it is trusted until the process is restarted.
    #[error("the log directory {} failed an fsync and is offline", .0.display())]
    DirectoryDead(PathBuf),
    /// An earlier write failed and could not be undone.
    #[error("the log refuses writes since an earlier one failed: {0}")]
    Poisoned(Arc<LogError>),
    /// The log was closed or deleted.
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        LogError::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether the disk (or a quota) is full, so that the same call may succeed later.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, LogError::Io { source, .. } if is_disk_full(source))
    }

    /// Whether a file could not even be opened, since the process or the system has no descriptor left; that passes, and
    /// says nothing about the disk.
    pub fn is_out_of_descriptors(&self) -> bool {
        let exhausted = [Errno::EMFILE as i32, Errno::ENFILE as i32];
        matches!(self, LogError::Io { source, .. } if source.raw_os_error().is_some_and(|code| exhausted.contains(&code)))
    }
}

/// Whether an error of the file system means "no room", which passes once room is made.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why a batch was not appended. Whatever the reason, no byte of it is in the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The batch alone is larger than a whole segment may be.
    #[error("a batch of {bytes} bytes is larger than segment.bytes = {segment_bytes}")]
    LargerThanSegment {
        /// The size of the batch.
        bytes: usize,
        /// The limit.
        segment_bytes: u64,
    },
    /// A sequence that is not the next of its producer.
    #[error("producer {producer_id} sent sequence {sequence}, expected {expected}")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// The first sequence of the batch.
        sequence: Sequence,
        /// The one that comes next.
        expected: Sequence,
    },
    /// An epoch lower than one already seen from this producer: a zombie.
    #[error("producer {producer_id} sent epoch {epoch}, but {current} was seen")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The greatest epoch seen.
        current: ProducerEpoch,
    },
    /// A non-transactional batch while the producer's transaction is open.
    #[error("producer {0} has an open transaction and sent a batch outside of it")]
    InvalidTransactionState(ProducerId),
    /// A transaction marker from a coordinator that was replaced.
    #[error("a marker for producer {producer_id} carries coordinator epoch {epoch}, but {current} was seen")]
    CoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The coordinator epoch of the marker.
        epoch: i32,
        /// The greatest coordinator epoch seen.
        current: i32,
    },
    /// The caller's leader epoch is older than one in the log: the leader was replaced.
    #[error("leader epoch {epoch} is older than {current}, which is in the log")]
    StaleLeaderEpoch {
        /// The epoch of the append.
        epoch: LeaderEpoch,
        /// The latest epoch in the log.
        current: LeaderEpoch,
    },
    /// A replicated batch that does not begin at the log end.
    #[error("a replicated batch begins at {base_offset}, but the log ends at {log_end_offset}")]
    OffsetsOutOfOrder {
        /// Where the batch begins.
        base_offset: Offset,
        /// Where the log ends.
        log_end_offset: Offset,
    },
    /// The log could not take it; see [`AppendError::is_disk_full`] for the one that passes.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl AppendError {
    /// Whether the disk is full; the same append may succeed later.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, AppendError::Log(error) if error.is_disk_full())
    }
}

/// Why a read was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is not in `[log_start_offset, log_end_offset]`.
    #[error("offset {offset} is not in [{log_start_offset}, {log_end_offset}]")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The first readable offset.
        log_start_offset: Offset,
        /// The next offset to be assigned.
        log_end_offset: Offset,
    },
    /// The bytes could not be found or made no sense.
    #[error(transparent)]
    Log(#[from] LogError),
}
