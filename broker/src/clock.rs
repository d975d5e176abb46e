//! The broker's own readings of time: one origin for the pure machines, and a coarse clock that costs one load.

use std::sync::atomic::{AtomicU64, Ordering};

use ottla_cluster::time::Monotonic;

use crate::rt::time::{self, Instant, WallClock};

/// Milliseconds since the broker was started, by the monotonic clock; and the wall clock.
#[derive(Debug)]
pub(crate) struct Clock {
    started_at: Instant,
    coarse_ms: AtomicU64,
    wall: WallClock,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn new(wall: WallClock) -> Clock {
        Clock { started_at: time::now(), coarse_ms: AtomicU64::new(0), wall }
    }

    /// The wall clock, in milliseconds since 1970: for what is written to disk or sent to a client, never for a deadline.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.wall.now_ms()
    }

    /// The time now, as the pure machines know it.
    pub(crate) fn now(&self) -> Monotonic {
        Monotonic::from_millis(self.elapsed_ms())
    }

    /// The time now in milliseconds since the start, for delays that the log keeps.
    pub(crate) fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.elapsed_ms()).unwrap_or(i64::MAX)
    }

    /// The instant that a machine's reading stands for.
    pub(crate) fn instant(&self, reading: Monotonic) -> Instant {
        self.started_at + std::time::Duration::from_millis(reading.as_millis())
    }

    /// The time of the last [`Clock::tick`]: good enough for idle times, which are counted in seconds.
    pub(crate) fn coarse_ms(&self) -> u64 {
        self.coarse_ms.load(Ordering::Relaxed)
    }

    /// Brings the coarse clock up to date.
    pub(crate) fn tick(&self) {
        self.coarse_ms.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
