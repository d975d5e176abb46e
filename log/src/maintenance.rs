//! What appends do not wait for: the next segment's file, the files of a rolled segment, fsync, the recovery point, closing.
//!
//! Everything here may block on the disk and is called from background threads; only [`Log::sync`] stands between a
//! producer and its answer when `flush.messages` says so. Nothing here decides when it is called. Invariant: the recovery
//! point rises only after the log, the indexes of sealed segments and the epochs below it are durable.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_protocol::Offset;
use parking_lot::MutexGuard;

use crate::error::LogError;
use crate::log::{LEADER_EPOCHS, Log};
use crate::producer_snapshot;
use crate::roll::segment_bytes_max;
use crate::segment::{Segment, segment_path, suffix};
use crate::storage::{Access, Storage, StorageFile, remove_if_present, write_all_at};
use crate::writer::Writer;

pub(crate) const NEXT_PREPARED: &str = "next.prepared";

/// A segment that was rolled and whose files are still to be written.
#[derive(Debug)]
pub(crate) struct Sealing {
    pub(crate) segment: Arc<Segment>,
    /// The producer state where the next segment begins.
    pub(crate) snapshot: Vec<u8>,
    pub(crate) snapshot_offset: Offset,
}

/// What the background jobs of a log remember; its lock keeps them apart from each other.
#[derive(Debug, Default)]
pub(crate) struct Background {
    /// The offset of the newest snapshot on disk.
    pub(crate) last_snapshot: Option<Offset>,
    /// A snapshot that no segment begins at, to be removed once there is a newer one.
    pub(crate) stray_snapshot: Option<Offset>,
    pub(crate) retired: Vec<crate::retention::Retired>,
}

impl Log {
    /// Whether [`Log::prepare_next`] has something to do that will spare an append the work.
    pub fn wants_preparation(&self) -> bool {
        self.wants_preparation.load(Ordering::Relaxed) || self.wants_room.load(Ordering::Relaxed)
    }

