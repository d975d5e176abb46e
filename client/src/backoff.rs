//! How long to wait before trying again: exponential, capped, with jitter (KIP-580).
//!
//! Pure arithmetic: the random number is a parameter, nothing here sleeps.

use std::time::Duration;

/// The wait before the n-th retry of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first retry.
    pub initial: Duration,
    /// Never longer than this (before jitter).
    pub max: Duration,
}

impl Default for Backoff {
    /// Kafka's `retry.backoff.ms` 100 and `retry.backoff.max.ms` 1000.
    fn default() -> Self {
        Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(1) }
    }
}

impl Backoff {
    /// The wait before retry number `attempt` (0 is the first), spread by ±20 % with `random` in `[0, 1)`.
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let doubled = self.initial.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
        doubled.min(self.max).mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_cap() {
        let backoff = Backoff::default();
        let waits: Vec<u128> =
            [0, 1, 2, 3, 4, 40].iter().map(|attempt| backoff.delay(*attempt, 0.5).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn jitter_spreads_the_wait_by_a_fifth_each_way() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(0, 0.0), Duration::from_millis(80));
        assert_eq!(backoff.delay(0, 1.0), Duration::from_millis(120));
    }
}
