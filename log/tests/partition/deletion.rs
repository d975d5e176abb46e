//! A partition that is deleted while something is at work on it: what had its names is another's from then on.
//!
//! A topic of the same name may be made at once, in a directory of the same name, with files of the same names. Whoever
//! still holds the deleted log must not read them, write them, or speak for them in the checkpoints.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_log::storage::{
    Access, DirectoryEntry, FaultyStorage, MemoryStorage, Storage, StorageFile, StorageLock,
};
use ottla_log::{LogConfig, LogDir, LogError, ReadError};
use ottla_protocol::{Offset, PartitionIndex, TopicId, TopicName, TopicPartition};
use parking_lot::Mutex;

use crate::fixture::{NOW_MS, Partition, append, batch, flights, owner, small_segments, topic_id, values};

const DATA: &str = "/data";

fn other_id() -> TopicId {
    "AAAAAAAAAAAAAAAAAAAAAw".parse().unwrap()
}

/// What is to happen in the middle of something else.
type Interruption = Box<dyn FnOnce() + Send>;

/// A file system in which something happens, once, when a file of this directory is opened.
#[derive(Default)]
struct Interrupted {
    storage: MemoryStorage,
    at: Mutex<Option<(&'static str, Interruption)>>,
}

impl std::fmt::Debug for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.storage.fmt(formatter)
    }
}

impl Storage for Interrupted {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let is_there = |(directory, _): &mut (&'static str, Interruption)| {
            path.starts_with(Path::new(DATA).join(directory))
        };
        let interruption = self.at.lock().take_if(is_there);
        if let Some((_, interruption)) = interruption {
            interruption();
        }
        self.storage.open(path, access)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.storage.list(directory)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.storage.create_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.storage.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.storage.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.storage.sync_directory(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.storage.lock(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.storage.free_bytes(path)
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        self.storage.total_bytes(path)
    }
}

fn several_segments(log: &ottla_log::Log, name: &str) {
    for place in 0..40 {
        append(log, batch(&format!("{name}{place}"), 3), 0).unwrap();
    }
    assert!(log.segment_count() > 3);
}

/// Files are let go of when there are too many, and opened by their name again; by then it may be another's.
#[test]
fn a_reader_of_a_deleted_log_is_not_given_the_records_of_its_successor() {
    for makes_new_one in [false, true] {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let Partition { dir, log: old, .. } =
            Partition::open(&storage, Path::new(DATA), small_segments()).unwrap();
        dir.bound_open_files(1);
        several_segments(&old, "old");
        old.checkpoint().unwrap();
        dir.delete_logs(&[flights()], NOW_MS).unwrap();
        if makes_new_one {
            let new = dir.create_log(&flights(), other_id(), small_segments(), NOW_MS).unwrap();
            several_segments(&new, "new");
            new.checkpoint().unwrap();
        } else {
            // Takes the place of the one file that is still open.
            let other = TopicPartition::new(TopicName::new("other").unwrap(), PartitionIndex::new(0));
            dir.create_log(&other, other_id(), small_segments(), NOW_MS).unwrap();
        }
        for offset in (0..120).map(Offset::new) {
            let read = old.read(offset, Offset::MAX, 4096, true);
            assert!(matches!(read, Err(ReadError::Log(LogError::Closed))), "{offset}: {read:?}");
        }
        for at_ms in [0, NOW_MS, NOW_MS + 2] {
            let found = old.offset_for_timestamp(at_ms);
            assert!(matches!(found, Err(LogError::Closed)), "{found:?}");
        }
        assert!(!dir.is_dead());
    }
}

/// A checkpoint goes through all logs, which takes a while; one that is deleted meanwhile had a log start, which its
/// successor must not inherit: opening begins a log anew that ends below its log start.
#[test]
fn a_checkpoint_that_began_before_a_deletion_leaves_the_successor_its_records() {
    let storage = Arc::new(Interrupted::default());
    let open = || LogDir::open(storage.clone(), Path::new(DATA), &owner()).unwrap();
    let dir = Arc::new(open());
    let earlier = TopicPartition::new(TopicName::new("aviators").unwrap(), PartitionIndex::new(0));
    let log = dir.create_log(&earlier, topic_id(), small_segments(), NOW_MS).unwrap();
    several_segments(&log, "a");
    let old = dir.create_log(&flights(), topic_id(), small_segments(), NOW_MS).unwrap();
    several_segments(&old, "old");
    assert_eq!(old.delete_records(Offset::new(100), NOW_MS).unwrap(), Offset::new(100));

    let recreate = {
        let dir = dir.clone();
        move || {
            dir.delete_logs(&[flights()], NOW_MS).unwrap();
            let new = dir.create_log(&flights(), other_id(), LogConfig::default(), NOW_MS).unwrap();
            append(&new, batch("new", 3), 0).unwrap();
        }
    };
    *storage.at.lock() = Some(("aviators-0", Box::new(recreate)));
    dir.checkpoint().unwrap();
    assert!(storage.at.lock().is_none(), "the deletion came while the checkpoint was written");
    dir.close().unwrap();
    drop((log, old));
    drop(Arc::into_inner(dir).unwrap());

    let dir = open();
    let (log, _) = dir.open_log(&flights(), Some(other_id()), LogConfig::default(), NOW_MS).unwrap();
    assert_eq!(log.log_start_offset(), Offset::ZERO);
    let names = ["new.0", "new.1", "new.2"].map(str::to_owned);
    assert_eq!(values(&log), (0..).zip(names).collect::<Vec<_>>());
}

/// Both wait for each other's lock if they take them in different orders.
#[test]
fn a_sync_beside_a_truncation_waits_for_it_and_it_does_not_wait_for_ever() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let Partition { dir: _dir, log, .. } =
        Partition::open(&storage, Path::new(DATA), small_segments()).unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                log.sync().unwrap();
            }
        });
        for _ in 0..300 {
            append(&log, batch("b", 3), 0).unwrap();
            append(&log, batch("b", 3), 0).unwrap();
            let end = log.log_end_offset();
            assert_eq!(log.truncate_to(Offset::new(end.get() - 3)).unwrap(), Offset::new(end.get() - 3));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(log.log_end_offset(), Offset::new(900));
}

/// Found by a bench: a topic of ten thousand partitions took half a minute to delete, for each waited for the disk and
/// rewrote the checkpoint of all.
#[test]
fn a_partition_that_is_deleted_with_others_costs_one_rename() {
    let operations_to_delete = |count: i32| {
        let storage = FaultyStorage::new();
        let dir = LogDir::open(Arc::new(storage.clone()), Path::new(DATA), &owner()).unwrap();
        let partitions: Vec<TopicPartition> = (0..count)
            .map(|index| TopicPartition::new(flights().topic, PartitionIndex::new(index)))
            .collect();
        for partition in &partitions {
            let log = dir.create_log(partition, topic_id(), LogConfig::default(), NOW_MS).unwrap();
            append(&log, batch("a", 1), 1).unwrap();
            log.sync().unwrap();
        }
        dir.checkpoint().unwrap();
        let before = storage.operation_count();
        dir.delete_logs(&partitions, NOW_MS).unwrap();
        assert!(dir.logs().is_empty());
        storage.operation_count() - before
    };
    assert_eq!(operations_to_delete(20) - operations_to_delete(1), 19);
}
