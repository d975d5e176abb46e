//! Compaction beside others: readers, truncation, retention, deletion, and a disk that fails.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_log::storage::{FaultyStorage, Operation, RealStorage, Storage};
use ottla_log::{Cleaned, Log, LogConfig, LogError};
use ottla_protocol::Offset;
use ottla_protocol::records::{BatchBuilder, Compression};

use crate::compaction::{
    DATA, Row, assert_sound, builder_of, clean_at, compacted, end_transaction, fill, in_memory, keyed,
    read_committed, row, rows, settings, transactional,
};
use crate::fixture::{NOW_MS, Partition, flights, topic_id};

#[test]
fn what_a_reader_holds_stays_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(RealStorage::new());
    let partition = Partition::open(&storage, directory.path(), compacted()).unwrap();
    fill(&partition, 20);
    let log = &partition.log;
    let held: Vec<_> = (0..60)
        .map(|offset| log.read(Offset::new(offset), Offset::MAX, 100, true).unwrap().slice.unwrap())
        .collect();
    let before: Vec<Bytes> = held.iter().map(|slice| slice.to_bytes().unwrap()).collect();
    clean_at(log, NOW_MS).unwrap();
    log.retain(NOW_MS + 1, log.log_end_offset()).unwrap();
    let after: Vec<Bytes> = held.iter().map(|slice| slice.to_bytes().unwrap()).collect();
    assert_eq!(before, after);
    assert_eq!(rows(log).len(), 3);
}

#[test]
fn readers_beside_a_compaction_see_every_last_value() {
    let directory = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(RealStorage::new());
    let partition = Partition::open(&storage, directory.path(), compacted()).unwrap();
    let log = &partition.log;
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut passes = 0;
            loop {
                let end = log.log_end_offset();
                let seen = rows(log);
                // Whatever the cleaner does meanwhile, the last of each key was somewhere.
                for key in ["a", "b", "c"].into_iter().take(end.get().min(3) as usize) {
                    assert!(seen.iter().any(|(_, found, _)| found == key), "{key} is missing below {end}");
                }
                passes += 1;
                if end.get() >= 3000 {
                    return passes;
                }
            }
        });
        for _ in 0..50 {
            fill(&partition, 20);
            clean_at(log, NOW_MS).unwrap();
            log.retain(NOW_MS + 1, log.log_end_offset()).unwrap();
        }
        assert!(reading.join().unwrap() > 1);
    });
    assert_eq!(rows(log).len(), 3);
}

#[test]
fn a_truncation_in_a_gap_ends_where_opening_would_end() {
    for to in 46..60 {
        let (storage, partition) = in_memory(LogConfig { segment_bytes: 1 << 20, ..compacted() });
        let log = &partition.log;
        fill(&partition, 15);
        fill(&partition, 5);
        clean_at(log, NOW_MS).unwrap();
        let end = log.truncate_to(Offset::new(to)).unwrap();
        assert!(end <= Offset::new(to));
        assert_eq!(log.log_end_offset(), end);
        let left = rows(log);
        partition.append(keyed(&[("z", Some("new"))])).unwrap();
        drop(partition);
        let again = Partition::open(&storage, Path::new(DATA), compacted()).unwrap();
        let expected: Vec<Row> = left.into_iter().chain([row(end.get(), "z", "new")]).collect();
        assert_eq!(rows(&again.log), expected, "truncated to {to}");
        assert!(again.log.dirtiness(NOW_MS, Offset::MAX).unwrap().first_dirty_offset <= end);
    }
}

/// Runs `disturb` once, in the midst of a compaction, at the `at`th time that it does something.
fn clean_disturbed(log: &Log, at: usize, mut disturb: impl FnMut()) -> (bool, Result<Cleaned, LogError>) {
    let mut step = 0;
    let cleaned = log.clean(settings(NOW_MS), &mut |_| {
        step += 1;
        if step == at {
            disturb();
        }
        true
    });
    (step >= at, cleaned)
}

#[test]
fn whatever_happens_to_the_log_meanwhile_wins() {
    let mut disturbed = 0;
    for at in 1.. {
        let (storage, partition) = in_memory(compacted());
        let log = &partition.log;
        fill(&partition, 10);
        let (was_disturbed, cleaned) = clean_disturbed(log, at, || {
            log.truncate_to(Offset::new(10)).unwrap();
        });
        assert!(cleaned.is_ok(), "{cleaned:?}");
        let seen: Vec<i64> = rows(log).iter().map(|(offset, ..)| *offset).collect();
        if was_disturbed {
            assert_eq!(log.log_end_offset(), Offset::new(10));
            assert!(seen.ends_with(&[7, 8, 9]) || seen.is_empty() || !cleaned.unwrap().is_complete);
        }
        assert_sound(&*storage);

        let (storage, partition) = in_memory(compacted());
        let log = &partition.log;
        fill(&partition, 10);
        let (_, cleaned) = clean_disturbed(log, at, || {
            log.delete_records(Offset::new(20), NOW_MS).unwrap();
        });
        assert!(cleaned.is_ok(), "{cleaned:?}");
        assert!(rows(log).ends_with(&[row(27, "a", "v9"), row(28, "b", "v9"), row(29, "c", "v9")]));
        assert_sound(&*storage);
        disturbed += usize::from(was_disturbed);
        if !was_disturbed {
            break;
        }
    }
    assert!(disturbed > 10);
}

