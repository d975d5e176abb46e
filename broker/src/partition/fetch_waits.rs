//! Fetch requests that wait for more bytes: parked with the partitions they read, woken once.
//!
//! A long poll reads first, and only what it did not find makes it wait. It leaves one [`FetchWait`] with every partition
//! it reads; whatever becomes readable is counted off, and the wait is woken when enough is there. Nothing polls.
//!
//! No wake-up is lost, because both sides meet under one lock:
//! 1. the fetch reads up to the high watermark `h` and finds too little;
//! 2. under the lock it compares the high watermark with `h`: if it moved, it reads again, else it is parked;
//! 3. an advance publishes the high watermark first and takes the lock second, so it finds the parked wait, or the fetch
//!    finds the new high watermark.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::Poll;

use ottla_protocol::Offset;
use parking_lot::Mutex;

use crate::wake_cell::WakeCell;

/// One waiting fetch request, shared by the partitions that it reads.
#[derive(Debug)]
pub(crate) struct FetchWait {
    missing_bytes: AtomicI64,
    wake: WakeCell,
}

impl FetchWait {
    /// A wait for `missing_bytes` more.
    pub(crate) fn new(missing_bytes: i64) -> FetchWait {
        FetchWait { missing_bytes: AtomicI64::new(missing_bytes.max(1)), wake: WakeCell::default() }
    }

    /// Waits until enough has become readable, or something else made it worth a look.
    pub(crate) async fn woken(&self) {
        std::future::poll_fn(|cx| {
            self.wake.register(cx.waker());
            if self.missing_bytes.load(Ordering::Acquire) <= 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Counts `bytes` off. Returns whether the wait is over; the one that ends it wakes the fetch.
    fn add(&self, bytes: i64) -> bool {
        let before = self.missing_bytes.fetch_sub(bytes, Ordering::AcqRel);
        if before > 0 && before <= bytes {
            self.wake.wake();
        }
        before <= bytes
    }
}

/// The waits of one partition, and the high watermark that they wait on.
#[derive(Debug)]
pub(crate) struct FetchWaits {
    high_watermark: AtomicU64,
    waiting: Mutex<Vec<Arc<FetchWait>>>,
}

impl FetchWaits {
    /// No waits, with the high watermark where the log starts out.
    pub(crate) fn new(high_watermark: Offset) -> FetchWaits {
        let high_watermark = AtomicU64::new(high_watermark.get().cast_unsigned());
        FetchWaits { high_watermark, waiting: Mutex::new(Vec::new()) }
    }

    /// End of what is committed, exclusive. It never falls.
    pub(crate) fn high_watermark(&self) -> Offset {
        Offset::new(self.high_watermark.load(Ordering::Acquire).cast_signed())
    }

    /// Parks `wait` if the high watermark is still `seen`; otherwise the fetch has to read again.
    pub(crate) fn park(&self, wait: &Arc<FetchWait>, seen: Offset) -> bool {
        let mut waiting = self.waiting.lock();
        if self.high_watermark() != seen {
            return false;
        }
        waiting.push(Arc::clone(wait));
        true
    }

    /// Takes `wait` back out.
    pub(crate) fn leave(&self, wait: &Arc<FetchWait>) {
        self.waiting.lock().retain(|other| !Arc::ptr_eq(other, wait));
    }

    /// Publishes a new high watermark below which `bytes` more are readable, then counts them off every wait.
    pub(crate) fn advance(&self, high_watermark: Offset, bytes: i64) {
        self.high_watermark.fetch_max(high_watermark.get().cast_unsigned(), Ordering::AcqRel);
        let mut waiting = self.waiting.lock();
        if !waiting.is_empty() {
            waiting.retain(|wait| !wait.add(bytes.max(1)));
        }
    }

    /// Wakes every wait: the partition can no longer be read, or differently.
    pub(crate) fn wake_all(&self) {
        for wait in std::mem::take(&mut *self.waiting.lock()) {
            wait.add(i64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn is_woken(wait: &FetchWait) -> bool {
        std::pin::pin!(wait.woken()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_wait_ends_when_enough_bytes_came_from_any_of_its_partitions() {
        let (first, second) = (FetchWaits::new(Offset::ZERO), FetchWaits::new(Offset::ZERO));
        let wait = Arc::new(FetchWait::new(100));
        assert!(first.park(&wait, Offset::ZERO) && second.park(&wait, Offset::ZERO));
        first.advance(Offset::new(1), 60);
        assert!(!is_woken(&wait));
        second.advance(Offset::new(1), 40);
        assert!(is_woken(&wait));
        first.leave(&wait);
        assert!(first.waiting.lock().is_empty() && second.waiting.lock().is_empty());
    }

    #[test]
    fn a_fetch_that_read_before_an_advance_is_not_parked_after_it() {
        let waits = FetchWaits::new(Offset::ZERO);
        waits.advance(Offset::new(5), 100);
        let wait = Arc::new(FetchWait::new(1));
        assert!(!waits.park(&wait, Offset::ZERO));
        assert!(waits.park(&wait, Offset::new(5)));
        waits.wake_all();
        assert!(is_woken(&wait));
    }

    #[test]
    fn the_high_watermark_never_falls() {
        let waits = FetchWaits::new(Offset::new(7));
        waits.advance(Offset::new(3), 1);
        assert_eq!(waits.high_watermark(), Offset::new(7));
    }
}
