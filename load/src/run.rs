//! One run: its clock, who counts, and whether it goes on.
//!
//! Each worker has a tally of its own behind a lock that only the reporter contends for, once a second. The first worker
//! that fails stops all; what was counted stays.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::{LoadError, Result};
use crate::plan::Window;
use crate::tally::Tally;

/// See the module.
#[derive(Debug)]
pub struct Run {
    window: Window,
    starts: OnceLock<Instant>,
    stopped: AtomicBool,
    stopped_at: Mutex<Option<Instant>>,
    tallies: Mutex<Vec<Arc<Mutex<Tally>>>>,
    failure: Mutex<Option<LoadError>>,
}

impl Run {
    /// A run whose clock stands still until a worker first asks for it, which is when all of them are connected: a
    /// thousand connections may take longer than the run.
    pub fn new(window: Window) -> Arc<Run> {
        Arc::new(Run {
            window,
            starts: OnceLock::new(),
            stopped: AtomicBool::new(false),
            stopped_at: Mutex::new(None),
            tallies: Mutex::default(),
            failure: Mutex::new(None),
        })
    }

    /// When the first request goes out.
    pub(crate) fn starts(&self) -> Instant {
        *self.starts.get_or_init(|| Instant::now() + Duration::from_millis(50))
    }

    /// When counting begins.
    fn measures(&self) -> Instant {
        self.starts() + self.window.warm_up
    }

    /// When the last request goes out.
    pub(crate) fn ends(&self) -> Instant {
        self.measures() + self.window.measured
    }

    /// Whether what happens at `at` counts.
    pub(crate) fn counts(&self, at: Instant) -> bool {
        at >= self.measures() && at < self.ends()
    }

    /// Whether nothing more is to be begun at `at`.
    pub(crate) fn is_over(&self, at: Instant) -> bool {
        at >= self.ends() || self.is_stopped()
    }

    /// Whether somebody stopped it before its end.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends it now.
    pub fn stop(&self) {
        if !self.stopped.swap(true, Ordering::AcqRel) {
            *self.stopped_at.lock() = Some(Instant::now());
        }
    }

    /// How long it has measured until now.
    pub fn measured(&self) -> Duration {
        let until = self.stopped_at.lock().unwrap_or_else(Instant::now).min(self.ends());
        until.saturating_duration_since(self.measures())
    }

    /// Whether the warm-up is over.
    pub fn is_measuring(&self) -> bool {
        Instant::now() >= self.measures()
    }

    /// What has been counted so far, over all workers.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for tally in self.tallies.lock().iter() {
            sum.add(&tally.lock());
        }
        sum
    }

    /// A new worker's tally.
    pub(crate) fn new_tally(&self) -> Arc<Mutex<Tally>> {
        let tally = Arc::new(Mutex::new(Tally::default()));
        self.tallies.lock().push(Arc::clone(&tally));
        tally
    }

    /// Keeps the first failure, and ends the run. What fails once the run is stopped is only its echo.
    pub fn fail(&self, error: LoadError) {
        if !self.is_stopped() {
            self.failure.lock().get_or_insert(error);
            self.stop();
        }
    }

    /// How a worker ended.
    pub(crate) fn note(&self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.fail(error);
        }
    }

    /// Why it broke off, if it did.
    pub fn take_failure(&self) -> Option<LoadError> {
        self.failure.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_ends_the_run_and_later_ones_are_its_echo() {
        let run = Run::new(Window { warm_up: Duration::ZERO, measured: Duration::from_secs(60) });
        assert!(!run.is_over(Instant::now()));
        run.note(Err(LoadError::Plan("first".to_owned())));
        run.note(Err(LoadError::Plan("second".to_owned())));
        assert!(run.is_over(Instant::now()));
        assert_eq!(run.take_failure().unwrap().to_string(), "first");
        assert!(run.measured() < Duration::from_secs(1));
    }
}
