//! What members of a group must do against any cluster, in both protocols. Each check uses a group and topics of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ottla_client::{
    Assignor, Client, ClientConfig, Consumer, ConsumerConfig, ErrorKind, GroupProtocol, NewTopic, Offset,
    OffsetReset, PartitionIndex, ProducerConfig, ProducerRecord, RebalanceListener, Rebalancing,
    TopicPartition,
};

use super::{at, fresh_topic};

/// Long enough for any rebalance that does not wait for a dead member.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs every check.
pub(crate) async fn run(client: &Client) {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        committed_offsets_survive_the_consumer(client, protocol).await;
        members_share_the_partitions_and_take_over_from_who_leaves(client, protocol).await;
    }
}

fn config(group: &str, protocol: GroupProtocol) -> ConsumerConfig {
    ConsumerConfig {
        group_protocol: protocol,
        session_timeout: Duration::from_secs(6),
        heartbeat_interval: Duration::from_millis(200),
        ..ConsumerConfig::in_group(group)
    }
}

/// Sends the numbers from `first` on, round robin over the partitions.
async fn send(client: &Client, topic: &str, partitions: i32, numbers: std::ops::Range<u32>) {
    let producer = client.producer(ProducerConfig { batch_bytes: 200, ..ProducerConfig::default() });
    for n in numbers {
        let partition = PartitionIndex::new(i32::try_from(n).expect("small") % partitions);
        let value = n.to_be_bytes();
        drop(
            producer
                .send(topic, ProducerRecord::value(&value).to_partition(partition))
                .await
                .expect("accepted"),
        );
    }
    producer.flush().await.expect("delivered");
}

/// Polls until so many numbers have come.
async fn read(consumer: &Consumer, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    let until = Instant::now() + PATIENCE;
    while numbers.len() < count {
        assert!(Instant::now() < until, "{} of {count} came", numbers.len());
        numbers.extend(read_some(consumer).await);
    }
    numbers
}

async fn read_some(consumer: &Consumer) -> Vec<u32> {
    let Some(batch) = consumer.poll(Duration::from_millis(200)).await.expect("readable") else {
        return Vec::new();
    };
    let number = |record: ottla_client::Result<ottla_client::Record>| {
        let value = record.expect("whole").value.expect("a number");
        u32::from_be_bytes(value[..].try_into().expect("four bytes"))
    };
    batch.records().expect("whole").map(number).collect()
}

async fn committed_offsets_survive_the_consumer(client: &Client, protocol: GroupProtocol) {
    let topic = fresh_topic(client, "commit", 2).await;
    send(client, &topic, 2, 0..100).await;
    let manual = ConsumerConfig { auto_commit: None, ..config(&topic, protocol) };
    let consumer = client.consumer(manual.clone());
    consumer.subscribe([&topic]).expect("subscribed");
    let mut first = read(&consumer, 40).await;
    assert!(consumer.committed(&[at(&topic, 0), at(&topic, 1)]).await.expect("answered").is_empty());
    consumer.commit().await.expect("committed");
    let committed = consumer.committed(&[at(&topic, 0), at(&topic, 1)]).await.expect("answered");
    let sum: i64 = committed.values().map(|one| one.offset.get()).sum();
    assert_eq!(sum, i64::try_from(first.len()).expect("small"), "exactly what was handed out");
    // What is read after the commit is read again.
    read(&consumer, 10).await;
    consumer.close().await.expect("left");
    assert!(matches!(consumer.poll(PATIENCE).await.expect_err("closed").kind(), ErrorKind::Closed));
    let second = client.consumer(manual);
    second.subscribe([&topic]).expect("subscribed");
    first.extend(read(&second, 100 - first.len()).await);
    first.sort_unstable();
    assert_eq!(first, (0..100).collect::<Vec<u32>>());
    second.close().await.expect("left");
}

async fn members_share_the_partitions_and_take_over_from_who_leaves(
    client: &Client,
    protocol: GroupProtocol,
) {
    let topic = fresh_topic(client, "share", 6).await;
    let members: Vec<Consumer> = (0..3).map(|_| client.consumer(config(&topic, protocol))).collect();
    for member in &members {
        member.subscribe([&topic]).expect("subscribed");
    }
    until_divided(&members, &[2, 2, 2]).await;
    send(client, &topic, 6, 0..600).await;
    let mut numbers = BTreeMap::new();
    for member in &members {
        for number in read(member, 200).await {
            *numbers.entry(number).or_insert(0) += 1;
        }
    }
    assert_eq!(numbers.len(), 600);
    assert!(numbers.values().all(|count| *count == 1), "each once");
    members[1].close().await.expect("committed and left");
    let rest = [members[0].clone(), members[2].clone()];
    until_divided(&rest, &[3, 3]).await;
    send(client, &topic, 6, 600..1200).await;
    for member in &rest {
        for number in read(member, 300).await {
            assert!(number >= 600, "{number} was committed before");
            assert!(numbers.insert(number, 1).is_none(), "{number} came twice");
        }
    }
    for member in rest {
        member.close().await.expect("left");
    }
}

/// Polls until every partition has one owner and each member has so many.
async fn until_divided(members: &[Consumer], counts: &[usize]) {
    let until = Instant::now() + PATIENCE;
    loop {
        for member in members {
            assert!(read_some(member).await.is_empty(), "nothing was sent yet");
        }
        let owned: Vec<Vec<TopicPartition>> = members.iter().map(Consumer::assignment).collect();
        let distinct: BTreeSet<&TopicPartition> = owned.iter().flatten().collect();
        let mut found: Vec<usize> = owned.iter().map(Vec::len).collect();
        found.sort_unstable();
        if found == counts && distinct.len() == counts.iter().sum::<usize>() {
            return;
        }
        assert!(Instant::now() < until, "{owned:?}");
    }
}
