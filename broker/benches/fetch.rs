//! What a fetch costs from request to answer over loopback, for the client and for a broker in this process: one partition,
//! a hundred and a thousand, each with a batch of a kilobyte; all of them named each time, and in a session (KIP-227) in which
//! nothing or one partition moved.
//!
//! The difference between rows is the assembly of the answer; a round trip on loopback is in all of them.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement has its own clock, and ends at its first surprise"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use ottla_protocol::codec::Str;
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::metadata::MetadataRequest;
use support::{Client, TestBroker, batches, requests};

const VERSION: i16 = 11;
const TOPIC: &str = "fetched";

/// A request for partitions `[0, partitions)` from this offset; it does not wait.
fn request(partitions: i32, offset: i64) -> FetchRequest {
    let partition = |partition| FetchPartition {
        partition,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: Str::from(TOPIC),
        partitions: (0..partitions).map(partition).collect(),
        ..FetchTopic::default()
    };
    FetchRequest { max_bytes: 1 << 25, topics: vec![topic], ..FetchRequest::default() }
}

/// A broker with one batch in each of so many partitions.
fn filled(partitions: i32) -> (TestBroker, Client) {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    client.create_topic(TOPIC, partitions, &[]);
    client.wait_for_leaders(TOPIC);
    let value = "v".repeat(1 << 10);
    for partition in 0..partitions {
        client.call(8, requests::produce(TOPIC, partition, 1, batches::batch(&[&value])));
    }
    (broker, client)
}

fn fetch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fetch");
    for partitions in [1, 100, 1_000] {
        let (_broker, mut client) = filled(partitions);
        group.bench_function(format!("{partitions} partitions with a batch each"), |bencher| {
            bencher.iter(|| {
                let answer = client.call(VERSION, request(partitions, 0));
                assert_eq!(answer.responses[0].partitions.len(), partitions as usize);
            });
        });
        group.bench_function(format!("{partitions} partitions at their ends"), |bencher| {
            bencher.iter(|| client.call(VERSION, request(partitions, 1)));
        });
        session(&mut group, &mut client, partitions);
    }
    group.finish();
}

/// A session that knows all partitions at their ends: first nothing is new, then one partition goes back.
fn session(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    client: &mut Client,
    partitions: i32,
) {
    let opened = client.call(VERSION, FetchRequest { session_epoch: 0, ..request(partitions, 1) });
    assert_ne!(opened.session_id, 0, "a session");
    let mut epoch = 0;
    let mut ask = |client: &mut Client, topics: Vec<FetchTopic>| {
        epoch += 1;
        let asked =
            FetchRequest { session_id: opened.session_id, session_epoch: epoch, topics, ..request(0, 1) };
        client.call(VERSION, asked)
    };
    group.bench_function(format!("session of {partitions} partitions, nothing new"), |bencher| {
        bencher.iter(|| assert!(ask(client, Vec::new()).responses.is_empty()));
    });
    group.bench_function(format!("session of {partitions} partitions, one with a batch"), |bencher| {
        bencher.iter(|| assert_eq!(ask(client, request(1, 0).topics).responses.len(), 1));
    });
}

/// The round trip that every row above has in it.
fn round_trip(criterion: &mut Criterion) {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let nothing = || MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
    criterion.bench_function("metadata of no topic", |bencher| bencher.iter(|| client.call(12, nothing())));
}

criterion_group!(benches, round_trip, fetch);
criterion_main!(benches);
