//! What an append costs: one thread into the page cache, one batch and several at once; several threads into one partition;
//! and with an fsync each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ottla_log::Log;

mod partition;
use partition::{Partition, append, append_then, append_together, batch, config};

/// A partition is thrown away once it holds this much.
const PARTITION_BYTES: u64 = 256 << 20;

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append, one thread");
    for size in [200, 1024, 16 * 1024, 256 * 1024] {
        let batch = batch(size);
        group.throughput(Throughput::Bytes(batch.size_in_bytes() as u64));
        group.bench_function(format!("{size} bytes"), |bencher| {
            bencher
                .iter_custom(|iterations| in_fresh_partitions(iterations, |log| append(log, batch.clone())));
        });
    }
    group.finish();
}

/// What is at hand together is written together: the batches of pipelined requests, in one call of the kernel.
fn together(criterion: &mut Criterion) {
    for size in [200, 16 * 1024] {
        let mut group = criterion.benchmark_group(format!("append together, batches of {size} bytes"));
        let batch = batch(size);
        for count in [1, 5, 100] {
            group.throughput(Throughput::Bytes((count * batch.size_in_bytes()) as u64));
            group.bench_function(format!("{count} batches"), |bencher| {
                bencher.iter_custom(|iterations| {
                    in_fresh_partitions(iterations, |log| append_together(log, &batch, count))
                });
            });
        }
        group.finish();
    }
}

/// The time that so many calls of `work` take; no partition gets too large.
fn in_fresh_partitions(iterations: u64, work: impl Fn(&Arc<Log>)) -> Duration {
    let mut partition = Partition::create(config());
    let mut spent = Duration::ZERO;
    for _ in 0..iterations {
        if partition.log.size_bytes() > PARTITION_BYTES {
            partition = Partition::create(config());
        }
        let started = Instant::now();
        work(&partition.log);
        spent += started.elapsed();
    }
    spent
}

/// Threads that do not wait for their answers: flat combining writes what has gathered at once.
fn several_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append, several threads, 1 KiB");
    let batch = batch(1024);
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for threads in [2u64, 8] {
        group.bench_function(format!("{threads} threads"), |bencher| {
            bencher.iter_custom(|iterations| {
                let partition = Partition::create(config());
                let answered = Arc::new(AtomicU64::new(0));
                let each = iterations.div_ceil(threads);
                let started = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            for _ in 0..each {
                                let answered = answered.clone();
                                append_then(&partition.log, batch.clone(), move |_| {
                                    answered.fetch_add(1, Ordering::Relaxed);
                                });
                            }
                        });
                    }
                });
                let spent = started.elapsed();
                assert_eq!(answered.load(Ordering::Relaxed), each * threads);
                spent.mul_f64(iterations as f64 / (each * threads) as f64)
            });
        });
    }
    group.finish();
}

fn durable(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append and fsync");
    let batch = batch(1024);
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for count in [1, 100] {
        group.bench_function(format!("{count} × 1 KiB"), |bencher| {
            let partition = Partition::create(config());
            bencher.iter(|| {
                append_together(&partition.log, &batch, count);
                partition.log.sync().expect("a sync")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_thread, together, several_threads, durable);
criterion_main!(benches);
