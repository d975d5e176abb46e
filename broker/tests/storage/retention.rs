//! Records that go: by DeleteRecords, by size, by time. ListOffsets tells.

use std::fs;
use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;
use ottla_protocol::records::{BatchBuilder, Compression};

use crate::support::batches::{batch, batch_at, now_ms, offsets};
use crate::support::client::PATIENCE;
use crate::support::requests::{delete_records, delete_topic, list_offsets, metadata_without_creation};
use crate::support::{Client, TestBroker};

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
const LARGEST_TIMESTAMP: i64 = -3;

/// Waits until the log begins at `offset` or later.
fn wait_for_start(client: &mut Client, topic: &str, offset: i64) -> i64 {
    let began = Instant::now();
    loop {
        let start = client.list_offset(topic, EARLIEST);
        if start >= offset {
            return start;
        }
        assert!(began.elapsed() < PATIENCE, "it still begins at {start}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn delete_records_moves_the_first_readable_offset_and_nothing_else() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    for _ in 0..5 {
        client.append(&topic, batch(&["a", "b"]));
    }
    let response = client.call(2, delete_records(&topic, 5));
    let row = &response.topics[0].partitions[0];
    assert_eq!((row.error_code, row.low_watermark), (ErrorCode::NONE, 5));
    assert_eq!((client.list_offset(&topic, EARLIEST), client.list_offset(&topic, LATEST)), (5, 10));
    let before = client.fetch(&topic, 4);
    assert_eq!(before.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    let at = client.fetch(&topic, 5);
    assert_eq!((at.error_code, at.log_start_offset), (ErrorCode::NONE, 5));
    assert_eq!(offsets(&at).last(), Some(&9));
    let response = client.call(2, delete_records(&topic, 3));
    assert_eq!(response.topics[0].partitions[0].low_watermark, 5, "it never goes back");
}

#[test]
fn delete_records_up_to_minus_1_means_everything() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    client.append(&topic, batch(&["a", "b", "c"]));
    let response = client.call(2, delete_records(&topic, -1));
    let row = &response.topics[0].partitions[0];
    assert_eq!((row.error_code, row.low_watermark), (ErrorCode::NONE, 3));
    assert_eq!(client.append(&topic, batch(&["d"])), 3);
    assert_eq!(offsets(&client.fetch(&topic, 3)), [3]);
}

#[test]
fn delete_records_beyond_the_end_or_of_an_unknown_topic_is_an_error() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    client.append(&topic, batch(&["a"]));
    for offset in [2, i64::MAX, -2] {
        let response = client.call(2, delete_records(&topic, offset));
        let row = &response.topics[0].partitions[0];
        assert_eq!((row.error_code, row.low_watermark), (ErrorCode::OFFSET_OUT_OF_RANGE, -1), "{offset}");
    }
    let response = client.call(2, delete_records("a-topic-that-nobody-created", 0));
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[test]
fn delete_records_is_refused_where_only_compaction_may_delete() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("cleanup.policy", "compact")]);
    client.append(&topic, batch(&["a"]));
    let response = client.call(2, delete_records(&topic, 1));
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::POLICY_VIOLATION);
}

#[test]
fn offsets_are_found_by_time_at_both_ends_and_by_the_largest_timestamp() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let base = now_ms() - 100_000;
    for (seconds, value) in [(10, "a"), (30, "b"), (20, "c")] {
        client.append(&topic, batch_at(base + seconds * 1_000, &[value]));
    }
    let mut at = |timestamp: i64| {
        let response = client.call(7, list_offsets(&topic, timestamp));
        let row = &response.topics[0].partitions[0];
        assert_eq!(row.error_code, ErrorCode::NONE);
        (row.offset, row.timestamp)
    };
    assert_eq!(at(LATEST), (3, -1));
    assert_eq!(at(EARLIEST), (0, -1));
    assert_eq!(at(LARGEST_TIMESTAMP), (1, base + 30_000));
    assert_eq!(at(0), (0, base + 10_000));
    assert_eq!(at(base + 10_001), (1, base + 30_000), "the first record at or after that time");
    assert_eq!(at(base + 30_001), (-1, -1), "nothing is that late");
}

