//! Compaction of one partition: what stays and what goes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ottla_log::storage::{MemoryStorage, Storage};
use ottla_log::{
    AppendError, AppendOrigin, CleanSettings, Cleaned, Log, LogConfig, LogError, Stamp, verify_partition,
};
use ottla_protocol::records::{
    BatchBuilder, BatchProducer, Codec, Compression, ControlRecord, OutputLimit, Rules, ValidBatch, batches,
    end_transaction_marker,
};
use ottla_protocol::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

use crate::fixture::{NOW_MS, Partition, append_stamped, flights};

pub(crate) const DATA: &str = "/data";
pub(crate) const DAY_MS: i64 = 86_400_000;

/// A record as a test names it; no value is a tombstone.
pub(crate) type Row = (i64, String, Option<String>);

pub(crate) fn compacted() -> LogConfig {
    LogConfig {
        segment_bytes: 400,
        index_interval_bytes: 100,
        cleanup_delete: false,
        cleanup_compact: true,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

pub(crate) fn in_memory(config: LogConfig) -> (Arc<dyn Storage>, Partition) {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let partition = Partition::open(&storage, Path::new(DATA), config).unwrap();
    (storage, partition)
}

pub(crate) fn builder_of(
    mut builder: BatchBuilder,
    timestamp: i64,
    records: &[(&str, Option<&str>)],
) -> ValidBatch {
    for (key, value) in records {
        builder.push(timestamp, Some(key.as_bytes()), value.map(str::as_bytes), &[]).unwrap();
    }
    ValidBatch::check(builder.build(), &Rules::client(1 << 24)).unwrap()
}

pub(crate) fn keyed(records: &[(&str, Option<&str>)]) -> ValidBatch {
    builder_of(BatchBuilder::new(Compression::None), NOW_MS, records)
}

fn of_producer(producer: i64, sequence: i32, records: &[(&str, Option<&str>)]) -> ValidBatch {
    builder_of(
        BatchBuilder::new(Compression::None).with_producer(identity(producer, sequence)),
        NOW_MS,
        records,
    )
}

pub(crate) fn transactional(producer: i64, sequence: i32, records: &[(&str, Option<&str>)]) -> ValidBatch {
    let builder = BatchBuilder::new(Compression::None).with_producer(identity(producer, sequence));
    builder_of(builder.transactional(), NOW_MS, records)
}

fn identity(producer: i64, sequence: i32) -> BatchProducer {
    BatchProducer {
        id: ProducerId::new(producer),
        epoch: ProducerEpoch::ZERO,
        base_sequence: Sequence::known(sequence),
    }
}

pub(crate) fn end_transaction(log: &Log, producer: i64, committed: bool) -> Result<Offset, LogError> {
    let producer = BatchProducer { base_sequence: None, ..identity(producer, 0) };
    let marker = end_transaction_marker(producer, committed, 0, NOW_MS);
    let marker = ValidBatch::check(marker, &Rules::stored()).unwrap();
    let stamp = Stamp { leader_epoch: LeaderEpoch::ZERO, now_ms: NOW_MS, origin: AppendOrigin::Coordinator };
    match append_stamped(log, marker, stamp) {
        Ok(appended) => Ok(appended.base_offset),
        Err(AppendError::Log(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// What a consumer that reads committed makes of the whole log in one fetch, and up to where it may read. A transaction
/// that is said to be aborted counts as such from its first offset to its marker, as in Kafka's clients.
pub(crate) fn read_committed(log: &Log) -> (Offset, Vec<Row>) {
    let stable_end = log.last_stable_offset(log.log_end_offset());
    let mut to_come = log.aborted_transactions(log.log_start_offset(), stable_end);
    to_come.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
    let mut aborted = BTreeSet::new();
    let mut seen = Vec::new();
    for batch in all_batches(log) {
        let header = batch.header();
        if header.next_offset() > stable_end {
            break;
        }
        while let Some(begun) = to_come.pop_if(|next| next.first_offset <= header.last_offset()) {
            aborted.insert(begun.producer_id);
        }
        let producer = header.producer.map(|producer| producer.id);
        if header.attributes.is_control() {
            let marker = batch.records(OutputLimit::new(1 << 10)).unwrap().next();
            let marker = marker.and_then(|marker| ControlRecord::parse(&marker.unwrap()));
            if let Some(ControlRecord::EndTransaction { committed: false, .. }) = marker {
                aborted.remove(&producer.unwrap());
            }
        } else if !header.attributes.is_transactional() || !aborted.contains(&producer.unwrap()) {
            seen.extend(rows_of(&batch));
        }
    }
    (stable_end, seen)
}

pub(crate) fn settings(now_ms: i64) -> CleanSettings {
    CleanSettings {
        now_ms,
        last_stable_offset: Offset::MAX,
        dedupe_buffer_bytes: 1 << 20,
        load_factor: 0.9,
        io_buffer_bytes: 256,
        secret: 7,
    }
}

pub(crate) fn clean_at(log: &Log, now_ms: i64) -> Result<Cleaned, LogError> {
    let stable = log.last_stable_offset(log.log_end_offset());
    log.clean(CleanSettings { last_stable_offset: stable, ..settings(now_ms) }, &mut |_| true)
}

/// Every batch of the log, read in small pieces.
fn all_batches(log: &Log) -> Vec<ValidBatch> {
    let mut found = Vec::new();
    let mut from = log.log_start_offset();
    while from < log.log_end_offset() {
        let Some(slice) = log.read(from, Offset::MAX, 300, true).unwrap().slice else { break };
        for batch in batches(slice.to_bytes().unwrap()) {
            let batch = batch.expect("whole, sound batches are read");
            assert!(batch.header().next_offset() > from, "a read goes forward");
            from = batch.header().next_offset();
            found.push(batch);
        }
    }
    found
}

fn rows_of(batch: &ValidBatch) -> Vec<Row> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let records = batch.records(OutputLimit::new(1 << 24)).unwrap();
    let row = |record: ottla_protocol::records::Record| {
        (record.offset.get(), text(record.key.unwrap()), record.value.map(text))
    };
    records.map(|record| row(record.unwrap())).collect()
}

/// Every record of data at or behind the log start.
pub(crate) fn rows(log: &Log) -> Vec<Row> {
    let data = all_batches(log).into_iter().filter(|batch| !batch.header().attributes.is_control());
    let rows: Vec<Row> = data.flat_map(|batch| rows_of(&batch)).collect();
    assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets grow");
    rows.into_iter().filter(|(offset, ..)| *offset >= log.log_start_offset().get()).collect()
}

pub(crate) fn row(offset: i64, key: &str, value: &str) -> Row {
    (offset, key.to_owned(), Some(value.to_owned()))
}

pub(crate) fn assert_sound(storage: &dyn Storage) {
    let directory = Path::new(DATA).join(flights().to_string());
    let verified = verify_partition(storage, &directory).unwrap();
    assert_eq!(verified.findings, [], "{verified:?}");
    assert_no_leftovers(storage);
}

/// No file of a compaction that was interrupted is there.
pub(crate) fn assert_no_leftovers(storage: &dyn Storage) {
    let directory = Path::new(DATA).join(flights().to_string());
    let names: Vec<String> = storage.list(&directory).unwrap().into_iter().map(|entry| entry.name).collect();
    let is_leftover = |name: &&String| name.ends_with(".cleaned") || name.ends_with(".swap");
    assert_eq!(names.iter().filter(is_leftover).count(), 0, "{names:?}");
}

/// `rounds` times a record for each of three keys, then a roll.
pub(crate) fn fill(partition: &Partition, rounds: usize) {
    for round in 0..rounds {
        let value = format!("v{round}");
        for key in ["a", "b", "c"] {
            partition.append(keyed(&[(key, Some(&value))])).unwrap();
        }
    }
    partition.log.roll(NOW_MS).unwrap();
}

#[test]
fn the_last_value_of_each_key_stays_at_its_offset() {
    let (storage, partition) = in_memory(compacted());
    fill(&partition, 20);
    let before = (partition.log.segment_count(), partition.log.size_bytes());
    let cleaned = clean_at(&partition.log, NOW_MS).unwrap();
    assert!(cleaned.is_complete);
    assert_eq!((cleaned.keys, cleaned.clean_end), (3, Offset::new(60)));
    let last = [row(57, "a", "v19"), row(58, "b", "v19"), row(59, "c", "v19")];
    assert_eq!(rows(&partition.log), last);
    let after = (partition.log.segment_count(), partition.log.size_bytes());
    assert!(after.1 < before.1 / 2, "{before:?} {after:?}");
    assert_eq!(partition.log.log_start_offset(), Offset::ZERO, "compaction moves no log start");
    assert_eq!(partition.log.log_end_offset(), Offset::new(60));
    assert_sound(&*storage);
    // Nothing is left to do, and the next record makes no difference to what is there.
    let judged = partition.log.dirtiness(NOW_MS, Offset::MAX).unwrap();
    assert_eq!((judged.dirty_bytes, judged.is_due()), (0, false));
    partition.append(keyed(&[("a", Some("new"))])).unwrap();
    assert_eq!(rows(&partition.log).len(), 4, "the active segment is not compacted");
    partition.log.roll(NOW_MS).unwrap();
    clean_at(&partition.log, NOW_MS).unwrap();
    assert!(partition.log.segment_count() < before.0 / 2, "what has become small is put together");
    assert_eq!(rows(&partition.log), [last[1].clone(), last[2].clone(), row(60, "a", "new")]);
    assert_sound(&*storage);
}

#[test]
fn a_compacted_log_opens_again_after_any_stop() {
    for is_clean in [true, false] {
        let (storage, partition) = in_memory(compacted());
        fill(&partition, 20);
        clean_at(&partition.log, NOW_MS).unwrap();
        partition.append(keyed(&[("a", Some("new"))])).unwrap();
        let before = rows(&partition.log);
        if is_clean {
            partition.dir.close().unwrap();
        }
        drop(partition);
        // Whoever asked for compaction may have changed their mind: what was compacted stays readable.
        let config = LogConfig { cleanup_compact: false, cleanup_delete: true, ..compacted() };
        let again = Partition::open(&storage, Path::new(DATA), config).unwrap();
        assert_eq!(rows(&again.log), before);
        assert_eq!(again.recovery.truncated_bytes, 0);
        assert_eq!(again.log.dirtiness(NOW_MS, Offset::MAX).unwrap().first_dirty_offset, Offset::new(60));
    }
}

#[test]
fn nothing_is_lost_when_everything_has_to_be_read_again() {
    let (storage, partition) = in_memory(compacted());
    fill(&partition, 20);
    clean_at(&partition.log, NOW_MS).unwrap();
    fill(&partition, 2);
    let before = rows(&partition.log);
    drop(partition);
    for checkpoint in ["recovery-point-offset-checkpoint", "cleaner-offset-checkpoint"] {
        storage.remove(&Path::new(DATA).join(checkpoint)).unwrap();
        let again = Partition::open(&storage, Path::new(DATA), compacted()).unwrap();
        assert_eq!(rows(&again.log), before, "without {checkpoint}");
    }
}

#[test]
fn a_tombstone_is_kept_for_its_time_and_hides_the_value_for_ever() {
    let (storage, partition) = in_memory(compacted());
    let log = &partition.log;
    partition.append(keyed(&[("a", Some("v")), ("b", Some("v"))])).unwrap();
    log.roll(NOW_MS).unwrap();
    partition.append(keyed(&[("a", None), ("c", Some("v"))])).unwrap();
    log.roll(NOW_MS).unwrap();
    clean_at(log, NOW_MS).unwrap();
    let tombstone = (2, "a".to_owned(), None);
    assert_eq!(rows(log), [row(1, "b", "v"), tombstone.clone(), row(3, "c", "v")]);
    // Only something dirty makes a log worth compacting.
    let dirty = |now_ms: i64| {
        partition.append(keyed(&[("d", Some("v"))])).unwrap();
        log.roll(now_ms).unwrap();
        clean_at(log, now_ms).unwrap();
        rows(log).contains(&tombstone)
    };
    assert!(dirty(NOW_MS + DAY_MS - 1), "a day is not over");
    assert!(!dirty(NOW_MS + DAY_MS), "a day is over");
    assert_eq!(rows(log).iter().filter(|(_, key, _)| key == "a").count(), 0);
    assert_sound(&*storage);
}

#[test]
fn every_codec_is_kept() {
    for compression in Compression::ALL {
        let (storage, partition) = in_memory(LogConfig { segment_bytes: 1 << 20, ..compacted() });
        let records: Vec<(String, String)> =
            (0..100).map(|place| (format!("k{}", place % 10), format!("value {place}"))).collect();
        let records: Vec<(&str, Option<&str>)> =
            records.iter().map(|(key, value)| (key.as_str(), Some(value.as_str()))).collect();
        let codec = Codec { compression, level: None };
        partition.append(builder_of(BatchBuilder::new(codec), NOW_MS, &records)).unwrap();
        partition.log.roll(NOW_MS).unwrap();
        clean_at(&partition.log, NOW_MS).unwrap();
        let expected: Vec<Row> = (90..100)
            .map(|place| row(place, &format!("k{}", place - 90), &format!("value {place}")))
            .collect();
        assert_eq!(rows(&partition.log), expected);
        assert!(all_batches(&partition.log).iter().all(|batch| batch.compression() == compression));
        assert_sound(&*storage);
    }
}

#[test]
fn a_batch_larger_than_all_buffers_is_compacted_too() {
    let (_, partition) = in_memory(LogConfig { segment_bytes: 1 << 24, ..compacted() });
    let large = "x".repeat(100_000);
    partition.append(keyed(&[("a", Some(&large)), ("b", Some(&large)), ("a", Some("small"))])).unwrap();
    partition.append(keyed(&[("b", Some(&large))])).unwrap();
    partition.log.roll(NOW_MS).unwrap();
    clean_at(&partition.log, NOW_MS).unwrap();
    assert_eq!(rows(&partition.log), [row(2, "a", "small"), row(3, "b", &large)]);
}

#[test]
fn a_full_map_ends_the_round_and_the_next_goes_on_there() {
    let (_, partition) = in_memory(compacted());
    for round in 0..3 {
        for key in 0..20 {
            let (key, value) = (format!("k{key}"), format!("v{round}"));
            partition.append(keyed(&[(&key, Some(&value))])).unwrap();
        }
    }
    partition.log.roll(NOW_MS).unwrap();
    let small = CleanSettings { dedupe_buffer_bytes: 8 * 24, ..settings(NOW_MS) };
    let mut ends = Vec::new();
    while ends.last() != Some(&60) {
        let cleaned = partition.log.clean(small, &mut |_| true).unwrap();
        assert!(cleaned.is_complete && cleaned.keys <= 8);
        assert!(ends.last().is_none_or(|last| *last < cleaned.clean_end.get()), "every round goes on");
        ends.push(cleaned.clean_end.get());
    }
    assert!(ends.len() > 5, "{ends:?}");
    let expected: Vec<Row> = (0..20).map(|key| row(40 + key, &format!("k{key}"), "v2")).collect();
    assert_eq!(rows(&partition.log), expected);
}

#[test]
fn offsets_times_and_ends_are_found_across_gaps() {
    let (_, partition) = in_memory(LogConfig { segment_bytes: 1 << 20, ..compacted() });
    let log = &partition.log;
    for (place, key) in ["a", "b", "a", "a", "b", "a", "b", "c"].into_iter().enumerate() {
        let builder = BatchBuilder::new(Compression::None);
        partition.append(builder_of(builder, NOW_MS + place as i64, &[(key, Some("v"))])).unwrap();
    }
    log.roll(NOW_MS).unwrap();
    partition.append(keyed(&[("d", Some("v"))])).unwrap();
    log.roll(NOW_MS).unwrap();
    clean_at(log, NOW_MS).unwrap();
    let offsets: Vec<i64> = rows(log).iter().map(|(offset, ..)| *offset).collect();
    assert_eq!(offsets, [5, 6, 7, 8]);
    for (from, first) in [(0, 5), (4, 5), (5, 5), (6, 6), (8, 8)] {
        let read = log.read(Offset::new(from), Offset::MAX, 1, true).unwrap();
        assert_eq!(read.base_offset, Some(Offset::new(first)), "from {from}");
        assert!(read.slice.is_some());
    }
    let at = |timestamp: i64| {
        let found = log.offset_for_timestamp(NOW_MS + timestamp).unwrap();
        found.map(|found| (found.offset.get(), found.timestamp - NOW_MS))
    };
    assert_eq!(at(0), Some((5, 5)));
    assert_eq!(at(6), Some((6, 6)));
    assert_eq!(at(8), None);
    let largest = log.max_timestamp().unwrap().unwrap();
    assert_eq!((largest.offset.get(), largest.timestamp - NOW_MS), (7, 7));
}

#[test]
fn an_emptied_batch_is_not_taken_for_the_latest_record() {
    let (_, partition) = in_memory(compacted());
    let log = &partition.log;
    let late = BatchBuilder::new(Compression::None).with_producer(identity(1, 0));
    partition.append(builder_of(late, NOW_MS + 500, &[("a", Some("late"))])).unwrap();
    partition.append(keyed(&[("a", Some("last")), ("b", Some("v"))])).unwrap();
    log.roll(NOW_MS).unwrap();
    clean_at(log, NOW_MS).unwrap();
    assert_eq!(all_batches(log).len(), 2, "the producer's last batch is there without a record");
    let largest = log.max_timestamp().unwrap().unwrap();
    assert_eq!((largest.offset.get(), largest.timestamp), (1, NOW_MS));
    assert_eq!(log.offset_for_timestamp(NOW_MS + 1).unwrap(), None);
}

#[test]
fn the_last_sequence_of_a_producer_survives_compaction_and_a_replay() {
    let (storage, partition) = in_memory(compacted());
    partition.append(of_producer(7, 0, &[("a", Some("1")), ("b", Some("1"))])).unwrap();
    partition.append(of_producer(8, 0, &[("a", Some("2"))])).unwrap();
    fill(&partition, 20);
    clean_at(&partition.log, NOW_MS).unwrap();
    assert_eq!(rows(&partition.log).len(), 3);
    drop(partition);
    let directory = Path::new(DATA).join(flights().to_string());
    for entry in storage.list(&directory).unwrap() {
        if entry.name.ends_with(".snapshot") {
            storage.remove(&directory.join(entry.name)).unwrap();
        }
    }
    let again = Partition::open(&storage, Path::new(DATA), compacted()).unwrap();
    let repeated = again.append(of_producer(7, 0, &[("a", Some("1")), ("b", Some("1"))])).unwrap();
    assert_eq!((repeated.base_offset, repeated.duplicate), (Offset::ZERO, true));
    let repeated = again.append(of_producer(8, 0, &[("a", Some("2"))])).unwrap();
    assert_eq!((repeated.base_offset, repeated.duplicate), (Offset::new(2), true));
    let gap = again.append(of_producer(7, 9, &[("a", Some("3"))]));
    assert!(matches!(gap, Err(AppendError::OutOfOrderSequence { .. })));
}

#[test]
fn aborted_records_go_and_their_marker_follows_after_its_time() {
    let (storage, partition) = in_memory(compacted());
    let log = &partition.log;
    partition.append(keyed(&[("a", Some("before"))])).unwrap();
    partition.append(transactional(1, 0, &[("a", Some("aborted")), ("b", Some("aborted"))])).unwrap();
    let abort = end_transaction(log, 1, false).unwrap();
    partition.append(transactional(1, 2, &[("c", Some("committed"))])).unwrap();
    let commit = end_transaction(log, 1, true).unwrap();
    log.roll(NOW_MS).unwrap();
    let markers = || -> Vec<i64> {
        let markers = all_batches(log).into_iter().filter(|batch| batch.header().attributes.is_control());
        markers
            .filter(|batch| batch.header().records_count > 0)
            .map(|batch| batch.header().base_offset.get())
            .collect()
    };
    let aborted = || log.aborted_transactions(Offset::ZERO, Offset::MAX).len();
    let kept = [row(0, "a", "before"), row(4, "c", "committed")];
    for (now_ms, left) in [
        (NOW_MS, (vec![abort.get(), commit.get()], 1)),
        (NOW_MS + 1, (vec![abort.get(), commit.get()], 1)),
        (NOW_MS + DAY_MS, (vec![abort.get(), commit.get()], 1)),
        (NOW_MS + 1 + DAY_MS, (vec![commit.get()], 0)),
    ] {
        clean_at(log, now_ms).unwrap();
        assert_eq!((markers(), aborted()), left, "{} ms later", now_ms - NOW_MS);
        assert_eq!(rows(log)[..2], kept);
        partition.append(keyed(&[("d", Some("dirty"))])).unwrap();
        log.roll(NOW_MS).unwrap();
    }
    drop(partition);
    let again = Partition::open(&storage, Path::new(DATA), compacted()).unwrap();
    assert_eq!(again.log.aborted_transactions(Offset::ZERO, Offset::MAX), []);
    assert_eq!(again.log.last_stable_offset(Offset::MAX), Offset::MAX, "no transaction is open");
    assert_sound(&*storage);
}

#[test]
fn an_open_transaction_holds_compaction_back() {
    let (_, partition) = in_memory(compacted());
    let log = &partition.log;
    fill(&partition, 5);
    partition.append(transactional(1, 0, &[("a", Some("open"))])).unwrap();
    fill(&partition, 5);
    clean_at(log, NOW_MS).unwrap();
    assert_eq!(rows(log).iter().filter(|(offset, ..)| *offset < 15).count(), 3);
    assert_eq!(rows(log).len(), 3 + 1 + 15);
    end_transaction(log, 1, true).unwrap();
    log.roll(NOW_MS).unwrap();
    clean_at(log, NOW_MS).unwrap();
    assert_eq!(rows(log).len(), 3);
}

#[test]
fn the_checkpoint_is_kafkas_file() {
    let (storage, partition) = in_memory(compacted());
    fill(&partition, 20);
    clean_at(&partition.log, NOW_MS).unwrap();
    let path = Path::new(DATA).join("cleaner-offset-checkpoint");
    let text = ottla_log::storage::read_file(&*storage, &path).unwrap().unwrap();
    assert_eq!(text, b"0\n1\nflights 0 60\n");
    partition.dir.delete_logs(&[flights()], NOW_MS).unwrap();
    let text = ottla_log::storage::read_file(&*storage, &path).unwrap().unwrap();
    assert_eq!(text, b"0\n0\n");
}

/// Found by the model: an abort that was compacted before made the next transaction of the same producer look aborted.
#[test]
fn a_transaction_behind_an_abort_that_is_clean_already_counts() {
    let (_, partition) = in_memory(compacted());
    let log = &partition.log;
    partition.append(keyed(&[("a", Some("old"))])).unwrap();
    partition.append(transactional(1, 0, &[("b", Some("aborted"))])).unwrap();
    end_transaction(log, 1, false).unwrap();
    log.roll(NOW_MS).unwrap();
    clean_at(log, NOW_MS).unwrap();
    partition.append(transactional(1, 1, &[("a", Some("new"))])).unwrap();
    end_transaction(log, 1, true).unwrap();
    log.roll(NOW_MS).unwrap();
    clean_at(log, NOW_MS).unwrap();
    assert_eq!(rows(log), [row(3, "a", "new")]);
}
