//! Two numbers that are always read together as they were written together: a sequence lock over atomics.
//!
//! A segment publishes its size with its end offset, and its largest timestamp with that one's offset. One writer, the
//! holder of the partition's lock; readers spin only while that writer is between two stores. Source: Boehm, "Can
//! seqlocks get along with programming language memory models?", 2012.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering, fence};

#[derive(Debug)]
pub(crate) struct PublishedPair {
    version: AtomicU32,
    first: AtomicI64,
    second: AtomicI64,
}

impl PublishedPair {
    pub(crate) fn new(first: i64, second: i64) -> Self {
        Self { version: AtomicU32::new(0), first: AtomicI64::new(first), second: AtomicI64::new(second) }
    }

    pub(crate) fn publish(&self, first: i64, second: i64) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.first.store(first, Ordering::Relaxed);
        self.second.store(second, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    pub(crate) fn load(&self) -> (i64, i64) {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let pair = (self.first.load(Ordering::Relaxed), self.second.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                return pair;
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_never_read_half_old_and_half_new() {
        let pair = PublishedPair::new(0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..200_000).for_each(|number| pair.publish(number, -number)));
            loop {
                let (first, second) = pair.load();
                assert_eq!(first, -second);
                if first == 199_999 {
                    break;
                }
            }
        });
    }
}
