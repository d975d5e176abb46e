//! What a rebalance must and must not do to a program: who is told what and when, who dies, who comes back.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ottla_client::{
    Assignor, Client, ClientConfig, Consumer, ConsumerConfig, GroupProtocol, NewTopic, RebalanceListener,
    Rebalancing, TopicPartition,
};

use super::fresh_topic;
use super::groups::{PATIENCE, config, read_some, send, until_divided};

/// A client of the same cluster that looks at its metadata every half second.
fn curious(client: &Client) -> Client {
    let bootstrap = client.brokers().into_iter().map(|broker| broker.address).collect();
    let metadata_max_age = Duration::from_millis(500);
    Client::new(ClientConfig { bootstrap, metadata_max_age, ..ClientConfig::default() })
}

/// Writes down what it hears, and commits what goes.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(&'static str, usize)>>>);

impl Diary {
    fn entries(&self) -> Vec<(&'static str, usize)> {
        self.0.lock().expect("whole").clone()
    }

    fn write(&self, what: &'static str, partitions: &[TopicPartition]) {
        self.0.lock().expect("whole").push((what, partitions.len()));
    }
}

impl RebalanceListener for Diary {
    fn on_assigned<'a>(
        &'a self,
        _consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> Rebalancing<'a> {
        Box::pin(async move { self.write("assigned", partitions) })
    }

    fn on_revoked<'a>(&'a self, consumer: &'a Consumer, partitions: &'a [TopicPartition]) -> Rebalancing<'a> {
        Box::pin(async move {
            let before = consumer.assignment();
            assert!(partitions.iter().all(|one| before.contains(one)), "still owned");
            consumer.commit().await.expect("committed");
            self.write("revoked", partitions);
        })
    }

    fn on_lost<'a>(&'a self, _consumer: &'a Consumer, partitions: &'a [TopicPartition]) -> Rebalancing<'a> {
        Box::pin(async move { self.write("lost", partitions) })
    }
}

/// Polls until this holds; what is read.
async fn poll_until(consumers: &[&Consumer], what: &str, mut holds: impl FnMut() -> bool) -> Vec<u32> {
    let (until, mut numbers) = (Instant::now() + PATIENCE, Vec::new());
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        for consumer in consumers {
            numbers.extend(read_some(consumer).await);
        }
    }
    numbers
}

/// The batch in hand is finished and committed before its partition goes, and the next owner begins behind it.
pub(crate) async fn partitions_go_after_the_program_is_done_with_them(
    client: &Client,
    protocol: GroupProtocol,
    assignor: Assignor,
) {
    let topic = fresh_topic(client, "listener", 2).await;
    send(client, &topic, 2, 0..40).await;
    let manual = ConsumerConfig { auto_commit: None, assignors: vec![assignor], ..config(&topic, protocol) };
    let (first, diary) = (client.consumer(manual.clone()), Diary::default());
    first.set_rebalance_listener(diary.clone()).expect("in a group");
    first.subscribe([&topic]).expect("subscribed");
    poll_until(&[], "joins without a poll", || first.assignment().len() == 2).await;
    let mut numbers = Vec::new();
    // Both partitions have something in hand, and the program is busy with it.
    while numbers.len() < 40 {
        numbers.extend(read_some(&first).await);
    }
    let second = client.consumer(manual);
    second.subscribe([&topic]).expect("subscribed");
    let busy_until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < busy_until {
        assert!(read_some(&second).await.is_empty(), "the first is not done");
        assert_eq!(diary.entries(), [("assigned", 2)]);
    }
    let read = poll_until(&[&first, &second], "shared", || {
        (first.assignment().len(), second.assignment().len()) == (1, 1)
    })
    .await;
    assert!(read.is_empty(), "everything was committed");
    let entries = diary.entries();
    let whole = protocol == GroupProtocol::Classic && assignor != Assignor::CooperativeSticky;
    assert_eq!(entries[1], ("revoked", if whole { 2 } else { 1 }), "{entries:?}");
    assert!(entries[1..].iter().all(|(what, _)| *what != "lost"), "{entries:?}");
    send(client, &topic, 2, 40..60).await;
    let mut fresh = Vec::new();
    while fresh.len() < 20 {
        fresh.extend(read_some(&first).await);
        fresh.extend(read_some(&second).await);
    }
    assert!(fresh.iter().all(|number| *number >= 40), "{fresh:?}");
    first.close().await.expect("left");
    assert_eq!(diary.entries().last().map(|(what, _)| *what), Some("revoked"));
    second.close().await.expect("left");
}

/// A group of three in which one dies without a word: the others have all of it after a session, and nothing is missing.
pub(crate) async fn who_dies_is_replaced_and_nothing_is_missing(client: &Client) {
    let topic = fresh_topic(client, "killed", 6).await;
    let members: Vec<Consumer> =
        (0..2).map(|_| client.consumer(config(&topic, GroupProtocol::Classic))).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime to kill");
    let doomed = {
        let (client, config) = (curious(client), config(&topic, GroupProtocol::Classic));
        runtime.spawn(async move { client.consumer(config) }).await.expect("started")
    };
    let all = [members[0].clone(), members[1].clone(), doomed.clone()];
    for member in &all {
        member.subscribe([&topic]).expect("subscribed");
    }
    until_divided(&all, &[2, 2, 2]).await;
    send(client, &topic, 6, 0..600).await;
    let mut of_the_dead = BTreeSet::new();
    while of_the_dead.is_empty() {
        of_the_dead.extend(read_some(&doomed).await);
    }
    let died = Instant::now();
    runtime.shutdown_background();
    let mut numbers = BTreeSet::new();
    while numbers.len() < 600 {
        assert!(died.elapsed() < PATIENCE, "{} of 600", numbers.len());
        for member in &members {
            numbers.extend(read_some(member).await);
        }
    }
    assert!(of_the_dead.is_subset(&numbers), "what the dead did not commit is read again");
    for member in members {
        member.close().await.expect("left");
    }
}

