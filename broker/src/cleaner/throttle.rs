//! The bytes per second that all compactions together may read and write (`log.cleaner.io.max.bytes.per.second`).
//!
//! A job tells what it has read or written and waits until that is paid for. It does not sleep through a stop: whoever
//! stops the broker wakes the waiting. Invariant: over any time, no more than the rate and one piece per job goes through.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::rt::time::{self, Instant};

#[derive(Debug)]
struct State {
    bytes_per_second: f64,
    /// Until when what went through is to be paid for.
    paid_until: Option<Instant>,
    is_stopped: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Throttle {
    state: Mutex<State>,
    stopped: Condvar,
}

impl Default for Throttle {
    fn default() -> Self {
        let state = State { bytes_per_second: f64::MAX, paid_until: None, is_stopped: false };
        Throttle { state: Mutex::new(state), stopped: Condvar::new() }
    }
}

impl Throttle {
    /// Sets the rate for all that goes through from here on.
    pub(crate) fn set_bytes_per_second(&self, bytes_per_second: f64) {
        self.state.lock().bytes_per_second = bytes_per_second;
    }

    /// Waits until these bytes are paid for. False once the broker stops.
    pub(crate) fn pace(&self, bytes: u64) -> bool {
        let mut state = self.state.lock();
        let now = time::now();
        let paid_until =
            state.paid_until.filter(|at| *at > now).unwrap_or(now) + cost(bytes, state.bytes_per_second);
        state.paid_until = Some(paid_until);
        while !state.is_stopped {
            let left = paid_until.saturating_duration_since(time::now());
            if left.is_zero() {
                return true;
            }
            self.stopped.wait_for(&mut state, left);
        }
        false
    }

    /// Lets everybody go, with the word to stop.
    pub(crate) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.stopped.notify_all();
    }
}

/// The time that bytes take. A rate that is not positive lets a byte through a second, and nothing takes longer than a day.
fn cost(bytes: u64, bytes_per_second: f64) -> Duration {
    const DAY_SECONDS: f64 = 86_400.0;
    Duration::from_secs_f64((bytes as f64 / bytes_per_second.max(1.0)).min(DAY_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_cost_their_share_of_a_second() {
        assert_eq!(cost(500, 1000.0), Duration::from_millis(500));
        assert_eq!(cost(0, 1000.0), Duration::ZERO);
        assert!(cost(1 << 30, f64::MAX).is_zero());
        assert_eq!(cost(10, 0.0), Duration::from_secs(10));
        assert_eq!(cost(u64::MAX, -1.0), Duration::from_secs(86_400));
    }

    #[test]
    fn what_went_through_is_paid_for_and_a_stop_does_not_wait() {
        let throttle = Throttle::default();
        assert!(throttle.pace(u64::MAX));
        throttle.set_bytes_per_second(1000.0);
        let began = time::now();
        assert!(throttle.pace(20) && throttle.pace(20));
        assert!(began.elapsed() >= Duration::from_millis(40));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| throttle.pace(1 << 40));
            throttle.stop();
            assert!(!waiting.join().unwrap());
        });
        assert!(!throttle.pace(0));
    }
}
