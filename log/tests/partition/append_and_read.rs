//! What is appended is read: offsets, ceilings, sizes, rolls, timestamps, epochs, producers.

use std::path::Path;
use std::sync::Arc;

use crate::fixture::{
    NOW_MS, Partition, append, append_then, batch, batch_at, each_record, producer_batch, small_segments,
};
use ottla_log::storage::{FaultyStorage, MemoryStorage, RealStorage, Storage};
use ottla_log::{AppendError, AppendOrigin, LogConfig, ReadError, Stamp};
use ottla_protocol::{LeaderEpoch, Offset};

fn in_memory(config: LogConfig) -> Partition {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    Partition::open(&storage, Path::new("/data"), config).unwrap()
}

/// Appends batches of 1, 2, 3, 1, 2, 3 … records and returns the values by offset.
fn fill(partition: &Partition, batches: usize) -> Vec<(i64, String)> {
    let mut expected = Vec::new();
    for number in 0..batches {
        let count = number % 3 + 1;
        let appended = partition.append(batch(&format!("b{number}"), count)).unwrap();
        assert_eq!(appended.base_offset.get(), expected.len() as i64);
        for place in 0..count {
            expected.push((expected.len() as i64, format!("b{number}.{place}")));
        }
        assert_eq!(
            appended.last_offset,
            partition.log.log_end_offset() - ottla_protocol::OffsetDelta::new(1)
        );
    }
    expected
}

#[test]
fn what_is_appended_is_read_back_over_many_rolls_on_a_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(RealStorage::new());
    let partition = Partition::open(&storage, directory.path(), small_segments()).unwrap();
    let expected = fill(&partition, 100);
    assert_eq!(partition.values(), expected);
    assert!(partition.log.segment_count() > 5);
    partition.log.prepare_next().unwrap();
    assert_eq!(partition.values(), expected);
}

#[test]
fn a_read_of_what_is_old_says_where_it_looks_first_and_one_of_the_newest_does_not() {
    let partition = in_memory(small_segments());
    let expected = fill(&partition, 100);
    let old = partition.log.start_of_read(Offset::ZERO, 64).unwrap().expect("many segments follow");
    let read = partition.log.read(Offset::ZERO, Offset::MAX, 1, true).unwrap().slice.unwrap();
    assert_eq!(old.position(), read.position());
    assert_eq!(old.to_bytes().unwrap(), read.to_bytes().unwrap()[..64]);
    let newest = Offset::new(expected.len() as i64 - 1);
    for offset in [newest, partition.log.log_end_offset(), Offset::MAX] {
        assert!(partition.log.start_of_read(offset, 64).unwrap().is_none(), "{offset}");
    }
}

#[test]
fn the_newest_batches_are_found_without_a_look_at_the_file() {
    let faulty = FaultyStorage::new();
    let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
    let partition = Partition::open(&storage, Path::new("/data"), LogConfig::default()).unwrap();
    let expected = fill(&partition, 30);
    faulty.crash_at(1);
    assert!(partition.append(batch("lost", 1)).is_err());
    assert!(faulty.has_crashed(), "every call of the file fails from here on");
    let read = |from: i64, ceiling: i64| {
        let read = partition.log.read(Offset::new(from), Offset::new(ceiling), 1 << 20, true);
        read.map(|read| (read.base_offset.unwrap().get(), read.slice.unwrap().len()))
    };
    let end = expected.len() as i64;
    let size = |count| batch("b29", count).size_in_bytes() as u32;
    assert_eq!(read(end - 3, end).unwrap(), (end - 3, size(3)));
    assert_eq!(read(end - 5, end).unwrap(), (end - 5, size(2) + size(3)));
    assert_eq!(
        read(end - 5, end - 3).unwrap(),
        (end - 5, size(2)),
        "below a ceiling at the start of a batch"
    );
    assert!(read(end - 2, end).is_err(), "the middle of a batch has to be searched for");
    assert!(read(0, end).is_err(), "and so has what is long past");
}

