//! A log with `flush.messages=1` whose file is longer than its records: who may see that, and what a stop leaves of it.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_log::inspect::LogFileReader;
use ottla_log::storage::{Access, FaultyStorage, Operation, Storage};
use ottla_log::{LogConfig, LogError, verify_partition};
use ottla_protocol::Offset;

use crate::fixture::{NOW_MS, Partition, append, batch, small_segments};

const DATA: &str = "/data";

fn with_room() -> LogConfig {
    LogConfig { flush_messages: 1, ..LogConfig::default() }
}

fn open(disk: &FaultyStorage, config: LogConfig) -> Partition {
    Partition::open(&storage_of(disk), Path::new(DATA), config).unwrap()
}

fn storage_of(disk: &FaultyStorage) -> Arc<dyn Storage> {
    Arc::new(disk.clone())
}

fn partition_directory() -> PathBuf {
    Path::new(DATA).join("flights-0")
}

fn log_path(base: i64) -> PathBuf {
    partition_directory().join(format!("{base:020}.log"))
}

fn file_len(disk: &FaultyStorage, base: i64) -> u64 {
    disk.open(&log_path(base), Access::Read).unwrap().len().unwrap()
}

/// Appends and syncs as a broker does, with its prepare thread at hand, until the segment has this many bytes.
fn fill(partition: &Partition, bytes: u64) {
    while partition.log.size_bytes() < bytes {
        append(&partition.log, batch("filled", 10), 0).unwrap();
        partition.log.sync().unwrap();
        if partition.log.wants_preparation() {
            partition.log.prepare_next().unwrap();
        }
    }
}

#[test]
fn room_is_made_once_a_log_has_grown_and_nobody_who_reads_it_can_tell() {
    let disk = FaultyStorage::new();
    let partition = open(&disk, with_room());
    fill(&partition, 1000);
    assert_eq!(file_len(&disk, 0), partition.log.size_bytes(), "a small log is left alone");
    fill(&partition, 100_000);
    let size = partition.log.size_bytes();
    assert!(file_len(&disk, 0) >= size + 32 * 1024, "there is room for the next appends");
    let expected = partition.log.log_end_offset().get();
    assert_eq!(partition.values().len() as i64, expected);
    let at_the_end = partition.log.read(Offset::new(expected - 1), Offset::MAX, 1 << 20, true).unwrap();
    let slice = at_the_end.slice.unwrap();
    assert_eq!(slice.position() + u64::from(slice.len()), size);
    let verified = verify_partition(&disk, &partition_directory()).unwrap();
    assert_eq!((verified.findings, verified.bytes), (Vec::new(), size));
    let mut dumped = LogFileReader::open(&disk, &log_path(0)).unwrap();
    assert!(matches!(dumped.each_batch(|_| true), Err(LogError::Corrupt { .. })));
    assert!(dumped.rest_is_zeros().unwrap());
}

#[test]
fn appends_overwrite_the_room_and_are_never_overwritten_by_it() {
    let disk = FaultyStorage::new();
    let partition = open(&disk, with_room());
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            for _ in 0..4000 {
                append(&partition.log, batch("raced", 1), 0).unwrap();
                partition.log.sync().unwrap();
            }
        });
        while !appending.is_finished() {
            if partition.log.wants_preparation() {
                partition.log.prepare_next().unwrap();
            }
        }
    });
    assert!(file_len(&disk, 0) > partition.log.size_bytes());
    assert_eq!(partition.values().len(), 4000);
    let again = open(&disk.after_kill(), with_room());
    assert_eq!(again.values().len(), 4000);
    let synced = open(&disk.after_power_loss(|| 0), with_room());
    assert_eq!(synced.values().len(), 4000);
}

#[test]
fn other_logs_are_as_long_as_their_records() {
    for config in [
        LogConfig::default(),
        LogConfig { flush_messages: 10_000, ..with_room() },
        LogConfig { flush_ms: 1, ..LogConfig::default() },
    ] {
        let disk = FaultyStorage::new();
        let partition = open(&disk, config);
        fill(&partition, 100_000);
        assert_eq!(file_len(&disk, 0), partition.log.size_bytes());
    }
}

#[test]
fn a_log_whose_syncs_are_large_has_no_room_made() {
    let disk = FaultyStorage::new();
    let partition = open(&disk, with_room());
    for _ in 0..10 {
        append(&partition.log, batch("large", 5000), 0).unwrap();
        partition.log.sync().unwrap();
        assert!(!partition.log.wants_preparation());
    }
}

#[test]
fn a_kill_leaves_zeros_that_are_cut_without_being_called_a_torn_tail() {
    let disk = FaultyStorage::new();
    let partition = open(&disk, with_room());
    fill(&partition, 100_000);
    let (values, size) = (partition.values(), partition.log.size_bytes());
    let room = file_len(&disk, 0) - size;
    let killed = disk.after_kill();
    let again = open(&killed, with_room());
    assert_eq!((again.recovery.truncated_bytes, &again.recovery.truncated_because), (0, &None));
    assert_eq!(again.recovery.room_bytes, room);
    assert_eq!(again.values(), values);
    assert_eq!(file_len(&killed, 0), size);
    append(&again.log, batch("after", 1), 0).unwrap();
    assert_eq!(again.values().len(), values.len() + 1);
}

