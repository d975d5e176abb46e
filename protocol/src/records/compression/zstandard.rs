//! Zstandard frames.
//!
//! Contexts are large (about 150 KiB to unpack, more than a megabyte to pack) and dear to set up, so each thread keeps
//! one of each. The window that a frame claims is reserved by the library, but only touched as output arrives.

use std::cell::RefCell;
use std::io::Cursor;

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, compress_bound, max_c_level, min_c_level,
};

use super::{Output, Stopped};

thread_local! {
    static PACKER: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static UNPACKER: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// The least that the output grows by; also the largest block of the format.
const GROWTH_BYTES_MIN: usize = 128 * 1024;

pub(super) fn compress(level: Option<i32>, records: &[u8], into: &mut Vec<u8>) {
    let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL).clamp(min_c_level(), max_c_level());
    let start = into.len();
    into.reserve(compress_bound(records.len()));
    let mut end = Cursor::new(into);
    end.set_position(start as u64);
    PACKER
        .with_borrow_mut(|packer| {
            packer.reset(ResetDirective::SessionAndParameters)?;
            packer.set_parameter(CParameter::CompressionLevel(level))?;
            packer.compress2(&mut end, records)
        })
        .expect("the output has the room that the library asks for");
}

pub(super) fn decompress(packed: &[u8], output: &mut Output) -> Result<(), Stopped> {
    UNPACKER.with_borrow_mut(|unpacker| {
        unpacker.reset(ResetDirective::SessionOnly).map_err(|_| Stopped::Damaged)?;
        let mut input = InBuffer::around(packed);
        loop {
            let filled = output.bytes.len();
            if filled == output.bytes.capacity() {
                // One byte more than allowed, so that a stream that ends exactly at the limit is told from a longer one.
                let growth = filled.max(GROWTH_BYTES_MIN).min(output.room() + 1);
                output.bytes.reserve_exact(growth);
            }
            let mut into = OutBuffer::around_pos(&mut output.bytes, filled);
            let left_in_frame =
                unpacker.decompress_stream(&mut into, &mut input).map_err(|_| Stopped::Damaged)?;
            let input_used_up = input.pos() == packed.len();
            if output.bytes.len() > output.allowance {
                return Err(Stopped::TooLarge);
            }
            if left_in_frame == 0 && input_used_up {
                return Ok(());
            }
            if left_in_frame != 0 && input_used_up && output.bytes.len() < output.bytes.capacity() {
                return Err(Stopped::Damaged);
            }
        }
    })
}
