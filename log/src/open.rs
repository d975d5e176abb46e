//! Putting a log together from what recovery found: producers and transactions replayed, offsets set.
//!
//! The producer state begins with the newest sound snapshot and takes in the batches behind it, by their headers; only
//! transaction markers are read whole. It repairs no segment: that was done before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};

use arc_swap::ArcSwap;
use ottla_protocol::records::{Rules, ValidBatch};
use ottla_protocol::{Offset, TopicPartition};
use parking_lot::{Mutex, RwLock};

use crate::append::Queue;
use crate::config::LogConfig;
use crate::directory_state::DirectoryState;
use crate::error::LogError;
use crate::file_slice::FileSlice;
use crate::group::end_marker;
use crate::home::Home;
use crate::last_stable::LastStable;
use crate::log::Log;
use crate::maintenance::Background;
use crate::producer_snapshot;
use crate::producer_state::ProducerState;
use crate::recovery::{Opening, Recovery};
use crate::scan::FoundBatch;
use crate::segment::{Segment, segment_path, suffix};
use crate::segments::Segments;
use crate::storage::{read_file, remove_if_present};
use crate::txn_index::{AbortedTransaction, TxnIndex};
use crate::writer::Writer;

impl Log {
    /// Opens the log in `directory`, or creates it there.
    pub(crate) fn open(
        partition: TopicPartition,
        directory: PathBuf,
        shared: Arc<DirectoryState>,
        config: Arc<LogConfig>,
        is_clean: bool,
        now_ms: i64,
    ) -> Result<(Log, Recovery), LogError> {
        let shared = Home::new(shared);
        let recovery_point = shared.recovery_point(&partition).unwrap_or(Offset::ZERO);
        let log_start = shared.log_start(&partition).unwrap_or(Offset::ZERO);
        let opening = Opening {
            shared: &shared,
            directory: &directory,
            config: &config,
            is_clean,
            recovery_point,
            log_start,
            cleaned: shared.cleaned(&partition).unwrap_or(Offset::ZERO),
            now_ms,
        };
        let opened = opening.open()?;
        let segments = Segments::new(opened.segments.clone());
        let first = segments.first().base_offset();
        let log_start = log_start.max(first);
        let log_end = opened.log_end;
        let durable = if is_clean { log_end } else { recovery_point.max(first).min(log_end) };
        let transactions = TxnIndex::default();
        let replay = Replay {
            shared: &shared,
            directory: &directory,
            log_end,
            snapshots: &opened.snapshots,
            txn_indexes: &opened.txn_indexes,
            segments: &segments,
        };
        let mut producers = replay.run(&transactions)?;
        producers.expire(now_ms, config.producer_id_expiration_ms);
        transactions.keep(log_start, log_end);
        let mut background = Background::default();
        replay.remove_stray_snapshots(&mut background)?;

        let latest_epoch = opened.epochs.latest().map(|latest| latest.epoch);
        let last_stable = LastStable::new(producers.first_undecided_offset());
        let active = segments.active().clone();
        let writer =
            Writer::new(active, opened.largest, opened.bytes_since_index_entry, latest_epoch, producers);
        let mut epochs = opened.epochs;
        epochs.truncate_from_start(log_start);
        let log = Log {
            partition,
            directory,
            shared,
            config: ArcSwap::new(config),
            segments: ArcSwap::from_pointee(segments),
            log_start: AtomicI64::new(log_start.get()),
            log_end: AtomicI64::new(log_end.get()),
            durable_end: AtomicI64::new(durable.get()),
            recovery_point: AtomicI64::new(durable.get()),
            dirty_since_ms: AtomicI64::new(now_ms),
            wants_preparation: AtomicBool::new(false),
            wants_room: AtomicBool::new(false),
            is_contradictory: AtomicBool::new(false),
            last_stable,
            epochs: RwLock::new(epochs),
            transactions,
            queue: Mutex::new(Queue::default()),
            writer: Mutex::new(writer),
            background: Mutex::new(background),
            syncing: Mutex::new(()),
            cleaning: Mutex::new(()),
        };
        log.check_invariants();
        Ok((log, opened.recovery))
    }
}

/// What the producer state of a log is rebuilt from.
pub(crate) struct Replay<'a> {
    pub(crate) shared: &'a DirectoryState,
    pub(crate) directory: &'a Path,
    pub(crate) log_end: Offset,
    /// The snapshots on disk in order, none of them behind the log end.
    pub(crate) snapshots: &'a [Offset],
    /// Segments with a transaction index that is not loaded yet.
    pub(crate) txn_indexes: &'a [Offset],
    pub(crate) segments: &'a Segments,
}

