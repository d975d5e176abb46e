//! Nothing that a client sends kills the broker, makes it forget, or costs it memory that was never sent
//! (RELIABILITY §5). After each attack the broker still serves somebody else.

mod raw;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::metadata::MetadataRequest;
use ottla_protocol::records::crc32c;
use raw::{Client, PATIENCE, TestBroker, batch, fetched, produce};
use tokio::io::AsyncWriteExt;

/// A request frame by hand: key, version, correlation id 7, null client id, then `body`.
fn frame(api_key: i16, api_version: i16, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u32(10 + body.len() as u32);
    frame.put_i16(api_key);
    frame.put_i16(api_version);
    frame.put_i32(7);
    frame.put_i16(-1);
    frame.put_slice(body);
    frame.freeze()
}

/// Whether somebody else can still produce and fetch.
async fn still_serves(broker: &TestBroker) {
    let mut client = broker.connect().await;
    let topic = "innocent";
    client.call(12, ottla_protocol::messages::metadata::MetadataRequest {
        topics: Some(vec![ottla_protocol::messages::metadata::MetadataRequestTopic {
            name: Some(topic.into()),
            ..Default::default()
        }]),
        ..Default::default()
    })
    .await;
    let appended = client.produce(topic, -1, batch(&["still here"])).await;
    assert_eq!(appended.error_code, ErrorCode::NONE);
    assert!(!fetched(&client.fetch(topic, appended.base_offset).await).is_empty());
}

/// Resident memory that belongs to this process alone, in bytes.
fn anonymous_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_frame_of_negative_or_excessive_size_closes_the_connection() {
    let broker = TestBroker::start(&[("socket.request.max.bytes", "1000")]).await;
    for size in [-1, i32::MIN, 1001, i32::MAX] {
        let mut client = broker.connect().await;
        client.send_bytes(&i32::to_be_bytes(size)).await;
        assert_eq!(client.wait_for_close().await, 0, "size {size}");
    }
    still_serves(&broker).await;
}

#[tokio::test]
async fn unknown_apis_and_versions_close_the_connection() {
    let broker = TestBroker::start(&[]).await;
    for (api_key, api_version) in [(-1, 0), (9999, 0), (3, 99), (3, -1), (0, 0), (0, 2), (4, 0), (1, 3)] {
        let mut client = broker.connect().await;
        client.send_bytes(&frame(api_key, api_version, &[0; 8])).await;
        assert_eq!(client.wait_for_close().await, 0, "key {api_key} version {api_version}");
    }
    still_serves(&broker).await;
}

#[tokio::test]
async fn truncated_and_over_long_bodies_close_the_connection() {
    let broker = TestBroker::start(&[]).await;
    // Metadata 1 with null topics is four bytes; one less, one more, a header alone, and less than a header.
    let bodies: [&[u8]; 3] = [&[0xff, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0], &[]];
    for body in bodies {
        let mut client = broker.connect().await;
        client.send_bytes(&frame(3, 1, body)).await;
        assert_eq!(client.wait_for_close().await, 0, "{body:?}");
    }
    for short in 0..10u32 {
        let mut client = broker.connect().await;
        client.send_bytes(&short.to_be_bytes()).await;
        client.send_bytes(&vec![0; short as usize]).await;
        assert_eq!(client.wait_for_close().await, 0, "a frame of {short} bytes");
    }
    still_serves(&broker).await;
}

#[tokio::test]
async fn text_that_is_not_utf8_and_negative_lengths_close_the_connection() {
    let broker = TestBroker::start(&[]).await;
    let bodies: [&[u8]; 4] = [
        &[0, 0, 0, 1, 0, 2, 0xff, 0xfe],
        &[0, 0, 0, 1, 0xff, 0xfe],
        &[0xff, 0xff, 0xff, 0xfe],
        &[0, 0, 0, 1, 0x7f, 0xff, b'a'],
    ];
    for body in bodies {
        let mut client = broker.connect().await;
        client.send_bytes(&frame(3, 1, body)).await;
        assert_eq!(client.wait_for_close().await, 0, "{body:?}");
    }
    still_serves(&broker).await;
}

