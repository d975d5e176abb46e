//! Time, in its two kinds: an [`Instant`] that never goes back, for deadlines, and the wall clock in
//! milliseconds since 1970, for everything that is written to disk or sent to a client.
//!
//! A decision never reads the clock itself: it is handed `now`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub use tokio::time::error::Elapsed;
pub use tokio::time::{Instant, Sleep};

/// The monotonic clock, for deadlines and idle times.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, in milliseconds since 1970-01-01 UTC. A clock set before 1970 reads as 0.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn wall_clock_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The wall clock of one broker: the system's, which an operator, NTP or a test may set forward and back at any time.
#[derive(Clone, Debug, Default)]
pub struct WallClock {
    ahead_ms: Arc<AtomicI64>,
}

impl WallClock {
    /// What it shows, in milliseconds since 1970-01-01 UTC.
    pub fn now_ms(&self) -> i64 {
        wall_clock_ms().saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Sets it so far ahead of the system's clock, or behind it.
    pub fn set_ahead_ms(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

/// Waits for `duration`.
#[allow(clippy::disallowed_methods, reason = "this is the one place that waits for the clock")]
pub fn sleep(duration: Duration) -> Sleep {
    tokio::time::sleep(duration)
}

/// Waits until `deadline`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    tokio::time::sleep_until(deadline)
}

/// Gives `work` no longer than `duration`.
///
/// # Errors
/// The time was up first.
#[allow(clippy::disallowed_methods, reason = "this is the one place that waits for the clock")]
pub async fn timeout<F: Future>(duration: Duration, work: F) -> Result<F::Output, Elapsed> {
    tokio::time::timeout(duration, work).await
}

/// A duration from a Kafka config or request field in milliseconds, where a negative one means zero.
pub fn duration_ms(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
