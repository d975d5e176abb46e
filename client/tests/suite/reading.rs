//! Reading whose interest changes all the time, topics that come again, and what an observer hears of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_client::{
    Client, ClientConfig, Compression, ConsumerConfig, Counters, ErrorCode, NewTopic, Offset, PartitionIndex,
    ProducerConfig, ProducerRecord, StartAt,
};

use super::{at, fresh_topic, read};

/// Many partitions in one fetch session, while they are paused, resumed, sought and assigned anew.
pub(super) async fn a_consumer_of_many_partitions_loses_nothing_while_its_interest_changes(client: &Client) {
    const PARTITIONS: i32 = 40;
    let topic = fresh_topic(client, "interest", PARTITIONS).await;
    let producer = client.producer(ProducerConfig::default());
    let consumer = client.consumer(ConsumerConfig::default());
    let all = || (0..PARTITIONS).map(|index| (at(&topic, index), StartAt::Offset(Offset::ZERO)));
    consumer.assign(all());
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    for round in 0..12 {
        for index in (0..PARTITIONS).filter(|index| (index + round) % 3 == 0) {
            let record = ProducerRecord::value(b"x").to_partition(PartitionIndex::new(index));
            drop(producer.send(&topic, record).await.expect("accepted"));
        }
        producer.flush().await.expect("delivered");
        for index in 0..PARTITIONS {
            consumer.pause(&at(&topic, index), (index + round) % 5 == 0);
        }
        if round == 6 {
            // Back to the beginning with half of them, by an assignment that keeps nothing.
            consumer.assign(all().filter(|(partition, _)| partition.partition.get() % 2 == 0));
            next.clear();
        }
        let wait = Duration::from_millis(if round % 4 == 3 { 600 } else { 20 });
        while let Some(batch) = consumer.poll(wait).await.expect("readable") {
            let next = next.entry(batch.topic_partition().partition.get()).or_default();
            assert_eq!(batch.base_offset().get(), *next, "no gap and nothing twice");
            *next = batch.next_offset().get();
        }
    }
    for partition in consumer.assignment() {
        consumer.pause(&partition, false);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while !consumer.assignment().iter().all(|partition| consumer.is_at_end(partition)) {
        assert!(Instant::now() < deadline, "not all ends were reached");
        if let Some(batch) = consumer.poll(Duration::from_millis(100)).await.expect("readable") {
            let next = next.entry(batch.topic_partition().partition.get()).or_default();
            assert_eq!(batch.base_offset().get(), *next, "no gap and nothing twice");
            *next = batch.next_offset().get();
        }
    }
    assert_eq!(next.values().sum::<i64>(), i64::from(PARTITIONS / 2) * 4, "every third round, half of them");
}

pub(super) async fn a_topic_that_was_created_again_is_read_from_its_beginning(client: &Client) {
    let topic = fresh_topic(client, "again", 2).await;
    let producer = client.producer(ProducerConfig::default());
    let first = at(&topic, 0);
    let fill = async |count: usize| {
        for _ in 0..count {
            let record = ProducerRecord::value(b"x").to_partition(first.partition);
            producer.send(&topic, record).await.expect("accepted").await.expect("delivered");
        }
    };
    fill(20).await;
    let consumer = client.consumer(ConsumerConfig::default());
    consumer.assign([(first.clone(), StartAt::Earliest)]);
    while consumer.position(&first) != Some(Offset::new(20)) {
        consumer.poll(Duration::from_secs(20)).await.expect("readable").expect("all arrive");
    }
    let admin = client.admin();
    admin.delete_topic(&topic).await.expect("deleted");
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = admin.create_topic(NewTopic::new(&topic).partitions(1)).await {
        assert_eq!(error.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS), "{error}");
        assert!(Instant::now() < deadline, "the topic is never gone");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    admin.wait_for_leaders(&topic).await.expect("led");
    fill(5).await;
    let batch = consumer.poll(Duration::from_secs(20)).await.expect("readable").expect("read anew");
    assert_eq!(batch.base_offset(), Offset::ZERO);
}

pub(super) async fn batches_are_packed_at_the_level_that_is_asked_for(client: &Client) {
    let value: Vec<u8> = (0..2_000_u32).flat_map(|n| (n * n % 97).to_string().into_bytes()).collect();
    for (compression, levels) in
        [(Compression::Gzip, [1, 9]), (Compression::Lz4, [1, 12]), (Compression::Zstd, [1, 19])]
    {
        let topic = fresh_topic(client, compression.name(), 1).await;
        let mut packed = Vec::new();
        for level in levels {
            let producer = client.producer(ProducerConfig {
                compression,
                compression_level: Some(level),
                ..ProducerConfig::default()
            });
            let record = ProducerRecord::value(&value);
            producer.send(&topic, record).await.expect("accepted").await.expect("delivered");
            packed.push(producer.stats().delivered_bytes);
        }
        assert!(packed.iter().all(|bytes| *bytes < value.len() as u64 / 2), "{compression}: {packed:?}");
        assert!(packed[1] <= packed[0], "{compression}: {packed:?}");
        let records = read(client, &topic, 2).await.remove(&0).expect("one partition");
        assert!(records.iter().all(|record| record.value.as_deref() == Some(&value[..])), "{compression}");
    }
}

pub(super) async fn an_observer_hears_of_all_that_is_sent_and_read(client: &Client) {
    let counters = Arc::new(Counters::default());
    let bootstrap = client.brokers().into_iter().map(|broker| broker.address).collect();
    let observed =
        Client::new(ClientConfig { bootstrap, observer: Some(counters.clone()), ..ClientConfig::default() });
    let topic = fresh_topic(&observed, "observed", 2).await;
    let producer = observed.producer(ProducerConfig { batch_bytes: 1_000, ..ProducerConfig::default() });
    for _ in 0..300 {
        drop(producer.send(&topic, ProducerRecord::value(&[7; 50])).await.expect("accepted"));
    }
    producer.flush().await.expect("delivered");
    read(&observed, &topic, 300).await;
    let totals = counters.totals();
    assert_eq!((totals.delivered_records, totals.fetched_records, totals.failed_records), (300, 300, 0));
    assert_eq!(totals.delivered_bytes, producer.stats().delivered_bytes);
    assert_eq!(totals.fetched_bytes, totals.delivered_bytes, "batches come back as they were sent");
    assert!(totals.requests > 10 && totals.request_bytes > totals.delivered_bytes);
}
