//! What a record costs: built, checked at the gateway, iterated, packed and unpacked.
//!
//! `check` is the path of a produce request: checksum, header, and the walk over every record. Records of 100 bytes in
//! batches of 16 KiB are the hard case; elements per second are records.

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottla_protocol::records::{BatchBuilder, Compression, OutputLimit, Rules, ValidBatch};
use std::hint::black_box;

/// Value and batch size.
const SHAPES: [(usize, usize); 3] = [(100, 16 * 1024), (100, 1024 * 1024), (1024, 256 * 1024)];

/// Half noise, half text, so that codecs have something to do.
fn value(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size)
        .map(|position| if position % 2 == 0 { noise() } else { b"departure delayed "[position % 18] })
        .collect()
}

fn fill(builder: &mut BatchBuilder, values: &[Vec<u8>], batch_bytes: usize) -> i32 {
    for (timestamp, value) in (1_700_000_000_000..).zip(values.iter().cycle()) {
        if builder.size_estimate() + value.len() + 16 > batch_bytes {
            break;
        }
        builder.push(timestamp, None, Some(value), &[]).expect("far from two gigabytes");
    }
    builder.records_count()
}

fn batch(compression: Compression, (value_bytes, batch_bytes): (usize, usize)) -> (Bytes, i32) {
    let values: Vec<_> = (0..64).map(|seed| value(value_bytes, seed)).collect();
    let mut builder = BatchBuilder::new(compression).with_capacity(batch_bytes);
    let count = fill(&mut builder, &values, batch_bytes);
    (builder.build(), count)
}

fn name((value_bytes, batch_bytes): (usize, usize)) -> String {
    format!("{value_bytes} B in {} KiB", batch_bytes / 1024)
}

fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check");
    for shape in SHAPES {
        let (bytes, count) = batch(Compression::None, shape);
        group.throughput(Throughput::Elements(count as u64));
        for (origin, rules) in [("client", Rules::client(1 << 30)), ("stored", Rules::stored())] {
            group.bench_function(BenchmarkId::new(origin, name(shape)), |bencher| {
                bencher.iter(|| ValidBatch::check(black_box(bytes.clone()), &rules).is_ok());
            });
        }
    }
    group.finish();
}

/// By the number of records, plain and packed: what a batch costs as such, and what each of its records does.
fn check_counted(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check, records of 100 B");
    let values: Vec<_> = (0..64).map(|seed| value(100, seed)).collect();
    for compression in [Compression::None, Compression::Lz4] {
        for count in [1, 100, 10_000] {
            let mut builder = BatchBuilder::new(compression);
            for (timestamp, value) in (1_700_000_000_000..).zip(values.iter().cycle().take(count)) {
                builder.push(timestamp, None, Some(value), &[]).expect("far from two gigabytes");
            }
            let bytes = builder.build();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(compression.name(), count), |bencher| {
                bencher.iter(|| ValidBatch::check(black_box(bytes.clone()), &Rules::client(1 << 30)).is_ok());
            });
        }
    }
    group.finish();
}

fn iterate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("iterate");
    for shape in SHAPES {
        let (bytes, count) = batch(Compression::None, shape);
        let batch = ValidBatch::check(bytes, &Rules::stored()).expect("our own");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(name(shape), |bencher| {
            bencher.iter(|| {
                batch.records(OutputLimit::new(1 << 30)).expect("not packed").map(black_box).count()
            });
        });
    }
    group.finish();
}

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    for shape in SHAPES {
        let (_, count) = batch(Compression::None, shape);
        let values: Vec<_> = (0..64).map(|seed| value(shape.0, seed)).collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(name(shape), |bencher| {
            bencher.iter_batched(
                || BatchBuilder::new(Compression::None).with_capacity(shape.1),
                |mut builder| {
                    fill(&mut builder, &values, shape.1);
                    builder.build()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn codecs(criterion: &mut Criterion) {
    let shape = (100, 1024 * 1024);
    let limit = OutputLimit::new(1 << 30);
    let plain = ValidBatch::check(batch(Compression::None, shape).0, &Rules::stored()).expect("our own");
    for direction in ["pack", "unpack"] {
        let mut group = criterion.benchmark_group(direction);
        group.throughput(Throughput::Bytes(plain.size_in_bytes() as u64)).sample_size(10);
        for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let packed = plain.recompressed(compression.into(), limit).expect("our own");
            group.bench_function(compression.name(), |bencher| {
                bencher.iter(|| match direction {
                    "pack" => plain.recompressed(compression.into(), limit).is_ok(),
                    _ => black_box(packed.records(limit)).is_ok(),
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, check, check_counted, iterate, build, codecs);
criterion_main!(benches);
