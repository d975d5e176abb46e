//! What producer and consumer do when a cluster of several brokers does not stand still.

use std::time::{Duration, Instant};

use ottla_protocol::{ErrorCode, Offset, PartitionIndex, TopicName, TopicPartition};

use super::{FakeCluster, TOPIC};
use crate::{
    Backoff, BrokerAddress, Client, ClientConfig, Counters, ErrorKind, Producer, ProducerConfig,
    ProducerRecord, StartAt,
};

pub(super) fn client(cluster: &FakeCluster) -> Client {
    Client::new(ClientConfig {
        bootstrap: vec![BrokerAddress { host: "broker-1".to_owned(), port: 1 }],
        connector: std::sync::Arc::new(cluster.clone()),
        backoff: Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(5) },
        ..ClientConfig::default()
    })
}

pub(super) fn partition(index: i32) -> TopicPartition {
    TopicPartition::new(TopicName::new(TOPIC).expect("legal"), PartitionIndex::new(index))
}

pub(super) fn producer(client: &Client) -> Producer {
    client.producer(ProducerConfig { batch_bytes: 400, ..ProducerConfig::default() })
}

/// Sends the numbers to partition 0.
pub(super) async fn send(producer: &Producer, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let value = n.to_be_bytes();
        let record = ProducerRecord::value(&value).to_partition(PartitionIndex::new(0));
        drop(producer.send(TOPIC, record).await.expect("accepted"));
    }
}

#[track_caller]
fn assert_has(cluster: &FakeCluster, numbers: std::ops::Range<u32>) {
    let values = cluster.0.lock().partitions[0].values();
    let expected: Vec<Vec<u8>> = numbers.map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(values, expected);
}

#[tokio::test]
async fn records_follow_a_leader_that_moves_in_order_and_once() {
    let cluster = FakeCluster::new(3, 1);
    let client = client(&cluster);
    let producer = producer(&client);
    for round in 0..10 {
        send(&producer, round * 50..round * 50 + 50).await;
        cluster.move_leader(0, i32::try_from(round % 3).expect("small") + 1);
    }
    producer.flush().await.expect("delivered");
    assert_has(&cluster, 0..500);
}

#[tokio::test]
async fn refusals_timeouts_and_forgotten_producers_neither_lose_nor_repeat_nor_reorder() {
    for errors in [
        vec![ErrorCode::NOT_LEADER_OR_FOLLOWER],
        vec![ErrorCode::LEADER_NOT_AVAILABLE, ErrorCode::NONE, ErrorCode::NOT_ENOUGH_REPLICAS],
        vec![ErrorCode::REQUEST_TIMED_OUT],
        vec![ErrorCode::NONE, ErrorCode::REQUEST_TIMED_OUT, ErrorCode::NONE, ErrorCode::REQUEST_TIMED_OUT],
        vec![ErrorCode::NONE, ErrorCode::UNKNOWN_PRODUCER_ID],
        vec![ErrorCode::NONE, ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER],
        vec![ErrorCode::NONE, ErrorCode::NONE, ErrorCode::KAFKA_STORAGE_ERROR, ErrorCode::REQUEST_TIMED_OUT],
    ] {
        let cluster = FakeCluster::new(2, 1);
        cluster.0.lock().partitions[0].produce_errors = errors.clone().into();
        let client = client(&cluster);
        let producer = producer(&client);
        send(&producer, 0..200).await;
        producer.flush().await.unwrap_or_else(|error| panic!("{errors:?}: {error}"));
        assert_has(&cluster, 0..200);
        assert_eq!(producer.stats().delivered_records, 200, "{errors:?}");
    }
}

#[tokio::test]
async fn a_producer_that_the_broker_forgot_goes_on() {
    let cluster = FakeCluster::new(1, 1);
    let client = client(&cluster);
    let producer = producer(&client);
    send(&producer, 0..50).await;
    producer.flush().await.expect("delivered");
    cluster.0.lock().partitions[0].forget_producers();
    send(&producer, 50..100).await;
    producer.flush().await.expect("delivered");
    assert_has(&cluster, 0..100);
}

