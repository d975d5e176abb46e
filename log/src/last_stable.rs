//! Up to where a read_committed consumer may read: behind every transaction whose outcome is known and replicated.
//!
//! The last stable offset is the smallest of the high watermark, the first offset of an open transaction, and the first
//! offset of a transaction whose marker is not below the high watermark yet. Reading it takes no lock while there are no
//! transactions. It does not know who decides a transaction. Source: KIP-98, `ProducerStateManager.firstUnstableOffset`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use ottla_protocol::Offset;
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct LastStable {
    /// The first offset of the oldest open transaction, or `Offset::MAX`.
    first_undecided: AtomicI64,
    /// Transactions whose marker may lie above the high watermark: first offset to the marker's.
    unreplicated: Mutex<BTreeMap<Offset, Offset>>,
    unreplicated_count: AtomicUsize,
}

impl LastStable {
    pub(crate) fn new(first_undecided: Option<Offset>) -> Self {
        Self {
            first_undecided: AtomicI64::new(first_undecided.unwrap_or(Offset::MAX).get()),
            unreplicated: Mutex::default(),
            unreplicated_count: AtomicUsize::new(0),
        }
    }

    /// Publishes what is undecided. A transaction that began must be published before its records are, one that ended
    /// only after it was noted with [`LastStable::complete`].
    pub(crate) fn publish_undecided(&self, first_undecided: Option<Offset>) {
        self.first_undecided.store(first_undecided.unwrap_or(Offset::MAX).get(), Ordering::Release);
    }

    /// Notes a transaction whose marker was appended at `marker`.
    pub(crate) fn complete(&self, first: Offset, marker: Offset) {
        let mut unreplicated = self.unreplicated.lock();
        unreplicated.insert(first, marker);
        self.unreplicated_count.store(unreplicated.len(), Ordering::Release);
    }

    /// Forgets the transactions that were ended or begun at or behind `end`.
    pub(crate) fn truncate_to(&self, end: Offset, first_undecided: Option<Offset>) {
        let mut unreplicated = self.unreplicated.lock();
        unreplicated.retain(|_, marker| *marker < end);
        self.unreplicated_count.store(unreplicated.len(), Ordering::Release);
        self.publish_undecided(first_undecided);
    }

    /// The last stable offset below `high_watermark`, which never falls from call to call.
    pub(crate) fn below(&self, high_watermark: Offset) -> Offset {
        let undecided = Offset::new(self.first_undecided.load(Ordering::Acquire));
        let stable = high_watermark.min(undecided);
        if self.unreplicated_count.load(Ordering::Acquire) == 0 {
            return stable;
        }
        let mut unreplicated = self.unreplicated.lock();
        unreplicated.retain(|_, marker| *marker >= high_watermark);
        self.unreplicated_count.store(unreplicated.len(), Ordering::Release);
        unreplicated.first_key_value().map_or(stable, |(first, _)| stable.min(*first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stable_offset_waits_for_the_marker_and_for_its_replication() {
        let stable = LastStable::new(None);
        assert_eq!(stable.below(Offset::new(10)), Offset::new(10));
        stable.publish_undecided(Some(Offset::new(10)));
        assert_eq!(stable.below(Offset::new(14)), Offset::new(10));
        stable.complete(Offset::new(10), Offset::new(15));
        stable.publish_undecided(None);
        assert_eq!(stable.below(Offset::new(15)), Offset::new(10));
        assert_eq!(stable.below(Offset::new(16)), Offset::new(16));
    }
}
