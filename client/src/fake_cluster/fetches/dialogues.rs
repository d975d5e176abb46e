//! What a consumer does when logs are truncated, sessions get lost, topics come again, and followers are closer.

use std::time::{Duration, Instant};

use ottla_protocol::{ErrorCode, Offset};

use super::super::dialogues::{client, partition, producer, send};
use super::super::{FakeCluster, TOPIC};
use crate::{Client, Consumer, ConsumerConfig, ErrorKind, OffsetReset, StartAt};

/// Polls until so many records came; the values, which are numbers.
async fn read(consumer: &Consumer, count: usize) -> Vec<u32> {
    let mut values = Vec::new();
    while values.len() < count {
        let batch = consumer.poll(Duration::from_secs(20)).await.expect("readable").expect("all arrive");
        for record in batch.records().expect("whole") {
            let value = record.expect("whole").value.expect("there");
            values.push(u32::from_be_bytes(value[..].try_into().expect("four bytes")));
        }
    }
    values
}

async fn fill(client: &Client, numbers: std::ops::Range<u32>) {
    let producer = producer(client);
    send(&producer, numbers).await;
    producer.flush().await.expect("delivered");
}

fn numbers(range: std::ops::Range<u32>) -> Vec<u32> {
    range.collect()
}

/// A consumer of partition 0 that read the first 100 records.
async fn reader(client: &Client, config: ConsumerConfig) -> Consumer {
    fill(client, 0..100).await;
    let consumer = client.consumer(config);
    consumer.assign([(partition(0), StartAt::Earliest)]);
    assert_eq!(read(&consumer, 100).await, numbers(0..100));
    consumer
}

/// The leader changes to one whose log ends earlier.
fn elect_uncleanly(cluster: &FakeCluster, leader: i32, log_end_offset: i64) -> Offset {
    let kept = {
        let mut state = cluster.0.lock();
        state.partitions[0].truncate(log_end_offset);
        state.partitions[0].log_end_offset()
    };
    cluster.move_leader(0, leader);
    Offset::new(kept)
}

