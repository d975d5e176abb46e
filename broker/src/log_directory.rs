//! One log directory at work: its two threads, and whether it can be used at all.
//!
//! Every fsync that a producer waits for happens on the directory's sync thread: its queue holds a partition at most once,
//! and one fdatasync answers for everything appended before it. That is the group commit behind `flush.messages=1`. A
//! second thread prepares segments ahead of need, so that a roll is a rename and never waits. A failed fsync ends the
//! directory for the life of the process (RELIABILITY §3): its partitions answer KAFKA_STORAGE_ERROR, and it is never
//! tried again. A full disk is not a failure: see [`DiskSpace`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use ottla_log::{LogDir, LogError};
use parking_lot::Mutex;
use tracing::{error, warn};

use crate::cleaner::CleanerQueue;
use crate::disk_space::DiskSpace;
use crate::partition::Partition;
use crate::partition_queue::PartitionQueue;

/// See the module.
#[derive(Debug)]
pub(crate) struct LogDirectory {
    dir: LogDir,
    offline: AtomicBool,
    partition_count: AtomicUsize,
    space: DiskSpace,
    sync_queue: PartitionQueue,
    prepare_queue: PartitionQueue,
    cleaner_queue: Arc<CleanerQueue>,
    /// Partitions in which something depends on the time: an append that waits, a flush that is due.
    watched: Mutex<Vec<Arc<Partition>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl LogDirectory {
    /// Takes over an opened directory and starts its threads.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(
        dir: LogDir,
        free_bytes_min: u64,
        cleaner_queue: Arc<CleanerQueue>,
    ) -> io::Result<Arc<LogDirectory>> {
        let directory = Arc::new(LogDirectory {
            dir,
            offline: AtomicBool::new(false),
            partition_count: AtomicUsize::new(0),
            space: DiskSpace::new(free_bytes_min),
            sync_queue: PartitionQueue::default(),
            prepare_queue: PartitionQueue::default(),
            cleaner_queue,
            watched: Mutex::new(Vec::new()),
            threads: Mutex::new(Vec::new()),
        });
        directory.spawn("ottla-sync", LogDirectory::sync_until_closed)?;
        directory.spawn("ottla-prepare", LogDirectory::prepare_until_closed)?;
        Ok(directory)
    }

    fn spawn(self: &Arc<Self>, name: &str, work: fn(&LogDirectory)) -> io::Result<()> {
        let directory = Arc::clone(self);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&directory))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// The directory itself.
    pub(crate) fn dir(&self) -> &LogDir {
        &self.dir
    }

    /// Whether an fsync failed here.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// Whether a client may append so many bytes; `false` while the disk is (almost) full.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.space.take(bytes, || self.dir.free_bytes().ok())
    }

    /// How many partitions were opened here, for placing the next.
    pub(crate) fn partition_count(&self) -> usize {
        self.partition_count.load(Ordering::Relaxed)
    }

    /// Counts a partition in.
    pub(crate) fn count_partition(&self) {
        self.partition_count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a partition out that was deleted or could not be made.
    pub(crate) fn uncount_partition(&self) {
        self.partition_count.fetch_sub(1, Ordering::Relaxed);
    }

    /// The partitions to sync.
    pub(crate) fn sync_queue(&self) -> &PartitionQueue {
        &self.sync_queue
    }

    /// The partitions to prepare the next segment of.
    pub(crate) fn prepare_queue(&self) -> &PartitionQueue {
        &self.prepare_queue
    }

    /// The partitions that may be worth compacting, of all directories.
    pub(crate) fn cleaner_queue(&self) -> &CleanerQueue {
        &self.cleaner_queue
    }

    /// Has a partition ticked once more. It asks again while it needs to.
    pub(crate) fn watch(&self, partition: Arc<Partition>) {
        self.watched.lock().push(partition);
    }

    /// The partitions to tick.
    pub(crate) fn take_watched(&self) -> Vec<Arc<Partition>> {
        std::mem::take(&mut *self.watched.lock())
    }

    /// Has the threads end after what is queued, without waiting for them.
    pub(crate) fn stop(&self) {
        self.sync_queue.close();
        self.prepare_queue.close();
        // They hold this directory, and with it its lock.
        drop(self.take_watched());
        self.cleaner_queue.close();
    }

    /// Has the threads end after what is queued, and waits for that.
    pub(crate) fn close(&self) {
        self.stop();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                error!(directory = %self.dir.path().display(), "a thread of the log directory has panicked");
            }
        }
    }

    /// Notes a failure; one that the directory does not survive takes it offline, which is said once in the log.
    pub(crate) fn note_failure(&self, failure: &LogError) {
        if matches!(failure, LogError::Closed) {
            // The log was deleted while something was still queued for it.
            return;
        }
        let directory = self.dir.path().display();
        if !matches!(failure, LogError::DirectoryDead(_)) && !self.dir.is_dead() {
            warn!(%directory, error = %failure, "background work on a log failed");
        } else if !self.offline.swap(true, Ordering::AcqRel) {
            error!(%directory, error = %failure, "the log directory is offline until the next start");
        }
    }

    fn sync_until_closed(&self) {
        while let Some(partitions) = self.sync_queue.take_all() {
            for partition in partitions {
                if let Err(failure) = partition.sync() {
                    self.note_failure(&failure);
                    match failure.is_out_of_descriptors() {
                        true => partition.sync_later(),
                        false => partition.lose_log(),
                    }
                }
            }
        }
    }

    fn prepare_until_closed(&self) {
        while let Some(partitions) = self.prepare_queue.take_all() {
            for partition in partitions {
                if let Err(failure) = partition.prepare_next() {
                    self.note_failure(&failure);
                }
            }
        }
    }
}
