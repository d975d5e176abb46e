//! A producer that keeps a rate whatever the broker does, so that a wait counts against the broker and not for it.
//!
//! It sends one prepared request again and again, each at its time; another thread reads the acknowledgements. A latency
//! counts from the moment at which its request should have been sent, and belongs to the part of the run in which that was.

use std::time::{Duration, Instant};

use nix::sys::prctl;

use crate::error::{BenchError, Result};
use crate::stats::Latencies;
use crate::wire::{Connection, PreparedProduce};

/// See the module.
#[derive(Debug)]
pub(crate) struct Steady<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) request: &'a PreparedProduce,
    pub(crate) per_second: f64,
}

impl Steady<'_> {
    /// Sends for so long; the latencies of each of `parts` equal parts of that time.
    pub(crate) fn run(&mut self, duration: Duration, parts: usize) -> Result<Vec<Latencies>> {
        let count = (duration.as_secs_f64() * self.per_second).ceil() as u32;
        let schedule = Schedule {
            start: Instant::now() + Duration::from_millis(20),
            gap: Duration::from_secs_f64(1.0 / self.per_second),
            count,
        };
        let mut reader = self.connection.reader()?;
        let receiver = std::thread::spawn(move || -> Result<Vec<Latencies>> {
            let mut latencies: Vec<Latencies> = (0..parts).map(|_| Latencies::new()).collect();
            for number in 0..count {
                reader.receive_ack()?;
                let late = Instant::now().saturating_duration_since(schedule.due(number));
                latencies[schedule.part(number, parts)].record(late);
            }
            Ok(latencies)
        });
        // A sleep may otherwise end 50 µs late, which would be counted against the broker.
        let _ = prctl::set_timerslack(1);
        for number in 0..count {
            if let Some(wait) = schedule.due(number).checked_duration_since(Instant::now()) {
                std::thread::sleep(wait);
            }
            self.connection.send_produce(self.request)?;
        }
        receiver.join().map_err(|_| BenchError::Void("the receiving thread panicked".to_owned()))?
    }
}

/// When each request is due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    start: Instant,
    gap: Duration,
    count: u32,
}

impl Schedule {
    fn due(&self, number: u32) -> Instant {
        self.start + self.gap * number
    }

    fn part(&self, number: u32, parts: usize) -> usize {
        (number as usize * parts / self.count.max(1) as usize).min(parts - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_run_are_equally_long_and_none_is_empty() {
        let schedule = Schedule { start: Instant::now(), gap: Duration::from_millis(1), count: 1_000 };
        let mut sizes = [0; 5];
        (0..1_000).for_each(|number| sizes[schedule.part(number, 5)] += 1);
        assert_eq!(sizes, [200; 5]);
        assert_eq!(schedule.due(1_000) - schedule.due(0), Duration::from_secs(1));
    }
}
