//! LZ4 frames.
//!
//! Written as Java's `KafkaLZ4BlockOutputStream` writes them: independent blocks of 64 KiB, no content checksum. As there
//! the usual level is the fast way, and every other one a search ([`high`]).
//! Read as the frame format allows them: any block size, linked blocks, block and content checksums, content size,
//! several frames, skippable frames. A dictionary id is refused, for there is no dictionary. The reader is our own,
//! on top of the block decoder: it unpacks straight into the output, and it does not take a cut stream for a whole one.
//!
//! Source: the LZ4 Frame Format Description, version 1.6.

mod high;

use std::io::Write;

use lz4_flex::block::{DecompressError, decompress_into, decompress_into_with_dict};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use self::high::HighPacker;
use super::{Output, Stopped};

const MAGIC: u32 = 0x184d_2204;
const SKIPPABLE: std::ops::RangeInclusive<u32> = 0x184d_2a50..=0x184d_2a5f;

const FLAG_VERSION: u8 = 0b1100_0000;
const FLAG_VERSION_1: u8 = 0b0100_0000;
const FLAG_INDEPENDENT: u8 = 0b0010_0000;
const FLAG_BLOCK_CHECKSUM: u8 = 0b0001_0000;
const FLAG_CONTENT_SIZE: u8 = 0b0000_1000;
const FLAG_CONTENT_CHECKSUM: u8 = 0b0000_0100;
const FLAG_RESERVED: u8 = 0b0000_0010;
const FLAG_DICTIONARY: u8 = 0b0000_0001;

/// The top bit of a block's size says that it is stored, not compressed.
const STORED: u32 = 1 << 31;
/// How far a linked block may look back.
const WINDOW_BYTES: usize = 64 * 1024;
/// One length byte of a match yields at most 255 bytes.
const RATIO_MAX: usize = 255;

/// Kafka's default level, which is the fast way.
const LEVEL_FAST: i32 = 9;
/// Independent blocks, and nothing else.
const FLAGS_WRITTEN: u8 = FLAG_VERSION_1 | FLAG_INDEPENDENT;
/// In the descriptor: blocks of at most 64 KiB.
const BLOCKS_OF_64_KIB: u8 = 0x40;
const BLOCK_BYTES: usize = 64 * 1024;

pub(super) fn compress(level: Option<i32>, records: &[u8], into: &mut Vec<u8>) {
    match level {
        None | Some(LEVEL_FAST) => compress_fast(records, into),
        Some(level) => compress_high(level, records, into),
    }
}

fn compress_high(level: i32, records: &[u8], into: &mut Vec<u8>) {
    let descriptor = [FLAGS_WRITTEN, BLOCKS_OF_64_KIB];
    into.extend_from_slice(&MAGIC.to_le_bytes());
    into.extend_from_slice(&descriptor);
    into.push((XxHash32::oneshot(0, &descriptor) >> 8) as u8);
    let mut packer = HighPacker::new(level);
    for block in records.chunks(BLOCK_BYTES) {
        let size_at = into.len();
        let start = size_at + 4;
        into.extend_from_slice(&[0; 4]);
        packer.pack(block, into);
        let mut size = (into.len() - start) as u32;
        if size as usize >= block.len() {
            into.truncate(start);
            into.extend_from_slice(block);
            size = block.len() as u32 | STORED;
        }
        into[size_at..start].copy_from_slice(&size.to_le_bytes());
    }
    into.extend_from_slice(&[0; 4]);
}

fn compress_fast(records: &[u8], into: &mut Vec<u8>) {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, into);
    let written = encoder.write_all(records).map_err(Into::into).and_then(|()| encoder.try_finish());
    written.expect("writing to memory does not fail");
}

pub(super) fn decompress(packed: &[u8], output: &mut Output) -> Result<(), Stopped> {
    let mut input = Input { rest: packed };
    loop {
        match input.u32()? {
            MAGIC => frame(&mut input, output)?,
            magic if SKIPPABLE.contains(&magic) => {
                let length = input.u32()? as usize;
                input.take(length)?;
            }
            _ => return Err(Stopped::Damaged),
        }
        if input.rest.is_empty() {
            return Ok(());
        }
    }
}

