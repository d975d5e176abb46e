//! Zstandard frames.
//!
//! Contexts are large (about 150 KiB to unpack, more than a megabyte to pack) and dear to set up, so each thread keeps
//! one of each. The window that a frame claims is reserved by the library, but only touched as output arrives; a context
//! that a large window or a high level has made larger than [`KEPT_BYTES_MAX`] is given back after use.

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

/// The largest context that a thread keeps: enough for the default level and the 2 MiB window that comes with it.
const KEPT_BYTES_MAX: usize = 4 << 20;

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
            let packed = packer.compress2(&mut end, records);
            if packer.sizeof() > KEPT_BYTES_MAX {
                *packer = CCtx::create();
            }
            packed
        })
        .expect("the output has the room that the library asks for");
}

pub(super) fn decompress(packed: &[u8], output: &mut Output) -> Result<(), Stopped> {
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacked = unpack(unpacker, packed, output);
        if unpacker.sizeof() > KEPT_BYTES_MAX {
            *unpacker = DCtx::create();
        }
        unpacked
    })
}

fn unpack(unpacker: &mut DCtx<'static>, packed: &[u8], output: &mut Output) -> Result<(), Stopped> {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs with a declared window of 128 MiB, as level 22 of a streaming producer does.
    #[test]
    fn a_context_that_a_frame_has_made_large_is_not_kept() {
        let mut packer = CCtx::create();
        packer.set_parameter(CParameter::WindowLog(27)).unwrap();
        packer.set_parameter(CParameter::ContentSizeFlag(false)).unwrap();
        let mut packed = Vec::with_capacity(compress_bound(1 << 20));
        let mut out = OutBuffer::around(&mut packed);
        packer.compress_stream(&mut out, &mut InBuffer::around(&[7; 1 << 20])).unwrap();
        while packer.end_stream(&mut out).unwrap() > 0 {}

        let mut grown = DCtx::create();
        unpack(&mut grown, &packed, &mut Output { bytes: Vec::new(), allowance: 2 << 20 }).unwrap();
        assert!(grown.sizeof() > KEPT_BYTES_MAX, "{}", grown.sizeof());

        let mut output = Output { bytes: Vec::new(), allowance: 2 << 20 };
        decompress(&packed, &mut output).unwrap();
        assert_eq!(output.bytes, [7; 1 << 20]);
        assert!(UNPACKER.with_borrow(|unpacker| unpacker.sizeof()) <= KEPT_BYTES_MAX);
    }
}