#[tokio::test]
async fn a_batch_refused_for_good_fails_alone_and_what_follows_is_delivered_in_order() {
    let cluster = FakeCluster::new(1, 1);
    let client = client(&cluster);
    let producer = producer(&client);
    send(&producer, 0..10).await;
    producer.flush().await.expect("delivered");
    cluster.0.lock().partitions[0].produce_errors = vec![ErrorCode::INVALID_RECORD].into();
    send(&producer, 10..100).await;
    let error = producer.flush().await.expect_err("one batch failed");
    assert_eq!(error.code(), Some(ErrorCode::INVALID_RECORD));
    let values = cluster.0.lock().partitions[0].values();
    assert!(values.is_sorted() && values.len() < 100, "{}", values.len());
    let stats = producer.stats();
    assert_eq!(
        (stats.delivered_records, stats.delivered_records + stats.failed_records),
        (values.len() as u64, 100)
    );
}

#[tokio::test]
async fn a_batch_too_large_for_the_topic_is_split_until_it_fits() {
    let cluster = FakeCluster::new(1, 1);
    cluster.0.lock().partitions[0].batch_bytes_max = Some(150);
    let client = client(&cluster);
    let producer =
        client.producer(ProducerConfig { linger: Duration::from_millis(50), ..Default::default() });
    let mut deliveries = Vec::new();
    for n in 0..100_u32 {
        let (value, partition) = (n.to_be_bytes(), PartitionIndex::new(0));
        let record = ProducerRecord::value(&value).to_partition(partition).with_headers(&[("h", Some(b"v"))]);
        deliveries.push(producer.send(TOPIC, record).await.expect("accepted"));
    }
    producer.flush().await.expect("delivered");
    assert_has(&cluster, 0..100);
    for (n, delivery) in (0..).zip(deliveries) {
        assert_eq!(delivery.await.expect("delivered").offset, Some(Offset::new(n)));
    }
    assert_eq!(producer.buffered_bytes(), 0);
    let large = ProducerRecord::value(&[7; 200]).to_partition(PartitionIndex::new(0));
    let error =
        producer.send(TOPIC, large).await.expect("accepted").await.expect_err("a record cannot be split");
    assert_eq!(error.code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
}

#[tokio::test]
async fn a_consumer_follows_a_leader_that_moves_without_skipping_or_repeating() {
    let cluster = FakeCluster::new(3, 1);
    let client = client(&cluster);
    let producer = producer(&client);
    let consumer = client.consumer(Default::default());
    let partition = partition(0);
    consumer.assign([(partition.clone(), StartAt::Earliest)]);
    cluster.0.lock().partitions[0].fetch_errors =
        vec![ErrorCode::UNKNOWN_LEADER_EPOCH, ErrorCode::NONE].into();
    let mut next = 0_u32;
    for round in 0..6 {
        send(&producer, round * 50..round * 50 + 50).await;
        producer.flush().await.expect("delivered");
        cluster.move_leader(0, i32::try_from(round % 3).expect("small") + 1);
        while next < round * 50 + 50 {
            let batch = consumer.poll(Duration::from_secs(20)).await.expect("readable").expect("all arrive");
            for record in batch.records().expect("whole") {
                assert_eq!(record.expect("whole").value.as_deref(), Some(&next.to_be_bytes()[..]));
                next += 1;
            }
        }
    }
    assert_eq!(consumer.position(&partition), Some(Offset::new(300)));
}

#[tokio::test]
async fn a_broker_that_leaves_hands_its_partitions_over() {
    let cluster = FakeCluster::new(2, 2);
    let client = client(&cluster);
    let producer = producer(&client);
    for n in 0..100_u32 {
        if n == 50 {
            producer.flush().await.expect("delivered");
            cluster.0.lock().brokers.retain(|id| *id == 1);
            cluster.move_leader(1, 1);
        }
        let value = n.to_be_bytes();
        let record = ProducerRecord::value(&value).to_partition(PartitionIndex::new((n % 2) as i32));
        drop(producer.send(TOPIC, record).await.expect("accepted"));
    }
    producer.flush().await.expect("delivered");
    let state = cluster.0.lock();
    assert_eq!(
        state.partitions.iter().map(|partition| partition.values().len()).collect::<Vec<_>>(),
        [50, 50]
    );
}

#[tokio::test]
async fn a_forgotten_producer_begins_its_next_epoch_without_asking_anybody() {
    let cluster = FakeCluster::new(1, 2);
    let client = client(&cluster);
    let producer = producer(&client);
    for round in 0..3 {
        cluster.0.lock().partitions[0].produce_errors =
            vec![ErrorCode::NONE, ErrorCode::UNKNOWN_PRODUCER_ID, ErrorCode::NONE].into();
        send(&producer, round * 50..round * 50 + 50).await;
        producer.flush().await.expect("delivered");
    }
    assert_has(&cluster, 0..150);
    assert_eq!(cluster.0.lock().producer_ids_given, 1);
}

#[tokio::test]
async fn a_leader_named_beside_an_error_is_sent_to_without_asking_for_metadata() {
    let cluster = FakeCluster::new(2, 1);
    let client = client(&cluster);
    let producer = producer(&client);
    send(&producer, 0..50).await;
    producer.flush().await.expect("delivered");
    let metadata_asked = cluster.0.lock().metadata_count;
    cluster.move_leader(0, 2);
    send(&producer, 50..100).await;
    producer.flush().await.expect("delivered");
    assert_has(&cluster, 0..100);
    assert_eq!(cluster.0.lock().metadata_count, metadata_asked);
}

#[tokio::test]
async fn a_throttled_producer_waits_and_delivers_all_the_same() {
    let cluster = FakeCluster::new(1, 1);
    let client = client(&cluster);
    let producer = producer(&client);
    cluster.0.lock().produce_throttle_ms = 300;
    send(&producer, 0..1).await;
    producer.flush().await.expect("delivered");
    let began = Instant::now();
    send(&producer, 1..50).await;
    producer.flush().await.expect("delivered");
    assert!(began.elapsed() > Duration::from_millis(200), "{:?}", began.elapsed());
    assert_has(&cluster, 0..50);
}

#[tokio::test]
async fn a_topic_created_again_with_fewer_partitions_gets_all_records() {
    let cluster = FakeCluster::new(1, 3);
    let client = Client::new(ClientConfig {
        metadata_max_age: Duration::from_millis(50),
        ..client(&cluster).config().clone()
    });
    let producer = client.producer(ProducerConfig::default());
    let keyed = async |n: u32| {
        let (key, value) = (n.to_string(), n.to_be_bytes());
        let record = ProducerRecord::key_value(key.as_bytes(), &value);
        drop(producer.send(TOPIC, record).await.expect("accepted"));
    };
    for n in 0..30 {
        keyed(n).await;
    }
    producer.flush().await.expect("delivered");
    cluster.recreate_topic(1);
    while producer.partition_count(TOPIC).await.expect("known") != 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for n in 0..30 {
        keyed(n).await;
    }
    producer.flush().await.expect("delivered");
    assert_has(&cluster, 0..30);
    let gone = ProducerRecord::value(b"x").to_partition(PartitionIndex::new(2));
    let error = producer.send(TOPIC, gone).await.expect_err("there is no such partition any more");
    assert!(matches!(error.kind(), ErrorKind::NoSuchPartition { partition_count: 1 }));
}

#[tokio::test]
async fn records_without_a_key_avoid_partitions_without_a_leader() {
    let cluster = FakeCluster::new(1, 2);
    let client = client(&cluster);
    let producer = client.producer(ProducerConfig { batch_bytes: 200, ..Default::default() });
    cluster.move_leader(1, -1);
    for n in 0..200_u32 {
        drop(producer.send(TOPIC, ProducerRecord::value(&n.to_be_bytes())).await.expect("accepted"));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (led, deadline) =
        (|| cluster.0.lock().partitions[0].values().len(), Instant::now() + Duration::from_secs(20));
    while led() < 150 {
        assert!(Instant::now() < deadline, "only {} records went where there is a leader", led());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.move_leader(1, 1);
    producer.flush().await.expect("delivered");
}

#[tokio::test]
async fn a_record_that_no_broker_takes_fails_after_the_delivery_timeout_and_gives_its_memory_back() {
    let cluster = FakeCluster::new(1, 1);
    let client = client(&cluster);
    let producer = client
        .producer(ProducerConfig { delivery_timeout: Duration::from_millis(300), ..Default::default() });
    send(&producer, 0..1).await;
    producer.flush().await.expect("delivered");
    cluster.move_leader(0, -1);
    send(&producer, 1..10).await;
    let error = producer.flush().await.expect_err("nobody took it");
    assert!(error.is_retriable(), "{error}");
    assert_eq!((producer.stats().failed_records, producer.buffered_bytes()), (9, 0));
    cluster.move_leader(0, 1);
    send(&producer, 10..20).await;
    producer.flush().await.expect("delivered");
    assert_eq!(cluster.0.lock().partitions[0].values().len(), 11);
}

#[tokio::test]
async fn a_full_buffer_holds_the_program_up_and_then_refuses() {
    let cluster = FakeCluster::new(1, 1);
    let client = client(&cluster);
    let producer = client.producer(ProducerConfig {
        buffer_bytes_max: 1_000,
        block_timeout: Duration::from_millis(100),
        ..Default::default()
    });
    send(&producer, 0..1).await;
    producer.flush().await.expect("delivered");
    cluster.move_leader(0, -1);
    let large = [7; 400];
    let record = ProducerRecord::value(&large).to_partition(PartitionIndex::new(0));
    for _ in 0..2 {
        drop(producer.send(TOPIC, record).await.expect("there is room"));
    }
    assert!(matches!(producer.try_send(TOPIC, record).expect_err("full").kind(), ErrorKind::BufferFull));
    let began = Instant::now();
    let error = producer.send(TOPIC, record).await.expect_err("full");
    assert!(matches!(error.kind(), ErrorKind::BufferFull) && error.is_retriable());
    assert!(began.elapsed() >= Duration::from_millis(100));
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(TOPIC, ProducerRecord::value(&[7; 400])).await.map(drop) }
    });
    cluster.move_leader(0, 1);
    waiting.await.expect("joined").expect("room again");
    producer.flush().await.expect("delivered");
}

