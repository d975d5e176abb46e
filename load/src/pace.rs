//! When the next request goes out.
//!
//! Pure: times are parameters. In an open loop request `n` of a client is due at `start + n × gap`, whatever happened to
//! the requests before it; the clients are spread over one gap, so that they do not send at once.

use std::time::{Duration, Instant};

/// How fast to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as answers come, with so many requests of each client in flight.
    Closed {
        /// Requests in flight on each connection.
        in_flight: usize,
    },
    /// So many records a second, all clients together.
    Open {
        /// Records a second.
        records_per_second: f64,
    },
}

/// The due times of one client of an open loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    first: Instant,
    /// In seconds, because a nanosecond is too coarse for what is added up a million times.
    gap: f64,
}

impl Schedule {
    /// Client `index` of `clients`, which together send `requests_per_second`.
    pub(crate) fn new(start: Instant, requests_per_second: f64, index: usize, clients: usize) -> Self {
        let offset = Duration::from_secs_f64(index as f64 / requests_per_second);
        Self { first: start + offset, gap: clients as f64 / requests_per_second }
    }

    /// When request `number` is due.
    pub(crate) fn due(&self, number: u64) -> Instant {
        self.first + Duration::from_secs_f64(self.gap * number as f64)
    }

    /// How many requests are due in `[from, to)`.
    pub(crate) fn due_between(&self, from: Instant, to: Instant) -> u64 {
        self.due_before(to).saturating_sub(self.due_before(from))
    }

    /// How many requests are due before `at`.
    fn due_before(&self, at: Instant) -> u64 {
        (at.saturating_duration_since(self.first).as_secs_f64() / self.gap).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_of_an_open_loop_send_in_turn_and_together_at_the_rate() {
        let start = Instant::now();
        let due = |client, number| Schedule::new(start, 1_000.0, client, 4).due(number) - start;
        assert_eq!(due(0, 0), Duration::ZERO);
        assert_eq!(due(1, 0), Duration::from_millis(1));
        assert_eq!(due(3, 1), Duration::from_millis(7));
        assert!(due(0, 1_000_000).abs_diff(Duration::from_secs(4_000)) < Duration::from_millis(1));
        let schedule = Schedule::new(start, 1_000.0, 1, 4);
        assert_eq!(schedule.due_before(start), 0);
        assert_eq!(schedule.due_before(start + Duration::from_millis(9)), 2);
        let (from, to) = (start + Duration::from_millis(5), start + Duration::from_millis(10));
        assert_eq!(schedule.due_between(from, to), 2);
        assert_eq!(schedule.due_between(to, from), 0);
    }
}
