//! Time as the pure machines know it: handed in by the shell, never read from a clock.
//!
//! [`Monotonic`] orders deadlines within one process and never steps back. Milliseconds since the Unix epoch appear only
//! where a record or a reply carries them.

use std::ops::Add;
use std::time::Duration;

/// A reading of the shell's monotonic clock, in milliseconds since the process chose to begin counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(u64);

impl Monotonic {
    /// The reading of so many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The reading in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this reading was taken; zero when it was not after.
    pub const fn since(self, earlier: Monotonic) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Monotonic;
    fn add(self, duration: Duration) -> Monotonic {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Monotonic(self.0.saturating_add(millis))
    }
}
