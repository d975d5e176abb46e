//! What the logs of one directory share: the offset checkpoints, and whether the disk can still be trusted.
//!
//! A log tells its recovery point and log start here; the files are replaced whole, all partitions at once. Invariant: a
//! file never holds a recovery point above what the log had made durable, nor a log start that readers have not been
//! told of.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla_protocol::{Offset, TopicPartition};
use parking_lot::Mutex;

use crate::checkpoint::{OffsetCheckpoint, write_offsets};
use crate::error::LogError;
use crate::open_files::{OPEN_FILES_MAX, OpenFiles};
use crate::storage::Storage;

pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
pub(crate) const CLEANED: &str = "cleaner-offset-checkpoint";

#[derive(Debug)]
pub(crate) struct DirectoryState {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    open_files: OpenFiles,
    is_dead: AtomicBool,
    recovery_points: Checkpoint,
    log_starts: Checkpoint,
    cleaned: Checkpoint,
}

#[derive(Debug)]
struct Checkpoint {
    offsets: Mutex<OffsetCheckpoint>,
    /// Held while the file is replaced, so that an older state cannot overwrite a newer one.
    file: Mutex<OffsetCheckpoint>,
    path: PathBuf,
}

impl Checkpoint {
    fn new(path: PathBuf, offsets: OffsetCheckpoint) -> Self {
        Self { file: Mutex::new(offsets.clone()), offsets: Mutex::new(offsets), path }
    }

    /// Whether it knew any of them.
    fn forget(&self, gone: &[TopicPartition]) -> bool {
        let mut offsets = self.offsets.lock();
        gone.iter().filter(|partition| offsets.remove(partition).is_some()).count() > 0
    }

    fn write(&self, storage: &dyn Storage) -> Result<(), LogError> {
        let mut written = self.file.lock();
        let offsets = self.offsets.lock().clone();
        if *written != offsets {
            write_offsets(storage, &self.path, &offsets)?;
            *written = offsets;
        }
        Ok(())
    }
}

impl DirectoryState {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        path: &Path,
        recovery_points: OffsetCheckpoint,
        log_starts: OffsetCheckpoint,
        cleaned: OffsetCheckpoint,
    ) -> Self {
        Self {
            storage,
            path: path.to_owned(),
            open_files: OpenFiles::new(OPEN_FILES_MAX),
            is_dead: AtomicBool::new(false),
            recovery_points: Checkpoint::new(path.join(RECOVERY_POINTS), recovery_points),
            log_starts: Checkpoint::new(path.join(LOG_STARTS), log_starts),
            cleaned: Checkpoint::new(path.join(CLEANED), cleaned),
        }
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    pub(crate) fn open_files(&self) -> &OpenFiles {
        &self.open_files
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    pub(crate) fn check_alive(&self) -> Result<(), LogError> {
        if self.is_dead() { Err(LogError::DirectoryDead(self.path.clone())) } else { Ok(()) }
    }

    /// Passes the result of something that had to become durable on; a failure is the end of this directory. Without a
    /// descriptor, or for a log that is deleted, nothing was tried, and so nothing has failed.
    pub(crate) fn durable<T>(&self, result: Result<T, LogError>) -> Result<T, LogError> {
        result.inspect_err(|failure| {
            if !failure.is_out_of_descriptors() && !matches!(failure, LogError::Closed) {
                self.is_dead.store(true, Ordering::Release);
            }
        })
    }

    pub(crate) fn recovery_point(&self, of: &TopicPartition) -> Option<Offset> {
        self.recovery_points.offsets.lock().get(of).copied()
    }

    pub(crate) fn log_start(&self, of: &TopicPartition) -> Option<Offset> {
        self.log_starts.offsets.lock().get(of).copied()
    }

    /// Everything below was compacted at least once.
    pub(crate) fn cleaned(&self, of: &TopicPartition) -> Option<Offset> {
        self.cleaned.offsets.lock().get(of).copied()
    }

    /// Notes on disk how far a log is compacted.
    pub(crate) fn set_cleaned(&self, of: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        self.cleaned.offsets.lock().insert(of.clone(), offset);
        self.cleaned.write(&*self.storage)
    }

    /// What comes at and behind `offset` is dirty: the log was cut there.
    pub(crate) fn lower_cleaned(&self, of: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        match self.cleaned(of) {
            Some(cleaned) if cleaned > offset => self.set_cleaned(of, offset),
            _ => Ok(()),
        }
    }

    pub(crate) fn set_recovery_point(&self, of: &TopicPartition, offset: Offset) {
        self.recovery_points.offsets.lock().insert(of.clone(), offset);
    }

    /// Lowers the recovery point to `offset` on disk before the log is cut there.
    pub(crate) fn lower_recovery_point(&self, of: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        {
            let mut offsets = self.recovery_points.offsets.lock();
            match offsets.get_mut(of) {
                Some(point) if *point > offset => *point = offset,
                _ => return Ok(()),
            }
        }
        self.write_recovery_points()
    }

    /// Moves the log start on disk.
    pub(crate) fn write_log_start(&self, of: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        self.log_starts.offsets.lock().insert(of.clone(), offset);
        self.log_starts.write(&*self.storage)
    }

    /// Notes a log start that retention has reached; it is written with the next checkpoint.
    pub(crate) fn note_log_start(&self, of: &TopicPartition, offset: Offset) {
        let mut offsets = self.log_starts.offsets.lock();
        match offsets.get_mut(of) {
            Some(start) => *start = offset.max(*start),
            None => drop(offsets.insert(of.clone(), offset)),
        }
    }

    pub(crate) fn forget(&self, gone: &[TopicPartition]) -> Result<(), LogError> {
        for checkpoint in [&self.recovery_points, &self.log_starts, &self.cleaned] {
            // Creating ten thousand partitions must not write the files ten thousand times.
            if checkpoint.forget(gone) {
                checkpoint.write(&*self.storage)?;
            }
        }
        Ok(())
    }

    pub(crate) fn write_checkpoints(&self) -> Result<(), LogError> {
        self.recovery_points.write(&*self.storage)?;
        self.log_starts.write(&*self.storage)
    }

    pub(crate) fn write_recovery_points(&self) -> Result<(), LogError> {
        self.recovery_points.write(&*self.storage)
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn a_failed_fsync_ends_the_directory_and_a_lack_of_descriptors_does_not() {
        let storage = Arc::new(MemoryStorage::new());
        let none = OffsetCheckpoint::new();
        let directory = DirectoryState::new(storage, Path::new("/d"), none.clone(), none.clone(), none);
        let failure = |errno: Errno| LogError::io("sync", Path::new("/d"), errno.into());
        for (errno, is_dead) in
            [(Errno::EMFILE, false), (Errno::ENFILE, false), (Errno::EIO, true), (Errno::EMFILE, true)]
        {
            directory.durable(Err::<(), _>(failure(errno))).unwrap_err();
            assert_eq!(directory.is_dead(), is_dead, "{errno}");
        }
    }
}
