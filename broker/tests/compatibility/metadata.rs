//! Rules 4, 6 and 9: what Metadata promises, topic ids, epochs, creation on demand.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::messages::list_offsets::ListOffsetsRequest;
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ottla_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use uuid::Uuid;

use crate::support::batches::batch;
use crate::support::broker::unique;
use crate::support::requests::{
    create_topic, fetch, list_offsets, metadata, metadata_of_all, metadata_without_creation,
};
use crate::support::{Client, TestBroker};

fn by_id(topic_id: Uuid) -> MetadataRequest {
    let topic = MetadataRequestTopic { topic_id, name: None };
    MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() }
}

fn end_of_epoch(topic: &str, current_leader_epoch: i32, leader_epoch: i32) -> OffsetForLeaderEpochRequest {
    let partition = OffsetForLeaderPartition { partition: 0, current_leader_epoch, leader_epoch };
    let topic = OffsetForLeaderTopic { topic: Str::from(topic), partitions: vec![partition] };
    OffsetForLeaderEpochRequest { topics: vec![topic], ..OffsetForLeaderEpochRequest::default() }
}

/// What Fetch, ListOffsets and OffsetForLeaderEpoch say to a client that believes in this leader epoch.
fn codes_at(client: &mut Client, topic: &str, leader_epoch: i32) -> [ErrorCode; 3] {
    let mut asked = fetch(topic, 0);
    asked.topics[0].partitions[0].current_leader_epoch = leader_epoch;
    let fetched = client.fetch_with(asked).error_code;
    let mut asked: ListOffsetsRequest = list_offsets(topic, -1);
    asked.topics[0].partitions[0].current_leader_epoch = leader_epoch;
    let listed = client.call(7, asked).topics[0].partitions[0].error_code;
    let ended = client.call(4, end_of_epoch(topic, leader_epoch, 0)).topics[0].partitions[0].error_code;
    [fetched, listed, ended]
}

#[test]
fn rule_04_metadata_names_a_broker_a_real_controller_and_contiguous_partitions_in_every_version() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(5, &[]);
    for version in 0..=12 {
        let request = if version < 4 { metadata(&topic) } else { metadata_without_creation(&topic) };
        let response = client.call(version, request);
        assert_eq!(response.brokers.len(), 1);
        let this = &response.brokers[0];
        assert_eq!((this.host.as_str(), this.port), ("127.0.0.1", i32::from(broker.address().port())));
        assert!(version < 1 || response.controller_id == this.node_id);
        assert!(version < 2 || response.cluster_id.is_some_and(|id| !id.is_empty()));
        let found = &response.topics[0];
        let mut indexes: Vec<i32> = found.partitions.iter().map(|row| row.partition_index).collect();
        indexes.sort_unstable();
        assert_eq!(indexes, [0, 1, 2, 3, 4]);
        for row in &found.partitions {
            assert_eq!((row.error_code, row.leader_id), (ErrorCode::NONE, this.node_id));
            assert_eq!(
                (&row.replica_nodes[..], &row.isr_nodes[..]),
                (&[this.node_id][..], &[this.node_id][..])
            );
            assert!(version < 7 || row.leader_epoch == 0, "epochs begin at 0");
        }
        assert!(version < 10 || !found.topic_id.is_nil(), "a zero id stops producers");
    }
}

#[test]
fn rule_04_no_list_asks_for_all_topics_and_an_empty_list_for_none() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let lists = |response: &MetadataResponse| {
        response.topics.iter().any(|found| found.name.as_deref() == Some(&topic))
    };
    let empty = || MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
    assert!(lists(&client.call(0, empty())), "version 0 knows no null");
    for version in 1..=12 {
        assert!(lists(&client.call(version, metadata_of_all())), "version {version}");
        assert_eq!(client.call(version, empty()).topics, [], "version {version}");
    }
}

#[test]
fn rule_04_a_leader_epoch_that_the_broker_has_not_seen_is_unknown() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    client.append(&topic, batch(&["a", "b"]));
    assert_eq!(codes_at(&mut client, &topic, -1), [ErrorCode::NONE; 3], "-1 skips the check");
    assert_eq!(codes_at(&mut client, &topic, 0), [ErrorCode::NONE; 3]);
    assert_eq!(codes_at(&mut client, &topic, 1), [ErrorCode::UNKNOWN_LEADER_EPOCH; 3]);
    let response = client.call(4, end_of_epoch(&topic, 0, 0));
    let row = &response.topics[0].partitions[0];
    assert_eq!((row.leader_epoch, row.end_offset), (0, 2));
}

