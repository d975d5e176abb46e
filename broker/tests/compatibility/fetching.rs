//! Rules 5 and 11: whole batches, limits, long polls, isolation.

use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::fetch::{FetchRequest, FetchResponse};
use ottla_protocol::records::Compression;

use crate::support::TestBroker;
use crate::support::batches::{batch, bytes_of, compressed, offsets, values};
use crate::support::requests::{fetch, fetch_topic, long_fetch};

#[test]
fn rule_05_a_fetch_inside_a_batch_returns_the_whole_batch() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for compression in [Compression::None, Compression::Lz4] {
        let topic = client.new_topic(1, &[]);
        client.append(&topic, compressed(compression, &["a", "b", "c"]));
        client.append(&topic, compressed(compression, &["d"]));
        for offset in 0..3 {
            assert_eq!(offsets(&client.fetch(&topic, offset)), [0, 1, 2, 3], "from {offset}");
        }
        assert_eq!(offsets(&client.fetch(&topic, 3)), [3]);
    }
}

#[test]
fn rule_05_one_full_batch_is_returned_even_over_every_limit() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let first = batch(&["a", "b", "c"]);
    client.append(&topic, first.clone());
    client.append(&topic, batch(&["d"]));
    for limit in [0, 1, first.len() as i32 - 1, first.len() as i32] {
        let request = FetchRequest {
            max_bytes: limit,
            topics: vec![fetch_topic(&topic, 1, limit)],
            ..fetch(&topic, 1)
        };
        let row = client.fetch_with(request);
        assert_eq!(offsets(&row), [0, 1, 2], "limit {limit}");
        assert_eq!(bytes_of(&row).len(), first.len(), "limit {limit}");
        assert_eq!(row.high_watermark, 4);
    }
}

#[test]
fn rule_05_only_the_first_partition_with_data_may_go_over_the_limit() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let [empty, first, second] = [(); 3].map(|()| client.new_topic(1, &[]));
    client.append(&first, batch(&["a"]));
    client.append(&second, batch(&["b"]));
    let request = FetchRequest {
        max_bytes: 1,
        topics: [&empty, &first, &second].map(|topic| fetch_topic(topic, 0, 1)).into(),
        ..FetchRequest::default()
    };
    let response: FetchResponse = client.call(12, request);
    let read: Vec<Vec<String>> =
        response.responses.iter().map(|topic| values(&topic.partitions[0])).collect();
    assert_eq!(read, [vec![], vec!["a".to_owned()], vec![]]);
    assert_eq!(response.responses[2].partitions[0].high_watermark, 1, "its row is there all the same");
}

#[test]
fn rule_05_partitions_keep_the_order_of_the_request() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let [one, two, three] = [(); 3].map(|()| client.new_topic(2, &[]));
    let names = [three.as_str(), one.as_str(), two.as_str()];
    let mut request = FetchRequest {
        topics: names.map(|name| fetch_topic(name, 0, 1 << 20)).into(),
        ..FetchRequest::default()
    };
    let mut earlier = request.topics[0].partitions[0].clone();
    earlier.partition = 1;
    request.topics[0].partitions.insert(0, earlier);
    let response: FetchResponse = client.call(12, request);
    let answered: Vec<&str> = response.responses.iter().map(|topic| topic.topic.as_str()).collect();
    assert_eq!(answered, names);
    let indexes: Vec<i32> = response.responses[0].partitions.iter().map(|row| row.partition_index).collect();
    assert_eq!(indexes, [1, 0]);
}

#[test]
fn rule_05_an_unknown_topic_has_its_row_beside_the_others() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let known = client.new_topic(1, &[]);
    client.append(&known, batch(&["a"]));
    let mut request = fetch("a-topic-that-nobody-created", 0);
    request.topics.push(fetch_topic(&known, 0, 1 << 20));
    let response: FetchResponse = client.call(12, request);
    let row =
        |name: &str| &response.responses.iter().find(|topic| &*topic.topic == name).unwrap().partitions[0];
    let unknown = row("a-topic-that-nobody-created");
    assert_eq!((unknown.error_code, unknown.high_watermark), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1));
    assert_eq!(values(row(&known)), ["a"]);
}

#[test]
fn rule_05_the_end_of_the_log_is_empty_and_beyond_it_is_out_of_range() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    client.append(&topic, batch(&["a", "b"]));
    let end = client.fetch(&topic, 2);
    assert_eq!((end.error_code, end.high_watermark, values(&end).len()), (ErrorCode::NONE, 2, 0));
    for offset in [3, i64::MAX, -1] {
        let row = client.fetch(&topic, offset);
        assert_eq!((row.error_code, row.high_watermark), (ErrorCode::OFFSET_OUT_OF_RANGE, -1), "{offset}");
        assert_eq!(values(&row).len(), 0);
    }
}

