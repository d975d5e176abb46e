//! Stopped or killed, and started again: what was acknowledged is there, once, and goes on where it ended.

use std::fs;
use std::path::Path;

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResource, AlterableConfig};
use ottla_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};

use crate::support::batches::{batch, now_ms, offsets, values};
use crate::support::requests::{delete_records, fetch, list_offsets, long_fetch, metadata_of_all, produce};
use crate::support::{Client, TestBroker};

/// What a clean shutdown leaves in a log directory.
const CLEAN_MARKER: &str = ".kafka_cleanshutdown";

fn retention_ms(client: &mut Client, topic: &str) -> String {
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: Str::from(topic),
        configuration_keys: Some(vec![Str::from("retention.ms")]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let response = client.call(4, request);
    response.results[0].configs[0].value.as_ref().unwrap().to_string()
}

#[test]
fn a_clean_restart_keeps_records_topics_ids_configs_and_the_cluster_s_name() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    client.create_topic("kept", 3, &[("retention.ms", "123456")]);
    client.append("kept", batch(&["a", "b"]));
    let before = client.call(12, metadata_of_all());
    let broker = broker.restart(&[]);
    let mut client = broker.connect();
    let after = client.call(12, metadata_of_all());
    assert_eq!((after.topics, after.cluster_id), (before.topics, before.cluster_id));
    assert_eq!(values(&client.fetch("kept", 0)), ["a", "b"]);
    assert_eq!(client.append("kept", batch(&["c"])), 2);
    assert_eq!(retention_ms(&mut client, "kept"), "123456");
}

#[test]
fn a_clean_restart_keeps_what_was_configured_and_deleted_later() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    for topic in ["altered", "deleted", "shortened"] {
        client.create_topic(topic, 1, &[]);
        client.append(topic, batch(&["a", "b", "c"]));
    }
    let altered = AlterConfigsResource {
        resource_type: 2,
        resource_name: Str::from("altered"),
        configs: vec![AlterableConfig { name: Str::from("retention.ms"), value: Some(Str::from("777")) }],
    };
    let request = AlterConfigsRequest { resources: vec![altered], validate_only: false };
    assert_eq!(client.call(2, request).responses[0].error_code, ErrorCode::NONE);
    client.delete_topic("deleted");
    client.call(2, delete_records("shortened", 2));
    let broker = broker.restart(&[]);
    let mut client = broker.connect();
    assert_eq!(retention_ms(&mut client, "altered"), "777");
    assert_eq!(client.fetch("deleted", 0).error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(client.list_offset("shortened", -2), 2);
}

#[test]
fn a_clean_stop_leaves_the_marker_and_a_kill_does_not() {
    let has_marker = |data: &Path| data.join(CLEAN_MARKER).exists();
    let mut broker = TestBroker::start(&[]);
    broker.connect().new_topic(1, &[]);
    assert!(!has_marker(broker.data()), "a running broker may crash");
    let (data, directory) = broker.stop();
    assert!(has_marker(&data));
    let mut broker = TestBroker::start_in(&data, &[]).unwrap();
    assert!(!has_marker(&data), "it is used up by the start");
    broker.crash();
    assert!(!has_marker(&data));
    drop(directory);
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let topics = [client.new_topic(1, &[]), client.new_topic(1, &[("segment.bytes", "1048576")])];
    for round in 0..30 {
        for topic in &topics {
            assert_eq!(client.append(topic, batch(&[&"x".repeat(100_000)])), round);
        }
    }
    let broker = broker.crash_and_restart(&[]);
    let mut client = broker.connect();
    for topic in &topics {
        assert_eq!(client.list_offset(topic, -1), 30);
        let mut read = Vec::new();
        while read.len() < 30 {
            let row = client.fetch(topic, read.len() as i64);
            read.extend(offsets(&row));
        }
        assert_eq!(read, (0..30).collect::<Vec<i64>>());
        assert_eq!(client.append(topic, batch(&["next"])), 30);
    }
}

