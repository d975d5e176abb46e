//! Clients that are slow, silent, deaf, many or gone.

use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::fetch::FetchRequest;
use ottla_protocol::messages::metadata::MetadataRequest;

use crate::support::batches::{batch, values};
use crate::support::client::{PATIENCE, frame};
use crate::support::requests::{api_versions, fetch, long_fetch, produce};
use crate::support::{Client, TestBroker};

/// Metadata 1 of no topics.
fn small_request() -> bytes::Bytes {
    frame(3, 1, &[0xff, 0xff, 0, 0, 0, 0])
}

#[test]
fn a_frame_that_arrives_too_slowly_is_given_up() {
    let settings = [("ottla.request.grace.ms", "200"), ("ottla.request.bytes.per.second.min", "1000000")];
    let broker = TestBroker::start(&settings);
    let mut slow = broker.connect();
    slow.send_bytes(&1_000_u32.to_be_bytes());
    slow.send_bytes(&[0, 3]);
    slow.expect_close();
    broker.connect().expect_service();
}

#[test]
fn a_size_that_stops_in_its_middle_is_given_up_too() {
    let settings = [("ottla.request.grace.ms", "200"), ("ottla.request.bytes.per.second.min", "1000000")];
    let broker = TestBroker::start(&settings);
    let mut slow = broker.connect();
    slow.send_bytes(&[0, 0]);
    slow.expect_close();
}

#[test]
fn an_idle_connection_is_closed_but_not_one_that_waits_for_the_broker() {
    let broker = TestBroker::start(&[("connections.max.idle.ms", "300")]);
    let mut waiting = broker.connect();
    let topic = waiting.new_topic(1, &[]);
    let (mut idle, mut silent) = (broker.connect(), broker.connect());
    idle.expect_service();
    waiting.send(12, long_fetch(&topic, 0, 1_000, 1));
    idle.expect_close();
    silent.expect_close();
    let (_, response) = waiting.receive::<FetchRequest>(12);
    assert_eq!(response.error_code, ErrorCode::NONE, "the long poll outlived the idle time");
    waiting.expect_close();
}

#[test]
fn connections_are_limited_per_address_and_a_place_is_free_again_when_one_ends() {
    let broker = TestBroker::start(&[("max.connections.per.ip", "3")]);
    expect_three_places(&broker);
}

#[test]
fn connections_are_limited_in_all() {
    let broker = TestBroker::start(&[("max.connections", "3")]);
    expect_three_places(&broker);
}

fn expect_three_places(broker: &TestBroker) {
    let mut inside: Vec<Client> = (0..3).map(|_| broker.connect()).collect();
    for client in &mut inside {
        client.expect_service();
    }
    broker.connect().expect_close();
    drop(inside.pop());
    let began = Instant::now();
    loop {
        let mut next = broker.connect();
        if next.try_send_bytes(&small_request()).is_ok() && next.receive_frame().is_ok() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the place of a closed connection becomes free");
    }
    for client in &mut inside {
        client.expect_service();
    }
}

#[test]
fn a_flood_of_connections_leaves_those_that_were_there_served() {
    let broker = TestBroker::start(&[]);
    let mut early = broker.connect();
    let flood: Vec<Client> = (0..500).map(|_| broker.connect()).collect();
    early.expect_service();
    broker.connect().expect_service();
    drop(flood);
    early.expect_service();
}

#[test]
fn a_flood_of_pipelined_requests_is_answered_whole_and_in_order() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let count = 5_000;
    // The client's reads and writes have to overlap: the broker stops reading while nobody takes its answers.
    let flood = small_request().repeat(count);
    std::thread::scope(|scope| {
        let mut writer = client.writer();
        scope.spawn(move || std::io::Write::write_all(&mut writer, &flood).unwrap());
        for _ in 0..count {
            assert_eq!(client.receive::<MetadataRequest>(1).0, 7);
        }
    });
    client.expect_service();
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_for_ever() {
    let broker = TestBroker::start(&[]);
    let mut producer = broker.connect();
    let topic = producer.new_topic(1, &[]);
    producer.append(&topic, batch(&["v".repeat(1_000_000).as_str()]));
    let mut deaf = broker.connect();
    deaf.set_patience(Duration::from_millis(300));
    let fetch = ottla_protocol::frame::encode_request(1, None, 12, fetch(&topic, 0)).unwrap();
    // A gigabyte of answers that nobody takes, and far more requests than the sockets' buffers hold.
    let flood = fetch.repeat(1_000);
    let mut stopped = false;
    for _ in 0..1_000 {
        if deaf.try_send_bytes(&flood).is_err() {
            stopped = true;
            break;
        }
    }
    assert!(stopped, "the broker reads on without a bound");
    producer.expect_service();
}

