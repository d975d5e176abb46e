//! From a timestamp to an offset: sparse, 12 bytes an entry, Kafka's `.timeindex`.
//!
//! An entry `(timestamp, offset)` says that `timestamp` is the largest of the segment up to and with the batch that ends
//! with record `offset`, and that this batch brought it. It is a cache like the offset index. Invariant: timestamps
//! strictly grow and offsets never fall; the last entry of a sealed index is the largest timestamp of its segment.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use ottla_protocol::{Offset, OffsetDelta};

use crate::append_only::{AppendOnly, CAPACITY, Slot};
use crate::error::LogError;
use crate::offset_index::partition_point;
use crate::sealed_index::SealedIndex;

/// Bytes of one entry.
pub(crate) const TIME_INDEX_ENTRY_BYTES: usize = 12;

/// One entry of a time index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The last offset of the batch that brought it.
    pub offset: Offset,
}

#[derive(Debug)]
pub(crate) struct TimeIndex {
    base_offset: Offset,
    entries: Entries,
}

#[derive(Debug)]
enum Entries {
    Growing(Box<AppendOnly<AtomicEntry>>),
    Sealed(SealedIndex<TIME_INDEX_ENTRY_BYTES>),
}

#[derive(Debug, Default)]
struct AtomicEntry {
    timestamp: AtomicI64,
    relative_offset: AtomicU32,
}

impl Slot for AtomicEntry {
    type Value = (i64, u32);

    fn store(&self, (timestamp, relative_offset): (i64, u32)) {
        self.timestamp.store(timestamp, Ordering::Relaxed);
        self.relative_offset.store(relative_offset, Ordering::Relaxed);
    }

    fn load(&self) -> (i64, u32) {
        (self.timestamp.load(Ordering::Relaxed), self.relative_offset.load(Ordering::Relaxed))
    }
}

impl TimeIndex {
    pub(crate) fn growing(base_offset: Offset) -> Self {
        Self { base_offset, entries: Entries::Growing(Box::new(AppendOnly::new())) }
    }

    pub(crate) fn sealed(base_offset: Offset, file: SealedIndex<TIME_INDEX_ENTRY_BYTES>) -> Self {
        Self { base_offset, entries: Entries::Sealed(file) }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.entries {
            Entries::Growing(array) => array.len(),
            Entries::Sealed(file) => file.len(),
        }
    }

    /// Full but for the entry that sealing adds.
    pub(crate) fn is_full(&self, bytes_max: u32) -> bool {
        self.len() + 1 >= CAPACITY.min(bytes_max as usize / TIME_INDEX_ENTRY_BYTES)
    }

    /// Adds the entry to a growing index if its timestamp is larger than the last one's.
    pub(crate) fn append_if_later(&self, entry: TimestampOffset) {
        let Entries::Growing(array) = &self.entries else {
            panic!("an entry for a sealed time index");
        };
        let last = array.last().map(|last| self.absolute(last));
        if entry.timestamp <= last.map_or(-1, |last| last.timestamp) {
            return;
        }
        let floor = last.map_or(self.base_offset, |last| last.offset);
        assert!(floor <= entry.offset, "offsets in a time index never fall: {last:?} then {entry:?}");
        array.push((entry.timestamp, self.relative(entry.offset)));
    }

    pub(crate) fn entry(&self, index: usize) -> Result<TimestampOffset, LogError> {
        Ok(match &self.entries {
            Entries::Growing(array) => self.absolute(array.get(index)),
            Entries::Sealed(file) => parse_entry(self.base_offset, &file.entry(index)?),
        })
    }

    /// The largest timestamp that the index knows of.
    pub(crate) fn last(&self) -> Result<Option<TimestampOffset>, LogError> {
        self.len().checked_sub(1).map(|last| self.entry(last)).transpose()
    }

