//! What members of a group must do against any cluster, in both protocols. Each check uses a group and topics of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ottla_client::{
    Assignor, Client, Consumer, ConsumerConfig, ErrorCode, ErrorKind, GroupProtocol, Offset,
    OffsetAndMetadata, OffsetReset, PartitionIndex, ProducerConfig, ProducerRecord, StartAt, TopicPartition,
};

use super::{at, fresh_topic, rebalances};

/// Long enough for any rebalance that does not wait for a dead member.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs every check.
pub(crate) async fn run(client: &Client) {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        committed_offsets_survive_the_consumer(client, protocol).await;
        members_share_the_partitions_and_take_over_from_who_leaves(client, protocol).await;
        rebalances::a_pattern_picks_up_new_topics(client, protocol).await;
        rebalances::dropping_is_leaving(client, protocol).await;
        rebalances::who_does_not_poll_leaves_and_comes_back(client, protocol).await;
        rebalances::a_static_member_comes_back_without_a_rebalance(client, protocol).await;
        rebalances::partitions_go_after_the_program_is_done_with_them(client, protocol, Assignor::Range)
            .await;
    }
    let (classic, cooperative) = (GroupProtocol::Classic, Assignor::CooperativeSticky);
    rebalances::partitions_go_after_the_program_is_done_with_them(client, classic, cooperative).await;
    rebalances::who_dies_is_replaced_and_nothing_is_missing(client).await;
    every_assignor_divides(client).await;
    a_stream_reads_until_it_is_closed(client).await;
    positions_in_a_group_are_sought_paused_and_reset(client).await;
    offsets_are_committed_without_being_a_member(client).await;
    what_cannot_work_is_told_at_once_or_by_poll(client).await;
}

pub(crate) fn config(group: &str, protocol: GroupProtocol) -> ConsumerConfig {
    ConsumerConfig {
        group_protocol: protocol,
        session_timeout: Duration::from_secs(6),
        heartbeat_interval: Duration::from_millis(200),
        ..ConsumerConfig::in_group(group)
    }
}

