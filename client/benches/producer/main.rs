//! What a producer costs a program, without a network and without a broker: the partitioner, and the accumulator.
//!
//! `partitioner` is murmur2 of a key; `send` is what the caller of `try_send` pays for a record: partition, memory, and its
//! place in a batch. The runtime has one thread, which is the caller's, so nothing is sent meanwhile; `deliver` is the rest of the
//! way: batches built, sent, answered by a peer in memory, and each record's report settled.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measurement has its own clock, and ends at its first surprise"
)]

mod peer;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottla_client::{
    Client, ClientConfig, Compression, Producer, ProducerConfig, ProducerRecord, partition_for_key,
};
use tokio::runtime::Runtime;

use self::peer::{Peer, TOPIC};

/// Records per round, of 100 bytes: more than ten batches of the default size.
const RECORDS: usize = 10_000;
const VALUE: &[u8] = &[b'v'; 100];

fn partitioner(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("partitioner");
    group.throughput(Throughput::Elements(1));
    for bytes in [8, 36, 256] {
        let key: Vec<u8> = (0..bytes).map(|n| (n * 31) as u8).collect();
        group.bench_function(format!("key of {bytes} bytes"), |bencher| {
            bencher.iter(|| partition_for_key(black_box(&key), 100));
        });
    }
    group.finish();
}

/// A producer that knows its topic, on a runtime that runs only when it is waited for.
struct Caller {
    producer: Producer,
    runtime: Runtime,
}

impl Caller {
    fn new(partitions: i32, compression: Compression) -> Caller {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let producer = runtime.block_on(async {
            let config = ClientConfig { connector: Arc::new(Peer { partitions }), ..ClientConfig::default() };
            // What lingers is sent by the flush.
            let linger = Duration::from_secs(3_600);
            let config = (config, ProducerConfig { linger, compression, ..ProducerConfig::default() });
            let producer = Client::new(config.0).producer(config.1);
            assert_eq!(producer.partition_count(TOPIC).await.unwrap(), partitions as u32);
            producer
        });
        Caller { producer, runtime }
    }

    fn send(&self, records: &[ProducerRecord<'_>]) {
        for record in records {
            drop(self.producer.try_send(TOPIC, *record).unwrap());
        }
    }

    fn deliver(&self) {
        self.runtime.block_on(self.producer.flush()).unwrap();
    }
}

fn accumulator(criterion: &mut Criterion) {
    let keys: Vec<String> = (0..RECORDS).map(|number| format!("aircraft-N{number:05}")).collect();
    let keyed: Vec<_> = keys.iter().map(|key| ProducerRecord::key_value(key.as_bytes(), VALUE)).collect();
    let keyless = vec![ProducerRecord::value(VALUE); RECORDS];
    let mut group = criterion.benchmark_group("producer");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (kind, records) in [("without a key", &keyless), ("with a key", &keyed)] {
        for partitions in [1, 100] {
            let caller = Caller::new(partitions, Compression::None);
            group.bench_function(BenchmarkId::new(format!("send, {kind}"), partitions), |bencher| {
                bencher.iter_custom(|rounds| rounds_of(rounds, &caller, records).0);
            });
        }
    }
    for compression in [Compression::None, Compression::Lz4] {
        let caller = Caller::new(100, compression);
        group.bench_function(BenchmarkId::new("deliver", compression.name()), |bencher| {
            bencher.iter_custom(|rounds| rounds_of(rounds, &caller, &keyed).1);
        });
    }
    group.finish();
}

/// How long the sending took, and how long the delivery.
fn rounds_of(rounds: u64, caller: &Caller, records: &[ProducerRecord<'_>]) -> (Duration, Duration) {
    let (mut sending, mut delivering) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        let started = Instant::now();
        caller.send(records);
        let sent = Instant::now();
        caller.deliver();
        sending += sent - started;
        delivering += sent.elapsed();
        assert_eq!(caller.producer.buffered_bytes(), 0, "all is settled");
    }
    assert_eq!(caller.producer.stats().failed_records, 0);
    (sending, delivering)
}

criterion_group!(benches, partitioner, accumulator);
criterion_main!(benches);
