//! Rules 2, 3 and 13: headers, order, silence and the size of frames.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use ottla_protocol::messages::fetch::FetchRequest;
use ottla_protocol::messages::metadata::MetadataRequest;
use ottla_protocol::messages::produce::ProduceRequest;

use crate::support::TestBroker;
use crate::support::batches::{batch, values};
use crate::support::client::frame;
use crate::support::requests::{
    api_versions, fetch, long_fetch, metadata_of_all, metadata_without_creation, produce,
};

const METADATA: i16 = 3;

#[test]
fn rule_02_client_id_is_a_rigid_string_in_flexible_headers_and_may_be_null_or_empty() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for client_id in [&[0xff, 0xff][..], &[0, 0], &[0, 3, b'a', b'b', b'c']] {
        // Metadata 12: client id, header tags, no topics, no creation, no operations, tags.
        let rest = [client_id, &[0, 1, 0, 0, 0]].concat();
        client.send_bytes(&frame(METADATA, 12, &rest));
        let (correlation_id, response) = client.receive::<MetadataRequest>(12);
        assert_eq!((correlation_id, response.brokers.len()), (7, 1), "{client_id:?}");
    }
}

#[test]
fn rule_02_unknown_tags_in_header_and_body_are_skipped() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    // One tag in the header (number 9, two bytes) and one in the body (number 300, one byte).
    client.send_bytes(&frame(METADATA, 12, &[0, 0, 1, 9, 2, 0xaa, 0xbb, 1, 0, 0, 1, 0xac, 2, 1, 0xcc]));
    let (correlation_id, response) = client.receive::<MetadataRequest>(12);
    assert_eq!((correlation_id, response.topics.len()), (7, 0));
}

#[test]
fn rule_03_pipelined_requests_of_all_kinds_are_answered_in_order() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let rounds = 40;
    for _ in 0..rounds {
        client.send(9, produce(&topic, 0, -1, batch(&["a"])));
        client.send(4, api_versions());
        client.send(12, fetch(&topic, 0));
        client.send(5, metadata_without_creation(&topic));
    }
    let first = client.send(1, metadata_of_all()) - 4 * rounds;
    for round in 0..rounds {
        let id = first + 4 * round;
        let (answered, produced) = client.receive::<ProduceRequest>(9);
        assert_eq!(answered, id);
        assert_eq!(produced.responses[0].partition_responses[0].base_offset, i64::from(round));
        assert_eq!(client.receive::<ApiVersionsRequest>(4).0, id + 1);
        let (answered, fetched) = client.receive::<FetchRequest>(12);
        assert_eq!(answered, id + 2);
        let count = values(&fetched.responses[0].partitions[0]).len();
        assert!(count > round as usize, "a fetch sees what the same connection has had acknowledged before");
        assert_eq!(client.receive::<MetadataRequest>(5).0, id + 3);
    }
}

#[test]
fn rule_03_a_request_behind_a_long_poll_waits_for_it() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let began = Instant::now();
    let polled = client.send(12, long_fetch(&topic, 0, 300, 1));
    let asked = client.send(4, api_versions());
    assert_eq!(client.receive::<FetchRequest>(12).0, polled);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(client.receive::<ApiVersionsRequest>(4).0, asked);
}

#[test]
fn rule_03_kafka_python_2_pipelines_its_first_two_requests() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let versions = client.send(0, api_versions());
    // An empty list of topics in version 0 asks for all of them.
    let all = client.send(0, MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() });
    assert_eq!(client.receive::<ApiVersionsRequest>(0).0, versions);
    let (answered, metadata) = client.receive::<MetadataRequest>(0);
    assert_eq!((answered, metadata.brokers.len()), (all, 1));
}

#[test]
fn rule_03_a_client_that_says_it_is_done_still_gets_its_answers() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    for _ in 0..10 {
        client.send(9, produce(&topic, 0, 0, batch(&["a"])));
    }
    client.shut_down_writes();
    client.expect_close();
    let mut other = broker.connect();
    let began = Instant::now();
    while other.list_offset(&topic, -1) < 10 {
        assert!(began.elapsed() < Duration::from_secs(10), "what was sent before the end is appended");
    }
}

#[test]
fn rule_03_acks_0_is_not_answered() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    client.send(9, produce(&topic, 0, 0, batch(&["a"])));
    // The next answer is to the next request, and it sees the record.
    let row = client.fetch_with(long_fetch(&topic, 0, 5_000, 1));
    assert_eq!(values(&row), ["a"]);
}

#[test]
fn rule_03_an_error_with_acks_0_closes_the_connection() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    client.send(9, produce("a-topic-that-nobody-created", 0, 0, batch(&["a"])));
    client.expect_close();
    broker.connect().expect_service();
}

#[test]
fn rule_03_acks_other_than_minus_1_0_and_1_are_an_error_per_partition() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let row = client.produce(&topic, 2, batch(&["a"]));
    assert_eq!(row.error_code, ErrorCode::INVALID_REQUIRED_ACKS);
    assert_eq!(client.list_offset(&topic, -1), 0);
}

#[test]
fn rule_13_a_frame_far_above_8_mib_is_taken() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("max.message.bytes", "20000000")]);
    let value = "x".repeat(12 << 20);
    assert_eq!(client.append(&topic, batch(&[&value])), 0);
    assert_eq!(values(&client.fetch(&topic, 0)), [value]);
}

#[test]
fn rule_13_a_frame_of_one_byte_more_than_100_mib_closes_the_connection() {
    let broker = TestBroker::any();
    let mut exact = broker.connect();
    exact.send_bytes(&(100_u32 * 1024 * 1024).to_be_bytes());
    assert!(exact.stays_open(Duration::from_millis(100)), "100 MiB are allowed");
    let mut above = broker.connect();
    above.send_bytes(&(100_u32 * 1024 * 1024 + 1).to_be_bytes());
    above.expect_close();
}

/// Apache Kafka does so from 4.4 on.
#[test]
fn rule_13_more_than_a_million_elements_are_refused() {
    let broker = TestBroker::start(&[]);
    // Metadata 1: an array of empty names.
    let body = |count: u32| {
        let mut body = vec![0xff, 0xff];
        body.extend(count.to_be_bytes());
        body.extend(std::iter::repeat_n(0, 2 * count as usize));
        Bytes::from(body)
    };
    let mut client = broker.connect();
    client.send_bytes(&frame(METADATA, 1, &body(1_000_001)));
    client.expect_close();
    broker.connect().expect_service();
}

/// Apache Kafka does so from 4.4 on.
#[test]
fn rule_13_more_than_ten_thousand_tags_are_refused() {
    let broker = TestBroker::start(&[]);
    // Metadata 12: client id, 10,001 empty tags in the header (numbers 0 to 10,000 as varints).
    let mut rest = vec![0, 0, 0x91, 0x4e];
    for number in 0..10_001_u32 {
        let mut number = number;
        while number >= 0x80 {
            rest.push(number as u8 | 0x80);
            number >>= 7;
        }
        rest.extend([number as u8, 0]);
    }
    rest.extend([1, 0, 0, 0]);
    let mut client = broker.connect();
    client.send_bytes(&frame(METADATA, 12, &rest));
    client.expect_close();
    broker.connect().expect_service();
}
