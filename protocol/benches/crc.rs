//! How fast a batch is summed: CRC-32C over the sizes that batches have.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ottla_protocol::records::crc32c;
use std::hint::black_box;

fn crc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crc32c");
    for size in [128, 4 * 1024, 16 * 1024, 256 * 1024, 1024 * 1024] {
        let bytes: Vec<u8> = (0..size).map(|n| (n * 31) as u8).collect();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{size} bytes"), |bencher| bencher.iter(|| crc32c(black_box(&bytes))));
    }
    group.finish();
}

criterion_group!(benches, crc);
criterion_main!(benches);
