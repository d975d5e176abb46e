//! Which transactions were aborted, and where: Kafka's `.txnindex`, 34 bytes an entry.
//!
//! Entries of all segments are held in memory (aborts are rare) and each segment that saw one has a file. A read_committed
//! fetch is told of those that overlap what it reads. It is a cache: recovery finds the markers again. Invariant: entries
//! are in the order of their markers.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::Path;

use ottla_protocol::{Offset, ProducerId};
use parking_lot::RwLock;

use crate::error::LogError;
use crate::segment::{segment_path, suffix};
use crate::storage::{Access, Storage, read_file, remove_if_present, replace_file, write_all_at};

/// Bytes of one entry.
pub(crate) const TXN_INDEX_ENTRY_BYTES: usize = 34;

/// An aborted transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// The last stable offset when the marker was appended.
    pub last_stable_offset: Offset,
}

/// All aborted transactions of a log, by the offset of their marker.
#[derive(Debug, Default)]
pub(crate) struct TxnIndex {
    entries: RwLock<BTreeMap<Offset, AbortedTransaction>>,
}

impl TxnIndex {
    /// Takes over the entries of one segment's file. A damaged file loses the entries behind the damage.
    pub(crate) fn load(&self, storage: &dyn Storage, directory: &Path, base: Offset) -> Result<(), LogError> {
        let path = segment_path(directory, base, suffix::TXN_INDEX);
        let bytes = read_file(storage, &path).map_err(|error| LogError::io("read", &path, error))?;
        let mut entries = self.entries.write();
        entries.extend(parse_entries(&bytes.unwrap_or_default()).map(|entry| (entry.last_offset, entry)));
        Ok(())
    }

    /// Notes an aborted transaction; the same one may come again in recovery.
    pub(crate) fn insert(&self, aborted: AbortedTransaction) {
        self.entries.write().insert(aborted.last_offset, aborted);
    }

    /// Appends the entry to the file of the segment that begins at `base`.
    pub(crate) fn append_to_file(
        &self,
        storage: &dyn Storage,
        directory: &Path,
        base: Offset,
        aborted: &AbortedTransaction,
    ) -> Result<(), LogError> {
        let before = self.entries.read().range(base..aborted.last_offset).count();
        let path = segment_path(directory, base, suffix::TXN_INDEX);
        let write = || {
            let file = storage.open(&path, Access::Create)?;
            let position = (before * TXN_INDEX_ENTRY_BYTES) as u64;
            write_all_at(&*file, &mut [IoSlice::new(&encode(aborted))], position)
        };
        write().map_err(|error| LogError::io("write", &path, error))
    }

    /// Writes the file of the segment `[base, end)` anew, or removes it if the segment has no entries.
    pub(crate) fn rewrite_file(
        &self,
        storage: &dyn Storage,
        directory: &Path,
        (base, end): (Offset, Offset),
    ) -> Result<(), LogError> {
        let path = segment_path(directory, base, suffix::TXN_INDEX);
        let bytes: Vec<u8> =
            self.entries.read().range(base..end).flat_map(|(_, entry)| encode(entry)).collect();
        let write = || {
            if bytes.is_empty() {
                return remove_if_present(storage, &path);
            }
            // Whole: what is older than the newest snapshot is found nowhere else.
            replace_file(storage, &path, &bytes)
        };
        write().map_err(|error| LogError::io("write", &path, error))
    }

    /// Makes the file of the segment `[base, end)` durable, if it has one.
    pub(crate) fn sync_file(
        &self,
        storage: &dyn Storage,
        directory: &Path,
        (base, end): (Offset, Offset),
    ) -> Result<(), LogError> {
        if self.entries.read().range(base..end).next().is_none() {
            return Ok(());
        }
        let path = segment_path(directory, base, suffix::TXN_INDEX);
        let synced = storage.open(&path, Access::Write).and_then(|file| file.sync_data());
        synced.map_err(|error| LogError::io("sync", &path, error))
    }

    /// Forgets the transactions whose markers were at these offsets.
    pub(crate) fn forget(&self, markers: &[Offset]) {
        let mut entries = self.entries.write();
        for marker in markers {
            entries.remove(marker);
        }
    }