#[test]
fn what_was_appended_in_the_place_of_what_was_cut_off_is_found_where_it_is() {
    for keeps_a_reader in [false, true] {
        let partition = in_memory(LogConfig::default());
        fill(&partition, 30);
        let slice = partition.log.read(Offset::new(50), Offset::MAX, 1 << 20, true).unwrap().slice;
        let _reader = slice.filter(|_| keeps_a_reader);
        // Batches of other sizes, at offsets at which batches began before.
        let end = partition.log.truncate_to(Offset::new(48)).unwrap();
        for place in 0..12 {
            partition.append(batch(&format!("another of another length {place}"), 1)).unwrap();
            let offset = end.get() + place;
            let read = partition.log.read(Offset::new(offset), Offset::MAX, 1 << 20, true).unwrap();
            let mut found = Vec::new();
            each_record(read.slice.unwrap().to_bytes().unwrap(), |at, text| found.push((at.get(), text)));
            assert_eq!(found, [(offset, format!("another of another length {place}.0"))]);
        }
        for offset in 40..60 {
            let read = partition.log.read(Offset::new(offset), Offset::MAX, 1, true).unwrap();
            let next = each_record(read.slice.unwrap().to_bytes().unwrap(), |_, _| {});
            assert!(read.base_offset.unwrap().get() <= offset && offset < next.get(), "offset {offset}");
        }
    }
}

#[test]
fn every_offset_is_found_whether_indexes_grow_or_are_sealed() {
    let partition = in_memory(small_segments());
    let expected = fill(&partition, 60);
    for _ in 0..2 {
        for (offset, value) in &expected {
            let read = partition.log.read(Offset::new(*offset), Offset::MAX, 1, true).unwrap();
            let mut found = Vec::new();
            each_record(read.slice.unwrap().to_bytes().unwrap(), |at, text| found.push((at.get(), text)));
            assert!(found.contains(&(*offset, value.clone())), "offset {offset} in {found:?}");
            assert!(found.len() <= 3, "one batch is read when only one byte was asked for");
        }
        partition.log.prepare_next().unwrap();
    }
}

#[test]
fn no_batch_beyond_the_ceiling_is_read() {
    let partition = in_memory(small_segments());
    fill(&partition, 30);
    for ceiling in 0..=60 {
        let read = partition.log.read(Offset::ZERO, Offset::new(ceiling), 1 << 20, true).unwrap();
        let Some(slice) = read.slice else {
            assert!(ceiling < 1, "the first batch has one record");
            continue;
        };
        let end = each_record(slice.to_bytes().unwrap(), |_, _| {});
        assert!(end.get() <= ceiling, "read up to {end} below ceiling {ceiling}");
    }
}

#[test]
fn a_read_returns_whole_batches_that_fit_and_the_first_one_in_any_case() {
    let partition = in_memory(LogConfig::default());
    let one = batch("a", 3);
    let size = one.size_in_bytes() as u32;
    for _ in 0..200 {
        partition.append(one.clone()).unwrap();
    }
    let len = |bytes_max, at_least_one| {
        let read = partition.log.read(Offset::new(4), Offset::MAX, bytes_max, at_least_one).unwrap();
        read.slice.map_or(0, |slice| slice.len())
    };
    assert_eq!(len(size - 1, false), 0);
    assert_eq!(len(size - 1, true), size);
    assert_eq!(len(size, false), size);
    assert_eq!(len(3 * size - 1, false), 2 * size);
    assert_eq!(len(u32::MAX, false), 199 * size);
    assert!(len(100 * size, false) > 50 * size);
}

#[test]
fn offsets_outside_of_the_log_are_refused_and_its_end_is_empty() {
    let partition = in_memory(LogConfig::default());
    fill(&partition, 3);
    assert!(partition.log.read(Offset::new(6), Offset::MAX, 100, true).unwrap().slice.is_none());
    for offset in [-1, 7] {
        let read = partition.log.read(Offset::new(offset), Offset::MAX, 100, true);
        assert!(matches!(read, Err(ReadError::OffsetOutOfRange { .. })), "offset {offset}");
    }
}

#[test]
fn a_batch_is_stamped_with_offset_and_epoch_and_not_touched_otherwise() {
    let partition = in_memory(LogConfig::default());
    let original = batch("a", 2);
    append(&partition.log, original.clone(), 3).unwrap();
    append(&partition.log, original.clone(), 5).unwrap();
    let bytes = partition.log.read(Offset::new(2), Offset::MAX, 1 << 20, true).unwrap().slice.unwrap();
    let stored = ottla_protocol::records::batches(bytes.to_bytes().unwrap()).next().unwrap().unwrap();
    assert_eq!(stored.header().base_offset, Offset::new(2));
    assert_eq!(stored.header().partition_leader_epoch, Some(LeaderEpoch::new(5)));
    assert_eq!(stored.bytes()[16..], original.bytes()[16..]);
    let ends = |epoch| {
        partition.log.epoch_end_offset(LeaderEpoch::new(epoch)).map(|(epoch, end)| (epoch.get(), end.get()))
    };
    assert_eq!([ends(2), ends(3), ends(4), ends(9)], [None, Some((3, 2)), Some((3, 2)), Some((5, 4))]);
    let stale = append(&partition.log, original, 4);
    assert!(matches!(stale, Err(AppendError::StaleLeaderEpoch { .. })));
}