/// Sends the numbers from `first` on, round robin over the partitions.
pub(crate) async fn send(client: &Client, topic: &str, partitions: i32, numbers: std::ops::Range<u32>) {
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

pub(crate) async fn read_some(consumer: &Consumer) -> Vec<u32> {
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
pub(crate) async fn until_divided(members: &[Consumer], counts: &[usize]) {
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

async fn every_assignor_divides(client: &Client) {
    for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky] {
        let topic = fresh_topic(client, assignor.name(), 4).await;
        let config = ConsumerConfig { assignors: vec![assignor], ..config(&topic, GroupProtocol::Classic) };
        let members: Vec<Consumer> = (0..2).map(|_| client.consumer(config.clone())).collect();
        for member in &members {
            member.subscribe([&topic]).expect("subscribed");
        }
        until_divided(&members, &[2, 2]).await;
        members[0].close().await.expect("left");
        until_divided(&members[1..], &[4]).await;
        members[1].close().await.expect("left");
    }
}

async fn a_stream_reads_until_it_is_closed(client: &Client) {
    use futures_core::Stream;
    let topic = fresh_topic(client, "stream", 3).await;
    send(client, &topic, 3, 0..300).await;
    let consumer = client.consumer(config(&topic, GroupProtocol::Classic));
    consumer.subscribe([&topic]).expect("subscribed");
    let reading = tokio::spawn({
        let consumer = consumer.clone();
        async move {
            let mut stream = std::pin::pin!(consumer.stream());
            let mut count = 0;
            while let Some(batch) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await {
                count += batch.expect("readable").records().expect("whole").count();
            }
            count
        }
    });
    let until = Instant::now() + PATIENCE;
    let partitions: Vec<TopicPartition> = (0..3).map(|index| at(&topic, index)).collect();
    while !partitions.iter().all(|partition| consumer.position(partition) == Some(Offset::new(100))) {
        assert!(Instant::now() < until, "not all arrive");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    consumer.close().await.expect("committed and left");
    assert_eq!(reading.await.expect("joined"), 300, "the stream ends with the consumer");
    let after = client.consumer(config(&topic, GroupProtocol::Classic));
    let committed = after.committed(&partitions).await.expect("answered");
    assert_eq!(committed.values().map(|one| one.offset.get()).sum::<i64>(), 300);
}

async fn positions_in_a_group_are_sought_paused_and_reset(client: &Client) {
    let topic = fresh_topic(client, "positions", 1).await;
    send(client, &topic, 1, 0..100).await;
    let partition = at(&topic, 0);
    let consumer =
        client.consumer(ConsumerConfig { auto_commit: None, ..config(&topic, GroupProtocol::Classic) });
    consumer.subscribe([&topic]).expect("subscribed");
    read(&consumer, 100).await;
    assert_eq!(consumer.lag(&partition), Some(0));
    assert!(consumer.seek(&partition, StartAt::Offset(Offset::new(90))));
    assert_eq!(consumer.lag(&partition), Some(10));
    assert!(consumer.pause(&partition, true));
    assert!(read_some(&consumer).await.is_empty(), "paused");
    consumer.pause(&partition, false);
    assert_eq!(read(&consumer, 10).await, (90..100).collect::<Vec<u32>>());
    let note = OffsetAndMetadata { metadata: Some("noon".to_owned()), ..Offset::new(42).into() };
    consumer.commit_offsets([(partition.clone(), note.clone())]).await.expect("committed");
    assert_eq!(
        consumer.committed(std::slice::from_ref(&partition)).await.expect("answered")[&partition],
        note
    );
    consumer.commit_async().expect("in a group").await.expect("committed");
    assert_eq!(
        consumer.committed(std::slice::from_ref(&partition)).await.expect("answered")[&partition]
            .offset
            .get(),
        100
    );
    consumer.unsubscribe().await.expect("left");
    assert!(consumer.assignment().is_empty());
    assert_eq!(consumer.group_metadata().expect("in a group").generation_id, None);
    // Without a committed offset the program is told, if that is what it wants.
    let strict = ConsumerConfig {
        offset_reset: OffsetReset::Fail,
        ..config(&format!("{topic}-strict"), GroupProtocol::Classic)
    };
    let strict = client.consumer(strict);
    strict.subscribe([&topic]).expect("subscribed");
    let error = strict.poll(PATIENCE).await.expect_err("nothing is committed");
    assert!(matches!(error.kind(), ErrorKind::NoCommittedOffset), "{error}");
    assert_eq!((error.topic(), error.partition()), (Some(&*topic), Some(0)));
    strict.close().await.expect("left");
    // The same consumer comes back.
    consumer.subscribe([&topic]).expect("subscribed");
    send(client, &topic, 1, 100..110).await;
    assert_eq!(read(&consumer, 10).await, (100..110).collect::<Vec<u32>>());
    consumer.close().await.expect("left");
}

async fn offsets_are_committed_without_being_a_member(client: &Client) {
    let topic = fresh_topic(client, "alone", 1).await;
    send(client, &topic, 1, 0..50).await;
    let partition = at(&topic, 0);
    let consumer = client.consumer(ConsumerConfig { auto_commit: None, ..ConsumerConfig::in_group(&topic) });
    consumer.assign([(partition.clone(), StartAt::Earliest)]);
    read(&consumer, 50).await;
    consumer.commit().await.expect("committed");
    assert_eq!(
        consumer.committed(std::slice::from_ref(&partition)).await.expect("answered")[&partition]
            .offset
            .get(),
        50
    );
    // Once the group has members, they alone may commit.
    let member = client.consumer(config(&topic, GroupProtocol::Classic));
    member.subscribe([&topic]).expect("subscribed");
    until_divided(std::slice::from_ref(&member), &[1]).await;
    let refused =
        consumer.commit_offsets([(partition.clone(), Offset::ZERO)]).await.expect_err("not a member");
    let lost = ErrorCode::UNKNOWN_MEMBER_ID;
    assert!(matches!(refused.kind(), ErrorKind::MembershipLost { code } if *code == lost), "{refused}");
    assert!(!refused.is_retriable());
    member.close().await.expect("left");
    consumer.close().await.expect("closed");
}

async fn what_cannot_work_is_told_at_once_or_by_poll(client: &Client) {
    let loner = client.consumer(ConsumerConfig::default());
    assert!(matches!(
        loner.subscribe(["t"]).expect_err("no group").kind(),
        ErrorKind::InvalidArgument { .. }
    ));
    assert!(loner.commit().await.is_err());
    let topic = fresh_topic(client, "refused", 1).await;
    let consumer = client.consumer(config(&topic, GroupProtocol::Classic));
    assert!(consumer.subscribe(["not a topic"]).is_err());
    assert!(consumer.subscribe_pattern("(").is_err());
    let hasty = ConsumerConfig {
        session_timeout: Duration::from_millis(1),
        ..config(&topic, GroupProtocol::Classic)
    };
    let hasty = client.consumer(hasty);
    hasty.subscribe([&topic]).expect("subscribed");
    for _ in 0..2 {
        let error = hasty.poll(PATIENCE).await.expect_err("refused");
        assert_eq!(error.code(), Some(ErrorCode::INVALID_SESSION_TIMEOUT), "{error}");
    }
    hasty.close().await.expect("nothing to leave");
}
