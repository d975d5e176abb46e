//! What a look-up costs: an offset or a timestamp, in a log of one segment and of many.
//!
//! A read of one byte is the look-up in the offset index and the scan of the batches behind the entry.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ottla_log::LogConfig;
use ottla_protocol::Offset;

mod partition;
use partition::{Partition, batch, config};

const LOG_BYTES: u64 = 64 << 20;

fn look_ups(criterion: &mut Criterion) {
    let batch = batch(1024);
    let shapes = [("1 segment", config()), ("64 segments", LogConfig { segment_bytes: 1 << 20, ..config() })];
    for (shape, config) in shapes {
        let partition = Partition::filled(config, &batch, LOG_BYTES);
        let log = &partition.log;
        let end = log.log_end_offset();
        let mut state = 1u64;
        let mut next = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as i64
        };
        let mut group = criterion.benchmark_group("look up");
        group.bench_function(BenchmarkId::new("offset", shape), |bencher| {
            bencher.iter(|| {
                log.read(Offset::new(next() % end.get()), end, 1, true).expect("in range").base_offset
            });
        });
        // Every batch spans the same few milliseconds.
        group.bench_function(BenchmarkId::new("timestamp", shape), |bencher| {
            let first = batch.header().base_timestamp;
            bencher.iter(|| log.offset_for_timestamp(first + next() % 8).expect("readable"));
        });
        group.finish();
    }
}

criterion_group!(benches, look_ups);
criterion_main!(benches);