#[test]
fn a_torn_tail_is_cut_off_and_the_log_goes_on() {
    let mut broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    client.create_topic("torn", 1, &[]);
    client.append("torn", batch(&["a"]));
    let whole = fs::metadata(segment(broker.data(), "torn-0")).unwrap().len();
    client.append("torn", batch(&["b"]));
    let (data, _directory) = broker.crash();
    // The second batch lost its last bytes; behind it, as a preallocated file has them, may be zeros.
    let file = fs::OpenOptions::new().write(true).open(segment(&data, "torn-0")).unwrap();
    file.set_len(whole + 40).unwrap();
    file.set_len(whole + 4_000).unwrap();
    let broker = TestBroker::start_in(&data, &[]).unwrap();
    let mut client = broker.connect();
    assert_eq!(values(&client.fetch("torn", 0)), ["a"]);
    assert_eq!(client.append("torn", batch(&["c"])), 1);
    assert_eq!(values(&client.fetch("torn", 0)), ["a", "c"]);
}

#[test]
fn lost_indexes_are_built_again() {
    let mut broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    client.create_topic("indexed", 1, &[("segment.bytes", "1048576"), ("index.interval.bytes", "4096")]);
    let begin = now_ms();
    for _ in 0..40 {
        client.append("indexed", batch(&[&"x".repeat(60_000)]));
    }
    let (data, _directory) = broker.stop();
    let mut removed = 0;
    for entry in fs::read_dir(data.join("indexed-0")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "index" || extension == "timeindex") {
            fs::remove_file(path).unwrap();
            removed += 1;
        }
    }
    assert!(removed >= 4, "{removed}");
    let broker = TestBroker::start_in(&data, &[]).unwrap();
    let mut client = broker.connect();
    for offset in [0, 1, 20, 39] {
        assert_eq!(offsets(&client.fetch("indexed", offset)).first(), Some(&offset));
    }
    assert_eq!(client.list_offset("indexed", begin), 0);
    assert_eq!(client.append("indexed", batch(&["next"])), 40);
}

#[test]
fn a_half_received_request_at_the_time_of_a_kill_appends_nothing() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    client.create_topic("half", 1, &[]);
    client.append("half", batch(&["a"]));
    let request = ottla_protocol::frame::encode_request(1, None, 9, produce("half", 0, -1, batch(&["b"])));
    let request = request.unwrap();
    client.send_bytes(&request[..request.len() - 1]);
    let broker = broker.crash_and_restart(&[]);
    assert_eq!(values(&broker.connect().fetch("half", 0)), ["a"]);
}

#[test]
fn a_stop_answers_what_has_begun_and_refuses_what_comes_after() {
    let mut broker = TestBroker::start(&[]);
    let address = broker.address();
    let (mut waiting, mut producer) = (broker.connect(), broker.connect());
    let topic = producer.new_topic(1, &[]);
    waiting.send(12, long_fetch(&topic, 0, 60_000, 1 << 20));
    let sent: Vec<i32> = (0..50).map(|_| producer.send(9, produce(&topic, 0, -1, batch(&["a"])))).collect();
    // The first answer says that the broker has begun with them.
    let answered =
        |producer: &mut Client| producer.receive::<ottla_protocol::messages::produce::ProduceRequest>(9);
    assert_eq!(answered(&mut producer).0, sent[0]);
    let (data, _directory) = broker.stop();
    let mut acknowledged = 1;
    while let Ok(frame) = producer.receive_frame() {
        assert_eq!(frame[..4], sent[acknowledged].to_be_bytes(), "answers come in order, to the last");
        acknowledged += 1;
    }
    assert!(Client::try_connect(address).is_err(), "nobody listens any more");
    // The poll that waited was answered or ended, not left hanging.
    let _ = waiting.receive_frame();
    let broker = TestBroker::start_in(&data, &[]).unwrap();
    let end = broker.connect().list_offset(&topic, -1);
    assert!(end >= acknowledged as i64, "{acknowledged} were acknowledged, {end} are there");
}

#[test]
fn many_restarts_in_a_row_change_nothing() {
    let mut broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    client.create_topic("again", 1, &[]);
    for round in 0..6 {
        let mut client = broker.connect();
        assert_eq!(client.append("again", batch(&["x"])), round);
        broker = if round % 2 == 0 { broker.restart(&[]) } else { broker.crash_and_restart(&[]) };
        let mut client = broker.connect();
        let row = client.fetch_with(fetch("again", 0));
        assert_eq!((row.high_watermark, offsets(&row).len() as i64), (round + 1, round + 1));
        let epoch = client.call(7, list_offsets("again", -1)).topics[0].partitions[0].leader_epoch;
        assert!(epoch >= 0);
    }
}

/// The only segment of a partition.
fn segment(data: &Path, partition: &str) -> std::path::PathBuf {
    data.join(partition).join("00000000000000000000.log")
}