#[test]
fn a_segment_is_rolled_by_the_time_between_its_first_and_the_new_batch() {
    let partition = in_memory(LogConfig { segment_ms: 1000, ..LogConfig::default() });
    for (timestamp, segments) in [(NOW_MS, 1), (NOW_MS + 1000, 1), (NOW_MS + 1001, 2), (NOW_MS, 2)] {
        partition.append(batch_at(timestamp, &["v".to_owned()])).unwrap();
        assert_eq!(partition.log.segment_count(), segments, "timestamp {timestamp}");
    }
}

#[test]
fn a_segment_is_rolled_when_an_index_is_full() {
    let config = LogConfig { segment_index_bytes: 80, index_interval_bytes: 0, ..LogConfig::default() };
    let partition = in_memory(config);
    fill(&partition, 30);
    assert!(partition.log.segment_count() >= 3);
    assert_eq!(partition.values().len(), 60);
}

#[test]
fn timestamps_lead_to_the_first_record_that_is_not_earlier() {
    let partition = in_memory(small_segments());
    // Out of order on purpose: 0, 100, 50, 200, 150, 300 …
    for number in 0..40_i64 {
        let timestamp = NOW_MS + if number % 2 == 0 { number * 100 } else { (number - 2) * 100 };
        partition.append(batch_at(timestamp, &["x".to_owned(), "y".to_owned()])).unwrap();
    }
    let at =
        |timestamp| partition.log.offset_for_timestamp(timestamp).unwrap().map(|found| found.offset.get());
    for _ in 0..2 {
        assert_eq!(at(0), Some(0));
        assert_eq!(at(NOW_MS), Some(0));
        assert_eq!(at(NOW_MS + 1), Some(1));
        assert_eq!(at(NOW_MS + 2), Some(4));
        assert_eq!(at(NOW_MS + 2000), Some(40));
        assert_eq!(at(NOW_MS + 3801), Some(77));
        assert_eq!(at(NOW_MS + 3802), None);
        let newest = partition.log.max_timestamp().unwrap().unwrap();
        assert_eq!((newest.offset.get(), newest.timestamp), (77, NOW_MS + 3801));
        partition.log.roll(NOW_MS).unwrap();
        partition.log.prepare_next().unwrap();
    }
}

#[test]
fn a_repeated_batch_is_answered_with_its_first_offset() {
    let partition = in_memory(small_segments());
    let first = partition.append(producer_batch(7, 0, 0, 3)).unwrap();
    partition.append(producer_batch(7, 0, 3, 3)).unwrap();
    let again = partition.append(producer_batch(7, 0, 0, 3)).unwrap();
    assert!(again.duplicate);
    assert_eq!((again.base_offset, again.last_offset), (first.base_offset, first.last_offset));
    assert_eq!(partition.log.log_end_offset().get(), 6);
    let gap = partition.append(producer_batch(7, 0, 9, 1));
    assert!(matches!(gap, Err(AppendError::OutOfOrderSequence { .. })));
}

#[test]
fn many_threads_append_and_every_record_is_there_once() {
    let directory = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(RealStorage::new());
    let config = LogConfig { segment_bytes: 20_000, ..LogConfig::default() };
    let partition = Partition::open(&storage, directory.path(), config).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let partition = &partition;
            scope.spawn(move || {
                let mut last = None;
                for number in 0..500 {
                    let appended = partition.append(batch(&format!("t{thread}.{number}"), 2)).unwrap();
                    assert!(
                        last.is_none_or(|last| last < appended.base_offset),
                        "a thread's batches keep their order"
                    );
                    last = Some(appended.base_offset);
                    if partition.log.wants_preparation() {
                        partition.log.prepare_next().unwrap();
                    }
                }
            });
        }
    });
    let values = partition.values();
    assert_eq!(values.len(), 4000);
    assert!(
        values.iter().enumerate().all(|(place, (offset, _))| *offset == place as i64),
        "offsets are dense"
    );
    let mut names: Vec<_> = values.into_iter().map(|(_, value)| value).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4000);
}

