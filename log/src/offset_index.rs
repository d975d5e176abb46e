//! From an offset to a position in the segment's file: sparse, 8 bytes an entry, Kafka's `.index`.
//!
//! An entry `(offset, position)` says that the batch at `position` ends with record `offset`. While a segment is active
//! its index grows on the heap; once sealed it is the file. It is a cache: a missing or damaged one is rebuilt from the
//! log. Invariant: offsets and positions strictly grow, and every position is the start of a batch.

use std::sync::atomic::{AtomicU64, Ordering};

use ottla_protocol::{Offset, OffsetDelta};

use crate::append_only::{AppendOnly, CAPACITY, Slot};
use crate::error::LogError;
use crate::sealed_index::SealedIndex;

/// Bytes of one entry.
pub(crate) const OFFSET_INDEX_ENTRY_BYTES: usize = 8;

/// One entry of an offset index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetPosition {
    /// The last offset of the batch at `position`.
    pub offset: Offset,
    /// Where in the segment's file that batch begins.
    pub position: u32,
}

#[derive(Debug)]
pub(crate) struct OffsetIndex {
    base_offset: Offset,
    entries: Entries,
}

#[derive(Debug)]
enum Entries {
    Growing(Box<AppendOnly<AtomicEntry>>),
    Sealed(SealedIndex<OFFSET_INDEX_ENTRY_BYTES>),
}

/// Relative offset in the upper, position in the lower half: one atomic, so that a reader sees both or neither.
#[derive(Debug, Default)]
struct AtomicEntry(AtomicU64);

impl Slot for AtomicEntry {
    type Value = u64;

