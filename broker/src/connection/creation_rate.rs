//! How fast new connections are taken: `max.connection.creation.rate`, of the broker and of each listener (KIP-612).
//!
//! A connection above the rate is not refused: it is served a little later, and while it waits its listener takes no
//! other, so that the rest wait in the kernel's queue. As on Kafka the rate is an average over a window, a burst after a
//! quiet time is welcome, and no connection waits longer than one sample of the window. It is *not* a bound on how many
//! connections there are; that is [`super::registry`].

use std::time::Duration;

use ottla_cluster::time::Monotonic;

/// Kafka's word for "no limit".
pub(crate) const UNLIMITED: u32 = i32::MAX.cast_unsigned();

/// How a rate is measured: `quota.window.num` samples of `quota.window.size.seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateWindow {
    /// All samples but the one that is just being filled.
    pub(crate) full_samples: Duration,
    /// One sample.
    pub(crate) sample: Duration,
}

/// See the module. One per listener and one for all of them.
#[derive(Debug, Default)]
pub(crate) struct CreationRate {
    /// When the next connection would be due if all so far had come at an even pace.
    due_us: u64,
}

impl CreationRate {
    /// Counts a connection that comes `now`, and says how long it has to wait.
    pub(crate) fn take(&mut self, now: Monotonic, rate: u32, window: RateWindow) -> Duration {
        if rate >= UNLIMITED {
            return Duration::ZERO;
        }
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let now_us = now.as_millis().saturating_mul(1000);
        let (burst_us, sample_us) = (micros(window.full_samples), micros(window.sample));
        let pace_us = 1_000_000u64.checked_div(u64::from(rate)).unwrap_or(u64::MAX);
        let welcome_until_us = now_us.saturating_add(burst_us);
        let due_us = self.due_us.max(now_us).saturating_add(pace_us);
        self.due_us = due_us.min(welcome_until_us.saturating_add(sample_us));
        Duration::from_micros(self.due_us.saturating_sub(welcome_until_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: RateWindow =
        RateWindow { full_samples: Duration::from_secs(10), sample: Duration::from_secs(1) };

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    #[test]
    fn a_burst_is_welcome_and_then_the_pace_is_kept() {
        let mut rate = CreationRate::default();
        for _ in 0..50 {
            assert_eq!(rate.take(at(0), 5, WINDOW), Duration::ZERO);
        }
        // Each waits and thereby comes later itself.
        let mut now_ms = 0;
        for _ in 0..100 {
            now_ms += rate.take(at(now_ms), 5, WINDOW).as_millis() as u64;
        }
        assert_eq!(now_ms, 20_000, "a hundred at five a second");
    }

    #[test]
    fn a_quiet_time_earns_a_burst_but_not_more_than_one_window() {
        let mut rate = CreationRate::default();
        let burst = |rate: &mut CreationRate, now| {
            (0..1000).take_while(|_| rate.take(at(now), 5, WINDOW).is_zero()).count()
        };
        assert_eq!(burst(&mut rate, 0), 50);
        assert_eq!(burst(&mut rate, 3_600_000), 50);
    }

    #[test]
    fn nobody_waits_longer_than_a_sample_not_even_for_a_rate_of_zero() {
        let mut rate = CreationRate::default();
        for _ in 0..100 {
            assert!(rate.take(at(0), 0, WINDOW) <= WINDOW.sample);
        }
        assert_eq!(rate.take(at(1_000), 0, WINDOW), WINDOW.sample);
        assert_eq!(rate.take(at(1_000), UNLIMITED, WINDOW), Duration::ZERO);
        assert_eq!(
            rate.take(at(12_001), 1_000_000, WINDOW),
            Duration::ZERO,
            "raised, it is in force at once"
        );
    }
}