    /// An offset before which every timestamp is smaller than `timestamp`.
    pub(crate) fn lookup(&self, timestamp: i64) -> Result<Offset, LogError> {
        let smaller = |index| self.entry(index).map(|entry| entry.timestamp < timestamp);
        let count = partition_point(self.len(), smaller)?;
        Ok(match count.checked_sub(1) {
            Some(index) => self.entry(index)?.offset.next(),
            None => self.base_offset,
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
        let mut bytes = Vec::with_capacity((self.len() - from) * TIME_INDEX_ENTRY_BYTES);
        for index in from..self.len() {
            let entry = self.entry(index)?;
            bytes.extend_from_slice(&entry.timestamp.to_be_bytes());
            bytes.extend_from_slice(&self.relative(entry.offset).to_be_bytes());
        }
        Ok(bytes)
    }

    fn relative(&self, offset: Offset) -> u32 {
        u32::try_from((offset - self.base_offset).get()).expect("a segment spans fewer than 2^31 offsets")
    }

    fn absolute(&self, (timestamp, relative): (i64, u32)) -> TimestampOffset {
        TimestampOffset { timestamp, offset: self.base_offset + OffsetDelta::new(i64::from(relative)) }
    }
}

/// One entry of a time index file; `bytes` has [`TIME_INDEX_ENTRY_BYTES`].
pub(crate) fn parse_entry(base_offset: Offset, bytes: &[u8]) -> TimestampOffset {
    let number = |bytes: &[u8]| bytes.iter().fold(0i64, |number, byte| number << 8 | i64::from(*byte));
    TimestampOffset {
        timestamp: number(&bytes[..8]),
        offset: base_offset + OffsetDelta::new(number(&bytes[8..TIME_INDEX_ENTRY_BYTES])),
    }
}

/// The entries of an index file up to the first that does not grow or lies at or behind `end_offset`.
pub(crate) fn sound_entries(base_offset: Offset, bytes: &[u8], end_offset: Offset) -> Vec<TimestampOffset> {
    let mut entries: Vec<TimestampOffset> = Vec::new();
    for bytes in bytes.chunks_exact(TIME_INDEX_ENTRY_BYTES) {
        let entry = parse_entry(base_offset, bytes);
        let (timestamp, offset) =
            entries.last().map_or((-1, base_offset), |last| (last.timestamp, last.offset));
        if entry.timestamp <= timestamp || entry.offset < offset || entry.offset >= end_offset {
            break;
        }
        entries.push(entry);
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(entries: &[(i64, i64)]) -> TimeIndex {
        let index = TimeIndex::growing(Offset::new(100));
        for (timestamp, offset) in entries {
            index.append_if_later(TimestampOffset { timestamp: *timestamp, offset: Offset::new(*offset) });
        }
        index
    }

    #[test]
    fn lookup_begins_right_behind_the_last_smaller_timestamp() {
        let index = index(&[(1000, 109), (2000, 119)]);
        for (timestamp, offset) in [(0, 100), (1000, 100), (1001, 110), (2000, 110), (2001, 120)] {
            assert_eq!(index.lookup(timestamp).unwrap(), Offset::new(offset), "timestamp {timestamp}");
        }
    }

    #[test]
    fn a_timestamp_that_is_not_larger_is_left_out() {
        let index = index(&[(1000, 109), (1000, 119), (900, 129), (1001, 139)]);
        assert_eq!(index.len(), 2);
        assert_eq!(index.last().unwrap().unwrap().offset, Offset::new(139));
    }

    #[test]
    fn bytes_are_timestamp_and_relative_offset_big_endian_and_read_back() {
        let bytes = index(&[(258, 109)]).bytes_from(0).unwrap();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 9]);
        let read = sound_entries(Offset::new(100), &[bytes, vec![0; 24]].concat(), Offset::new(200));
        assert_eq!(read, [TimestampOffset { timestamp: 258, offset: Offset::new(109) }]);
    }
}
