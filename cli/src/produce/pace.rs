//! Keeping to a rate: how long to wait before the next record.

use std::time::{Duration, Instant};

use crate::units::Rate;

/// A debt of less than this is not worth a timer.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// Records or bytes since a start, held against a rate.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Rate,
    started: Instant,
    done: u64,
}

impl Pace {
    /// A pace that begins at `now`.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Pace { rate, started: now, done: 0 }
    }

    /// Counts one record of `bytes` and says how long to wait at `now` to keep the rate.
    fn debt(&mut self, bytes: u64, now: Instant) -> Duration {
        let (amount, per_second) = match self.rate {
            Rate::Records(per_second) => (1, per_second),
            Rate::Bytes(per_second) => (bytes, per_second),
        };
        let due = self.started + Duration::from_secs_f64(self.done as f64 / per_second as f64);
        self.done += amount;
        due.saturating_duration_since(now)
    }

    /// Counts one record of `bytes` and waits if it comes too early.
    pub(crate) async fn wait(&mut self, bytes: u64) {
        let debt = self.debt(bytes, Instant::now());
        if debt >= WAIT_MIN {
            tokio::time::sleep(debt).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_spread_over_time_at_the_rate() {
        let now = Instant::now();
        let mut pace = Pace::new(Rate::Records(100), now);
        assert_eq!(pace.debt(1, now), Duration::ZERO);
        assert_eq!(pace.debt(1, now), Duration::from_millis(10));
        assert_eq!(pace.debt(1, now + Duration::from_secs(1)), Duration::ZERO);
        let mut pace = Pace::new(Rate::Bytes(1000), now);
        pace.debt(500, now);
        assert_eq!(pace.debt(1, now), Duration::from_millis(500));
    }
}