#[tokio::test]
async fn a_4_byte_metadata_body_that_claims_2_31_topics_costs_no_memory() {
    let broker = TestBroker::start(&[]).await;
    still_serves(&broker).await;
    let before = anonymous_memory();
    for _ in 0..100 {
        let mut client = broker.connect().await;
        client.send_bytes(&frame(3, 1, &[0x7f, 0xff, 0xff, 0xff])).await;
        assert_eq!(client.wait_for_close().await, 0);
    }
    let grown = anonymous_memory().saturating_sub(before);
    assert!(grown < 32 << 20, "a hundred such requests took {grown} bytes");
    still_serves(&broker).await;
}

#[tokio::test]
async fn a_declared_100_mib_that_never_come_cost_no_memory() {
    let broker = TestBroker::start(&[]).await;
    still_serves(&broker).await;
    let before = anonymous_memory();
    let mut idle = Vec::new();
    for _ in 0..50 {
        let mut client = broker.connect().await;
        client.send_bytes(&(100u32 << 20).to_be_bytes()).await;
        client.send_bytes(&[0; 100]).await;
        idle.push(client);
    }
    still_serves(&broker).await;
    let grown = anonymous_memory().saturating_sub(before);
    assert!(grown < 64 << 20, "fifty claims of 100 MiB took {grown} bytes");
}

#[tokio::test]
async fn a_request_that_arrives_too_slowly_is_given_up() {
    let pairs = [("ottla.request.grace.ms", "200"), ("ottla.request.bytes.per.second.min", "1000000")];
    let broker = TestBroker::start(&pairs).await;
    let mut slow = broker.connect().await;
    slow.send_bytes(&1000u32.to_be_bytes()).await;
    slow.send_bytes(&[0, 3]).await;
    assert_eq!(slow.wait_for_close().await, 0);
    still_serves(&broker).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_not_one_that_waits_for_us() {
    let broker = TestBroker::start(&[("connections.max.idle.ms", "300")]).await;
    let mut waiting = broker.connect().await;
    waiting.create_topic("quiet", 1, &[]).await;
    let mut idle = broker.connect().await;
    let mut patient = raw::fetch("quiet", 0);
    (patient.max_wait_ms, patient.min_bytes) = (1500, 1);
    waiting.send(12, patient).await;
    assert_eq!(idle.wait_for_close().await, 0);
    let (_, response) = waiting.receive::<ottla_protocol::messages::fetch::FetchRequest>(12).await;
    assert_eq!(response.error_code, ErrorCode::NONE, "the long poll outlived the idle time");
    assert_eq!(waiting.wait_for_close().await, 0, "and then it was idle itself");
}

#[tokio::test]
async fn connections_are_limited_in_all_and_per_address() {
    let broker = TestBroker::start(&[("max.connections.per.ip", "3")]).await;
    let mut first = Vec::new();
    for _ in 0..3 {
        let mut client = broker.connect().await;
        client.call(1, MetadataRequest::default()).await;
        first.push(client);
    }
    assert_eq!(broker.connect().await.wait_for_close().await, 0, "the fourth is refused");
    drop(first.pop());
    // The broker hears of the end in its own time; a refused connection only means that it has not yet.
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let mut client = broker.connect().await;
        client.send(1, MetadataRequest::default()).await;
        if client.receive_frame().await.is_ok() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the place of a closed connection is free again");
    }
}