/// Topics that match are read, also those that are created later.
pub(crate) async fn a_pattern_picks_up_new_topics(client: &Client, protocol: GroupProtocol) {
    let first = fresh_topic(client, "pattern", 1).await;
    send(client, &first, 1, 0..10).await;
    let consumer = curious(client).consumer(config(&first, protocol));
    consumer.subscribe_pattern(&format!("{first}.*")).expect("subscribed");
    let mut numbers = BTreeSet::new();
    while numbers.len() < 10 {
        numbers.extend(read_some(&consumer).await);
    }
    let second = format!("{first}-later");
    client.admin().create_topic(NewTopic::new(&second).partitions(2)).await.expect("created");
    client.admin().wait_for_leaders(&second).await.expect("led");
    send(client, &second, 2, 10..20).await;
    let until = Instant::now() + PATIENCE;
    while numbers.len() < 20 {
        assert!(Instant::now() < until, "{numbers:?} of {:?}", consumer.assignment());
        numbers.extend(read_some(&consumer).await);
    }
    assert_eq!(consumer.assignment().len(), 3);
    consumer.close().await.expect("left");
}

/// A static member that comes back in time finds what it had, and nobody else hears of it.
pub(crate) async fn a_static_member_comes_back_without_a_rebalance(client: &Client, protocol: GroupProtocol) {
    let topic = fresh_topic(client, "static", 4).await;
    let named = |name: &str| ConsumerConfig {
        group_instance_id: Some(name.to_owned()),
        session_timeout: Duration::from_secs(20),
        ..config(&topic, protocol)
    };
    let (first, diary) = (client.consumer(named("one")), Diary::default());
    first.set_rebalance_listener(diary.clone()).expect("in a group");
    let second = client.consumer(named("two"));
    for member in [&first, &second] {
        member.subscribe([&topic]).expect("subscribed");
    }
    let members = [first.clone(), second.clone()];
    until_divided(&members, &[2, 2]).await;
    send(client, &topic, 4, 0..40).await;
    let mut numbers = BTreeSet::new();
    while numbers.len() < 40 {
        for member in &members {
            numbers.extend(read_some(member).await);
        }
    }
    let (had, heard) = (second.assignment(), diary.entries());
    let generation = first.group_metadata().expect("in a group").generation_id;
    second.close().await.expect("committed");
    let back = client.consumer(named("two"));
    back.subscribe([&topic]).expect("subscribed");
    let again = poll_until(&[&first, &back], "back", || !back.assignment().is_empty()).await;
    assert!(again.is_empty(), "{again:?} was committed");
    assert_eq!(back.assignment(), had);
    assert_eq!(diary.entries(), heard, "the other hears nothing");
    assert_eq!(first.group_metadata().expect("in a group").generation_id, generation);
    for member in [first, back] {
        member.close().await.expect("left");
    }
}

/// A program that stops polling leaves in time, another takes over, and its next poll brings it back.
pub(crate) async fn who_does_not_poll_leaves_and_comes_back(client: &Client, protocol: GroupProtocol) {
    let topic = fresh_topic(client, "stalled", 2).await;
    let impatient = ConsumerConfig { rebalance_timeout: Duration::from_secs(2), ..config(&topic, protocol) };
    let (first, diary) = (client.consumer(impatient), Diary::default());
    first.set_rebalance_listener(diary.clone()).expect("in a group");
    let second = client.consumer(config(&topic, protocol));
    for member in [&first, &second] {
        member.subscribe([&topic]).expect("subscribed");
    }
    let members = [first.clone(), second.clone()];
    until_divided(&members, &[1, 1]).await;
    poll_until(&[&second], "taken over", || second.assignment().len() == 2).await;
    assert_eq!(diary.entries().last(), Some(&("lost", 1)));
    assert!(first.assignment().is_empty());
    until_divided(&members, &[1, 1]).await;
    for member in members {
        member.close().await.expect("left");
    }
}

/// A consumer that is dropped leaves in the background: nobody waits for its session to run out.
pub(crate) async fn dropping_is_leaving(client: &Client, protocol: GroupProtocol) {
    let topic = fresh_topic(client, "dropped", 2).await;
    let patient = ConsumerConfig { session_timeout: Duration::from_secs(25), ..config(&topic, protocol) };
    let members = [client.consumer(patient.clone()), client.consumer(patient)];
    for member in &members {
        member.subscribe([&topic]).expect("subscribed");
    }
    until_divided(&members, &[1, 1]).await;
    let [stays, goes] = members;
    let dropped = Instant::now();
    drop(goes);
    until_divided(std::slice::from_ref(&stays), &[2]).await;
    assert!(dropped.elapsed() < Duration::from_secs(15), "{:?}", dropped.elapsed());
    stays.close().await.expect("left");
}
