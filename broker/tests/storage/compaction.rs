//! Compacted topics as clients see them: the last value of each key stays, offsets stay, the rest goes in time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use ottla_protocol::records::{BatchBuilder, Compression, OutputLimit, batches};

use crate::support::batches::{batch, bytes_of, now_ms};
use crate::support::client::PATIENCE;
use crate::support::{Client, TestBroker};

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// The cleaner does not rest between two looks.
const EAGER: [(&str, &str); 1] = [("log.cleaner.backoff.ms", "10")];

const COMPACTED: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("internal.segment.bytes", "2000"), ("file.delete.delay.ms", "0")];

/// A batch of one record; no value is a tombstone.
fn keyed(key: &str, value: Option<&str>) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(now_ms(), Some(key.as_bytes()), value.map(str::as_bytes), &[]).unwrap();
    builder.build()
}

/// Every record of partition 0 with its offset: key and value.
fn read_all(client: &mut Client, topic: &str) -> BTreeMap<i64, (String, Option<String>)> {
    let mut found = BTreeMap::new();
    let (mut offset, end) = (client.list_offset(topic, EARLIEST), client.list_offset(topic, LATEST));
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    while offset < end {
        let row = client.fetch(topic, offset);
        assert_eq!(row.error_code, ErrorCode::NONE);
        let before = offset;
        for batch in batches(bytes_of(&row)) {
            let Ok(batch) = batch else { break };
            offset = batch.header().next_offset().get();
            for record in batch.records(OutputLimit::new(1 << 20)).unwrap() {
                let record = record.unwrap();
                let (key, value) = (text(record.key.unwrap()), record.value.map(text));
                found.insert(record.offset.get(), (key, value));
            }
        }
        assert!(offset > before, "a read at {before} goes forward");
    }
    found
}

fn wait_until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(began.elapsed() < PATIENCE, "{what}: still {seen}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until no more than `records_max` records are left, and gives them.
fn wait_until_compacted(
    client: &mut Client,
    topic: &str,
    records_max: usize,
) -> BTreeMap<i64, (String, Option<String>)> {
    wait_until("the topic is compacted", || {
        let found = read_all(client, topic);
        if found.len() <= records_max { Ok(found) } else { Err(format!("{} records", found.len())) }
    })
}

fn set_config(client: &mut Client, topic: &str, key: &str, value: &str) {
    let config = AlterableConfig { name: key.into(), config_operation: 0, value: Some(value.into()) };
    let resource =
        AlterConfigsResource { resource_type: 2, resource_name: topic.into(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let response = client.call(1, request);
    assert_eq!(
        response.responses[0].error_code,
        ErrorCode::NONE,
        "{:?}",
        response.responses[0].error_message
    );
}

/// The bytes of the files in a directory whose names end like this.
fn bytes_in(directory: &Path, end: &str) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.file_name().to_str().unwrap().ends_with(end))
        .map(|entry| entry.metadata().map_or(0, |metadata| metadata.len()))
        .sum()
}

#[test]
fn a_compacted_topic_keeps_the_last_value_of_each_key_at_its_offset() {
    let broker = TestBroker::start(&EAGER);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &COMPACTED);
    let mut last = BTreeMap::new();
    for round in 0..100 {
        for key in ["a", "b", "c", "d"] {
            let value = format!("{key}{round}");
            last.insert(key.to_owned(), (client.append(&topic, keyed(key, Some(&value))), value));
        }
    }
    // What is still in the active segment is not compacted: less than 2000 bytes.
    let found = wait_until_compacted(&mut client, &topic, 30);
    for (key, (offset, value)) in &last {
        assert_eq!(found[offset], (key.clone(), Some(value.clone())));
    }
    assert_eq!((client.list_offset(&topic, EARLIEST), client.list_offset(&topic, LATEST)), (0, 400));
    assert_eq!(client.fetch(&topic, 1).error_code, ErrorCode::NONE, "an offset in a gap is no error");
    let broker = broker.restart(&EAGER);
    assert_eq!(read_all(&mut broker.connect(), &topic).len(), found.len());
}

