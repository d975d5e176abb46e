//! gzip: one member when writing, any number of members when reading, as `GZIPInputStream` reads them.

use std::io::{Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Output, Stopped};

/// Text rarely packs better than this, so most batches need no second allocation.
const USUAL_RATIO: usize = 4;

pub(super) fn compress(level: Option<i32>, records: &[u8], into: &mut Vec<u8>) {
    let level = level
        .map_or(flate2::Compression::default(), |level| flate2::Compression::new(level.clamp(1, 9) as u32));
    let mut encoder = GzEncoder::new(into, level);
    let written = encoder.write_all(records).and_then(|()| encoder.try_finish());
    written.expect("writing to memory does not fail");
}

pub(super) fn decompress(packed: &[u8], output: &mut Output) -> Result<(), Stopped> {
    let allowance = output.allowance;
    output.bytes.reserve_exact(packed.len().saturating_mul(USUAL_RATIO).min(allowance));
    // One byte more than allowed is read, so that a stream that ends exactly at the limit is told from a longer one.
    let mut stream = MultiGzDecoder::new(packed).take(allowance as u64 + 1);
    stream.read_to_end(&mut output.bytes).map_err(|_| Stopped::Damaged)?;
    if output.bytes.len() > allowance { Err(Stopped::TooLarge) } else { Ok(()) }
}
