//! What the client must do against any cluster. Each check uses a topic of its own.

pub(crate) mod admin_groups;
mod breaking;
pub(crate) mod groups;
mod reading;
mod rebalances;

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_client::{
    Acks, AlterOperation, Client, Compression, ConfigResource, ConfigSource, ConsumerConfig, ErrorCode,
    NewTopic, Offset, OffsetReset, OffsetSpec, PartitionIndex, Partitioner, ProducerConfig, ProducerRecord,
    Record, StartAt, TopicName, TopicPartition, partition_for_key,
};

/// Runs every check.
pub(crate) async fn run(client: &Client) {
    topics_are_created_described_grown_and_deleted(client).await;
    records_come_back_as_they_were_sent_with_every_codec(client).await;
    every_acks_level_delivers(client).await;
    keys_go_where_java_puts_them_and_order_holds_per_key(client).await;
    offsets_are_found_by_end_and_by_time(client).await;
    a_consumer_seeks_pauses_and_sees_the_end(client).await;
    deleted_records_move_the_start_and_a_lost_position_is_reset(client).await;
    configs_are_set_and_unset(client).await;
    errors_name_what_went_wrong(client).await;
    many_producers_share_one_client(client).await;
    log_dirs_and_cluster_are_described(client).await;
    reading::a_consumer_of_many_partitions_loses_nothing_while_its_interest_changes(client).await;
    reading::a_topic_that_was_created_again_is_read_from_its_beginning(client).await;
    reading::batches_are_packed_at_the_level_that_is_asked_for(client).await;
    reading::an_observer_hears_of_all_that_is_sent_and_read(client).await;
    breaking::every_record_arrives_once_and_in_order_over_connections_that_break(client).await;
}

async fn fresh_topic(client: &Client, name: &str, partitions: i32) -> String {
    let unique =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
    let name = format!("suite-{name}-{unique}");
    let admin = client.admin();
    admin.create_topic(NewTopic::new(&name).partitions(partitions)).await.expect("created");
    admin.wait_for_leaders(&name).await.expect("led");
    // A leader that is announced may not serve yet; it does once it answers this.
    let ends: Vec<_> = (0..partitions).map(|partition| (at(&name, partition), OffsetSpec::Latest)).collect();
    for (_, end) in admin.list_offsets(&ends).await.expect("answered") {
        assert_eq!(end.expect("led").offset, Some(Offset::ZERO));
    }
    name
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionIndex::new(partition))
}

/// Reads `count` records of a topic from its beginning, by partition.
async fn read(client: &Client, topic: &str, count: usize) -> BTreeMap<i32, Vec<Record>> {
    let consumer = client.consumer(ConsumerConfig::default());
    consumer.assign_topic(topic, StartAt::Earliest).await.expect("assigned");
    let mut records: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
    let mut seen = 0;
    while seen < count {
        let batch =
            consumer.poll(Duration::from_secs(20)).await.expect("readable").expect("all records arrive");
        for record in batch.records().expect("whole") {
            let record = record.expect("whole");
            records.entry(batch.topic_partition().partition.get()).or_default().push(record);
            seen += 1;
        }
    }
    assert_eq!(seen, count);
    records
}

async fn topics_are_created_described_grown_and_deleted(client: &Client) {
    let admin = client.admin();
    let name = fresh_topic(client, "topics", 3).await;
    let info = admin.describe_topic(&name).await.expect("described");
    assert_eq!(info.partitions.len(), 3);
    assert!(!info.id.is_zero());
    assert!(admin.list_topics().await.expect("listed").iter().any(|topic| *topic.name == *name));
    let again = admin.create_topic(NewTopic::new(&name)).await.expect_err("exists");
    assert_eq!(again.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS));
    admin.create_partitions(&name, 5).await.expect("grown");
    let mut grown = admin.wait_for_leaders(&name).await.expect("led").partitions.len();
    for _ in 0..50 {
        if grown == 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        grown = admin.wait_for_leaders(&name).await.expect("led").partitions.len();
    }
    assert_eq!(grown, 5);
    let fewer = admin.create_partitions(&name, 2).await.expect_err("never shrinks");
    assert_eq!(fewer.code(), Some(ErrorCode::INVALID_PARTITIONS));
    admin.delete_topic(&name).await.expect("deleted");
    let mut gone = admin.describe_topic(&name).await;
    for _ in 0..50 {
        if gone.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        gone = admin.describe_topic(&name).await;
    }
    assert_eq!(gone.expect_err("gone").code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    let checked = admin.create_topics(vec![NewTopic::new(&name).partitions(1)], true).await.expect("checked");
    assert!(checked[0].1.is_ok());
    assert!(admin.describe_topic(&name).await.is_err(), "validated only");
}