/// Run against Apache Kafka (`OTTLA_TEST_BOOTSTRAP`, with `log.cleaner.backoff.ms=10`), it says that the same records
/// survive there.
#[test]
fn exactly_those_records_survive_that_survive_on_kafka() {
    const SEGMENT_BYTES: usize = 2000;
    let broker = TestBroker::any_with(&EAGER);
    let mut client = broker.connect();
    let eager = [("min.cleanable.dirty.ratio", "0.0")];
    let topic = client.new_topic(1, &[&COMPACTED[..], &eager].concat());
    let mut appended = Vec::new();
    let (mut segment, mut segment_base, mut segment_bytes) = (0u64, 0, 0);
    // Keys that come often and keys that come once, tombstones, and batches of several records with one codec each.
    for round in 0..150u64 {
        let mut builder = BatchBuilder::new(Compression::ALL[round as usize % 5]);
        let mixed = |part: u64| (round * 7 + part).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let timestamp = now_ms();
        for part in 0..1 + round % 4 {
            let key = format!("k{}", mixed(part) % (1 + round % 90));
            let value = (mixed(part + 9) % 6 > 0).then(|| format!("value {round}.{part}"));
            builder.push(timestamp, Some(key.as_bytes()), value.as_deref().map(str::as_bytes), &[]).unwrap();
            appended.push((key, value));
        }
        let batch = builder.build();
        if segment_bytes + batch.len() > SEGMENT_BYTES {
            (segment, segment_base, segment_bytes) =
                (segment + 1, appended.len() as i64 - 1 - (round % 4) as i64, 0);
        }
        segment_bytes += batch.len();
        let records = 1 + (round % 4) as i64;
        assert_eq!(client.append(&topic, batch), appended.len() as i64 - records);
    }
    assert!(segment > 5, "{segment} segments");
    let rows: BTreeMap<i64, (String, Option<String>)> = (0..).zip(appended).collect();
    let last: BTreeMap<&String, i64> =
        rows.range(..segment_base).map(|(offset, (key, _))| (key, *offset)).collect();
    let stays = |offset: i64, key: &String| offset >= segment_base || last[key] == offset;
    let expected: BTreeMap<_, _> = rows
        .iter()
        .filter(|(offset, (key, _))| stays(**offset, key))
        .map(|(o, row)| (*o, row.clone()))
        .collect();
    assert!(expected.len() * 2 < rows.len(), "{} of {}", expected.len(), rows.len());
    wait_until("all that can go has gone", || {
        let found = read_all(&mut client, &topic);
        assert!(
            expected.iter().all(|(offset, row)| found.get(offset) == Some(row)),
            "{expected:?} {found:?}"
        );
        if found == expected { Ok(()) } else { Err(format!("{} of {}", found.len(), expected.len())) }
    });
}