#[tokio::test]
async fn a_fetch_after_the_first_names_only_what_changed() {
    let cluster = FakeCluster::new(1, 3);
    let client = client(&cluster);
    let consumer = client.consumer(Default::default());
    consumer.assign((0..3).map(|index| (partition(index), StartAt::Offset(Offset::ZERO))));
    fill(&client, 0..10).await;
    assert_eq!(read(&consumer, 10).await, numbers(0..10));
    fill(&client, 10..20).await;
    assert_eq!(read(&consumer, 10).await, numbers(10..20));
    let asked = cluster.0.lock().fetches.asked.clone();
    let shapes: Vec<_> = asked.iter().map(|asked| (asked.session_epoch, asked.named)).collect();
    assert_eq!(shapes[0], (0, 3));
    assert!(shapes[1..].iter().all(|(epoch, named)| *epoch > 0 && *named <= 1), "{shapes:?}");
    assert!(asked.iter().all(|asked| asked.version == 16), "by topic id");
    assert_eq!(cluster.0.lock().fetches.session_count(), 1);
    drop(consumer);
    for _ in 0..1000 {
        if cluster.0.lock().fetches.session_count() == 0 {
            return;
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the session was not closed");
}

#[tokio::test]
async fn a_session_that_got_lost_costs_one_full_fetch_and_no_record() {
    let cluster = FakeCluster::new(1, 1);
    let client = client(&cluster);
    let consumer = reader(&client, Default::default()).await;
    for (round, code) in (0..).zip([
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode::INVALID_FETCH_SESSION_EPOCH,
        ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
    ]) {
        cluster.0.lock().fetches.session_errors = [code].into();
        let next = 100 + round * 10;
        fill(&client, next..next + 10).await;
        assert_eq!(read(&consumer, 10).await, numbers(next..next + 10), "{code:?}");
    }
    let asked = cluster.0.lock().fetches.asked.clone();
    assert_eq!(asked.iter().filter(|asked| asked.session_epoch == 0).count(), 4);
}

#[tokio::test]
async fn a_cluster_without_topic_ids_is_read_by_name() {
    let cluster = FakeCluster::new(1, 1);
    cluster.0.lock().topic_id = 0;
    let client = client(&cluster);
    reader(&client, Default::default()).await;
    assert!(cluster.0.lock().fetches.asked.iter().all(|asked| asked.version == 12));
}

#[tokio::test]
async fn records_that_a_new_leader_lost_are_read_as_it_has_them() {
    let cluster = FakeCluster::new(2, 1);
    let client = client(&cluster);
    let consumer = reader(&client, Default::default()).await;
    let kept = elect_uncleanly(&cluster, 2, 50);
    fill(&client, 200..300).await;
    assert_eq!(read(&consumer, 100).await, numbers(200..300));
    let position = consumer.position(&partition(0)).map(Offset::get);
    assert_eq!(position, Some(kept.get() + 100), "from the first offset that differs");
}

#[tokio::test]
async fn a_consumer_that_must_not_go_back_is_told_what_was_truncated() {
    let cluster = FakeCluster::new(2, 1);
    let client = client(&cluster);
    let config = ConsumerConfig { offset_reset: OffsetReset::Fail, ..Default::default() };
    fill(&client, 0..100).await;
    let consumer = client.consumer(config);
    consumer.assign([(partition(0), StartAt::Offset(Offset::ZERO))]);
    read(&consumer, 100).await;
    let kept = elect_uncleanly(&cluster, 2, 50);
    let error = consumer.poll(Duration::from_secs(20)).await.expect_err("truncated");
    assert_eq!((error.topic(), error.partition(), error.offset()), (Some(TOPIC), Some(0), Some(100)));
    assert!(matches!(error.kind(), ErrorKind::LogTruncation { divergent, .. } if *divergent == Some(kept)));
    assert!(!error.is_retriable());
}

#[tokio::test]
async fn a_topic_created_again_is_read_from_its_beginning_even_with_fewer_partitions() {
    let cluster = FakeCluster::new(1, 2);
    let client = client(&cluster);
    let consumer = reader(&client, Default::default()).await;
    consumer.assign([
        (partition(0), StartAt::Offset(Offset::new(100))),
        (partition(1), StartAt::Offset(Offset::ZERO)),
    ]);
    fill(&client, 100..110).await;
    assert_eq!(read(&consumer, 10).await, numbers(100..110));
    cluster.recreate_topic(1);
    fill(&client, 500..510).await;
    assert_eq!(read(&consumer, 10).await, numbers(500..510));
    let metadata_asked = cluster.0.lock().metadata_count;
    let began = Instant::now();
    fill(&client, 510..520).await;
    assert_eq!(read(&consumer, 10).await, numbers(510..520));
    let asked = cluster.0.lock().metadata_count - metadata_asked;
    assert!(
        asked < 20 + began.elapsed().as_millis() as usize,
        "no storm for the partition that is gone: {asked}"
    );
}

#[tokio::test]
async fn a_leader_named_beside_an_error_is_fetched_from_at_once() {
    let cluster = FakeCluster::new(2, 1);
    let client = client(&cluster);
    let consumer = reader(&client, Default::default()).await;
    cluster.move_leader(0, 2);
    let before = cluster.0.lock().metadata_count;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !cluster.0.lock().fetches.asked.iter().any(|asked| asked.broker == 2) {
        assert!(Instant::now() < deadline, "the new leader was never asked");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(cluster.0.lock().metadata_count, before, "nobody had to ask");
    fill(&client, 100..110).await;
    assert_eq!(read(&consumer, 10).await, numbers(100..110));
}

#[tokio::test]
async fn a_consumer_in_a_rack_reads_from_the_follower_that_the_leader_names() {
    let cluster = FakeCluster::new(3, 1);
    cluster.0.lock().partitions[0].follower = Some(3);
    let client = client(&cluster);
    let config = ConsumerConfig { rack: "b".to_owned(), ..Default::default() };
    let consumer = reader(&client, config).await;
    let from = |cluster: &FakeCluster| cluster.0.lock().fetches.asked.last().map(|asked| asked.broker);
    assert_eq!(from(&cluster), Some(3));
    cluster.0.lock().brokers = vec![1, 2];
    cluster.0.lock().partitions[0].follower = None;
    fill(&client, 100..110).await;
    assert_eq!(read(&consumer, 10).await, numbers(100..110));
    assert_eq!(from(&cluster), Some(1));
}

#[tokio::test]
async fn a_broker_that_asks_for_a_pause_gets_it() {
    let cluster = FakeCluster::new(1, 1);
    let client = client(&cluster);
    let consumer = reader(&client, Default::default()).await;
    cluster.0.lock().fetches.throttle_time_ms = 300;
    let paused = || cluster.0.lock().fetches.throttle_time_ms == 0;
    while !paused() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (began, asked) = (Instant::now(), cluster.0.lock().fetches.asked.len());
    fill(&client, 100..110).await;
    assert_eq!(read(&consumer, 10).await, numbers(100..110));
    assert!(began.elapsed() > Duration::from_millis(200), "{:?}", began.elapsed());
    assert!(cluster.0.lock().fetches.asked.len() <= asked + 4);
}
