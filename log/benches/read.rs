//! What a fetch asks of the log: find the slice, and copy it where it is too small to be sent from the file.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ottla_protocol::Offset;
use std::hint::black_box;

mod partition;
use partition::{Partition, batch, config};

const LOG_BYTES: u64 = 64 << 20;

fn slices(criterion: &mut Criterion) {
    let batch = batch(16 * 1024);
    let partition = Partition::filled(config(), &batch, LOG_BYTES);
    let log = &partition.log;
    let end = log.log_end_offset();
    let mut group = criterion.benchmark_group("read");
    for bytes_max in [16 * 1024, 1 << 20] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("slice of {} KiB at the end", bytes_max / 1024), |bencher| {
            let from = Offset::new(end.get() - 1);
            bencher
                .iter(|| log.read(black_box(from), end, bytes_max, true).expect("in range").slice.is_some());
        });
        group.bench_function(format!("slice of {} KiB anywhere", bytes_max / 1024), |bencher| {
            let mut offsets = scattered(end.get());
            bencher.iter(|| {
                let from = offsets.next().expect("endless");
                log.read(from, end, bytes_max, true).expect("in range").slice.is_some()
            });
        });
    }
    group.throughput(Throughput::Bytes(16 * 1024));
    group.bench_function("copy of 16 KiB", |bencher| {
        let mut offsets = scattered(end.get());
        bencher.iter(|| {
            let from = offsets.next().expect("endless");
            let read = log.read(from, end, 16 * 1024, true).expect("in range");
            read.slice.map(|slice| slice.to_bytes().expect("readable").len())
        });
    });
    group.finish();
}

/// Offsets below `end` in an order that no cache foresees.
fn scattered(end: i64) -> impl Iterator<Item = Offset> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(Offset::new((state % end as u64) as i64))
    })
}

criterion_group!(benches, slices);
criterion_main!(benches);
