//! The producer's memory budget: records wait here when the broker is slower than the program.
//!
//! A counter of bytes with waiters. A reservation either succeeds at once or waits until batches
//! are settled. It is not a fair queue: a small record may pass a large one. Invariant: the bytes reserved never exceed
//! the limit, except that a single record larger than the limit may go alone.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct MemoryBudget {
    bytes: AtomicUsize,
    bytes_max: usize,
    freed: Notify,
}

impl MemoryBudget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        MemoryBudget { bytes: AtomicUsize::new(0), bytes_max, freed: Notify::new() }
    }

    /// Takes `bytes` if they fit now (one atomic exchange).
    pub(crate) fn try_reserve(&self, bytes: usize) -> bool {
        let fits = |before: usize| {
            let after = before.checked_add(bytes)?;
            (before == 0 || after <= self.bytes_max).then_some(after)
        };
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Waits until `bytes` fit, then takes them. Dropping the future takes nothing.
    pub(crate) async fn reserve(&self, bytes: usize) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Registered before the attempt: a release in between is not missed.
            freed.as_mut().enable();
            if self.try_reserve(bytes) {
                return;
            }
            freed.await;
        }
    }

    /// Gives `bytes` back.
    pub(crate) fn release(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        assert!(before >= bytes, "only reserved memory is released");
        self.freed.notify_waiters();
    }

    /// Bytes reserved at the moment.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_full_budget_makes_senders_wait_until_bytes_are_released() {
        let budget = Arc::new(MemoryBudget::new(100));
        budget.reserve(80).await;
        assert!(!budget.try_reserve(40));
        let waiting = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.reserve(40).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        budget.release(80);
        waiting.await.expect("joined");
        assert_eq!(budget.reserved_bytes(), 40);
    }

    #[test]
    fn one_record_larger_than_the_whole_budget_may_go_alone() {
        let budget = MemoryBudget::new(10);
        assert!(budget.try_reserve(50));
        assert!(!budget.try_reserve(1));
        budget.release(50);
        assert!(budget.try_reserve(1));
    }
}