/// What a frame says about its blocks.
struct Descriptor {
    flags: u8,
    block_bytes_max: usize,
    content_bytes: Option<u64>,
}

fn frame(input: &mut Input<'_>, output: &mut Output) -> Result<(), Stopped> {
    let descriptor = descriptor(input)?;
    let frame_start = output.bytes.len();
    loop {
        let size = input.u32()?;
        if size == 0 {
            break;
        }
        let block = input.take((size & !STORED) as usize)?;
        if block.len() > descriptor.block_bytes_max {
            return Err(Stopped::Damaged);
        }
        if descriptor.flags & FLAG_BLOCK_CHECKSUM != 0 && input.u32()? != XxHash32::oneshot(0, block) {
            return Err(Stopped::Damaged);
        }
        if size & STORED != 0 {
            output.extend(block)?;
        } else {
            let window_start = if descriptor.flags & FLAG_INDEPENDENT != 0 {
                output.bytes.len()
            } else {
                frame_start.max(output.bytes.len().saturating_sub(WINDOW_BYTES))
            };
            unpack_block(block, descriptor.block_bytes_max, window_start, output)?;
        }
    }
    let content = &output.bytes[frame_start..];
    if descriptor.flags & FLAG_CONTENT_CHECKSUM != 0 && input.u32()? != XxHash32::oneshot(0, content) {
        return Err(Stopped::Damaged);
    }
    match descriptor.content_bytes {
        Some(claimed) if claimed != content.len() as u64 => Err(Stopped::Damaged),
        _ => Ok(()),
    }
}

fn descriptor(input: &mut Input<'_>) -> Result<Descriptor, Stopped> {
    let start = input.rest;
    let flags = input.take(1)?[0];
    let block_descriptor = input.take(1)?[0];
    if flags & FLAG_VERSION != FLAG_VERSION_1 || flags & (FLAG_RESERVED | FLAG_DICTIONARY) != 0 {
        return Err(Stopped::Damaged);
    }
    let block_bytes_max = match block_descriptor {
        0x40 => 64 * 1024,
        0x50 => 256 * 1024,
        0x60 => 1024 * 1024,
        0x70 => 4 * 1024 * 1024,
        _ => return Err(Stopped::Damaged),
    };
    let mut content_bytes = None;
    if flags & FLAG_CONTENT_SIZE != 0 {
        let mut eight = [0; 8];
        eight.copy_from_slice(input.take(8)?);
        content_bytes = Some(u64::from_le_bytes(eight));
    }
    let described = &start[..start.len() - input.rest.len()];
    if input.take(1)?[0] != (XxHash32::oneshot(0, described) >> 8) as u8 {
        return Err(Stopped::Damaged);
    }
    Ok(Descriptor { flags, block_bytes_max, content_bytes })
}

fn unpack_block(
    block: &[u8],
    block_bytes_max: usize,
    window_start: usize,
    output: &mut Output,
) -> Result<(), Stopped> {
    let possible = block.len().saturating_mul(RATIO_MAX).min(block_bytes_max);
    let cut_by_limit = possible > output.room();
    output.fill(possible, |behind, earlier| {
        let window = &earlier[window_start..];
        let unpacked = if window.is_empty() {
            decompress_into(block, behind)
        } else {
            decompress_into_with_dict(block, behind, window)
        };
        unpacked.map_err(|error| match error {
            DecompressError::OutputTooSmall { .. } if cut_by_limit => Stopped::TooLarge,
            _ => Stopped::Damaged,
        })
    })
}

/// The packed bytes that are left; all numbers of the format are little-endian.
struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stopped> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Stopped::Damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Stopped> {
        let (four, rest) = self.rest.split_first_chunk().ok_or(Stopped::Damaged)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*four))
    }
}