async fn records_come_back_as_they_were_sent_with_every_codec(client: &Client) {
    for compression in Compression::ALL {
        let topic = fresh_topic(client, compression.name(), 1).await;
        let producer = client.producer(ProducerConfig { compression, ..Default::default() });
        let headers: [(&str, Option<&[u8]>); 3] = [("a", Some(b"1")), ("a", Some(b"2")), ("null", None)];
        let value = vec![b'v'; 300];
        let mut deliveries = Vec::new();
        for n in 0..1_000_i64 {
            let key = format!("key-{n}");
            let record = ProducerRecord::key_value(key.as_bytes(), &value)
                .at(1_357_016_400_000 + n)
                .with_headers(&headers);
            deliveries.push(producer.send(&topic, record).await.expect("accepted"));
        }
        let tombstone = ProducerRecord { key: Some(b"gone"), timestamp_ms: Some(5), ..Default::default() };
        deliveries.push(producer.send(&topic, tombstone).await.expect("accepted"));
        producer.flush().await.expect("delivered");
        for (n, delivery) in (0..).zip(deliveries) {
            assert_eq!(delivery.await.expect("delivered").offset, Some(Offset::new(n)), "{compression}");
        }
        assert_eq!(producer.buffered_bytes(), 0);
        let records = read(client, &topic, 1_001).await.remove(&0).expect("one partition");
        for (n, record) in (0_i64..).zip(&records[..1_000]) {
            assert_eq!(record.offset, Offset::new(n));
            assert_eq!(record.timestamp, 1_357_016_400_000 + n);
            assert_eq!(record.key.as_deref(), Some(format!("key-{n}").as_bytes()));
            assert_eq!(record.value.as_deref(), Some(&value[..]));
            let sent: Vec<_> =
                headers.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.map(<[u8]>::to_vec))).collect();
            let got: Vec<_> =
                record.headers.iter().map(|h| (h.key.to_vec(), h.value.map(|v| v.to_vec()))).collect();
            assert_eq!(got, sent);
        }
        assert_eq!((records[1_000].value.clone(), records[1_000].timestamp), (None, 5));
    }
}

async fn every_acks_level_delivers(client: &Client) {
    for (acks, idempotent) in
        [(Acks::None, false), (Acks::Leader, false), (Acks::All, false), (Acks::All, true)]
    {
        let topic = fresh_topic(client, "acks", 2).await;
        let config = ProducerConfig {
            acks,
            idempotent,
            batch_bytes: 1_000,
            partitioner: Partitioner::RoundRobin,
            ..Default::default()
        };
        let producer = client.producer(config);
        for n in 0..500 {
            let value = format!("{n:04}");
            let delivery =
                producer.send(&topic, ProducerRecord::value(value.as_bytes())).await.expect("accepted");
            drop(delivery);
        }
        producer.flush().await.expect("delivered");
        let records = read(client, &topic, 500).await;
        for records in records.values() {
            assert_eq!(records.len(), 250, "round robin is even");
            let values: Vec<_> = records.iter().filter_map(|record| record.value.clone()).collect();
            assert!(values.is_sorted(), "{acks:?}, idempotent {idempotent}: {values:?}");
        }
    }
}

async fn keys_go_where_java_puts_them_and_order_holds_per_key(client: &Client) {
    let topic = fresh_topic(client, "keys", 12).await;
    let producer = client.producer(ProducerConfig { linger: Duration::ZERO, ..Default::default() });
    for n in 0..2_000_u32 {
        let (key, value) = (format!("N{}", n % 37), n.to_be_bytes());
        let delivery =
            producer.send(&topic, ProducerRecord::key_value(key.as_bytes(), &value)).await.expect("accepted");
        if n % 500 == 0 {
            delivery.await.expect("delivered");
        }
    }
    producer.flush().await.expect("delivered");
    let mut last: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (partition, records) in read(client, &topic, 2_000).await {
        for record in records {
            let (key, value) = (record.key.expect("keyed").to_vec(), record.value.expect("valued").to_vec());
            assert_eq!(partition_for_key(&key, 12), partition as u32);
            let before = last.insert(key, value.clone());
            assert!(before.is_none_or(|before| before < value), "order per key");
        }
    }
    assert_eq!(last.len(), 37);
}

