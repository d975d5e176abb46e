//! What is found after a stop, clean or not, and after something else has touched the files.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_log::storage::{Access, MemoryStorage, Storage};
use ottla_log::{AppendError, LogConfig, LogDir, LogError, verify_partition};
use ottla_protocol::{LeaderEpoch, Offset, TopicId};

use crate::fixture::{
    NOW_MS, Partition, append, batch, flights, owner, producer_batch, small_segments, topic_id,
};

const DATA: &str = "/data";

fn storage() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::new())
}

fn open(storage: &Arc<dyn Storage>) -> Partition {
    Partition::open(storage, Path::new(DATA), small_segments()).unwrap()
}

fn file(name: &str) -> PathBuf {
    Path::new(DATA).join("flights-0").join(name)
}

/// Appends sixty batches of three records, over several segments.
fn fill(partition: &Partition) {
    for number in 0..60 {
        append(&partition.log, batch(&format!("b{number}"), 3), number / 15).unwrap();
    }
}

fn overwrite(storage: &Arc<dyn Storage>, path: &Path, position: u64, bytes: &[u8]) {
    let file = storage.open(path, Access::Write).unwrap();
    file.write_vectored_at(&[IoSlice::new(bytes)], position).unwrap();
}

fn log_files(storage: &Arc<dyn Storage>) -> Vec<(String, u64)> {
    let entries = storage.list(&Path::new(DATA).join("flights-0")).unwrap();
    let mut logs: Vec<_> =
        entries.into_iter().filter(|e| e.name.ends_with(".log")).map(|e| (e.name, e.len)).collect();
    logs.sort();
    logs
}

#[test]
fn a_clean_stop_is_opened_without_reading_records() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    let values = partition.values();
    partition.dir.close().unwrap();
    drop(partition);
    let again = open(&storage);
    assert!(again.dir.was_clean());
    assert_eq!(again.recovery.scanned_bytes, 0);
    assert_eq!(again.values(), values);
    assert_eq!(again.log.durable_end_offset(), again.log.log_end_offset());
    assert_eq!(again.log.epoch_end_offset(LeaderEpoch::new(1)), Some((LeaderEpoch::new(1), Offset::new(90))));
    append(&again.log, batch("after", 1), 9).unwrap();
    assert_eq!(again.values().len(), values.len() + 1);
}

#[test]
fn a_killed_log_is_read_again_and_nothing_is_lost() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    let values = partition.values();
    drop(partition);
    let again = open(&storage);
    assert!(!again.dir.was_clean());
    assert!(again.recovery.scanned_bytes > 0);
    assert_eq!(again.recovery.truncated_because, None);
    assert_eq!(again.values(), values);
    assert_eq!(again.log.epochs().len(), 4);
}

#[test]
fn only_what_lies_above_the_recovery_point_is_read() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    partition.log.sync().unwrap();
    partition.dir.checkpoint().unwrap();
    let synced_bytes = partition.log.size_bytes();
    append(&partition.log, batch("tail", 3), 9).unwrap();
    let tail_bytes = partition.log.size_bytes() - synced_bytes;
    let values = partition.values();
    drop(partition);
    let again = open(&storage);
    assert_eq!(again.recovery.scanned_bytes, tail_bytes);
    assert_eq!(again.values(), values);
}

#[test]
fn a_tail_that_is_cut_anywhere_ends_the_log_at_the_last_whole_batch() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    let values = partition.values();
    drop(partition);
    let (name, len) = log_files(&storage).pop().unwrap();
    for cut in [1, 60, 61, 100, len] {
        storage.open(&file(&name), Access::Write).unwrap().truncate(len - cut).unwrap();
        let again = open(&storage);
        let found = again.values();
        assert!(found.len() < values.len() && found == values[..found.len()], "cut by {cut}");
        drop(again);
        let twice = open(&storage);
        assert_eq!(twice.recovery.truncated_because, None, "recovery finds nothing to cut a second time");
        assert_eq!(twice.values(), found);
    }
}

#[test]
fn a_flipped_bit_above_the_recovery_point_ends_the_log_there() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    let values = partition.values();
    drop(partition);
    let logs = log_files(&storage);
    overwrite(&storage, &file(&logs[2].0), 70, &[0xff]);
    let again = open(&storage);
    let base: i64 = logs[2].0[..20].parse().unwrap();
    assert_eq!(again.values(), values[..base as usize]);
    assert!(again.recovery.truncated_because.is_some());
    assert_eq!(log_files(&storage).len(), 3);
    append(&again.log, batch("after", 1), 9).unwrap();
}