impl Replay<'_> {
    pub(crate) fn run(&self, transactions: &TxnIndex) -> Result<ProducerState, LogError> {
        let storage = &**self.shared.storage();
        for base in self.txn_indexes {
            transactions.load(storage, self.directory, *base)?;
        }
        let (mut producers, from) = self.newest_snapshot()?;
        if from >= self.log_end {
            return Ok(producers);
        }
        let mut found_aborted = false;
        for segment in self.segments.from(from) {
            let mut scan = segment.scan_from(u64::from(segment.offset_index().lookup(from)?))?;
            while let Some(found) = scan.next()? {
                if found.header.last_offset() < from {
                    continue;
                }
                if let Some(aborted) = take_batch(&mut producers, segment, &found)? {
                    transactions.insert(aborted);
                    found_aborted = true;
                }
            }
        }
        if found_aborted {
            let replayed = self.segments.from(from);
            for (place, segment) in replayed.iter().enumerate() {
                let end = replayed.get(place + 1).map_or(self.log_end, |next| next.base_offset());
                transactions.rewrite_file(storage, self.directory, (segment.base_offset(), end))?;
            }
        }
        Ok(producers)
    }

    /// The newest snapshot that can be read, and the offset from which batches are to be replayed.
    fn newest_snapshot(&self) -> Result<(ProducerState, Offset), LogError> {
        for offset in self.snapshots.iter().rev() {
            let path = segment_path(self.directory, *offset, suffix::SNAPSHOT);
            let bytes = read_file(&**self.shared.storage(), &path);
            let bytes = bytes.map_err(|error| LogError::io("read", &path, error))?;
            match producer_snapshot::decode(&bytes.unwrap_or_default()) {
                Ok(entries) => return Ok((ProducerState::from_entries(entries), *offset)),
                Err(reason) => {
                    tracing::warn!(path = %path.display(), reason, "skipping a producer snapshot");
                    self.remove(*offset)?;
                }
            }
        }
        Ok((ProducerState::default(), self.segments.first().base_offset()))
    }

    /// Keeps the snapshots that a segment begins at, and the newest one.
    pub(crate) fn remove_stray_snapshots(&self, background: &mut Background) -> Result<(), LogError> {
        let begins_segment = |offset: &Offset| self.segments.iter().any(|one| one.base_offset() == *offset);
        let mut snapshots = self.snapshots.to_vec();
        background.last_snapshot = snapshots.pop();
        background.stray_snapshot = background.last_snapshot.filter(|newest| !begins_segment(newest));
        snapshots
            .into_iter()
            .filter(|offset| !begins_segment(offset))
            .try_for_each(|offset| self.remove(offset))
    }

    fn remove(&self, offset: Offset) -> Result<(), LogError> {
        let path = segment_path(self.directory, offset, suffix::SNAPSHOT);
        remove_if_present(&**self.shared.storage(), &path)
            .map_err(|error| LogError::io("remove", &path, error))
    }
}

/// Takes a batch of the log into the producer state; the transaction that it aborts.
fn take_batch(
    producers: &mut ProducerState,
    segment: &Segment,
    found: &FoundBatch,
) -> Result<Option<AbortedTransaction>, LogError> {
    let header = &found.header;
    let Some(producer) = header.producer else {
        return Ok(None);
    };
    if !header.attributes.is_control() {
        producers.note_batch(header, header.base_offset);
        return Ok(None);
    }
    let len = u32::try_from(header.size_in_bytes()).expect("a batch lies within a segment");
    let bytes = FileSlice::new(segment.log(), found.position, len)?.to_bytes();
    let bytes = bytes.map_err(|error| LogError::io("read", segment.log().path(), error))?;
    let batch = ValidBatch::check(bytes, &Rules::stored()).map_err(|error| LogError::Corrupt {
        path: segment.log().path().to_owned(),
        position: found.position,
        offset: header.base_offset,
        reason: error.to_string(),
    })?;
    let Some((committed, coordinator_epoch)) = end_marker(&batch) else {
        return Ok(None);
    };
    let (_, completed) =
        producers.note_marker(producer, coordinator_epoch, header.max_timestamp, header.base_offset);
    Ok(completed.filter(|_| !committed).map(|completed| AbortedTransaction {
        producer_id: completed.producer_id,
        first_offset: completed.first_offset,
        last_offset: completed.last_offset,
        last_stable_offset: completed.last_stable_offset,
    }))
}