#[test]
fn a_partition_that_is_deleted_and_made_again_meanwhile_is_not_touched() {
    for at in 1.. {
        let (storage, partition) = in_memory(compacted());
        fill(&partition, 10);
        let mut second = None;
        let (was_disturbed, cleaned) = clean_disturbed(&partition.log, at, || {
            partition.dir.delete_logs(&[flights()], NOW_MS).unwrap();
            let again = partition.dir.create_log(&flights(), topic_id(), compacted(), NOW_MS).unwrap();
            second = Some(again);
        });
        if !was_disturbed {
            break;
        }
        assert!(matches!(cleaned, Err(LogError::Closed)), "{cleaned:?}");
        let second = second.unwrap();
        assert_eq!((second.log_end_offset(), second.segment_count()), (Offset::ZERO, 1));
        assert_sound(&*storage);
    }
}

#[test]
fn a_round_that_is_stopped_or_fails_leaves_the_log_as_it_was() {
    for at in 1..40 {
        let faulty = FaultyStorage::new();
        let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
        let partition = Partition::open(&storage, Path::new(DATA), compacted()).unwrap();
        fill(&partition, 10);
        partition.log.checkpoint().unwrap();
        let mut step = 0;
        let stopped = partition.log.clean(settings(NOW_MS), &mut |_| {
            step += 1;
            step < at
        });
        assert!(stopped.is_ok());
        assert!(rows(&partition.log).len() >= 3);
        for operation in [Operation::Write, Operation::Create] {
            faulty.fail_next(operation, std::io::ErrorKind::StorageFull);
            let _failed_or_had_nothing_to_write = partition.log.clean(settings(NOW_MS), &mut |_| true);
            assert!(rows(&partition.log).len() >= 3);
        }
        faulty.clear_failures();
        clean_at(&partition.log, NOW_MS).unwrap();
        assert_eq!(rows(&partition.log).len(), 3);
        assert_sound(&*storage);
    }
}

#[test]
fn a_damaged_segment_is_told_and_left_alone() {
    let (storage, partition) = in_memory(compacted());
    fill(&partition, 20);
    partition.log.checkpoint().unwrap();
    let path = Path::new(DATA).join(flights().to_string()).join("00000000000000000000.log");
    let file = storage.open(&path, ottla_log::storage::Access::Write).unwrap();
    file.write_vectored_at(&[std::io::IoSlice::new(&[0xff])], 70).unwrap();
    let failed = clean_at(&partition.log, NOW_MS);
    assert!(matches!(failed, Err(LogError::Corrupt { .. })), "{failed:?}");
    let names = storage.list(path.parent().unwrap()).unwrap();
    assert!(names.iter().all(|entry| !entry.name.ends_with(".cleaned")), "{names:?}");
}

/// Found by the model: the newer value was durable, the marker that commits it was not.
#[test]
fn a_value_does_not_go_for_one_that_a_power_loss_makes_undecided_again() {
    let faulty = FaultyStorage::new();
    let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
    let partition = Partition::open(&storage, Path::new(DATA), compacted()).unwrap();
    let log = &partition.log;
    partition.append(keyed(&[("a", Some("old"))])).unwrap();
    partition.append(transactional(1, 0, &[("a", Some("new"))])).unwrap();
    log.roll(NOW_MS).unwrap();
    end_transaction(log, 1, true).unwrap();
    clean_at(log, NOW_MS).unwrap();
    assert_eq!(rows(log), [row(1, "a", "new")]);
    let lost: Arc<dyn Storage> = Arc::new(faulty.after_power_loss(|| 0));
    let again = Partition::open(&lost, Path::new(DATA), compacted()).unwrap();
    let (stable_end, committed) = read_committed(&again.log);
    assert_eq!((stable_end, committed), (Offset::new(3), vec![row(1, "a", "new")]));
}

#[test]
fn deleting_by_age_and_compacting_go_together() {
    let config = LogConfig { cleanup_delete: true, retention_ms: Some(1000), ..compacted() };
    let (storage, partition) = in_memory(config);
    let log = &partition.log;
    fill(&partition, 10);
    clean_at(log, NOW_MS).unwrap();
    assert_eq!(rows(log).len(), 3);
    let later = BatchBuilder::new(Compression::None);
    partition.append(builder_of(later, NOW_MS + 5000, &[("z", Some("young"))])).unwrap();
    log.retain(NOW_MS + 5001, log.log_end_offset()).unwrap();
    assert_eq!(rows(log), [row(30, "z", "young")]);
    assert_eq!(log.log_start_offset(), Offset::new(30));
    assert!(clean_at(log, NOW_MS + 5001).unwrap().is_complete);
    assert_sound(&*storage);
}