#[test]
fn rule_05_a_partition_that_is_not_there_is_unknown() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(2, &[]);
    for index in [2, -1, i32::MAX] {
        let mut request = fetch(&topic, 0);
        request.topics[0].partitions[0].partition = index;
        let row = client.fetch_with(request);
        assert_eq!((row.partition_index, row.error_code), (index, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }
}

#[test]
fn rule_05_a_fetch_waits_until_min_bytes_are_there() {
    let broker = TestBroker::any();
    let (mut consumer, mut producer) = (broker.connect(), broker.connect());
    let topic = producer.new_topic(1, &[]);
    let one = batch(&["a"]);
    let two_batches = 2 * one.len() as i32;
    consumer.send(12, long_fetch(&topic, 0, 60_000, two_batches));
    producer.append(&topic, one);
    assert!(consumer.stays_open(Duration::from_millis(100)), "one batch is not enough");
    producer.append(&topic, batch(&["b"]));
    let (_, response) = consumer.receive::<FetchRequest>(12);
    assert_eq!(values(&response.responses[0].partitions[0]), ["a", "b"]);
}

#[test]
fn rule_05_a_fetch_does_not_wait_beyond_max_wait_and_then_brings_what_there_is() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    client.append(&topic, batch(&["a"]));
    let began = Instant::now();
    let row = client.fetch_with(long_fetch(&topic, 0, 200, 1 << 20));
    let waited = began.elapsed();
    assert_eq!(values(&row), ["a"]);
    assert!(waited >= Duration::from_millis(190) && waited < Duration::from_secs(5), "{waited:?}");
}

#[test]
fn rule_05_each_fetch_of_a_connection_waits_for_as_long_as_it_said_itself() {
    let broker = TestBroker::any();
    let (mut consumer, mut producer) = (broker.connect(), broker.connect());
    let topic = producer.new_topic(1, &[]);
    consumer.send(12, long_fetch(&topic, 0, 60_000, 1));
    assert!(consumer.stays_open(Duration::from_millis(50)));
    producer.append(&topic, batch(&["a"]));
    let (_, woken) = consumer.receive::<FetchRequest>(12);
    assert_eq!(values(&woken.responses[0].partitions[0]), ["a"]);
    for patience_ms in [400, 100, 200] {
        let began = Instant::now();
        assert_eq!(values(&consumer.fetch_with(long_fetch(&topic, 1, patience_ms, 1))), [""; 0]);
        let (waited, patience) = (began.elapsed(), Duration::from_millis(patience_ms as u64));
        assert!(waited >= patience.mul_f64(0.9) && waited < Duration::from_secs(20), "{waited:?}");
    }
}

#[test]
fn rule_05_a_fetch_with_an_error_does_not_wait() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let [sound, short] = [(); 2].map(|()| client.new_topic(1, &[]));
    let began = Instant::now();
    let mut request = long_fetch(&sound, 0, 15_000, 1);
    request.topics.push(fetch_topic(&short, 7, 1));
    let response: FetchResponse = client.call(12, request);
    assert_eq!(response.responses[1].partitions[0].error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// Apache Kafka lets the client wait in this case.
#[test]
fn rule_05_a_fetch_of_an_unknown_topic_does_not_wait() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let began = Instant::now();
    let row = client.fetch_with(long_fetch("a-topic-that-nobody-created", 0, 15_000, 1));
    assert_eq!(row.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn rule_05_a_waiting_fetch_is_woken_by_any_of_its_partitions() {
    let broker = TestBroker::any();
    let (mut consumer, mut producer) = (broker.connect(), broker.connect());
    let [one, two] = [(); 2].map(|()| producer.new_topic(1, &[]));
    let mut request = long_fetch(&one, 0, 15_000, 1);
    request.topics.push(fetch_topic(&two, 0, 1 << 20));
    consumer.send(12, request);
    assert!(consumer.stays_open(Duration::from_millis(50)));
    let began = Instant::now();
    producer.append(&two, batch(&["a"]));
    let (_, response) = consumer.receive::<FetchRequest>(12);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(response.responses.len(), 2);
    assert_eq!(values(&response.responses[1].partitions[0]), ["a"]);
}

#[test]
fn rule_05_every_version_brings_the_same_records() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    client.append(&topic, batch(&["a", "b"]));
    for version in 4..=12 {
        let response: FetchResponse = client.call(version, fetch(&topic, 0));
        let row = &response.responses[0].partitions[0];
        assert_eq!((row.error_code, values(row).len()), (ErrorCode::NONE, 2), "version {version}");
        assert!(version < 5 || row.log_start_offset == 0);
    }
}

#[test]
fn rule_05_a_topic_that_is_deleted_while_a_fetch_waits_ends_the_wait() {
    let broker = TestBroker::start(&[]);
    let (mut consumer, mut admin) = (broker.connect(), broker.connect());
    let topic = admin.new_topic(1, &[]);
    consumer.send(12, long_fetch(&topic, 0, 15_000, 1));
    assert!(consumer.stays_open(Duration::from_millis(50)));
    let began = Instant::now();
    admin.delete_topic(&topic);
    let (_, response) = consumer.receive::<FetchRequest>(12);
    assert!(began.elapsed() < Duration::from_secs(5), "a client must not wait for what cannot come");
    let code = response.responses[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[test]
fn rule_11_without_transactions_both_isolation_levels_read_to_the_high_watermark() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    client.append(&topic, batch(&["a"]));
    for isolation_level in [0, 1] {
        let row = client.fetch_with(FetchRequest { isolation_level, ..fetch(&topic, 0) });
        assert_eq!((row.high_watermark, row.last_stable_offset), (1, 1));
        assert_eq!(values(&row), ["a"]);
        let aborted = row.aborted_transactions.as_ref().map(Vec::len);
        assert_eq!(aborted, (isolation_level == 1).then_some(0), "the list is for those who need it");
    }
}