#[test]
fn rule_04_an_epoch_that_nobody_has_led_in_has_no_end() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    client.append(&topic, batch(&["a", "b"]));
    for (epoch, end) in [(0, (0, 2)), (1, (-1, -1)), (i32::MAX, (-1, -1)), (-1, (-1, -1))] {
        for version in 2..=4 {
            let response = client.call(version, end_of_epoch(&topic, -1, epoch));
            let row = &response.topics[0].partitions[0];
            assert_eq!(row.error_code, ErrorCode::NONE);
            assert_eq!((row.leader_epoch, row.end_offset), end, "epoch {epoch}, version {version}");
        }
    }
    // A client that has read in such an epoch was led by somebody whom this broker does not know.
    let mut request = fetch(&topic, 1);
    request.topics[0].partitions[0].last_fetched_epoch = 1;
    assert_eq!(client.fetch_with(request).error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
}

/// Kafka begins again at epoch 0, and clients that key by name then believe the stale leader: here it goes on.
#[test]
fn rule_04_a_recreated_topic_has_a_new_id_and_an_epoch_above_the_old_one() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let topic = client.new_topic(2, &[]);
    client.append(&topic, batch(&["old"]));
    let old = client.wait_for_leaders(&topic);
    client.delete_topic(&topic);
    client.create_topic(&topic, 3, &[]);
    let new = client.wait_for_leaders(&topic);
    assert_ne!(new.topic_id, old.topic_id);
    let highest = old.partitions.iter().map(|row| row.leader_epoch).max().unwrap();
    assert!(new.partitions.iter().all(|row| row.leader_epoch > highest), "{new:?}");
    assert_eq!(client.list_offset(&topic, -1), 0, "nothing of the old topic is left");
    assert_eq!(codes_at(&mut client, &topic, highest), [ErrorCode::FENCED_LEADER_EPOCH; 3]);
}

#[test]
fn rule_04_a_recreated_topic_has_a_new_id() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let old = client.wait_for_leaders(&topic).topic_id;
    client.delete_topic(&topic);
    client.create_topic(&topic, 1, &[]);
    assert_ne!(client.wait_for_leaders(&topic).topic_id, old);
    assert_eq!(client.call(12, by_id(old)).topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
}

#[test]
fn rule_06_a_topic_is_found_by_its_id_and_an_unknown_id_is_error_100() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let known = client.wait_for_leaders(&topic).topic_id;
    let response = client.call(12, by_id(known));
    assert_eq!(response.topics[0].name.as_deref(), Some(topic.as_str()));
    let unknown = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let response = client.call(12, by_id(unknown));
    assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    assert_eq!((response.topics[0].topic_id, &response.topics[0].name), (unknown, &None));
    let state = DeleteTopicState { name: None, topic_id: unknown };
    let request =
        DeleteTopicsRequest { topics: vec![state], timeout_ms: 1_000, ..DeleteTopicsRequest::default() };
    assert_eq!(client.call(6, request).responses[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
}

#[test]
fn rule_09_a_request_that_allows_creation_gets_the_topic_and_its_leader_soon() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = unique("wanted");
    let first = client.call(4, metadata(&topic)).topics.remove(0);
    let unknown_once = [ErrorCode::LEADER_NOT_AVAILABLE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION];
    assert!(first.error_code == ErrorCode::NONE || unknown_once.contains(&first.error_code), "{first:?}");
    let created = client.wait_for_leaders(&topic);
    assert!(!created.partitions.is_empty());
    assert_eq!(client.append(&topic, batch(&["a"])), 0);
}

#[test]
fn rule_09_versions_below_4_always_allow_creation() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = unique("wanted");
    client.call(1, metadata(&topic));
    client.wait_for_leaders(&topic);
}

#[test]
fn rule_09_a_request_that_forbids_creation_creates_nothing() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = unique("unwanted");
    for _ in 0..2 {
        let response = client.call(12, metadata_without_creation(&topic));
        assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(response.topics[0].name.as_deref(), Some(topic.as_str()));
    }
    // Produce never creates.
    let row = client.produce(&topic, -1, batch(&["a"]));
    assert_eq!(row.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[test]
fn rule_09_a_created_topic_has_the_broker_s_number_of_partitions() {
    let broker = TestBroker::start(&[("num.partitions", "3")]);
    let mut client = broker.connect();
    client.call(12, metadata("wanted"));
    assert_eq!(client.wait_for_leaders("wanted").partitions.len(), 3);
}

#[test]
fn rule_09_a_broker_that_does_not_create_says_that_the_topic_is_unknown() {
    let broker = TestBroker::start(&[("auto.create.topics.enable", "false")]);
    let mut client = broker.connect();
    let response = client.call(12, metadata("wanted"));
    assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(client.call(7, create_topic("wanted", 1, &[])).topics[0].error_code, ErrorCode::NONE);
}

#[test]
fn rule_09_a_name_that_cannot_be_is_an_invalid_topic_and_not_created() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let long = "x".repeat(250);
    for name in ["not/legal", "a b", "", ".", "..", "ünïcode", "semi;colon", &long] {
        let response = client.call(12, metadata(name));
        assert_eq!(response.topics[0].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION, "{name:?}");
    }
    let longest = format!("{}{}", unique("long"), "x".repeat(249));
    client.call(12, metadata(&longest[..249]));
    client.wait_for_leaders(&longest[..249]);
}