#[test]
fn damage_below_the_recovery_point_is_an_error_that_keeps_every_byte() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    partition.log.sync().unwrap();
    partition.dir.checkpoint().unwrap();
    drop(partition);
    let before = log_files(&storage);
    let (name, len) = before.last().unwrap().clone();
    storage.open(&file(&name), Access::Write).unwrap().truncate(len - 1).unwrap();
    let error = Partition::open(&storage, Path::new(DATA), small_segments()).err().unwrap();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    assert_eq!(log_files(&storage).last().unwrap().1, len - 1);
    assert_eq!(log_files(&storage).len(), before.len());
}

#[test]
fn a_log_whose_segments_vanished_is_not_begun_anew() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    partition.log.sync().unwrap();
    partition.dir.checkpoint().unwrap();
    drop(partition);
    for (name, _) in log_files(&storage) {
        storage.remove(&file(&name)).unwrap();
    }
    let error = Partition::open(&storage, Path::new(DATA), small_segments()).err().unwrap();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
}

#[test]
fn indexes_that_are_missing_or_damaged_are_built_again() {
    for damage in ["remove", "zero", "shorten", "garbage"] {
        let storage = storage();
        let partition = open(&storage);
        fill(&partition);
        let values = partition.values();
        partition.dir.close().unwrap();
        drop(partition);
        for entry in storage.list(&Path::new(DATA).join("flights-0")).unwrap() {
            if !entry.name.ends_with("index") {
                continue;
            }
            let path = file(&entry.name);
            match damage {
                "remove" => storage.remove(&path).unwrap(),
                "zero" => overwrite(&storage, &path, 0, &vec![0; entry.len as usize]),
                "shorten" => storage.open(&path, Access::Write).unwrap().truncate(entry.len / 2 + 1).unwrap(),
                _ => overwrite(&storage, &path, 0, &vec![0x7f; entry.len as usize]),
            }
        }
        let again = open(&storage);
        assert_eq!(again.values(), values, "{damage}");
        for (offset, _) in &values {
            assert!(again.log.read(Offset::new(*offset), Offset::MAX, 1, true).unwrap().slice.is_some());
        }
    }
}

#[test]
fn all_five_batches_of_a_producer_are_recognised_after_any_stop() {
    for clean in [true, false] {
        let storage = storage();
        let partition = open(&storage);
        for number in 0..8 {
            partition.append(producer_batch(7, 0, number * 3, 3)).unwrap();
        }
        if clean {
            partition.dir.close().unwrap();
        }
        drop(partition);
        let again = open(&storage);
        for number in 3..8 {
            let repeated = again.append(producer_batch(7, 0, number * 3, 3)).unwrap();
            assert!(repeated.duplicate, "batch {number}, clean {clean}");
            assert_eq!(repeated.base_offset.get(), i64::from(number) * 3);
        }
        let gap = again.append(producer_batch(7, 0, 30, 1));
        assert!(matches!(gap, Err(AppendError::OutOfOrderSequence { .. })));
        again.append(producer_batch(7, 0, 24, 1)).unwrap();
    }
}

#[test]
fn truncation_forgets_records_epochs_and_producers() {
    let storage = storage();
    let partition = open(&storage);
    for number in 0..12 {
        append(&partition.log, producer_batch(7, 0, number * 3, 3), number / 4).unwrap();
    }
    let values = partition.values();
    let slice = partition.log.read(Offset::new(15), Offset::MAX, 1 << 20, true).unwrap().slice.unwrap();
    let bytes = slice.to_bytes().unwrap();
    assert_eq!(partition.log.truncate_to(Offset::new(17)).unwrap(), Offset::new(15));
    assert_eq!(slice.to_bytes().unwrap(), bytes, "a slice outlives the truncation");
    for _ in 0..2 {
        assert_eq!(partition.values(), values[..15]);
        assert_eq!(partition.log.epochs().len(), 2);
        let repeated = append(&partition.log, producer_batch(7, 0, 12, 3), 5).unwrap();
        assert!(repeated.duplicate);
        let lost = append(&partition.log, producer_batch(7, 0, 18, 3), 5);
        assert!(matches!(lost, Err(AppendError::OutOfOrderSequence { .. })));
    }
    append(&partition.log, producer_batch(7, 0, 15, 3), 5).unwrap();
    drop(partition);
    let again = open(&storage);
    assert_eq!(again.values().len(), 18);
    assert_eq!(again.values()[..15], values[..15]);
    again.log.truncate_to(Offset::new(0)).unwrap();
    assert_eq!(again.values(), []);
    append(&again.log, batch("anew", 1), 6).unwrap();
    assert_eq!(again.log.log_end_offset(), Offset::new(1));
}

