//! Reading what is not in the page cache, away from the runtime's workers.
//!
//! A `sendfile` of a cold megabyte waits for the disk, and with it every connection of its worker (p99 14 ms, measured).
//! So the writer first asks whether a region is cached, which never waits, and hands a cold one to a thread here, one per
//! log directory, whose only work is to pull the region into the cache and wake the connection. Nothing is kept: the
//! bytes are read into one scratch buffer and forgotten.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use ottla_log::FileSlice;
use parking_lot::{Condvar, Mutex};

use crate::rt::storage;
use crate::wake_cell::WakeCell;

/// How much of a region is asked about, pulled in and sent at a time.
pub(crate) const CHUNK_BYTES: u32 = 256 * 1024;

#[derive(Debug, Default)]
struct Queue {
    reads: VecDeque<Arc<ColdRead>>,
    closing: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ColdReads {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

/// A region on its way into the cache.
#[derive(Debug)]
pub(crate) struct ColdRead {
    slice: FileSlice,
    is_done: AtomicBool,
    wake: WakeCell,
}

impl ColdRead {
    /// Ready once the region was read. A failure is not told here: whoever reads it next finds out.
    pub(crate) fn poll_done(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.wake.register(cx.waker());
        if self.is_done.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Whether the end of a region, and so as a rule all of it, can be sent without waiting for a disk.
pub(crate) fn is_cached(slice: &FileSlice) -> bool {
    let Some(file) = slice.as_fd() else { return true };
    let last = slice.position() + u64::from(slice.len().saturating_sub(1));
    storage::read_cached(file, &mut [0], last)
}

impl ColdReads {
    /// Starts `thread_count` threads.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(thread_count: usize) -> io::Result<Arc<ColdReads>> {
        let cold_reads = Arc::new(ColdReads::default());
        for _ in 0..thread_count {
            let worker = Arc::clone(&cold_reads);
            let builder = std::thread::Builder::new().name("ottla-cold-read".to_owned());
            builder.spawn(move || worker.read_until_closed())?;
        }
        Ok(cold_reads)
    }

    /// Has a region pulled into the cache.
    pub(crate) fn pull(&self, slice: FileSlice) -> Arc<ColdRead> {
        let read = Arc::new(ColdRead { slice, is_done: AtomicBool::new(false), wake: WakeCell::default() });
        self.queue.lock().reads.push_back(Arc::clone(&read));
        self.arrived.notify_one();
        read
    }

    /// Has the threads end.
    pub(crate) fn close(&self) {
        self.queue.lock().closing = true;
        self.arrived.notify_all();
    }

    fn read_until_closed(&self) {
        let mut scratch = vec![0; CHUNK_BYTES as usize];
        while let Some(read) = self.next() {
            // Nobody waits any more when the connection is gone.
            if Arc::strong_count(&read) > 1 {
                let _told_by_the_next_read = read.slice.read(&mut scratch);
            }
            read.is_done.store(true, Ordering::Release);
            read.wake.wake();
        }
    }

    fn next(&self) -> Option<Arc<ColdRead>> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closing {
                return None;
            }
            if let Some(read) = queue.reads.pop_front() {
                return Some(read);
            }
            self.arrived.wait(&mut queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    use ottla_log::{AppendOrigin, DirectoryOwner, LogConfig, LogDir, Stamp};
    use ottla_protocol::records::{BatchBuilder, Compression, Rules, ValidBatch};
    use ottla_protocol::{
        BrokerId, DirectoryId, LeaderEpoch, Offset, PartitionIndex, TopicId, TopicName, TopicPartition,
    };

    use super::*;

    /// A megabyte of a log that the page cache has been told to forget.
    fn forgotten_slice(directory: &std::path::Path) -> FileSlice {
        let owner = DirectoryOwner {
            cluster_id: "test".to_owned(),
            node_id: BrokerId::new(1),
            new_directory_id: DirectoryId::new(crate::rt::rng::uuid()),
        };
        let dir = LogDir::open(storage::storage(), directory, &owner).unwrap();
        let partition = TopicPartition::new(TopicName::new("cold").unwrap(), PartitionIndex::new(0));
        let log = dir
            .create_log(&partition, TopicId::new(crate::rt::rng::uuid()), LogConfig::default(), 0)
            .unwrap();
        for _ in 0..4 {
            let mut builder = BatchBuilder::new(Compression::None);
            builder.push(1, Some(b"k"), Some(&vec![7; 256 << 10]), &[]).unwrap();
            let batch = ValidBatch::check(builder.build(), &Rules::client(1 << 20)).unwrap();
            let stamp = Stamp { leader_epoch: LeaderEpoch::ZERO, now_ms: 1, origin: AppendOrigin::Client };
            log.append(batch, stamp, |appended| assert!(appended.is_ok()));
        }
        log.sync().unwrap();
        let slice = log.read(Offset::ZERO, Offset::new(4), 1 << 20, true).unwrap().slice.unwrap();
        posix_fadvise(slice.as_fd().unwrap(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        slice
    }

    #[tokio::test]
    async fn a_cold_region_is_pulled_in_elsewhere_and_is_warm_then() {
        let directory = tempfile::tempdir().unwrap();
        let slice = forgotten_slice(directory.path());
        let chunk = slice.first(CHUNK_BYTES);
        if is_cached(&chunk) {
            println!("SKIPPED: this file system does not forget what it is told to");
            return;
        }
        let cold_reads = ColdReads::start(1).unwrap();
        let read = cold_reads.pull(chunk.clone());
        std::future::poll_fn(|cx| read.poll_done(cx)).await;
        assert!(is_cached(&chunk));
        cold_reads.close();
    }
}