async fn offsets_are_found_by_end_and_by_time(client: &Client) {
    let topic = fresh_topic(client, "offsets", 2).await;
    let producer = client.producer(ProducerConfig { batch_bytes: 200, ..Default::default() });
    for n in 0..100 {
        let record = ProducerRecord::value(b"x").at(1_000_000 + 10 * n).to_partition(PartitionIndex::new(0));
        drop(producer.send(&topic, record).await.expect("accepted"));
    }
    producer.flush().await.expect("delivered");
    let admin = client.admin();
    let find = async |spec| {
        let listed = admin.list_offsets(&[(at(&topic, 0), spec)]).await.expect("listed");
        listed[0].1.as_ref().expect("listed").offset.map(Offset::get)
    };
    assert_eq!(find(OffsetSpec::Earliest).await, Some(0));
    assert_eq!(find(OffsetSpec::Latest).await, Some(100));
    assert_eq!(find(OffsetSpec::Timestamp(1_000_000 + 495)).await, Some(50));
    assert_eq!(find(OffsetSpec::Timestamp(2_000_000)).await, None);
    assert_eq!(find(OffsetSpec::MaxTimestamp).await, Some(99));
    let both = [(at(&topic, 1), OffsetSpec::Latest), (at(&topic, 7), OffsetSpec::Latest)];
    let listed = admin.list_offsets(&both).await.expect("listed");
    assert_eq!(listed[0].1.as_ref().expect("there").offset, Some(Offset::ZERO));
    assert!(listed[1].1.as_ref().expect_err("no such partition").to_string().contains("2 partitions"));
}

async fn a_consumer_seeks_pauses_and_sees_the_end(client: &Client) {
    let topic = fresh_topic(client, "seek", 1).await;
    let producer = client.producer(ProducerConfig { batch_bytes: 500, ..Default::default() });
    for n in 0..200_i64 {
        drop(producer.send(&topic, ProducerRecord::value(&[7; 50]).at(n)).await.expect("accepted"));
    }
    producer.flush().await.expect("delivered");
    let partition = at(&topic, 0);
    let consumer = client.consumer(ConsumerConfig::default());
    consumer.assign([(partition.clone(), StartAt::Offset(Offset::new(150)))]);
    let first = async || {
        let batch = consumer.poll(Duration::from_secs(20)).await.expect("readable").expect("a batch");
        batch.records().expect("whole").next().expect("a record").expect("whole").offset.get()
    };
    assert_eq!(first().await, 150);
    consumer.seek(&partition, StartAt::Timestamp(42));
    assert_eq!(first().await, 42);
    consumer.seek(&partition, StartAt::Latest);
    for _ in 0..20 {
        assert!(consumer.poll(Duration::from_millis(200)).await.expect("readable").is_none());
        if consumer.is_at_end(&partition) {
            break;
        }
    }
    assert!(consumer.is_at_end(&partition));
    assert_eq!(consumer.high_watermark(&partition), Some(Offset::new(200)));
    let waiting = tokio::spawn({
        let consumer = consumer.clone();
        async move { consumer.poll(Duration::from_secs(20)).await }
    });
    let delivery = producer.send(&topic, ProducerRecord::value(b"fresh")).await.expect("accepted");
    assert_eq!(delivery.await.expect("delivered").offset, Some(Offset::new(200)));
    let batch =
        waiting.await.expect("joined").expect("readable").expect("the fresh record wakes the consumer");
    assert_eq!(batch.next_offset(), Offset::new(201));
}

async fn deleted_records_move_the_start_and_a_lost_position_is_reset(client: &Client) {
    let topic = fresh_topic(client, "delete", 1).await;
    let producer = client.producer(ProducerConfig::default());
    for _ in 0..10 {
        producer.send(&topic, ProducerRecord::value(b"x")).await.expect("accepted").await.expect("delivered");
    }
    let admin = client.admin();
    let partition = at(&topic, 0);
    let deleted = admin.delete_records(&[(partition.clone(), Some(Offset::new(4)))]).await.expect("deleted");
    assert_eq!(*deleted[0].1.as_ref().expect("deleted"), Offset::new(4));
    let beyond = admin.delete_records(&[(partition.clone(), Some(Offset::new(99)))]).await.expect("answered");
    assert_eq!(beyond[0].1.as_ref().expect_err("beyond").code(), Some(ErrorCode::OFFSET_OUT_OF_RANGE));
    for (offset_reset, expected) in [(OffsetReset::Earliest, Some(4)), (OffsetReset::Fail, None)] {
        let consumer = client.consumer(ConsumerConfig { offset_reset, ..Default::default() });
        consumer.assign([(partition.clone(), StartAt::Offset(Offset::ZERO))]);
        let polled = consumer.poll(Duration::from_secs(20)).await;
        match expected {
            Some(offset) => {
                let batch = polled.expect("readable").expect("a batch");
                assert_eq!(
                    batch.records().expect("whole").next().expect("one").expect("whole").offset.get(),
                    offset
                );
            }
            None => {
                let error = polled.expect_err("told");
                assert_eq!(error.code(), Some(ErrorCode::OFFSET_OUT_OF_RANGE));
                assert_eq!(
                    (error.topic(), error.partition(), error.offset()),
                    (Some(&*topic), Some(0), Some(0))
                );
            }
        }
    }
}

