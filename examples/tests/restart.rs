//! The client while its broker goes away and comes back, cleanly or not.

use std::time::Duration;

use ottla_broker::{Broker, BrokerConfig, BrokerHandle};
use ottla_client::{
    Backoff, Client, ClientConfig, ErrorKind, NewTopic, PartitionIndex, ProducerConfig, ProducerRecord,
    StartAt,
};

async fn start(port: u16, data: &tempfile::TempDir) -> BrokerHandle {
    let listeners = format!("PLAINTEXT://127.0.0.1:{port}");
    let log_dirs = data.path().display().to_string();
    let config = BrokerConfig::from_pairs([("listeners", listeners.as_str()), ("log.dirs", &log_dirs)]);
    Broker::start(config.expect("legal")).await.expect("started")
}

fn client(address: &str) -> Client {
    let mut config = ClientConfig::new(address).expect("legal");
    config.backoff = Backoff { initial: Duration::from_millis(5), max: Duration::from_millis(50) };
    Client::new(config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_is_there_once_and_in_order_after_the_broker_restarted_under_load() {
    const RECORDS: u64 = 30_000;
    let data = tempfile::tempdir().expect("a directory");
    let mut broker = start(0, &data).await;
    let address = broker.address();
    let client = client(&address.to_string());
    let topic = "restarted";
    client.admin().create_topic(NewTopic::new(topic).partitions(2)).await.expect("created");
    let producer = client.producer(ProducerConfig {
        batch_bytes: 2_000,
        linger: Duration::from_millis(1),
        ..ProducerConfig::default()
    });
    let consumer = client.consumer(Default::default());
    client.admin().wait_for_leaders(topic).await.expect("led");
    consumer.assign_topic(topic, StartAt::Earliest).await.expect("assigned");
    let reading = tokio::spawn(async move {
        let mut next = [0_u64, 1];
        let mut seen = 0;
        while seen < RECORDS {
            let batch = consumer.poll(Duration::from_secs(30)).await.expect("readable").expect("all arrive");
            let partition = usize::try_from(batch.topic_partition().partition.get()).expect("0 or 1");
            for record in batch.records().expect("whole") {
                let value = record.expect("whole").value.expect("there");
                assert_eq!(u64::from_be_bytes(value[..].try_into().expect("eight bytes")), next[partition]);
                next[partition] += 2;
                seen += 1;
            }
        }
    });
    for n in 0..RECORDS {
        let partition = PartitionIndex::new(if n % 2 == 0 { 0 } else { 1 });
        let value = n.to_be_bytes();
        drop(
            producer
                .send(topic, ProducerRecord::value(&value).to_partition(partition))
                .await
                .expect("accepted"),
        );
        if n % 10_000 == 5_000 {
            broker.shutdown().await.expect("stopped cleanly");
            broker = start(address.port(), &data).await;
        }
    }
    producer.flush().await.expect("delivered");
    assert_eq!(producer.stats().delivered_records, RECORDS);
    reading.await.expect("each once, in order");
    broker.shutdown().await.expect("stopped cleanly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_for_a_broker_that_stays_away_fail_after_the_delivery_timeout_and_say_why() {
    let data = tempfile::tempdir().expect("a directory");
    let broker = start(0, &data).await;
    let client = client(&broker.address().to_string());
    let producer = client.producer(ProducerConfig {
        delivery_timeout: Duration::from_millis(1_500),
        ..ProducerConfig::default()
    });
    producer.send("away", ProducerRecord::value(b"1")).await.expect("accepted").await.expect("delivered");
    broker.shutdown().await.expect("stopped cleanly");
    let delivery = producer.send("away", ProducerRecord::value(b"2")).await.expect("accepted");
    let error =
        tokio::time::timeout(Duration::from_secs(20), delivery).await.expect("settled").expect_err("away");
    assert!(matches!(error.kind(), ErrorKind::Connect { .. } | ErrorKind::Disconnected { .. }), "{error}");
    assert!(error.is_retriable());
    assert_eq!((producer.buffered_bytes(), producer.stats().failed_records), (0, 1));
}

#[tokio::test]
async fn dropping_the_producer_gives_up_what_was_not_sent_and_wakes_everybody() {
    let client = client("127.0.0.1:1");
    let producer =
        client.producer(ProducerConfig { block_timeout: Duration::from_millis(200), ..Default::default() });
    let error = producer.send("nowhere", ProducerRecord::value(b"x")).await.expect_err("no broker");
    assert_eq!(error.operation(), "produce");
    let data = tempfile::tempdir().expect("a directory");
    let broker = start(0, &data).await;
    let client = self::client(&broker.address().to_string());
    let producer = client.producer(ProducerConfig { linger: Duration::from_secs(100), ..Default::default() });
    let delivery = producer.send("lingering", ProducerRecord::value(b"x")).await.expect("accepted");
    drop(producer);
    let error =
        tokio::time::timeout(Duration::from_secs(10), delivery).await.expect("settled").expect_err("closed");
    assert!(matches!(error.kind(), ErrorKind::Closed), "{error}");
    broker.shutdown().await.expect("stopped cleanly");
}
