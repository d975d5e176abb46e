//! A round of compaction: bytes of log per second, read twice and written once, with each codec.
//!
//! Ten records of each key, so that nine tenths of what is read go; batches of 16 KiB of records with keys of 20 and values
//! of 200 bytes.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ottla_log::{CleanSettings, LogConfig};
use ottla_protocol::Offset;
use ottla_protocol::records::{BatchBuilder, Compression, Rules, ValidBatch};

mod partition;
use partition::{Partition, append, config};

const RECORDS: u64 = 240_000;
const KEYS: u64 = RECORDS / 10;
const NOW_MS: i64 = 1_700_000_000_000;

fn rounds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clean");
    group.sample_size(10);
    for compression in Compression::ALL {
        let batches = batches(compression);
        let bytes: usize = batches.iter().map(ValidBatch::size_in_bytes).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(compression.name(), |bencher| {
            let filled = || {
                let compacted = LogConfig { segment_bytes: 16 << 20, cleanup_compact: true, ..config() };
                let partition = Partition::create(compacted);
                batches.iter().for_each(|batch| append(&partition.log, batch.clone()));
                partition.log.roll(NOW_MS).expect("a roll");
                partition.log.checkpoint().expect("a checkpoint");
                partition
            };
            let clean = |partition: Partition| {
                let settings = CleanSettings {
                    now_ms: NOW_MS,
                    last_stable_offset: Offset::MAX,
                    dedupe_buffer_bytes: 128 << 20,
                    load_factor: 0.9,
                    io_buffer_bytes: 512 << 10,
                    secret: 7,
                };
                let cleaned = partition.log.clean(settings, &mut |_| true).expect("a round");
                assert_eq!(cleaned.keys as u64, KEYS);
                // Dropped outside of the measurement.
                partition
            };
            bencher.iter_batched(filled, clean, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn batches(compression: Compression) -> Vec<ValidBatch> {
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::new(compression);
    for number in 0..RECORDS {
        let key = format!("key-{:016}", number.wrapping_mul(7919) % KEYS);
        let value = format!("{number:0100}{:0100}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        builder.push(NOW_MS, Some(key.as_bytes()), Some(value.as_bytes()), &[]).expect("it fits");
        if builder.size_estimate() > 16 << 10 {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(compression));
            batches.push(ValidBatch::check(full.build(), &Rules::stored()).expect("our own batch"));
        }
    }
    batches.push(ValidBatch::check(builder.build(), &Rules::stored()).expect("our own batch"));
    batches
}

criterion_group!(benches, rounds);
criterion_main!(benches);