async fn configs_are_set_and_unset(client: &Client) {
    let topic = fresh_topic(client, "configs", 1).await;
    let admin = client.admin();
    let resource = ConfigResource::Topic(topic.clone());
    let find = async || {
        let entries = admin.describe_configs(&resource).await.expect("described");
        let entry = entries.into_iter().find(|entry| entry.name == "retention.ms").expect("listed");
        (entry.value, entry.source)
    };
    assert_eq!(find().await, (Some("604800000".to_owned()), ConfigSource::Default));
    let set = AlterOperation::Set("retention.ms".to_owned(), "1000".to_owned());
    admin.alter_configs(&resource, std::slice::from_ref(&set), true).await.expect("would do");
    assert_eq!(find().await.1, ConfigSource::Default, "validated only");
    admin.alter_configs(&resource, &[set], false).await.expect("set");
    let mut found = find().await;
    for _ in 0..50 {
        if found.1 == ConfigSource::Topic {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        found = find().await;
    }
    assert_eq!(found, (Some("1000".to_owned()), ConfigSource::Topic));
    admin
        .alter_configs(&resource, &[AlterOperation::Delete("retention.ms".to_owned())], false)
        .await
        .expect("unset");
    let bad = AlterOperation::Set("retention.ms".to_owned(), "soon".to_owned());
    let error = admin.alter_configs(&resource, &[bad], false).await.expect_err("bad value");
    assert_eq!(error.code(), Some(ErrorCode::INVALID_CONFIG), "{error}");
}

async fn errors_name_what_went_wrong(client: &Client) {
    let missing = client.topic("suite-no-such-topic").await.expect_err("missing");
    assert_eq!(missing.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(missing.topic(), Some("suite-no-such-topic"));
    let illegal = client.topic("no/slash").await.expect_err("illegal");
    assert!(!illegal.is_retriable());
    let topic = fresh_topic(client, "errors", 2).await;
    let config = ProducerConfig { request_bytes_max: 4 << 20, batch_bytes: 4 << 20, ..Default::default() };
    let producer = client.producer(config);
    let elsewhere = ProducerRecord::value(b"x").to_partition(PartitionIndex::new(2));
    let error = producer.send(&topic, elsewhere).await.expect_err("no such partition");
    assert!(error.to_string().contains("the topic has 2 partitions"), "{error}");
    let large = vec![0; 2 << 20];
    let delivery = producer.send(&topic, ProducerRecord::value(&large)).await.expect("accepted");
    let error = delivery.await.expect_err("over max.message.bytes");
    assert_eq!(error.code(), Some(ErrorCode::MESSAGE_TOO_LARGE), "{error}");
    let after = producer.send(&topic, ProducerRecord::value(b"fits")).await.expect("accepted");
    after.await.expect("a refused record does not spoil the next");
    let config = ProducerConfig { auto_create_topics: false, ..Default::default() };
    let error = client.producer(config).send("suite-no-such-topic", ProducerRecord::value(b"x")).await;
    assert_eq!(error.expect_err("missing").code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
}

async fn many_producers_share_one_client(client: &Client) {
    let topic = fresh_topic(client, "many", 4).await;
    let mut tasks = Vec::new();
    for task in 0..8_u8 {
        let (client, topic) = (client.clone(), topic.clone());
        tasks.push(tokio::spawn(async move {
            let producer = client.producer(ProducerConfig { batch_bytes: 2_000, ..Default::default() });
            for n in 0..500_u32 {
                let value = [&[task][..], &n.to_be_bytes()].concat();
                drop(
                    producer
                        .send(&topic, ProducerRecord::key_value(&[task], &value))
                        .await
                        .expect("accepted"),
                );
            }
            producer.flush().await.expect("delivered");
        }));
    }
    for task in tasks {
        task.await.expect("joined");
    }
    let mut values: Vec<Vec<u8>> = Vec::new();
    for records in read(client, &topic, 4_000).await.into_values() {
        values.extend(records.into_iter().filter_map(|record| record.value).map(|value| value.to_vec()));
    }
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 4_000, "each record once");
}

async fn log_dirs_and_cluster_are_described(client: &Client) {
    let topic = fresh_topic(client, "dirs", 2).await;
    let admin = client.admin();
    let cluster = admin.describe_cluster().await.expect("described");
    assert!(cluster.id.is_some_and(|id| !id.is_empty()));
    assert!(cluster.brokers.iter().any(|broker| Some(broker.id) == cluster.controller));
    let dirs = admin.describe_log_dirs(Some(&[&topic])).await.expect("described");
    let replicas: usize =
        dirs.iter().flat_map(|broker| &broker.directories).map(|dir| dir.replicas.len()).sum();
    assert_eq!(replicas, 2);
    let broker = ConfigResource::Broker(cluster.brokers[0].id);
    let configs = admin.describe_configs(&broker).await.expect("described");
    assert!(configs.iter().any(|entry| entry.name == "log.dirs"));
}
