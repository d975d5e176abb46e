//! The clock that all processes of the machine share, and waiting on it.
//!
//! `CLOCK_MONOTONIC` as a number, because `Instant` cannot be compared with what another process wrote down.

use super::history::Moment;
use rustix::time::{ClockId, clock_gettime};

/// Now.
pub(super) fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// Seconds between two moments.
pub(super) fn seconds(from: Moment, until: Moment) -> f64 {
    until.saturating_sub(from) as f64 / 1e9
}