#[test]
fn batches_that_are_at_hand_together_are_one_write_when_the_duty_is_dropped() {
    let storage = FaultyStorage::new();
    storage.create_directory(Path::new("/data")).unwrap();
    let faulty: Arc<dyn Storage> = Arc::new(storage.clone());
    let partition = Partition::open(&faulty, Path::new("/data"), LogConfig::default()).unwrap();
    // The file's own first write is no part of what is counted.
    partition.append(batch("first", 1)).unwrap();
    let stamp = Stamp { leader_epoch: LeaderEpoch::new(0), now_ms: NOW_MS, origin: AppendOrigin::Client };
    let (send, outcomes) = std::sync::mpsc::channel();
    let before = storage.operation_count();
    let mut duties = Vec::new();
    for name in ["a", "b", "c"] {
        let send = send.clone();
        let done = move |appended: Result<ottla_log::Appended, AppendError>| {
            send.send((name, appended.unwrap().base_offset.get())).unwrap();
        };
        duties.extend(partition.log.enqueue(batch(name, 2), stamp, done));
    }
    assert_eq!(duties.len(), 1, "the first has the duty to write for the others");
    assert_eq!(partition.log.log_end_offset(), Offset::new(1));
    assert!(outcomes.try_recv().is_err());
    drop(duties);
    assert_eq!(storage.operation_count() - before, 1);
    assert_eq!(outcomes.try_iter().collect::<Vec<_>>(), [("a", 1), ("b", 3), ("c", 5)]);
    partition.append(batch("d", 1)).unwrap();
    assert_eq!(partition.log.log_end_offset(), Offset::new(8));
}

#[test]
fn a_duty_that_is_dropped_in_a_panic_leaves_its_batches_to_the_next_append() {
    let partition = in_memory(LogConfig::default());
    let stamp = Stamp { leader_epoch: LeaderEpoch::new(0), now_ms: NOW_MS, origin: AppendOrigin::Client };
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _duty = partition.log.enqueue(batch("a", 1), stamp, |appended| assert!(appended.is_ok()));
        panic!("somewhere else");
    }));
    assert!(panicked.is_err());
    assert_eq!(partition.log.log_end_offset(), Offset::ZERO);
    assert_eq!(partition.append(batch("b", 1)).unwrap().base_offset, Offset::new(1));
}

#[test]
fn append_time_replaces_the_producers_time() {
    let config = LogConfig {
        message_timestamp_type: ottla_log::MessageTimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    let partition = in_memory(config);
    let appended = partition.append(batch_at(5, &["v".to_owned()])).unwrap();
    assert_eq!(appended.log_append_time, Some(NOW_MS));
    assert_eq!(partition.log.max_timestamp().unwrap().unwrap().timestamp, NOW_MS);
}

#[test]
fn a_batch_larger_than_a_segment_is_refused() {
    let partition = in_memory(LogConfig { segment_bytes: 70, ..LogConfig::default() });
    let refused = partition.append(batch("a", 3));
    assert!(matches!(refused, Err(AppendError::LargerThanSegment { .. })));
    assert_eq!(partition.log.log_end_offset(), Offset::ZERO);
}

#[test]
fn an_older_epoch_is_refused_even_in_the_same_write() {
    let partition = in_memory(LogConfig::default());
    let (send, receive) = std::sync::mpsc::channel();
    let log = partition.log.clone();
    // The first callback runs while this thread drains, so what it appends is written as one group.
    append_then(&partition.log, batch("a", 1), 0, move |_| {
        for epoch in [5, 4, 5] {
            let send = send.clone();
            append_then(&log, batch("b", 1), epoch, move |outcome| send.send(outcome.is_ok()).unwrap());
        }
    });
    assert_eq!(receive.iter().take(3).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(partition.values().len(), 3);
}

#[test]
fn a_replica_keeps_the_leaders_offsets_and_refuses_what_does_not_follow() {
    let leader = in_memory(small_segments());
    fill(&leader, 30);
    let bytes = leader.log.read(Offset::ZERO, Offset::MAX, 1 << 20, true).unwrap().slice.unwrap();
    let batches: Vec<_> =
        ottla_protocol::records::batches(bytes.to_bytes().unwrap()).map(|batch| batch.unwrap()).collect();
    let follower = in_memory(small_segments());
    follower.log.append_replica(batches.clone(), NOW_MS).unwrap();
    let copied = follower.values();
    assert_eq!(copied, leader.values()[..copied.len()]);
    let again = follower.log.append_replica(batches, NOW_MS);
    assert!(matches!(again, Err(AppendError::OffsetsOutOfOrder { .. })));
    assert_eq!(follower.values(), copied);
}