    /// All transactions, in the order of their markers.
    pub(crate) fn all(&self) -> Vec<AbortedTransaction> {
        self.entries.read().values().copied().collect()
    }

    /// What the file of a segment with these offsets holds once the markers at `without` are gone.
    pub(crate) fn bytes_without(&self, offsets: std::ops::Range<Offset>, without: &[Offset]) -> Vec<u8> {
        let entries = self.entries.read();
        let kept = entries.range(offsets).filter(|(marker, _)| !without.contains(marker));
        kept.flat_map(|(_, entry)| encode(entry)).collect()
    }

    /// Forgets the transactions that ended before `start` or at and behind `end`.
    pub(crate) fn keep(&self, start: Offset, end: Offset) {
        self.entries.write().retain(|last_offset, _| (start..end).contains(last_offset));
    }

    /// The transactions that overlap `[from, to)`.
    pub(crate) fn overlapping(&self, from: Offset, to: Offset) -> Vec<AbortedTransaction> {
        let entries = self.entries.read();
        entries.range(from..).map(|(_, entry)| *entry).filter(|entry| entry.first_offset < to).collect()
    }
}

/// The entries of a file up to the first that is damaged.
pub(crate) fn parse_entries(bytes: &[u8]) -> impl Iterator<Item = AbortedTransaction> + '_ {
    bytes.chunks_exact(TXN_INDEX_ENTRY_BYTES).map_while(|entry| {
        let (version, numbers) = entry.split_at(2);
        let mut numbers = numbers
            .chunks_exact(8)
            .map(|number| number.iter().fold(0i64, |all, byte| all << 8 | i64::from(*byte)));
        let mut next = || numbers.next().unwrap_or_default();
        let aborted = AbortedTransaction {
            producer_id: ProducerId::new(next()),
            first_offset: Offset::new(next()),
            last_offset: Offset::new(next()),
            last_stable_offset: Offset::new(next()),
        };
        (version == [0, 0] && aborted.first_offset < aborted.last_offset).then_some(aborted)
    })
}

fn encode(aborted: &AbortedTransaction) -> [u8; TXN_INDEX_ENTRY_BYTES] {
    let mut bytes = [0; TXN_INDEX_ENTRY_BYTES];
    let numbers = [
        aborted.producer_id.get(),
        aborted.first_offset.get(),
        aborted.last_offset.get(),
        aborted.last_stable_offset.get(),
    ];
    for (place, number) in bytes[2..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    fn aborted(first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId::new(7),
            first_offset: Offset::new(first),
            last_offset: Offset::new(last),
            last_stable_offset: Offset::new(last + 1),
        }
    }

    #[test]
    fn a_read_is_told_of_the_transactions_that_overlap_it() {
        let index = TxnIndex::default();
        [aborted(0, 5), aborted(3, 9), aborted(20, 25)].into_iter().for_each(|entry| index.insert(entry));
        let firsts = |from, to| -> Vec<i64> {
            let found = index.overlapping(Offset::new(from), Offset::new(to));
            found.iter().map(|entry| entry.first_offset.get()).collect()
        };
        assert_eq!(firsts(0, 100), [0, 3, 20]);
        assert_eq!(firsts(6, 20), [3]);
        assert_eq!(firsts(26, 100), [0; 0]);
    }

    #[test]
    fn appended_entries_read_back_from_the_segments_file() {
        let storage = MemoryStorage::new();
        let directory = Path::new("/d");
        storage.create_directory(directory).unwrap();
        let index = TxnIndex::default();
        for entry in [aborted(0, 5), aborted(3, 9)] {
            index.append_to_file(&storage, directory, Offset::ZERO, &entry).unwrap();
            index.insert(entry);
        }
        let read = TxnIndex::default();
        read.load(&storage, directory, Offset::ZERO).unwrap();
        assert_eq!(read.overlapping(Offset::ZERO, Offset::MAX), [aborted(0, 5), aborted(3, 9)]);
        index.keep(Offset::ZERO, Offset::new(6));
        index.rewrite_file(&storage, directory, (Offset::ZERO, Offset::new(6))).unwrap();
        let read = TxnIndex::default();
        read.load(&storage, directory, Offset::ZERO).unwrap();
        assert_eq!(read.overlapping(Offset::ZERO, Offset::MAX), [aborted(0, 5)]);
    }
}
