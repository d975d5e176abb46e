//! Where each leader epoch begins: the table by which replicas find the point up to which they agree (KIP-101, KIP-279).
//!
//! Kept in `leader-epoch-checkpoint`. It is written late (with the recovery point) because every entry above the recovery
//! point can be read from the batches again. Invariant: epochs and start offsets strictly grow, except that an epoch
//! without records gives way to the next one that begins at the same offset.

use std::path::Path;

use ottla_protocol::{LeaderEpoch, Offset};

use crate::checkpoint::{read_lines, write_lines};
use crate::error::LogError;
use crate::storage::Storage;

/// One leader epoch of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The offset of its first record, if it has one.
    pub start_offset: Offset,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct EpochCache {
    entries: Vec<EpochStart>,
    changed: bool,
}

impl EpochCache {
    /// Reads the checkpoint. A damaged one is an error.
    pub(crate) fn read(storage: &dyn Storage, path: &Path) -> Result<Self, LogError> {
        let mut cache = Self::default();
        for words in read_lines(storage, path)? {
            let malformed = || LogError::Malformed { path: path.to_owned(), reason: format!("{words:?}") };
            let [epoch, start_offset] = words.as_slice() else {
                return Err(malformed());
            };
            let epoch = LeaderEpoch::new(epoch.parse().map_err(|_| malformed())?);
            let start_offset = Offset::new(start_offset.parse().map_err(|_| malformed())?);
            if cache
                .entries
                .last()
                .is_some_and(|last| last.epoch >= epoch || last.start_offset > start_offset)
            {
                return Err(malformed());
            }
            cache.entries.push(EpochStart { epoch, start_offset });
        }
        Ok(cache)
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.changed
    }

    /// Writes the checkpoint, and returns the cache as it then is.
    pub(crate) fn write(&self, storage: &dyn Storage, path: &Path) -> Result<(), LogError> {
        let lines = self.entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start_offset));
        write_lines(storage, path, lines)
    }

    /// Forgets that there was something to write, if nothing was added since `written` was taken.
    pub(crate) fn mark_written(&mut self, written: &EpochCache) {
        self.changed = self.entries != written.entries;
    }

    pub(crate) fn latest(&self) -> Option<EpochStart> {
        self.entries.last().copied()
    }

    pub(crate) fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// Notes that `epoch` begins at `start_offset`, unless that epoch or a later one is known. True if it was news.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if self.entries.last().is_some_and(|last| last.epoch >= epoch) {
            return false;
        }
        while self.entries.last().is_some_and(|last| last.start_offset >= start_offset) {
            self.entries.pop();
        }
        self.entries.push(EpochStart { epoch, start_offset });
        self.changed = true;
        true
    }

    /// Where `epoch` ended: the greatest known epoch that is not later, and the offset behind its last record.
    /// `None` if every known epoch is later, or none is known.
    pub(crate) fn end_offset(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let later = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let found = self.entries.get(later.checked_sub(1)?)?;
        Some((found.epoch, self.entries.get(later).map_or(log_end, |next| next.start_offset)))
    }

    /// The epoch of the record at `offset`.
    pub(crate) fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let later = self.entries.partition_point(|entry| entry.start_offset <= offset);
        Some(self.entries.get(later.checked_sub(1)?)?.epoch)
    }

    /// Forgets the epochs that begin at or behind `end`.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end);
        self.changed |= kept < self.entries.len();
        self.entries.truncate(kept);
    }

    /// Forgets the epochs that end at or before `start`, and lets the first left begin there.
    pub(crate) fn truncate_from_start(&mut self, start: Offset) {
        let later = self.entries.partition_point(|entry| entry.start_offset <= start);
        let Some(first) = later.checked_sub(1) else {
            return;
        };
        if first > 0 || self.entries[first].start_offset < start {
            self.entries.drain(..first);
            self.entries[0].start_offset = start;
            self.changed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for (epoch, start) in entries {
            cache.assign(LeaderEpoch::new(*epoch), Offset::new(*start));
        }
        cache
    }

    fn pairs(cache: &EpochCache) -> Vec<(i32, i64)> {
        cache.entries().iter().map(|entry| (entry.epoch.get(), entry.start_offset.get())).collect()
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let cache = cache(&[(1, 0), (3, 10), (4, 20)]);
        let end = |epoch| cache.end_offset(LeaderEpoch::new(epoch), Offset::new(30));
        assert_eq!(end(0), None);
        assert_eq!(end(1), Some((LeaderEpoch::new(1), Offset::new(10))));
        assert_eq!(end(2), Some((LeaderEpoch::new(1), Offset::new(10))));
        assert_eq!(end(4), Some((LeaderEpoch::new(4), Offset::new(30))));
        assert_eq!(end(9), Some((LeaderEpoch::new(4), Offset::new(30))));
        assert_eq!(cache.epoch_of(Offset::new(12)), Some(LeaderEpoch::new(3)));
    }

    #[test]
    fn an_epoch_without_records_gives_way_to_the_next() {
        assert_eq!(pairs(&cache(&[(1, 0), (2, 10), (3, 10)])), [(1, 0), (3, 10)]);
        assert_eq!(pairs(&cache(&[(2, 10), (1, 20), (2, 30)])), [(2, 10)]);
    }

    #[test]
    fn truncation_forgets_epochs_at_both_ends() {
        let mut end = cache(&[(1, 0), (2, 10), (3, 20)]);
        end.truncate_from_end(Offset::new(10));
        assert_eq!(pairs(&end), [(1, 0)]);
        let mut start = cache(&[(1, 0), (2, 10), (3, 20)]);
        start.truncate_from_start(Offset::new(15));
        assert_eq!(pairs(&start), [(2, 15), (3, 20)]);
    }

    #[test]
    fn the_checkpoint_reads_back_and_a_shrinking_one_is_refused() {
        let storage = MemoryStorage::new();
        storage.create_directory(Path::new("/d")).unwrap();
        let path = Path::new("/d/leader-epoch-checkpoint");
        cache(&[(1, 0), (3, 10)]).write(&storage, path).unwrap();
        let read = EpochCache::read(&storage, path).unwrap();
        assert_eq!(pairs(&read), [(1, 0), (3, 10)]);
        assert!(!read.has_changed());
        write_lines(&storage, path, ["3 0".to_owned(), "1 10".to_owned()].into_iter()).unwrap();
        assert!(EpochCache::read(&storage, path).is_err());
    }
}
