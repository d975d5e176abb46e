//! Record batches prepared ahead, and the ledger that proves they came back.
//!
//! The bytes are laid out here by hand, not with `ottla-protocol`: the instrument must not share a mistake with what it
//! measures. Batches are plain (no producer id; lz4 for one row only) and carry pseudo-random values, so that nothing can
//! be guessed or squeezed. Format: record batch v2, KIP-98.

use std::io::Write as _;

use crc_fast::{CrcAlgorithm, checksum};

use crate::error::{BenchError, Doing, Result};

/// Bytes before the first record of a batch.
pub(crate) const BATCH_HEADER_BYTES: usize = 61;
/// Where the CRC-covered part of a batch begins.
const CRC_COVERS_FROM: usize = 21;
/// Kafka's number of the codec, in the low byte of the attributes.
const LZ4: u8 = 3;

/// CRC-32C, Kafka's batch checksum.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    // The algorithm is 32 bits wide; the function returns every width as 64 bits.
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The shape of the load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Bytes of each record's value.
    pub(crate) value_bytes: usize,
    /// No batch is longer than this.
    pub(crate) batch_bytes_max: usize,
}

/// One finished batch with base offset 0.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) record_count: u32,
    pub(crate) crc: u32,
}

/// Lays out one batch with as many records as fit, or exactly `record_count` of them.
pub(crate) fn build(shape: Shape, record_count: Option<u32>, timestamp_ms: i64, seed: u64) -> Batch {
    build_of(shape, record_count, timestamp_ms, seed, 0)
}

/// The first `repeated` bytes of each value are equal, the rest is noise.
fn build_of(shape: Shape, record_count: Option<u32>, timestamp_ms: i64, seed: u64, repeated: usize) -> Batch {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0u8; BATCH_HEADER_BYTES];
    let mut count = 0u32;
    let mut record = Vec::with_capacity(shape.value_bytes + 16);
    while record_count.is_none_or(|wanted| count < wanted) {
        record.clear();
        lay_record(&mut record, count, shape.value_bytes, repeated, &mut random);
        if record_count.is_none() && bytes.len() + record.len() > shape.batch_bytes_max {
            break;
        }
        bytes.extend_from_slice(&record);
        count += 1;
    }
    bytes[12..16].copy_from_slice(&(-1i32).to_be_bytes());
    bytes[16] = 2;
    bytes[23..27].copy_from_slice(&(count as i32 - 1).to_be_bytes());
    bytes[27..35].copy_from_slice(&timestamp_ms.to_be_bytes());
    bytes[35..43].copy_from_slice(&timestamp_ms.to_be_bytes());
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = sign(&mut bytes);
    Batch { bytes, record_count: count, crc }
}

/// The same batch with its records packed by lz4, as a client sends it. Half of each value is made to repeat first, for
/// noise cannot be packed.
pub(crate) fn build_lz4(shape: Shape, timestamp_ms: i64, seed: u64) -> Result<Batch> {
    let plain = build_of(shape, None, timestamp_ms, seed, shape.value_bytes / 2);
    let mut packed = lz4_flex::frame::FrameEncoder::with_frame_info(
        lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB),
        plain.bytes[..BATCH_HEADER_BYTES].to_vec(),
    );
    packed.write_all(&plain.bytes[BATCH_HEADER_BYTES..]).doing(|| "pack a batch".to_owned())?;
    let mut bytes = packed.finish().map_err(|error| BenchError::Void(format!("lz4: {error}")))?;
    bytes[22] |= LZ4;
    let crc = sign(&mut bytes);
    Ok(Batch { bytes, record_count: plain.record_count, crc })
}

/// Writes the length and the checksum into a batch.
fn sign(bytes: &mut [u8]) -> u32 {
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&bytes[CRC_COVERS_FROM..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    crc
}

/// One record: length, attributes, timestamp delta 0, offset delta, null key, value, no headers.
fn lay_record(into: &mut Vec<u8>, offset_delta: u32, value_bytes: usize, repeated: usize, random: &mut u64) {
    let mut body = Vec::with_capacity(value_bytes + 12);
    body.push(0);
    put_varint(&mut body, 0);
    put_varint(&mut body, i64::from(offset_delta));
    put_varint(&mut body, -1);
    put_varint(&mut body, value_bytes as i64);
    let value_from = body.len();
    body.resize(value_from + repeated, b'=');
    while body.len() < value_from + value_bytes {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        body.extend_from_slice(&random.to_le_bytes());
    }
    body.truncate(value_from + value_bytes);
    put_varint(&mut body, 0);
    put_varint(into, body.len() as i64);
    into.extend_from_slice(&body);
}

/// Kafka's zigzag varint.
fn put_varint(into: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        into.push((zigzag as u8 & 0x7f) | 0x80);
        zigzag >>= 7;
    }
    into.push(zigzag as u8);
}

