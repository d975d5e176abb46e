//! What a log directory does with partitions as a whole: strays, deletions, names that have to last.

use std::path::Path;
use std::sync::Arc;

use ottla_log::storage::{Access, FaultyStorage, MemoryStorage, Operation, Storage};
use ottla_log::{LogConfig, LogDir, LogError};
use ottla_protocol::TopicId;

use crate::fixture::{NOW_MS, Partition, batch, flights, owner, topic_id};

const DATA: &str = "/data";

fn other_topic() -> TopicId {
    "AAAAAAAAAAAAAAAAAAAABA".parse().unwrap()
}

fn names(storage: &Arc<dyn Storage>) -> Vec<String> {
    let entries = storage.list(Path::new(DATA)).unwrap();
    let mut names: Vec<String> =
        entries.into_iter().filter(|entry| entry.is_directory).map(|entry| entry.name).collect();
    names.sort();
    names
}

#[test]
fn the_files_of_a_former_topic_of_the_same_name_are_set_aside_whole() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let partition = Partition::open(&storage, Path::new(DATA), LogConfig::default()).unwrap();
    partition.append(batch("precious", 1)).unwrap();
    partition.dir.close().unwrap();
    drop(partition);
    let dir = LogDir::open(storage.clone(), Path::new(DATA), &owner()).unwrap();
    assert!(dir.holds(&flights(), topic_id()).unwrap());
    let log = dir.create_log(&flights(), other_topic(), LogConfig::default(), NOW_MS).unwrap();
    assert_eq!(log.log_end_offset().get(), 0);
    assert!(!dir.holds(&flights(), topic_id()).unwrap());
    let stray = format!("flights-0.{:032x}-stray", topic_id().get().as_u128());
    assert_eq!(names(&storage), ["flights-0", &*stray]);
    drop((dir, log));
    // It is no partition, and nothing takes it away.
    let dir = LogDir::open(storage.clone(), Path::new(DATA), &owner()).unwrap();
    assert_eq!(dir.found().len(), 1);
    dir.purge(i64::MAX).unwrap();
    let files = storage.list(&Path::new(DATA).join(&stray)).unwrap();
    assert!(files.iter().any(|file| file.name.ends_with(".log") && file.len > 0));
}

#[test]
fn a_killed_partition_that_was_moved_into_a_clean_directory_is_recovered() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let (killed, clean) = (Path::new("/killed"), Path::new("/clean"));
    let partition = Partition::open(&storage, killed, LogConfig::default()).unwrap();
    for number in 0..5 {
        partition.append(batch(&format!("b{number}"), 3)).unwrap();
    }
    let values = partition.values();
    drop(partition);
    let log = killed.join("flights-0/00000000000000000000.log");
    let file = storage.open(&log, Access::Write).unwrap();
    file.truncate(file.len().unwrap() - 1).unwrap();
    let dir = LogDir::open(storage.clone(), clean, &owner()).unwrap();
    dir.close().unwrap();
    drop(dir);
    storage.rename(&killed.join("flights-0"), &clean.join("flights-0")).unwrap();
    let moved = Partition::open(&storage, clean, LogConfig::default()).unwrap();
    assert!(moved.dir.was_clean() && moved.recovery.truncated_bytes > 0);
    assert_eq!(moved.values(), values[..12]);
}

#[test]
fn a_partition_that_is_there_is_not_created_again() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let partition = Partition::open(&storage, Path::new(DATA), LogConfig::default()).unwrap();
    let again = partition.dir.create_log(&flights(), topic_id(), LogConfig::default(), NOW_MS);
    assert!(matches!(again, Err(LogError::Exists(_))), "{again:?}");
}

#[test]
fn names_that_cannot_be_made_durable_end_the_directory() {
    let storage = FaultyStorage::new();
    let shared: Arc<dyn Storage> = Arc::new(storage.clone());
    let partition = Partition::open(&shared, Path::new(DATA), LogConfig::default()).unwrap();
    partition.dir.sync_names().unwrap();
    storage.fail_next(Operation::SyncDirectory, std::io::ErrorKind::Other);
    partition.dir.sync_names().unwrap_err();
    assert!(matches!(partition.dir.sync_names(), Err(LogError::DirectoryDead(_))), "it is never tried again");
}
