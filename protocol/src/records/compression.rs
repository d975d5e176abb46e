//! The four codecs of record batches, and the bound on what they may unpack to.
//!
//! A codec compresses the records behind a batch header as one piece. Unpacking trusts nothing: room for output is
//! made for what a piece of input can really hold, never for what a length field claims, and [`OutputLimit`] ends a
//! decompression bomb. Framing follows Apache Kafka: gzip members, snappy in xerial's chunks (bare snappy is read too,
//! which is what librdkafka and franz-go send), LZ4 frames, Zstandard frames.

mod gzip;
mod lz4;
mod snappy;
mod zstandard;

use std::fmt;
use std::str::FromStr;

use super::{BatchError, UnpackBudget};

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks, framed as xerial's `SnappyOutputStream` does.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// A compression name that Kafka does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression {0:?}: expected none, gzip, snappy, lz4 or zstd")]
pub struct UnknownCompression(String);

impl Compression {
    /// Every codec, in the order of their ids.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The codec with this id, as in the low three attribute bits.
    pub fn from_id(id: u8) -> Option<Compression> {
        Compression::ALL.get(usize::from(id)).copied()
    }

    /// Its id in the attributes of a batch.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Compression::ALL.into_iter().find(|compression| compression.name() == name);
        named.ok_or_else(|| UnknownCompression(name.to_owned()))
    }
}

/// A compression and its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Codec {
    /// Which codec.
    pub compression: Compression,
    /// gzip 1 to 9, lz4 1 to 17, zstd -131072 to 22 (KIP-390); `None` is the codec's own default. As in Kafka, lz4's
    /// level 9 is the fast way and every other one a search. Snappy has no levels and ignores it. A level out of range
    /// is brought into it.
    pub level: Option<i32>,
}

impl From<Compression> for Codec {
    fn from(compression: Compression) -> Self {
        Codec { compression, level: None }
    }
}

/// How much a batch may unpack to: an absolute cap, and a cap on the ratio to its packed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimit {
    /// No batch may unpack to more bytes than this.
    pub bytes_max: usize,
    /// Output beyond [`OutputLimit::RATIO_FREE_BYTES`] may be at most this many times the input.
    pub ratio_max: usize,
}

impl OutputLimit {
    /// Output that no ratio forbids: a small batch of equal records is no bomb.
    pub const RATIO_FREE_BYTES: usize = 1 << 20;

    /// The ratio that [`OutputLimit::new`] allows: above what gzip can reach at all, far below what zstd can.
    pub const RATIO_MAX: usize = 2048;

    /// At most `bytes_max`, with the usual ratio.
    pub fn new(bytes_max: usize) -> Self {
        OutputLimit { bytes_max, ratio_max: Self::RATIO_MAX }
    }

    /// The bytes that `packed_bytes` may unpack to.
    fn allowance(self, packed_bytes: usize) -> usize {
        let by_ratio = packed_bytes.saturating_mul(self.ratio_max).max(Self::RATIO_FREE_BYTES);
        self.bytes_max.min(by_ratio)
    }
}

/// Appends the compressed form of `records` to `into`.
pub(super) fn compress(codec: Codec, records: &[u8], into: &mut Vec<u8>) {
    match codec.compression {
        Compression::None => into.extend_from_slice(records),
        Compression::Gzip => gzip::compress(codec.level, records, into),
        Compression::Snappy => snappy::compress(records, into),
        Compression::Lz4 => lz4::compress(codec.level, records, into),
        Compression::Zstd => zstandard::compress(codec.level, records, into),
    }
}

/// Unpacks the records of a batch.
///
/// # Errors
/// `Decompression` for bytes that the codec does not understand, `DecompressedTooLarge` past the limit, `UnpackBudget`
/// past what is left of the budget.
pub(super) fn decompress(
    compression: Compression,
    packed: &[u8],
    limit: OutputLimit,
    budget: &mut UnpackBudget,
) -> Result<Vec<u8>, BatchError> {
    let over_budget = BatchError::UnpackBudget { bytes_max: budget.bytes_max() };
    if budget.left() == 0 {
        return Err(over_budget);
    }
    let limited = limit.allowance(packed.len());
    let mut output = Output { bytes: Vec::new(), allowance: limited.min(budget.left()) };
    let unpacked = match compression {
        Compression::None => output.extend(packed),
        Compression::Gzip => gzip::decompress(packed, &mut output),
        Compression::Snappy => snappy::decompress(packed, &mut output),
        Compression::Lz4 => lz4::decompress(packed, &mut output),
        Compression::Zstd => zstandard::decompress(packed, &mut output),
    };
    budget.charge(output.bytes.len());
    match unpacked {
        Ok(()) => Ok(output.bytes),
        Err(Stopped::Damaged) => Err(BatchError::Decompression(compression)),
        Err(Stopped::TooLarge) if output.allowance < limited => Err(over_budget),
        Err(Stopped::TooLarge) => {
            Err(BatchError::DecompressedTooLarge { compression, bytes_max: output.allowance })
        }
    }
}

/// Why a codec stopped before the end.
#[derive(Debug)]
enum Stopped {
    Damaged,
    TooLarge,
}

/// Where a codec unpacks to; never more than the allowance.
struct Output {
    bytes: Vec<u8>,
    allowance: usize,
}

impl Output {
    /// The bytes that may still come.
    fn room(&self) -> usize {
        self.allowance - self.bytes.len()
    }

    fn extend(&mut self, piece: &[u8]) -> Result<(), Stopped> {
        if piece.len() > self.room() {
            return Err(Stopped::TooLarge);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Lets `fill` write up to `bytes_max` behind what is there; it says how many it wrote. The second slice is all
    /// earlier output, for codecs that look back.
    fn fill(
        &mut self,
        bytes_max: usize,
        fill: impl FnOnce(&mut [u8], &[u8]) -> Result<usize, Stopped>,
    ) -> Result<(), Stopped> {
        let start = self.bytes.len();
        self.bytes.resize(start + bytes_max.min(self.room()), 0);
        let (earlier, behind) = self.bytes.split_at_mut(start);
        let written = fill(behind, earlier)?;
        self.bytes.truncate(start + written);
        Ok(())
    }
}