    fn store(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl OffsetIndex {
    pub(crate) fn growing(base_offset: Offset) -> Self {
        Self { base_offset, entries: Entries::Growing(Box::new(AppendOnly::new())) }
    }

    pub(crate) fn sealed(base_offset: Offset, file: SealedIndex<OFFSET_INDEX_ENTRY_BYTES>) -> Self {
        Self { base_offset, entries: Entries::Sealed(file) }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.entries {
            Entries::Growing(array) => array.len(),
            Entries::Sealed(file) => file.len(),
        }
    }

    pub(crate) fn is_full(&self, bytes_max: u32) -> bool {
        self.len() >= CAPACITY.min(bytes_max as usize / OFFSET_INDEX_ENTRY_BYTES)
    }

    /// Adds an entry to a growing index.
    pub(crate) fn append(&self, entry: OffsetPosition) {
        let Entries::Growing(array) = &self.entries else {
            panic!("an entry for a sealed offset index");
        };
        if let Some(last) = array.last().map(|last| self.unpack(last)) {
            assert!(
                last.offset < entry.offset && last.position < entry.position,
                "an offset index strictly grows: {last:?} then {entry:?}"
            );
        }
        array.push(pack(self.base_offset, entry));
    }

    pub(crate) fn entry(&self, index: usize) -> Result<OffsetPosition, LogError> {
        Ok(self.unpack(match &self.entries {
            Entries::Growing(array) => array.get(index),
            Entries::Sealed(file) => u64::from_be_bytes(file.entry(index)?),
        }))
    }

    pub(crate) fn last(&self) -> Result<Option<OffsetPosition>, LogError> {
        self.len().checked_sub(1).map(|last| self.entry(last)).transpose()
    }

    /// A position at or before the first batch that ends at or behind `offset`.
    pub(crate) fn lookup(&self, offset: Offset) -> Result<u32, LogError> {
        self.position_before(|entry| entry.offset <= offset)
    }

    /// The greatest indexed start of a batch that is at most `position`, or 0.
    pub(crate) fn batch_start_at_or_before(&self, position: u64) -> Result<u32, LogError> {
        self.position_before(|entry| u64::from(entry.position) <= position)
    }

    fn position_before(&self, holds: impl Fn(OffsetPosition) -> bool) -> Result<u32, LogError> {
        let count = partition_point(self.len(), |index| self.entry(index).map(&holds))?;
        Ok(match count.checked_sub(1) {
            Some(index) => self.entry(index)?.position,
            None => 0,
        })
    }

    /// See [`SealedIndex::pin`].
    pub(crate) fn pin(&self) -> Result<(), LogError> {
        match &self.entries {
            Entries::Growing(_) => Ok(()),
            Entries::Sealed(file) => file.pin(),
        }
    }

    /// The bytes of the entries from `from` on, as they stand in the file.
    pub(crate) fn bytes_from(&self, from: usize) -> Result<Vec<u8>, LogError> {
        let mut bytes = Vec::with_capacity((self.len() - from) * OFFSET_INDEX_ENTRY_BYTES);
        for index in from..self.len() {
            bytes.extend_from_slice(&pack(self.base_offset, self.entry(index)?).to_be_bytes());
        }
        Ok(bytes)
    }

    fn unpack(&self, packed: u64) -> OffsetPosition {
        unpack(self.base_offset, packed)
    }
}

/// The entries of an index file up to the first that does not grow or lies at or behind `log_bytes`: what is left of the
/// file after a crash, or the whole of a sound one.
pub(crate) fn sound_entries(base_offset: Offset, bytes: &[u8], log_bytes: u64) -> Vec<OffsetPosition> {
    let mut entries: Vec<OffsetPosition> = Vec::new();
    for bytes in bytes.chunks_exact(OFFSET_INDEX_ENTRY_BYTES) {
        let entry = parse_entry(base_offset, bytes);
        let (offset, position) =
            entries.last().map_or((base_offset.get() - 1, 0), |last| (last.offset.get(), last.position));
        if entry.offset.get() <= offset
            || entry.position <= position
            || u64::from(entry.position) >= log_bytes
        {
            break;
        }
        entries.push(entry);
    }
    entries
}

/// One entry of an index file; `bytes` has [`OFFSET_INDEX_ENTRY_BYTES`].
pub(crate) fn parse_entry(base_offset: Offset, bytes: &[u8]) -> OffsetPosition {
    let packed = bytes.iter().fold(0u64, |packed, byte| packed << 8 | u64::from(*byte));
    unpack(base_offset, packed)
}

/// Whether a segment that begins at `base_offset` can have an entry for `offset`: the file has 31 bits for the distance.
/// What is read from a disk is asked this before it is indexed.
pub(crate) fn can_be_indexed(base_offset: Offset, offset: Offset) -> bool {
    (0..=i64::from(i32::MAX)).contains(&(offset - base_offset).get())
}

fn pack(base_offset: Offset, entry: OffsetPosition) -> u64 {
    let relative =
        u32::try_from((entry.offset - base_offset).get()).expect("a segment spans fewer than 2^31 offsets");
    u64::from(relative) << 32 | u64::from(entry.position)
}

fn unpack(base_offset: Offset, packed: u64) -> OffsetPosition {
    let relative = i64::from((packed >> 32) as u32);
    OffsetPosition { offset: base_offset + OffsetDelta::new(relative), position: packed as u32 }
}

/// How many of the first `len` elements satisfy `holds`, which must be true of a prefix only.
pub(crate) fn partition_point<E>(len: usize, holds: impl Fn(usize) -> Result<bool, E>) -> Result<usize, E> {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(offset: i64, position: u32) -> OffsetPosition {
        OffsetPosition { offset: Offset::new(offset), position }
    }

    fn index(entries: &[(i64, u32)]) -> OffsetIndex {
        let index = OffsetIndex::growing(Offset::new(100));
        entries.iter().for_each(|(offset, position)| index.append(entry(*offset, *position)));
        index
    }

    #[test]
    fn lookup_finds_the_last_entry_at_or_before_the_offset() {
        let index = index(&[(109, 4200), (119, 8400), (129, 12600)]);
        let table = [(100, 0), (108, 0), (109, 4200), (118, 4200), (119, 8400), (999, 12600)];
        for (offset, position) in table {
            assert_eq!(index.lookup(Offset::new(offset)).unwrap(), position, "offset {offset}");
        }
        assert_eq!(index.batch_start_at_or_before(8399).unwrap(), 4200);
        assert_eq!(index.batch_start_at_or_before(8400).unwrap(), 8400);
        assert_eq!(index.batch_start_at_or_before(0).unwrap(), 0);
    }

    #[test]
    fn bytes_are_relative_offset_and_position_big_endian() {
        let index = index(&[(109, 4200)]);
        assert_eq!(index.bytes_from(0).unwrap(), [0, 0, 0, 9, 0, 0, 0x10, 0x68]);
        assert_eq!(sound_entries(Offset::new(100), &index.bytes_from(0).unwrap(), 5000), [entry(109, 4200)]);
    }

    #[test]
    #[should_panic(expected = "strictly grows")]
    fn an_entry_that_does_not_grow_is_a_contradiction() {
        index(&[(109, 4200), (109, 8400)]);
    }

    #[test]
    fn a_damaged_file_is_used_up_to_the_first_entry_that_does_not_grow() {
        let sound = index(&[(109, 4200), (119, 8400)]).bytes_from(0).unwrap();
        let zeros = [sound.clone(), vec![0; 80]].concat();
        assert_eq!(sound_entries(Offset::new(100), &zeros, 1 << 20).len(), 2);
        assert_eq!(sound_entries(Offset::new(100), &sound, 8400).len(), 1);
        assert_eq!(sound_entries(Offset::new(100), &sound[..15], 1 << 20).len(), 1);
        assert_eq!(sound_entries(Offset::new(100), &[], 1 << 20).len(), 0);
    }
}
