//! Groups while their coordinator goes away and comes back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ottla_broker::{Broker, BrokerConfig, BrokerHandle};
use ottla_client::{
    Backoff, Client, ClientConfig, Consumer, ConsumerConfig, GroupProtocol, NewTopic, ProducerRecord,
};

async fn start(port: u16, data: &tempfile::TempDir) -> BrokerHandle {
    let listeners = format!("PLAINTEXT://127.0.0.1:{port}");
    let log_dirs = data.path().display().to_string();
    let config = BrokerConfig::from_pairs([
        ("listeners", listeners.as_str()),
        ("log.dirs", &log_dirs),
        ("group.initial.rebalance.delay.ms", "0"),
    ]);
    Broker::start(config.expect("legal")).await.expect("started")
}

fn client(address: &str) -> Client {
    let mut config = ClientConfig::new(address).expect("legal");
    config.backoff = Backoff { initial: Duration::from_millis(5), max: Duration::from_millis(50) };
    Client::new(config)
}

async fn read_some(consumer: &Consumer) -> Vec<u32> {
    let Some(batch) = consumer.poll(Duration::from_millis(50)).await.expect("readable") else {
        return Vec::new();
    };
    let number = |record: ottla_client::Result<ottla_client::Record>| {
        u32::from_be_bytes(
            record.expect("whole").value.expect("a number")[..].try_into().expect("four bytes"),
        )
    };
    batch.records().expect("whole").map(number).collect()
}

async fn survives_restarts(protocol: GroupProtocol) {
    let data = tempfile::tempdir().expect("a directory");
    let mut broker = start(0, &data).await;
    let address = broker.address();
    let client = client(&address.to_string());
    client.admin().create_topic(NewTopic::new("kept").partitions(4)).await.expect("created");
    client.admin().wait_for_leaders("kept").await.expect("led");
    let config = ConsumerConfig {
        group_protocol: protocol,
        heartbeat_interval: Duration::from_millis(100),
        ..ConsumerConfig::in_group("keepers")
    };
    let members = [client.consumer(config.clone()), client.consumer(config.clone())];
    for member in &members {
        member.subscribe(["kept"]).expect("subscribed");
    }
    let until = Instant::now() + Duration::from_secs(60);
    let producer = client.producer(Default::default());
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    let mut read = 0;
    for round in 0..3_u32 {
        for n in round * 400..round * 400 + 400 {
            let value = n.to_be_bytes();
            drop(producer.send("kept", ProducerRecord::key_value(&value, &value)).await.expect("accepted"));
        }
        // The coordinator stops while records are on their way, commits too.
        broker.shutdown().await.expect("stopped cleanly");
        broker = start(address.port(), &data).await;
        while seen.len() < (round as usize + 1) * 400 {
            assert!(Instant::now() < until, "{} in round {round}", seen.len());
            for member in &members {
                let numbers = read_some(member).await;
                read += numbers.len();
                seen.extend(numbers);
            }
        }
    }
    assert_eq!(read, 1_200, "a coordinator that comes back is no reason to read anything again");
    for member in &members {
        member.close().await.expect("committed and left");
    }
    // A third member finds everything committed.
    let third = client.consumer(config);
    third.subscribe(["kept"]).expect("subscribed");
    while third.assignment().len() < 4 || third.assignment().iter().any(|one| third.position(one).is_none()) {
        assert!(Instant::now() < until, "joined");
        assert!(read_some(&third).await.is_empty());
    }
    let positions: i64 =
        third.assignment().iter().filter_map(|one| third.position(one)).map(|offset| offset.get()).sum();
    assert_eq!(positions, 1_200);
    third.close().await.expect("left");
    broker.shutdown().await.expect("stopped cleanly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_classic_group_goes_on_where_it_was_when_its_coordinator_comes_back() {
    survives_restarts(GroupProtocol::Classic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_group_goes_on_where_it_was_when_its_coordinator_comes_back() {
    survives_restarts(GroupProtocol::Consumer).await;
}