    /// Makes room for the next appends, if that is what they want. Creates the next segment's file, so that a roll is a
    /// rename, and completes what was rolled: index files, fsync, the recovery point on disk. After a crash no more than
    /// the active segment is then to be read again.
    pub fn prepare_next(&self) -> Result<(), LogError> {
        if self.wants_room.swap(false, Ordering::Relaxed) {
            self.make_room()?;
            if !self.wants_preparation.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        {
            let _background = self.background.lock();
            self.wants_preparation.store(false, Ordering::Relaxed);
            self.check_open()?;
            self.prepare_file()?;
        }
        let before = self.recovery_point();
        if self.checkpoint()? > before { self.shared.write_checkpoints() } else { Ok(()) }
    }

    fn prepare_file(&self) -> Result<(), LogError> {
        if self.writer.lock().prepared.is_some() {
            return Ok(());
        }
        let config = self.config.load();
        let path = self.directory.join(NEXT_PREPARED);
        let create = || {
            let file = self.storage().open(&path, Access::Create)?;
            file.truncate(0)?;
            if config.preallocate {
                file.preallocate(segment_bytes_max(&config))?;
            }
            Ok(file)
        };
        let file = create().map_err(|error| self.io("create", &path, error))?;
        self.writer.lock().prepared = Some(file);
        Ok(())
    }

    /// Whether the flush settings ask for a [`Log::sync`].
    pub fn needs_sync(&self, now_ms: i64) -> bool {
        let unsynced = (self.log_end_offset() - self.durable_end_offset()).get().max(0) as u64;
        if unsynced == 0 {
            return false;
        }
        let config = self.config.load();
        let waited = now_ms.saturating_sub(self.dirty_since_ms.load(Ordering::Relaxed));
        // The wall clock may be set back; then nobody knows how long it was, and a flush too many costs little.
        let is_overdue = u64::try_from(waited).map_or(true, |waited| waited >= config.flush_ms);
        unsynced >= config.flush_messages || (is_overdue && config.flush_ms < i64::MAX.cast_unsigned())
    }

    /// Makes everything durable that was appended before the call, and returns the durable end. Many appends share one.
    ///
    /// # Errors
    /// After a failed fsync the whole directory is offline until the process ends: the kernel tells of lost pages once.
    /// `Closed` if the log was deleted meanwhile, which is no failure.
    pub fn sync(&self) -> Result<Offset, LogError> {
        let syncing = self.syncing.lock();
        self.shared.check_alive()?;
        if self.durable_end_offset() < self.log_end_offset() && self.shared.is_left() {
            // Nobody will read it again. Not the writer's lock: a truncation holds it while it waits for this one.
            return Err(LogError::Closed);
        }
        self.sync_segments(&syncing)
    }

    fn sync_segments(&self, _one_at_a_time: &MutexGuard<'_, ()>) -> Result<Offset, LogError> {
        let (durable, end) = (self.durable_end_offset(), self.log_end_offset());
        if durable >= end {
            return Ok(durable);
        }
        // The list is at least as new as `end`: a roll stores it before the first batch behind it is published.
        let segments = self.segments.load();
        for segment in segments.from(durable) {
            self.shared.durable(segment.sync())?;
        }
        self.durable_end.fetch_max(end.get(), Ordering::AcqRel);
        Ok(end)
    }

    /// Raises the recovery point as far as it goes without an fsync of the active segment: sealed segments and their
    /// indexes are made durable, and what was synced before counts. The directory writes it to its checkpoint.
    pub fn checkpoint(&self) -> Result<Offset, LogError> {
        let mut background = self.background.lock();
        self.check_open()?;
        let start = self.log_start_offset();
        if start > Offset::ZERO {
            // While nobody can delete the log: its successor of the same name must not inherit this.
            self.shared.note_log_start(&self.partition, start);
        }
        self.seal_rolled(&mut background)?;
        let segments = self.segments.load();
        let active = segments.active();
        let sealed_end = active.base_offset();
        if self.recovery_point() < sealed_end {
            for segment in
                segments.from(self.recovery_point()).iter().filter(|one| one.base_offset() < sealed_end)
            {
                self.shared.durable(segment.sync())?;
            }
            self.sync_directory()?;
            self.durable_end.fetch_max(sealed_end.get(), Ordering::AcqRel);
        }
        let reached = self.durable_end_offset();
        if reached > self.recovery_point() {
            self.write_epochs()?;
            self.write_indexes(active)?;
            self.raise_recovery_point(reached);
        }
        Ok(self.recovery_point())
    }

    /// Makes everything durable and refuses further appends. After it, opening needs to read no data.
    pub fn close(&self) -> Result<(), LogError> {
        let mut background = self.background.lock();
        {
            let mut writer = self.writer.lock();
            if matches!(writer.refusal, Some(LogError::Closed)) {
                return Ok(());
            }
            // A log that refuses writes is not clean; its bytes are left to recovery.
            self.check_writable(&writer)?;
            writer.refusal = Some(LogError::Closed);
        }
        self.seal_rolled(&mut background)?;
        self.sync_segments(&self.syncing.lock())?;
        // A clean log is opened by the sizes of its files.
        let active = self.segments.load().active().clone();
        self.shared.durable(active.log().cut_room(active.size()))?;
        let (snapshot, end) = {
            let writer = self.writer.lock();
            writer.active.time_index().append_if_later(writer.largest);
            let is_short = writer.active.offset_index().len() == 0 && writer.producers.entries().len() == 0;
            let snapshot = (!is_short).then(|| producer_snapshot::encode(writer.producers.entries()));
            (snapshot, self.log_end_offset())
        };
        self.sync_transactions(self.segments.load().active())?;
        // Where there is no producer and little to read again, the last snapshot does.
        if let Some(snapshot) = snapshot.filter(|_| background.last_snapshot != Some(end)) {
            self.write_snapshot(&mut background, end, &snapshot)?;
        }
        self.write_epochs()?;
        let segments = self.segments.load();
        for segment in segments.from(self.recovery_point()) {
            // A segment too short for an index entry is walked again anyway; ten thousand of them close faster without.
            let path = segment_path(&self.directory, segment.base_offset(), suffix::OFFSET_INDEX);
            if segment.offset_index().len() > 0 || self.storage().open(&path, Access::Read).is_ok() {
                self.write_indexes(segment)?;
            }
        }
        self.raise_recovery_point(end);
        remove_if_present(self.storage(), &self.directory.join(NEXT_PREPARED))
            .map_err(|error| self.io("remove", &self.directory.join(NEXT_PREPARED), error))
    }

    /// For a log that is deleted: nothing is written any more, and nothing is made durable. What is at work on its files
    /// has ended when this returns.
    pub(crate) fn refuse_further_appends(&self) {
        let _background = self.background.lock();
        self.writer.lock().refusal = Some(LogError::Closed);
        let _syncing = self.syncing.lock();
        self.shared.leave();
    }

    pub(crate) fn check_open(&self) -> Result<(), LogError> {
        self.shared.check_alive()?;
        match &self.writer.lock().refusal {
            Some(LogError::Closed) => Err(LogError::Closed),
            _ => Ok(()),
        }
    }

    /// Writes the index files and the producer snapshot of every segment that was rolled, then replaces it by a sealed
    /// one. What fails is tried again by the next call.
    pub(crate) fn seal_rolled(&self, background: &mut Background) -> Result<(), LogError> {
        loop {
            let Some((segment, snapshot, offset)) =
                self.writer.lock().sealing.first().map(|sealing| {
                    (sealing.segment.clone(), sealing.snapshot.clone(), sealing.snapshot_offset)
                })
            else {
                return Ok(());
            };
            // Below the recovery point a segment is as long as its file.
            self.shared.durable(segment.log().cut_room(segment.size()))?;
            self.write_indexes(&segment)?;
            // A replay that begins with the snapshot does not find the markers again.
            self.sync_transactions(&segment)?;
            self.write_snapshot(background, offset, &snapshot)?;
            let mut writer = self.writer.lock();
            writer.sealing.retain(|sealing| !Arc::ptr_eq(&sealing.segment, &segment));
            self.replace_segment(&mut writer, segment.to_sealed());
        }
    }

    fn sync_transactions(&self, segment: &Segment) -> Result<(), LogError> {
        let offsets = (segment.base_offset(), segment.end().1);
        self.shared.durable(self.transactions.sync_file(self.storage(), &self.directory, offsets))
    }

    fn replace_segment(&self, _writer: &mut Writer, segment: Segment) {
        let segments = self.segments.load().with_replaced(Arc::new(segment));
        self.segments.store(Arc::new(segments));
    }

    /// Writes both index files whole, as they are at this moment, and always as new files: an old one may be mapped. The
    /// time index is renamed first, so that after a power loss it reaches as far as the offset index.
    pub(crate) fn write_indexes(&self, segment: &Segment) -> Result<(), LogError> {
        let indexes = [
            (suffix::TIME_INDEX, segment.time_index().bytes_from(0)?),
            (suffix::OFFSET_INDEX, segment.offset_index().bytes_from(0)?),
        ];
        for (suffix, bytes) in indexes {
            self.replace_file(&segment_path(&self.directory, segment.base_offset(), suffix), &bytes)?;
        }
        Ok(())
    }

    /// Replaces a file by a new one. After a power loss the old or the new one has the name, with all of its bytes.
    fn replace_file(&self, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = Path::new(&temporary);
        let file =
            write_whole(self.storage(), temporary, bytes).map_err(|error| self.io("write", path, error))?;
        self.shared.durable(file.sync_data().map_err(|error| self.io("sync", path, error)))?;
        self.storage().rename(temporary, path).map_err(|error| self.io("replace", path, error))
    }

    pub(crate) fn sync_directory(&self) -> Result<(), LogError> {
        let synced = self.storage().sync_directory(&self.directory);
        self.shared.durable(synced.map_err(|error| self.io("sync", &self.directory, error)))
    }

    fn write_snapshot(
        &self,
        background: &mut Background,
        offset: Offset,
        bytes: &[u8],
    ) -> Result<(), LogError> {
        self.replace_file(&segment_path(&self.directory, offset, suffix::SNAPSHOT), bytes)?;
        background.last_snapshot = Some(offset);
        if let Some(stray) = background.stray_snapshot.take().filter(|stray| *stray != offset) {
            let path = segment_path(&self.directory, stray, suffix::SNAPSHOT);
            remove_if_present(self.storage(), &path).map_err(|error| self.io("remove", &path, error))?;
        }
        Ok(())
    }

    fn write_epochs(&self) -> Result<(), LogError> {
        let epochs = self.epochs.read().clone();
        if epochs.has_changed() {
            epochs.write(self.storage(), &self.directory.join(LEADER_EPOCHS))?;
            self.epochs.write().mark_written(&epochs);
        }
        Ok(())
    }

    fn raise_recovery_point(&self, reached: Offset) {
        assert!(reached <= self.durable_end_offset(), "a recovery point is durable");
        self.recovery_point.fetch_max(reached.get(), Ordering::AcqRel);
        self.shared.set_recovery_point(&self.partition, self.recovery_point());
    }
}

/// Gives a file exactly these contents, without making them durable.
pub(crate) fn write_whole(
    storage: &dyn Storage,
    path: &Path,
    bytes: &[u8],
) -> std::io::Result<Arc<dyn StorageFile>> {
    let file = storage.open(path, Access::Create)?;
    write_all_at(&*file, &mut [IoSlice::new(bytes)], 0)?;
    file.truncate(bytes.len() as u64)?;
    Ok(file)
}