#[tokio::test]
async fn an_observer_is_told_of_connections_requests_batches_retries_and_lag() {
    let cluster = FakeCluster::new(1, 1);
    let counters = std::sync::Arc::new(Counters::default());
    let client =
        Client::new(ClientConfig { observer: Some(counters.clone()), ..client(&cluster).config().clone() });
    let producer = producer(&client);
    cluster.0.lock().partitions[0].produce_errors = vec![ErrorCode::NOT_ENOUGH_REPLICAS].into();
    send(&producer, 0..100).await;
    producer.flush().await.expect("delivered");
    let consumer = client.consumer(Default::default());
    consumer.assign([(partition(0), StartAt::Earliest)]);
    let mut read = 0;
    while read < 100 {
        let batch = consumer.poll(Duration::from_secs(20)).await.expect("readable").expect("all arrive");
        read += batch.records().expect("whole").count();
    }
    let totals = counters.totals();
    assert_eq!((totals.delivered_records, totals.fetched_records, totals.retries), (100, 100, 1));
    assert!(totals.delivered_batches > 1 && totals.delivered_bytes > 400 && totals.fetched_bytes > 400);
    assert!(totals.connections >= 3 && totals.requests > totals.connections);
    assert!(totals.request_bytes > totals.delivered_bytes && totals.response_bytes > totals.fetched_bytes);
    assert_eq!((totals.failed_records, totals.unanswered_requests), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_may_be_the_first_to_send_to_a_topic() {
    let cluster = FakeCluster::new(1, 8);
    for _ in 0..20 {
        let client = client(&cluster);
        let producer = producer(&client);
        let send = |n: u32| {
            let producer = producer.clone();
            tokio::spawn(async move {
                let value = n.to_be_bytes();
                producer.send(TOPIC, ProducerRecord::key_value(&value, &value)).await.map(drop)
            })
        };
        for sent in (0..16).map(send).collect::<Vec<_>>() {
            sent.await.expect("joined").expect("accepted");
        }
        producer.flush().await.expect("delivered");
    }
    let sent: usize = cluster.0.lock().partitions.iter().map(|partition| partition.values().len()).sum();
    assert_eq!(sent, 320);
}