#[tokio::test]
async fn a_flood_of_pipelined_requests_is_answered_in_order_and_bounded() {
    let broker = TestBroker::start(&[]).await;
    let client = broker.connect().await;
    let (mut read, mut write) = client.stream.into_split();
    let one = frame(3, 1, &[0xff, 0xff, 0xff, 0xff]);
    let flood: Vec<u8> = one.repeat(20_000);
    let sender = tokio::spawn(async move { write.write_all(&flood).await.map(|()| write) });
    let mut answered = 0;
    let receive = async {
        use tokio::io::AsyncReadExt;
        while answered < 20_000 {
            let size = read.read_u32().await.unwrap();
            let mut body = vec![0; size as usize];
            read.read_exact(&mut body).await.unwrap();
            answered += 1;
        }
    };
    tokio::time::timeout(PATIENCE, receive).await.expect("every request is answered");
    sender.await.unwrap().unwrap();
    still_serves(&broker).await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_not_served_without_bound() {
    let broker = TestBroker::start(&[]).await;
    let mut producer = broker.connect().await;
    producer.create_topic("wide", 1, &[]).await;
    let value = "v".repeat(100_000);
    for _ in 0..10 {
        producer.produce("wide", 1, batch(&[&value])).await;
    }
    let before = anonymous_memory();
    let mut deaf = broker.connect().await;
    for _ in 0..2_000 {
        let request = raw::fetch("wide", 0);
        let sent = tokio::time::timeout(Duration::from_millis(200), deaf.send(12, request)).await;
        if sent.is_err() {
            break; // The broker has stopped reading: back-pressure.
        }
    }
    let grown = anonymous_memory().saturating_sub(before);
    assert!(grown < 64 << 20, "2 GB of unread answers took {grown} bytes");
    still_serves(&broker).await;
}

fn resigned(mut bytes: BytesMut) -> Bytes {
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

#[tokio::test]
async fn lying_batches_are_refused_before_anything_is_appended() {
    let broker = TestBroker::with_topics(&["truth"]).await;
    let mut client = broker.connect().await;
    let honest = BytesMut::from(&batch(&["a", "b"])[..]);
    let changed = |at: usize, bytes: &[u8]| {
        let mut lie = honest.clone();
        lie[at..at + bytes.len()].copy_from_slice(bytes);
        lie
    };
    let two = [&honest[..], &honest[..]].concat();
    let lies: Vec<(&str, Bytes, ErrorCode)> = vec![
        ("a flipped bit", changed(70, &[0xff]).freeze(), ErrorCode::CORRUPT_MESSAGE),
        ("a count of 2^31", resigned(changed(57, &i32::MAX.to_be_bytes())), ErrorCode::INVALID_RECORD),
        ("a count too small", resigned(changed(57, &1i32.to_be_bytes())), ErrorCode::INVALID_RECORD),
        ("a control batch", resigned(changed(21, &0x20i16.to_be_bytes())), ErrorCode::INVALID_RECORD),
        ("two batches", Bytes::from(two), ErrorCode::INVALID_RECORD),
        ("a codec that is none", resigned(changed(21, &7i16.to_be_bytes())), ErrorCode::UNSUPPORTED_COMPRESSION_TYPE),
    ];
    for (lie, bytes, code) in lies {
        let refused = client.produce("truth", -1, bytes).await;
        assert!(refused.error_code.is_error(), "{lie}");
        assert_eq!(refused.error_code, code, "{lie}: {:?}", refused.error_message);
        assert_eq!(refused.base_offset, -1);
    }
    for cut in [0, 1, 12, 60, 61, 75] {
        let refused = client.produce("truth", -1, honest.clone().freeze().slice(..cut)).await;
        assert!(refused.error_code.is_error(), "cut at {cut}");
    }
    let row = client.fetch("truth", 0).await;
    assert_eq!((row.high_watermark, fetched(&row).len()), (0, 0));
    assert_eq!(client.produce("truth", -1, honest.freeze()).await.base_offset, 0);
}

#[tokio::test]
async fn a_bad_partition_leaves_the_others_of_its_request_alone() {
    let broker = TestBroker::with_topics(&["good"]).await;
    let mut client = broker.connect().await;
    let mut request = produce("good", 0, -1, batch(&["a"]));
    request.topic_data.extend(produce("bad", 0, -1, batch(&["b"])).topic_data);
    request.topic_data.extend(produce("good", 7, -1, batch(&["c"])).topic_data);
    request.topic_data.extend(produce("good", -1, -1, batch(&["c"])).topic_data);
    let response = client.call(9, request).await;
    let codes: Vec<ErrorCode> =
        response.responses.iter().map(|topic| topic.partition_responses[0].error_code).collect();
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    assert_eq!(codes, [ErrorCode::NONE, unknown, unknown, unknown]);
    let invalid = client.call(9, produce("good", 0, 7, batch(&["a"]))).await;
    let row = &invalid.responses[0].partition_responses[0];
    assert_eq!(row.error_code, ErrorCode::INVALID_REQUIRED_ACKS);
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_harms_nobody() {
    let broker = TestBroker::with_topics(&["left"]).await;
    for _ in 0..20 {
        let mut client = broker.connect().await;
        let mut patient = raw::fetch("left", 0);
        (patient.max_wait_ms, patient.min_bytes) = (60_000, 1);
        client.send(12, patient).await;
        client.send_bytes(&[0, 0, 1]).await;
        drop(client);
        let mut half = Client::connect(broker.address()).await;
        half.send_bytes(&frame(0, 9, &[1, 2, 3])[..9]).await;
        drop(half);
    }
    still_serves(&broker).await;
}