#[test]
fn a_replica_can_begin_anew_at_any_offset() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    partition.log.truncate_fully(Offset::new(1000)).unwrap();
    assert_eq!(partition.log.log_start_offset(), Offset::new(1000));
    append(&partition.log, batch("a", 2), 9).unwrap();
    drop(partition);
    let again = open(&storage);
    assert_eq!(again.values(), [(1000, "a.0".to_owned()), (1001, "a.1".to_owned())]);
}

#[test]
fn deleted_records_stay_deleted_after_a_kill() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    let values = partition.values();
    let segments = partition.log.segment_count();
    assert_eq!(partition.log.delete_records(Offset::new(100), NOW_MS).unwrap(), Offset::new(100));
    assert!(partition.log.segment_count() < segments);
    assert_eq!(partition.values(), values[100..]);
    drop(partition);
    let again = open(&storage);
    assert_eq!(again.log.log_start_offset(), Offset::new(100));
    assert_eq!(again.values(), values[100..]);
}

#[test]
fn retention_deletes_old_segments_by_time_and_size_and_never_above_the_high_watermark() {
    let config = LogConfig {
        retention_ms: Some(1000),
        file_delete_delay_ms: 500,
        segment_bytes: 1000,
        ..LogConfig::default()
    };
    let storage = storage();
    let partition = Partition::open(&storage, Path::new(DATA), config.clone()).unwrap();
    fill(&partition);
    let end = partition.log.log_end_offset();
    assert_eq!(partition.log.retain(NOW_MS + 500, end).unwrap().deleted_segments, 0);
    assert_eq!(partition.log.retain(NOW_MS + 2000, Offset::new(0)).unwrap().deleted_segments, 0);
    let some = partition.log.retain(NOW_MS + 2000, Offset::new(40)).unwrap();
    assert!(some.deleted_segments > 0 && partition.log.log_start_offset() <= Offset::new(40));
    let all = partition.log.retain(NOW_MS + 2000, end).unwrap();
    assert!(all.deleted_segments > 0);
    assert_eq!(partition.log.log_start_offset(), end, "the active segment was rolled and deleted too");
    let retired = || {
        let entries = storage.list(&Path::new(DATA).join("flights-0")).unwrap();
        entries.iter().filter(|entry| entry.name.ends_with(".deleted")).count()
    };
    assert!(retired() > 0);
    partition.log.retain(NOW_MS + 2500, end).unwrap();
    assert_eq!(retired(), 0);

    partition.log.update_config(LogConfig { retention_ms: None, retention_bytes: Some(1500), ..config });
    fill_epoch(&partition, 9);
    partition.log.retain(NOW_MS, partition.log.log_end_offset()).unwrap();
    assert!((1500..2500).contains(&partition.log.size_bytes()), "{}", partition.log.size_bytes());
}

fn fill_epoch(partition: &Partition, epoch: i32) {
    for number in 0..60 {
        append(&partition.log, batch(&format!("c{number}"), 3), epoch).unwrap();
    }
}

#[test]
fn a_directory_is_refused_that_is_locked_or_anothers() {
    let storage = storage();
    let partition = open(&storage);
    let locked = LogDir::open(storage.clone(), Path::new(DATA), &owner()).err().unwrap();
    assert!(matches!(locked, LogError::Locked(_)));
    drop(partition);
    let mut other = owner();
    other.cluster_id = "another".to_owned();
    let refused = LogDir::open(storage.clone(), Path::new(DATA), &other).err().unwrap();
    assert!(matches!(refused, LogError::NotOurs { key: "cluster.id", .. }));
    let dir = LogDir::open(storage.clone(), Path::new(DATA), &owner()).unwrap();
    assert_eq!(dir.found()[0].topic_id, Some(topic_id()));
    let other_id: TopicId = "AAAAAAAAAAAAAAAAAAAAAw".parse().unwrap();
    let refused = dir.open_log(&flights(), Some(other_id), LogConfig::default(), NOW_MS).err().unwrap();
    assert!(matches!(refused, LogError::TopicIdMismatch { .. }));

    storage.create_directory(Path::new("/elsewhere/photos")).unwrap();
    let foreign = LogDir::open(storage.clone(), Path::new("/elsewhere"), &owner()).err().unwrap();
    assert!(matches!(foreign, LogError::NotOurs { .. }));
}