#[test]
fn a_key_that_was_deleted_is_gone_after_delete_retention() {
    let broker = TestBroker::start(&EAGER);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[&COMPACTED[..], &[("delete.retention.ms", "50")]].concat());
    client.append(&topic, keyed("gone", Some("v")));
    client.append(&topic, keyed("gone", None));
    wait_until("the tombstone goes", || {
        (0..40).for_each(|_| assert!(client.append(&topic, keyed("stays", Some("v"))) > 0));
        let found = read_all(&mut client, &topic);
        let left: Vec<_> = found.values().filter(|(key, _)| key == "gone").collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

#[test]
fn settings_that_change_reach_the_cleaner_at_once() {
    let broker = TestBroker::start(&EAGER);
    let mut client = broker.connect();
    let lazy = [("min.compaction.lag.ms", "3600000")];
    let topic = client.new_topic(1, &[&COMPACTED[..], &lazy].concat());
    (0..200).for_each(|_| assert!(client.append(&topic, keyed("a", Some("v"))) >= 0));
    assert_eq!(read_all(&mut client, &topic).len(), 200, "it is too young");
    set_config(&mut client, &topic, "min.compaction.lag.ms", "0");
    wait_until_compacted(&mut client, &topic, 30);
    // A topic that was not compacted at all.
    let plain = client.new_topic(1, &COMPACTED[1..]);
    (0..200).for_each(|_| assert!(client.append(&plain, batch(&["v"])) >= 0));
    set_config(&mut client, &plain, "cleanup.policy", "compact");
    wait_until_compacted(&mut client, &plain, 30);
}

#[test]
fn a_broker_without_a_cleaner_compacts_nothing() {
    let broker = TestBroker::start(&[EAGER[0], ("log.cleaner.enable", "false")]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &COMPACTED);
    (0..200).for_each(|_| assert!(client.append(&topic, keyed("a", Some("v"))) >= 0));
    assert_eq!(read_all(&mut client, &topic).len(), 200);
    let broker = broker.restart(&EAGER);
    wait_until_compacted(&mut broker.connect(), &topic, 30);
}

#[test]
fn a_topic_that_is_deleted_while_it_is_compacted_leaves_nothing_behind() {
    let slow = [EAGER[0], ("log.cleaner.io.max.bytes.per.second", "20000")];
    let mut broker = TestBroker::start(&slow);
    let mut client = broker.connect();
    for round in 0..3 {
        client.create_topic("again", 1, &COMPACTED);
        (0..100).for_each(|_| assert!(client.append("again", keyed("a", Some("v"))) >= 0));
        assert_eq!(client.list_offset("again", LATEST), 100, "round {round}");
        client.delete_topic("again");
    }
    client.expect_service();
    drop(client);
    // It does not wait for the bytes that the throttle holds back.
    let began = Instant::now();
    broker.stop();
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn group_offsets_do_not_only_grow_and_survive_a_restart() {
    let settings = [
        EAGER[0],
        ("offsets.topic.num.partitions", "1"),
        ("log.segment.delete.delay.ms", "0"),
        ("log.retention.check.interval.ms", "50"),
    ];
    let broker = TestBroker::start(&settings);
    let mut client = broker.connect();
    wait_until("the coordinator is there", || {
        let request = FindCoordinatorRequest { key: "g0".into(), ..Default::default() };
        let found = client.call(3, request);
        let is_ready = found.error_code == ErrorCode::NONE && committed(&mut client, "g0").is_ok();
        if is_ready { Ok(()) } else { Err(format!("{found:?}")) }
    });
    client.create_topic("t", 1, &[]);
    set_config(&mut client, "__consumer_offsets", "internal.segment.bytes", "20000");
    for offset in 0..500 {
        for group in ["g0", "g1", "g2"] {
            assert_eq!(commit(&mut client, group, offset), ErrorCode::NONE);
        }
    }
    let directory = broker.data().join("__consumer_offsets-0");
    wait_until("the offsets are compacted", || match bytes_in(&directory, ".log") {
        // 1500 commits take some 150,000 bytes, the active segment up to 20,000.
        ..50_000 => Ok(()),
        bytes => Err(format!("{bytes} bytes")),
    });
    let broker = broker.restart(&settings);
    let mut client = broker.connect();
    for group in ["g0", "g1", "g2"] {
        let found = wait_until("the groups are loaded", || {
            committed(&mut client, group).map_err(|code| format!("{code:?}"))
        });
        assert_eq!(found, 499, "{group}");
    }
}

fn commit(client: &mut Client, group: &str, offset: i64) -> ErrorCode {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_metadata: Some("a note".into()),
        ..Default::default()
    };
    let topic =
        OffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    client.call(7, request).topics[0].partitions[0].error_code
}

fn committed(client: &mut Client, group: &str) -> Result<i64, ErrorCode> {
    let topic = OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![0] };
    let request =
        OffsetFetchRequest { group_id: group.into(), topics: Some(vec![topic]), ..Default::default() };
    let response = client.call(5, request);
    match response.error_code.is_error() {
        true => Err(response.error_code),
        false => Ok(response.topics[0].partitions[0].committed_offset),
    }
}