#[test]
fn a_record_torn_before_the_zeros_is_cut_and_said_so() {
    let disk = FaultyStorage::new();
    let partition = open(&disk, with_room());
    fill(&partition, 100_000);
    let (values, size) = (partition.values(), partition.log.size_bytes());
    let room = file_len(&disk, 0) - size;
    append(&partition.log, batch("torn", 3), 0).unwrap();
    let torn = partition.log.size_bytes() - size;
    let killed = disk.after_kill();
    // What arrived of it: the last bytes did not.
    let file = killed.open(&log_path(0), Access::Write).unwrap();
    file.write_vectored_at(&[IoSlice::new(&[0; 20])], size + torn - 20).unwrap();
    let again = open(&killed, with_room());
    assert!(again.recovery.truncated_because.is_some());
    assert_eq!(again.recovery.truncated_bytes + again.recovery.room_bytes, room);
    assert_eq!(again.recovery.truncated_bytes, torn - 20, "zeros are not counted as records");
    assert_eq!(again.values(), values);
    assert_eq!(file_len(&killed, 0), size);
}

#[test]
fn a_rolled_segment_is_cut_before_the_recovery_point_passes_it() {
    let disk = FaultyStorage::new();
    let partition = open(&disk, with_room());
    fill(&partition, 100_000);
    let size = partition.log.size_bytes();
    let end = partition.log.log_end_offset();
    partition.log.roll(NOW_MS).unwrap();
    append(&partition.log, batch("next", 1), 0).unwrap();
    partition.log.sync().unwrap();
    assert!(file_len(&disk, 0) > size, "a roll itself writes nothing");
    let killed = disk.after_kill();
    let again = open(&killed, with_room());
    assert_eq!(again.recovery.truncated_because, None, "the next segment is kept");
    assert!(again.recovery.room_bytes > 0);
    assert_eq!(again.values(), partition.values());
    assert_eq!(file_len(&killed, 0), size);

    partition.log.prepare_next().unwrap();
    assert!(partition.log.recovery_point() >= end);
    assert_eq!(file_len(&disk, 0), size);
    let lost = disk.after_power_loss(|| 0);
    let again = open(&lost, with_room());
    assert_eq!(again.recovery.room_bytes, 0);
    assert_eq!(again.values(), partition.values());
    assert_eq!(file_len(&lost, 0), size);
}

#[test]
fn a_clean_stop_leaves_files_as_long_as_their_records_even_after_a_power_loss() {
    let disk = FaultyStorage::new();
    let partition = open(&disk, with_room());
    fill(&partition, 100_000);
    let (values, size) = (partition.values(), partition.log.size_bytes());
    partition.dir.close().unwrap();
    drop(partition);
    for stopped in [disk.after_kill(), disk.after_power_loss(|| 0)] {
        assert_eq!(file_len(&stopped, 0), size);
        let again = open(&stopped, with_room());
        assert!(again.dir.was_clean());
        assert_eq!((again.recovery.scanned_bytes, again.recovery.room_bytes), (0, 0));
        assert_eq!(again.values(), values);
    }
}

#[test]
fn a_truncation_takes_the_room_with_it_and_new_room_can_be_made() {
    let disk = FaultyStorage::new();
    let partition = open(&disk, with_room());
    fill(&partition, 100_000);
    partition.log.truncate_to(Offset::new(500)).unwrap();
    assert_eq!(file_len(&disk, 0), partition.log.size_bytes());
    fill(&partition, 100_000);
    assert!(file_len(&disk, 0) > partition.log.size_bytes());
    partition.log.truncate_fully(Offset::new(7)).unwrap();
    assert_eq!(file_len(&disk, 7), 0);
}

#[test]
fn a_disk_that_is_nearly_full_keeps_its_space_for_records() {
    let disk = FaultyStorage::new();
    let partition = open(&disk, with_room());
    disk.set_capacity(Some(2 << 20));
    fill(&partition, 100_000);
    assert_eq!(file_len(&disk, 0), partition.log.size_bytes());
    assert!(!partition.log.wants_preparation(), "and it is not asked for again with every append");
}

#[test]
fn a_write_of_zeros_that_fails_is_taken_back_and_harms_nothing() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
        let disk = FaultyStorage::new();
        let partition = open(&disk, with_room());
        while !partition.log.wants_preparation() {
            append(&partition.log, batch("before", 10), 0).unwrap();
            partition.log.sync().unwrap();
        }
        disk.fail_next(Operation::Write, kind);
        partition.log.prepare_next().unwrap();
        assert_eq!(file_len(&disk, 0), partition.log.size_bytes());
        append(&partition.log, batch("after", 1), 0).unwrap();
        partition.dir.close().unwrap();
    }
}

#[test]
fn a_failed_fsync_of_the_zeros_ends_the_directory() {
    let disk = FaultyStorage::new();
    let partition = open(&disk, with_room());
    while !partition.log.wants_preparation() {
        append(&partition.log, batch("before", 10), 0).unwrap();
        partition.log.sync().unwrap();
    }
    disk.fail_next(Operation::SyncData, io::ErrorKind::Other);
    assert!(partition.log.prepare_next().is_err());
    assert!(partition.dir.is_dead(), "the kernel tells of lost pages once, whoever asks");
}

#[test]
fn a_segment_is_never_filled_beyond_the_size_at_which_it_rolls() {
    let disk = FaultyStorage::new();
    let config = LogConfig { flush_messages: 1, ..small_segments() };
    let partition = open(&disk, config.clone());
    for number in 0..40 {
        append(&partition.log, batch(&format!("b{number}"), 3), 0).unwrap();
        partition.log.sync().unwrap();
        partition.log.prepare_next().unwrap();
        for entry in disk.list(&partition_directory()).unwrap() {
            assert!(entry.len <= config.segment_bytes, "{entry:?}");
        }
    }
    assert!(partition.log.segment_count() > 3);
    let mut sealed = LogFileReader::open(&disk, &log_path(0)).unwrap();
    sealed.each_batch(|_| true).unwrap();
    assert_eq!(sealed.position(), sealed.end(), "a sealed file ends with a record");
}
