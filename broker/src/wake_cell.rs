//! One place to leave a task's waker, so that whoever finishes that task's work can wake it, once.

use std::task::Waker;

use parking_lot::Mutex;

/// Holds the waker of the one task that waits. To miss no wake-up, the task registers *before* it looks at the state
/// it waits for, and the other side changes the state *before* it wakes.
#[derive(Debug, Default)]
pub(crate) struct WakeCell {
    waker: Mutex<Option<Waker>>,
}

impl WakeCell {
    /// Leaves `waker`, in place of the one that was there.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut held = self.waker.lock();
        match &mut *held {
            Some(known) if known.will_wake(waker) => {}
            other => *other = Some(waker.clone()),
        }
    }

    /// Wakes the task that registered last; nothing happens when none has since the last wake-up.
    pub(crate) fn wake(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