#[test]
fn a_deleted_partition_is_renamed_and_removed_after_its_delay() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    partition.dir.delete_logs(&[flights()], NOW_MS).unwrap();
    assert!(matches!(append(&partition.log, batch("late", 1), 9), Err(AppendError::Log(LogError::Closed))));
    let names = || -> Vec<String> {
        let entries = storage.list(Path::new(DATA)).unwrap();
        entries.into_iter().filter(|entry| entry.is_directory).map(|entry| entry.name).collect()
    };
    assert_eq!(names(), ["flights-0.00000000000000000000000000000001-delete"]);
    partition.dir.purge(NOW_MS).unwrap();
    assert_eq!(names().len(), 1);
    partition.dir.purge(NOW_MS + 60_000).unwrap();
    assert_eq!(names().len(), 0);
    let log = partition.dir.create_log(&flights(), topic_id(), LogConfig::default(), NOW_MS).unwrap();
    assert_eq!(log.log_end_offset(), Offset::ZERO);
}

/// Found by CI: the cleaner (or a flush) of a topic that was deleted under it missed the files, took that for a failed
/// fsync, and the whole directory went offline.
#[test]
fn a_sync_that_comes_after_the_deletion_is_no_failed_fsync() {
    for makes_new_one in [false, true] {
        let storage = storage();
        let partition = open(&storage);
        fill(&partition);
        partition.dir.delete_logs(&[flights()], NOW_MS).unwrap();
        let create = || partition.dir.create_log(&flights(), topic_id(), LogConfig::default(), NOW_MS);
        if makes_new_one {
            create().unwrap();
        }
        assert!(matches!(partition.log.sync(), Err(LogError::Closed)));
        assert!(matches!(partition.log.checkpoint(), Err(LogError::Closed)));
        assert!(!partition.dir.is_dead());
        if !makes_new_one {
            create().unwrap();
        }
    }
}

#[test]
fn a_partition_that_was_not_opened_after_a_kill_is_not_called_clean() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    let values = partition.values();
    drop(partition);
    let unopened = LogDir::open(storage.clone(), Path::new(DATA), &owner()).unwrap();
    unopened.close().unwrap();
    drop(unopened);
    let again = open(&storage);
    assert!(!again.dir.was_clean());
    assert_eq!(again.values(), values);
}

#[test]
fn verification_finds_nothing_in_a_sound_partition_and_the_place_of_any_damage() {
    let storage = storage();
    let partition = open(&storage);
    fill(&partition);
    partition.append(producer_batch(7, 9, 0, 3)).err();
    partition.dir.close().unwrap();
    let directory = Path::new(DATA).join("flights-0");
    let sound = verify_partition(&*storage, &directory).unwrap();
    assert_eq!(sound.findings, []);
    assert_eq!((sound.batches, sound.records), (60, 180));
    assert!(sound.index_entries > 15);
    let logs = log_files(&storage);
    overwrite(&storage, &file(&logs[1].0), 80, &[0xff]);
    let damaged = verify_partition(&*storage, &directory).unwrap();
    assert!(
        damaged.findings.iter().any(|finding| finding.path == file(&logs[1].0)),
        "{:?}",
        damaged.findings
    );
}

/// Found by fuzzing: the base offset of a batch lies outside of its checksum, so it can be any number. An index entry has
/// 31 bits for the distance to the segment's first offset.
#[test]
fn an_offset_that_no_index_could_name_is_damage_and_no_panic() {
    for (is_clean, by) in [(false, 1i64 << 31), (false, 1 << 40), (true, 1 << 31), (true, 1 << 40)] {
        let storage = storage();
        let partition = open(&storage);
        fill(&partition);
        let values = partition.values();
        if is_clean {
            partition.dir.close().unwrap();
        }
        drop(partition);
        let (name, _) = log_files(&storage).pop().unwrap();
        let base: i64 = name[..20].parse().unwrap();
        overwrite(&storage, &file(&name), 0, &(base + by).to_be_bytes());
        let _ = storage.remove(&file(&name.replace(".log", ".index")));
        // Only compaction leaves gaps, so only then could such an offset be next.
        let config = LogConfig { cleanup_compact: true, ..small_segments() };
        let opened = Partition::open(&storage, Path::new(DATA), config);
        if is_clean {
            assert!(matches!(opened, Err(LogError::Corrupt { .. })));
        } else {
            let opened = opened.unwrap();
            assert!(opened.recovery.truncated_because.is_some());
            assert_eq!(opened.values(), values[..base as usize]);
        }
    }
}
