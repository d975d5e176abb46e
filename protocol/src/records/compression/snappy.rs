//! Snappy, in xerial's framing or bare.
//!
//! Java writes what `SnappyOutputStream` of snappy-java writes, and so do we:
//! ```text
//! ┌────────────────────────┬───────────┬────────────────────┬──────────────┬─────────────────────┐
//! │ 82 'S''N''A''P''P''Y' 0│ version 1 │ compatible from 1  │ chunk length │ one snappy block    │ …
//! └────────────────────────┴───────────┴────────────────────┴──────────────┴─────────────────────┘
//!  8 bytes                  4, big end. 4                    4, big endian  of at most 32 KiB unpacked when writing
//! ```
//! Anything that does not begin with the magic bytes is one bare block, as librdkafka and franz-go send it.

use super::{Output, Stopped};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_BYTES: usize = 16;
/// The block size of snappy-java, which its readers expect to be able to hold.
const BLOCK_BYTES: usize = 32 * 1024;
/// A copy of three bytes yields at most 64, so no honest block unpacks to more than 22 times its size.
const RATIO_MAX: usize = 22;

pub(super) fn compress(records: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&MAGIC);
    into.extend_from_slice(&1i32.to_be_bytes());
    into.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(BLOCK_BYTES) {
        let length_at = into.len();
        let start = length_at + 4;
        into.resize(start + snap::raw::max_compress_len(block.len()), 0);
        let written =
            encoder.compress(block, &mut into[start..]).expect("the block is small and has its room");
        into[length_at..start].copy_from_slice(&(written as u32).to_be_bytes());
        into.truncate(start + written);
    }
}

pub(super) fn decompress(packed: &[u8], output: &mut Output) -> Result<(), Stopped> {
    if packed.len() < HEADER_BYTES || !packed.starts_with(&MAGIC) {
        return block(packed, output);
    }
    let mut rest = &packed[HEADER_BYTES..];
    while !rest.is_empty() {
        // Streams may follow one another, each with its own header.
        if rest.len() >= HEADER_BYTES && rest.starts_with(&MAGIC) {
            rest = &rest[HEADER_BYTES..];
            continue;
        }
        let (length, behind) = rest.split_first_chunk().ok_or(Stopped::Damaged)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (chunk, behind) = behind.split_at_checked(length).ok_or(Stopped::Damaged)?;
        block(chunk, output)?;
        rest = behind;
    }
    Ok(())
}

fn block(packed: &[u8], output: &mut Output) -> Result<(), Stopped> {
    let claimed = snap::raw::decompress_len(packed).map_err(|_| Stopped::Damaged)?;
    if claimed > packed.len().saturating_mul(RATIO_MAX) {
        return Err(Stopped::Damaged);
    }
    if claimed > output.room() {
        return Err(Stopped::TooLarge);
    }
    output.fill(claimed, |behind, _| {
        snap::raw::Decoder::new().decompress(packed, behind).map_err(|_| Stopped::Damaged)
    })
}