#[test]
fn clients_that_go_away_in_the_middle_harm_nobody() {
    let broker = TestBroker::any();
    let mut bystander = broker.connect();
    let topic = bystander.new_topic(1, &[]);
    for _ in 0..30 {
        let mut gone = broker.connect();
        gone.send(12, long_fetch(&topic, 0, 60_000, 1));
        gone.send_bytes(&[0, 0, 1]);
        drop(gone);
        let mut half = broker.connect();
        let whole =
            ottla_protocol::frame::encode_request(1, None, 9, produce(&topic, 0, -1, batch(&["half"])))
                .unwrap();
        half.send_bytes(&whole[..whole.len() - 1]);
        drop(half);
    }
    bystander.append(&topic, batch(&["whole"]));
    assert_eq!(values(&bystander.fetch(&topic, 0)), ["whole"], "half a request appends nothing");
}

#[test]
fn an_abandoned_long_poll_does_not_wait_on_after_its_client() {
    let broker = TestBroker::start(&[("max.connections", "2")]);
    let mut bystander = broker.connect();
    let topic = bystander.new_topic(1, &[]);
    let mut gone = broker.connect();
    gone.send(12, long_fetch(&topic, 0, 600_000, 1));
    drop(gone);
    let began = Instant::now();
    loop {
        let mut next = broker.connect();
        if next.try_send_bytes(&small_request()).is_ok() && next.receive_frame().is_ok() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "its place becomes free");
    }
}

#[test]
fn timeouts_and_waits_of_impossible_length_are_no_harm() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    for timeout_ms in [-1, 0, i32::MIN, i32::MAX] {
        let mut request = produce(&topic, 0, -1, batch(&["a"]));
        request.timeout_ms = timeout_ms;
        let response = client.call(9, request);
        assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
    }
    for (max_wait_ms, min_bytes) in [(-1, 1), (i32::MIN, i32::MAX), (i32::MAX, -1), (i32::MAX, 0)] {
        let row = client.fetch_with(long_fetch(&topic, 0, max_wait_ms, min_bytes));
        assert_eq!(values(&row).len(), 4, "{max_wait_ms} {min_bytes}");
    }
    for bytes_max in [-1, i32::MIN, 0] {
        let mut request = fetch(&topic, 0);
        (request.max_bytes, request.topics[0].partitions[0].partition_max_bytes) = (bytes_max, bytes_max);
        let response = client.call(12, request);
        assert_eq!(response.error_code, ErrorCode::NONE);
    }
}

#[test]
fn a_client_that_claims_to_be_a_replica_reads_nothing_above_the_high_watermark() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    client.append(&topic, batch(&["a"]));
    for replica_id in [0, 1, 7, i32::MAX] {
        let request = FetchRequest { replica_id, ..fetch(&topic, 0) };
        let response = client.call(12, request);
        let served = response.responses.iter().any(|topic| {
            topic.partitions.iter().any(|row| row.error_code == ErrorCode::NONE && !values(row).is_empty())
        });
        assert!(!served, "CVE-2018-1288: replica {replica_id}");
    }
    client.send(4, api_versions());
}

#[test]
fn the_pool_of_request_memory_holds_back_what_does_not_fit() {
    let settings = [("queued.max.request.bytes", "4194304"), ("ottla.request.grace.ms", "60000")];
    let broker = TestBroker::start(&settings);
    let mut early = broker.connect();
    early.expect_service();
    // Ten frames of 2 MiB that all want to be held at once, in a pool of 4 MiB: some have to wait in their sockets.
    let mut senders: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = broker.connect();
            client.set_patience(Duration::from_millis(200));
            client.send_bytes(&(2_u32 << 20).to_be_bytes());
            let _ = client.try_send_bytes(&vec![0; (2 << 20) - 1]);
            client
        })
        .collect();
    early.expect_service();
    broker.connect().expect_service();
    senders.clear();
    let mut after = broker.connect();
    let topic = after.new_topic(1, &[]);
    after.append(&topic, batch(&[&"x".repeat(1_000_000)]));
}