/// Counts and checksum of a set of batches. Two ledgers are equal when the same batches went in, in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) batches: u64,
    pub(crate) records: u64,
    checksum: u64,
}

impl Ledger {
    /// Enters one batch.
    pub(crate) fn add(&mut self, record_count: u32, crc: u32) {
        self.batches += 1;
        self.records += u64::from(record_count);
        self.checksum = self.checksum.wrapping_add(u64::from(crc) * 0x1_0001 + u64::from(record_count));
    }

    /// Enters one batch whose checksum is not known.
    pub(crate) fn add_records(&mut self, record_count: u32) {
        self.add(record_count, 0);
    }

    /// Enters everything that another ledger holds.
    pub(crate) fn merge(&mut self, other: Ledger) {
        self.batches += other.batches;
        self.records += other.records;
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }
}

/// What one pass over fetched bytes found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Walk {
    /// The offset after the last whole batch, when there was one.
    pub(crate) next_offset: Option<i64>,
    /// Bytes of whole batches.
    pub(crate) bytes: usize,
}

/// Walks the whole batches of `bytes`, which may end in a partial one; calls `each` with its bytes and header fields.
pub(crate) fn walk(bytes: &[u8], mut each: impl FnMut(FetchedBatch<'_>)) -> Walk {
    let mut found = Walk::default();
    let mut rest = bytes;
    while rest.len() >= BATCH_HEADER_BYTES {
        let length = i32_at(rest, 8) as usize + 12;
        if rest.len() < length {
            break;
        }
        let (batch, after) = rest.split_at(length);
        let fetched = FetchedBatch {
            base_offset: i64_at(batch, 0),
            last_offset_delta: i32_at(batch, 23),
            crc: i32_at(batch, 17) as u32,
            record_count: i32_at(batch, 57) as u32,
            bytes: batch,
        };
        found.next_offset = Some(fetched.base_offset + i64::from(fetched.last_offset_delta) + 1);
        found.bytes += length;
        each(fetched);
        rest = after;
    }
    found
}

/// One batch as it came back from a broker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchedBatch<'a> {
    pub(crate) base_offset: i64,
    pub(crate) last_offset_delta: i32,
    pub(crate) crc: u32,
    pub(crate) record_count: u32,
    bytes: &'a [u8],
}

impl FetchedBatch<'_> {
    /// Whether the content still matches the checksum it carries.
    pub(crate) fn is_intact(&self) -> bool {
        crc32c(&self.bytes[CRC_COVERS_FROM..]) == self.crc
    }
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    (i64::from(i32_at(bytes, at)) << 32) | i64::from(i32_at(bytes, at + 4) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { value_bytes: 100, batch_bytes_max: 16 * 1024 };

    #[test]
    fn a_built_batch_walks_back_to_the_same_ledger() {
        let first = build(SHAPE, None, 1, 1);
        let second = build(SHAPE, Some(3), 1, 2);
        let mut written = Ledger::default();
        written.add(first.record_count, first.crc);
        written.add(second.record_count, second.crc);
        let mut stream = first.bytes.clone();
        stream.extend_from_slice(&second.bytes);
        stream.extend_from_slice(&first.bytes[..70]);
        let mut read = Ledger::default();
        let found = walk(&stream, |batch| {
            assert!(batch.is_intact());
            read.add(batch.record_count, batch.crc);
        });
        assert_eq!(read, written);
        assert_eq!(found.bytes, first.bytes.len() + second.bytes.len());
        assert_eq!(found.next_offset, Some(3));
    }

    #[test]
    fn a_full_batch_stays_within_its_bound_by_less_than_one_record() {
        let batch = build(SHAPE, None, 1, 1);
        assert!(batch.bytes.len() <= SHAPE.batch_bytes_max);
        assert!(batch.bytes.len() + 120 > SHAPE.batch_bytes_max);
    }

    #[test]
    fn a_packed_batch_is_intact_and_smaller() {
        let packed = build_lz4(SHAPE, 1, 1).unwrap();
        let plain = build(SHAPE, None, 1, 1);
        assert_eq!(packed.record_count, plain.record_count);
        assert!(packed.bytes.len() < plain.bytes.len());
        let mut intact = 0;
        walk(&packed.bytes, |batch| intact += u32::from(batch.is_intact()));
        assert_eq!(intact, 1);
    }

    #[test]
    fn a_flipped_bit_is_not_intact() {
        let mut batch = build(SHAPE, None, 1, 1);
        batch.bytes[200] ^= 1;
        walk(&batch.bytes, |batch| assert!(!batch.is_intact()));
    }
}
