//! Decompression bombs, one per codec, and what they cost: the peak of this process is measured, so it is a test
//! binary of its own with a single test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::records::{BatchBuilder, BatchError, Compression, OutputLimit, Rules, ValidBatch};

const PAYLOAD_BYTES: usize = 96 << 20;
const LIMIT_BYTES: usize = 2 << 20;
/// Twice the limit for a growing buffer, the codec's own tables, and slack for the allocator.
const PEAK_BYTES_MAX: u64 = 16 << 20;

fn bomb(compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    builder.push(0, None, Some(&vec![0; PAYLOAD_BYTES]), &[]).unwrap();
    builder.build()
}

/// Forgets the highest resident size so far; Linux only, as the rest of the house.
fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_bomb_costs_no_more_memory_than_the_limit_and_is_named_as_one() {
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let bomb = bomb(compression);
        assert!(bomb.len() < PAYLOAD_BYTES / 15, "{compression} packs zeros to {} bytes", bomb.len());
        let limit = OutputLimit::new(LIMIT_BYTES);
        let rules = Rules { walk_compressed: true, output: limit, ..Rules::client(1 << 30) };
        reset_peak();
        let before = memory("VmRSS");
        let error = ValidBatch::check(bomb.clone(), &rules).unwrap_err();
        let unwalked = ValidBatch::check(bomb.clone(), &Rules::client(1 << 30)).unwrap();
        let also = unwalked.records(limit).unwrap_err();
        let cost = memory("VmHWM").saturating_sub(before);
        assert_eq!(error, also);
        assert_eq!(error, BatchError::DecompressedTooLarge { compression, bytes_max: LIMIT_BYTES });
        assert_eq!(error.code(), ErrorCode::MESSAGE_TOO_LARGE);
        assert!(cost < PEAK_BYTES_MAX, "{compression}: {cost} bytes");
    }

    // Even under a generous cap, a ratio that no record data has is not unpacked to the end.
    let small = bomb(Compression::Zstd);
    let generous = OutputLimit::new(PAYLOAD_BYTES * 2);
    let batch = ValidBatch::check(small.clone(), &Rules::client(1 << 30)).unwrap();
    let allowance = (small.len() - 61) * OutputLimit::RATIO_MAX;
    let error = batch.records(generous).unwrap_err();
    assert_eq!(
        error,
        BatchError::DecompressedTooLarge {
            compression: Compression::Zstd,
            bytes_max: allowance.max(OutputLimit::RATIO_FREE_BYTES)
        }
    );
}
