//! The brown-out of a full disk: producers are refused while there is still room for everything else.
//!
//! Below a low-water mark (`ottla.log.dir.free.bytes.min`) a log directory takes no records from clients, so that fetch,
//! deletion, checkpoints, groups and the metadata log go on; as soon as room was made, appends go on too. Asking the file
//! system costs a system call, so each answer is good for a budget of bytes: half of what was left, which brings the next
//! question in time. It is a courtesy and no guarantee: others write to the same disk, and a write that finds it full is
//! refused by the log itself.

use std::sync::atomic::{AtomicI64, Ordering};

/// Most bytes that are appended on one answer.
const BUDGET_BYTES_MAX: u64 = 64 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct DiskSpace {
    free_bytes_min: u64,
    budget_bytes: AtomicI64,
}

impl DiskSpace {
    /// Nothing is known yet: the first append asks.
    pub(crate) fn new(free_bytes_min: u64) -> DiskSpace {
        DiskSpace { free_bytes_min, budget_bytes: AtomicI64::new(0) }
    }

    /// Whether a client may append so many bytes. `free_bytes` asks the file system; if it does not know, there is room.
    pub(crate) fn take(&self, bytes: usize, free_bytes: impl FnOnce() -> Option<u64>) -> bool {
        let wanted = i64::try_from(bytes).unwrap_or(i64::MAX);
        if self.budget_bytes.fetch_sub(wanted, Ordering::Relaxed) >= wanted {
            return true;
        }
        let spare = free_bytes().map_or(u64::MAX, |free| free.saturating_sub(self.free_bytes_min));
        let has_room = spare >= bytes as u64;
        let budget = if has_room { (spare / 2).min(BUDGET_BYTES_MAX) } else { 0 };
        self.budget_bytes.store(budget.cast_signed(), Ordering::Relaxed);
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_asked_the_more_often_the_less_is_left() {
        let space = DiskSpace::new(1_000);
        let mut asked = 0;
        let mut free: u64 = 101_000;
        let mut appended = 0;
        while space.take(1_000, || {
            asked += 1;
            Some(free)
        }) {
            free -= 1_000;
            appended += 1;
        }
        assert_eq!((appended, free), (100, 1_000), "the last bytes above the mark are used, and none below");
        assert!(asked < 20, "asked {asked} times");
    }

    #[test]
    fn it_resumes_as_soon_as_there_is_room() {
        let space = DiskSpace::new(1_000);
        assert!(!space.take(10, || Some(1_005)));
        assert!(!space.take(10, || Some(0)));
        assert!(space.take(10, || Some(5_000)));
        assert!(space.take(10, || panic!("the answer is good for a while")));
    }
}
