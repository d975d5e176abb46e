//! Many clients at once: offsets are dense, orders are kept, nothing acknowledged is lost when the broker dies under them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::produce::ProduceRequest;

use crate::support::batches::{batch, offsets, records};
use crate::support::requests::{long_fetch, metadata_without_creation, produce};
use crate::support::{Client, TestBroker};

const PRODUCERS: usize = 4;
const BATCHES: usize = 60;

/// A value that says who sent it and as which of its batches; long enough to roll segments.
fn value(producer: usize, number: usize) -> String {
    format!("{producer}:{number}:{}", "x".repeat(10_000))
}

/// Who sent it, and as which of its batches.
fn origin(value: &str) -> (usize, usize) {
    let mut parts = value.split(':');
    (parts.next().unwrap().parse().unwrap(), parts.next().unwrap().parse().unwrap())
}

#[test]
fn several_producers_and_a_reader_at_once_see_dense_offsets_and_each_producer_s_order() {
    let broker = TestBroker::any();
    let topic = broker.connect().new_topic(1, &[("segment.bytes", "1048576")]);
    let address = broker.address();
    let read = std::thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let topic = &topic;
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let numbers = (0..BATCHES).collect::<Vec<usize>>();
                // Five in flight, as an idempotent producer has them.
                for numbers in numbers.chunks(5) {
                    for number in numbers {
                        client.send(9, produce(topic, 0, -1, batch(&[&value(producer, *number)])));
                    }
                    for _ in numbers {
                        let (_, response) = client.receive::<ProduceRequest>(9);
                        assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
                    }
                }
            });
        }
        scope.spawn(|| read_while_written(address, &topic, PRODUCERS * BATCHES)).join().unwrap()
    });
    let mut next: HashMap<usize, usize> = HashMap::new();
    for (producer, number) in read.iter().map(|value| origin(value)) {
        let expected = next.entry(producer).or_default();
        assert_eq!(number, *expected, "of producer {producer}");
        *expected += 1;
    }
}

/// Reads `count` records by long polls; offsets must be dense and the watermarks must not fall.
fn read_while_written(address: SocketAddr, topic: &str, count: usize) -> Vec<String> {
    let mut client = Client::connect(address);
    let (mut read, mut high_watermark) = (Vec::new(), 0);
    while read.len() < count {
        let row = client.fetch_with(long_fetch(topic, read.len() as i64, 5_000, 1));
        assert_eq!(row.error_code, ErrorCode::NONE);
        assert!(row.high_watermark >= high_watermark, "a watermark never goes back");
        high_watermark = row.high_watermark;
        for (offset, value) in records(&row) {
            // A fetch inside of a batch begins with the batch's first record.
            if offset >= read.len() as i64 {
                assert_eq!(offset, read.len() as i64, "no gap and no duplicate");
                assert!(offset < high_watermark, "nothing above the high watermark is shown");
                read.push(value);
            }
        }
    }
    read
}

#[test]
fn a_broker_that_dies_under_load_keeps_every_acknowledged_record_once_and_in_order() {
    let mut broker = TestBroker::start(&[]);
    let topic = broker.connect().new_topic(1, &[("segment.bytes", "1048576")]);
    let address = broker.address();
    let (acknowledged, (data, _directory)) = std::thread::scope(|scope| {
        let produce_until_cut_off = |producer| {
            let topic = &topic;
            move || {
                let mut client = Client::connect(address);
                let mut acknowledged = 0;
                loop {
                    let request = produce(topic, 0, -1, batch(&[&value(producer, acknowledged)]));
                    let frame = ottla_protocol::frame::encode_request(1, None, 9, request).unwrap();
                    if client.try_send_bytes(&frame).is_err() || client.receive_frame().is_err() {
                        return acknowledged;
                    }
                    acknowledged += 1;
                }
            }
        };
        let producers: Vec<_> =
            (0..PRODUCERS).map(|producer| scope.spawn(produce_until_cut_off(producer))).collect();
        // Not before all of them are at work.
        let mut client = Client::connect(address);
        while client.list_offset(&topic, -1) < 100 {}
        let crashed = broker.crash();
        let acknowledged: Vec<usize> = producers.into_iter().map(|thread| thread.join().unwrap()).collect();
        (acknowledged, crashed)
    });
    let broker = TestBroker::start_in(&data, &[]).unwrap();
    let mut client = broker.connect();
    let end = client.list_offset(&topic, -1) as usize;
    let read = read_while_written(broker.address(), &topic, end);
    for (producer, acknowledged) in acknowledged.into_iter().enumerate() {
        let numbers: Vec<usize> = read
            .iter()
            .map(|value| origin(value))
            .filter(|found| found.0 == producer)
            .map(|found| found.1)
            .collect();
        // The one that was on its way may be there or not.
        assert!(numbers.len() == acknowledged || numbers.len() == acknowledged + 1);
        assert!(numbers.iter().enumerate().all(|(place, number)| place == *number), "each once, in order");
    }
}

/// What a client may hear about a topic that comes and goes.
const ALLOWED: [ErrorCode; 4] = [
    ErrorCode::NONE,
    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    // The records were appended, and then the topic was deleted.
    ErrorCode::REQUEST_TIMED_OUT,
    // What was there is gone: the topic is a new one.
    ErrorCode::OFFSET_OUT_OF_RANGE,
];

#[test]
fn topics_come_and_go_under_producers_and_readers_without_harm() {
    let broker = TestBroker::start(&[]);
    let address = broker.address();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::connect(address);
            while !done.load(Ordering::Relaxed) {
                let code = client.produce("restless", -1, batch(&["a", "b"])).error_code;
                assert!(ALLOWED.contains(&code), "produce: {code:?}");
            }
        });
        scope.spawn(|| {
            let mut client = Client::connect(address);
            let mut next = 0;
            while !done.load(Ordering::Relaxed) {
                let row = client.fetch_with(long_fetch("restless", next, 20, 1));
                assert!(ALLOWED.contains(&row.error_code), "fetch: {:?}", row.error_code);
                next = offsets(&row).last().map_or(0, |last| last + 1);
            }
        });
        let mut admin = Client::connect(address);
        let mut ids = Vec::new();
        for round in 0..25 {
            admin.create_topic("restless", 1 + round % 3, &[]);
            std::thread::sleep(Duration::from_millis(10));
            ids.push(admin.wait_for_leaders("restless").topic_id);
            admin.delete_topic("restless");
        }
        done.store(true, Ordering::Relaxed);
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 25, "each is another topic");
    });
    let broker = broker.restart(&[]);
    let mut client = broker.connect();
    let response = client.call(12, metadata_without_creation("restless"));
    assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    client.create_topic("restless", 1, &[]);
    assert_eq!(client.append("restless", batch(&["a"])), 0);
}