/// Apache Kafka goes on to name the deleted record.
#[test]
fn the_largest_timestamp_is_that_of_a_record_that_can_still_be_read() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let base = now_ms() - 100_000;
    for (seconds, value) in [(50, "a"), (20, "b"), (30, "c"), (10, "d")] {
        client.append(&topic, batch_at(base + seconds * 1_000, &[value]));
    }
    assert_eq!(client.list_offset(&topic, LARGEST_TIMESTAMP), 0);
    client.call(2, delete_records(&topic, 1));
    assert_eq!(client.list_offset(&topic, LARGEST_TIMESTAMP), 2);
    client.call(2, delete_records(&topic, 3));
    assert_eq!(client.list_offset(&topic, LARGEST_TIMESTAMP), 3);
    client.call(2, delete_records(&topic, -1));
    assert_eq!(client.list_offset(&topic, LARGEST_TIMESTAMP), -1);
    // Also where the log begins in the middle of a batch.
    let mut builder = BatchBuilder::new(Compression::Lz4);
    for (seconds, value) in [(90, "e"), (60, "f"), (70, "g")] {
        builder.push(base + seconds * 1_000, Some(b"k"), Some(value.as_bytes()), &[]).unwrap();
    }
    assert_eq!(client.append(&topic, builder.build()), 4);
    assert_eq!(client.list_offset(&topic, LARGEST_TIMESTAMP), 4);
    client.call(2, delete_records(&topic, 5));
    assert_eq!(client.list_offset(&topic, LARGEST_TIMESTAMP), 6);
}

/// Long before a checkpoint, whose interval is a minute.
#[test]
fn the_space_of_a_deleted_topic_is_free_when_its_delay_is_over() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    client.create_topic("at-once", 2, &[("file.delete.delay.ms", "0")]);
    client.create_topic("soon", 2, &[("file.delete.delay.ms", "500")]);
    client.create_topic("later", 1, &[("file.delete.delay.ms", "600000")]);
    for topic in ["later", "soon", "at-once"] {
        client.append(topic, batch(&["a"]));
        client.delete_topic(topic);
    }
    let began = Instant::now();
    let left = |stem: &str| {
        let entries = fs::read_dir(broker.data()).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(stem))
            .count()
    };
    while left("soon-") + left("at-once-") > 0 {
        assert!(began.elapsed() < PATIENCE, "{} and {} are left", left("at-once-"), left("soon-"));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(began.elapsed() > Duration::from_millis(300), "the delay is kept");
    assert_eq!(left("later-"), 1);
}

#[test]
fn an_empty_log_begins_and_ends_at_0_and_has_no_time() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    assert_eq!((client.list_offset(&topic, EARLIEST), client.list_offset(&topic, LATEST)), (0, 0));
    assert_eq!((client.list_offset(&topic, 0), client.list_offset(&topic, LARGEST_TIMESTAMP)), (-1, -1));
}

#[test]
fn retention_by_size_deletes_whole_segments_from_the_front() {
    let broker = TestBroker::start(&[("log.retention.check.interval.ms", "50")]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("segment.bytes", "1048576"), ("retention.bytes", "2000000")]);
    for _ in 0..50 {
        client.append(&topic, batch(&[&"x".repeat(100_000)]));
    }
    // Two of five segments of ten batches are a little more than 2 MB. It does not move on from there.
    let start = wait_for_start(&mut client, &topic, 30);
    assert_eq!(start, 30, "2 MB are kept");
    assert_eq!(client.list_offset(&topic, LATEST), 50);
    assert_eq!(client.fetch(&topic, 0).error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(offsets(&client.fetch(&topic, start)).first(), Some(&start));
}

#[test]
fn retention_by_time_deletes_old_records_even_from_the_last_segment() {
    let broker = TestBroker::start(&[("log.retention.check.interval.ms", "50")]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("retention.ms", "60000")]);
    client.append(&topic, batch_at(now_ms() - 120_000, &["old", "old"]));
    assert_eq!(wait_for_start(&mut client, &topic, 2), 2);
    assert_eq!(client.append(&topic, batch(&["new"])), 2);
    assert_eq!(offsets(&client.fetch(&topic, 2)), [2]);
}

#[test]
fn a_deleted_topic_leaves_nothing_behind_after_its_delay() {
    let broker = TestBroker::start(&[
        ("log.flush.offset.checkpoint.interval.ms", "50"),
        ("log.retention.check.interval.ms", "50"),
        ("log.segment.delete.delay.ms", "100"),
    ]);
    let mut client = broker.connect();
    client.create_topic("gone", 2, &[]);
    client.append("gone", batch(&["a"]));
    assert_eq!(client.call(6, delete_topic("gone")).responses[0].error_code, ErrorCode::NONE);
    let response = client.call(12, metadata_without_creation("gone"));
    assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let began = Instant::now();
    let left = || {
        let names = fs::read_dir(broker.data()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with("gone")).count()
    };
    while left() > 0 {
        assert!(began.elapsed() < PATIENCE, "its directories are still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}
