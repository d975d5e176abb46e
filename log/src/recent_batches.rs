//! Where the last batches of a segment begin: what a reader that follows the log's end asks for, and finds without a search.
//!
//! The offset index is sparse, so a search reads headers from the file. A consumer at the tail asks for the very batch that
//! was appended last, whose place the writer has just known. Each entry is one atomic, a relative offset over a position, so
//! a reader sees both or neither, and an entry is only ever replaced by another that is as true. This is no index: it forgets,
//! it knows batches by their base offset alone, and a segment that was not appended to since it was opened may have none.
//! Invariant: an entry is noted after the batch was written, and holds for the one file of its segment: a cut makes a new
//! segment, and so does compaction.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ottla_protocol::Offset;

/// How many batches are known: what producers may send in the time in which a woken reader comes back.
const BATCHES: usize = 8;

/// No batch: a segment does not reach that far.
const NONE: u64 = u64::MAX;

#[derive(Debug)]
struct Ring {
    entries: [AtomicU64; BATCHES],
    /// Writer only.
    noted: AtomicUsize,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct RecentBatches(OnceLock<Box<Ring>>);

impl RecentBatches {
    /// Writer only: a batch was written so far behind the base offset of its segment, at this position.
    pub(crate) fn note(&self, relative_offset: i64, position: u64) {
        let Some(entry) = pack(relative_offset, position) else { return };
        let ring = self.0.get_or_init(|| {
            Box::new(Ring { entries: [const { AtomicU64::new(NONE) }; BATCHES], noted: AtomicUsize::new(0) })
        });
        let noted = ring.noted.load(Ordering::Relaxed);
        ring.entries[noted % BATCHES].store(entry, Ordering::Relaxed);
        ring.noted.store(noted.wrapping_add(1), Ordering::Relaxed);
    }

    /// Where the batch begins whose first record is so far behind the base offset of the segment, if it is known. That it
    /// was published is for the caller to see.
    pub(crate) fn position_of(&self, relative_offset: i64) -> Option<u64> {
        let wanted = pack(relative_offset, 0)? >> 32;
        let ring = self.0.get()?;
        ring.entries
            .iter()
            .map(|entry| entry.load(Ordering::Relaxed))
            .find(|entry| *entry != NONE && entry >> 32 == wanted)
            .map(|entry| u64::from(entry as u32))
    }
}

fn pack(relative_offset: i64, position: u64) -> Option<u64> {
    let relative_offset = u32::try_from(relative_offset).ok().filter(|offset| *offset < u32::MAX)?;
    let position = u32::try_from(position).ok()?;
    Some(u64::from(relative_offset) << 32 | u64::from(position))
}

/// A batch as far as a read has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchStart {
    pub(crate) position: u64,
    pub(crate) base_offset: Offset,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_batches_are_known_and_older_ones_forgotten() {
        let recent = RecentBatches::default();
        assert_eq!(recent.position_of(0), None, "nothing was noted, and nothing begins at 0");
        let count = BATCHES as i64 + 3;
        for batch in 0..count {
            recent.note(batch * 10, batch as u64 * 1000);
        }
        for batch in 0..count {
            let known = (batch >= 3).then_some(batch as u64 * 1000);
            assert_eq!(recent.position_of(batch * 10), known, "batch {batch}");
            assert_eq!(recent.position_of(batch * 10 + 1), None, "within batch {batch}");
        }
    }

    #[test]
    fn what_does_not_fit_an_entry_is_not_noted() {
        let recent = RecentBatches::default();
        recent.note(i64::from(u32::MAX), 0);
        recent.note(-1, 0);
        recent.note(7, 1 << 32);
        for relative in [i64::from(u32::MAX), -1, 7, 0] {
            assert_eq!(recent.position_of(relative), None, "{relative}");
        }
    }

    #[test]
    fn a_reader_beside_the_writer_sees_no_offset_with_the_position_of_another() {
        let recent = RecentBatches::default();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..300_000).for_each(|batch| recent.note(batch, batch as u64 * 3)));
            let mut newest = 0;
            while newest < 299_999 {
                match recent.position_of(newest) {
                    Some(position) => assert_eq!(position, newest as u64 * 3),
                    // The writer has not come there yet, or the reader was too slow: on from what is known now.
                    None => {
                        let known =
                            recent.0.get().map_or(NONE, |ring| ring.entries[0].load(Ordering::Relaxed));
                        if known != NONE {
                            newest = newest.max((known >> 32) as i64);
                        }
                        continue;
                    }
                }
                newest += 1;
            }
        });
    }
}
