//! One run: its clock, who counts, and whether it goes on.
//!
//! Workers connect first and wait at the gate; the clock begins for all of them at once, also for those of several runs. A
//! worker that fails stops the run; what was counted stays, and what is counted afterwards is not: `measured` and the
//! counts are of the same time. Workers share a few tallies, because a histogram of one's own for each of thousands would be
//! the generator's largest cost.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::{LoadError, Result};
use crate::plan::Window;
use crate::tally::Tally;

/// From the opening of the gate to the first request, so that every thread is up.
const LEAD: Duration = Duration::from_millis(50);
/// Tallies of one run; more workers share them.
const TALLIES_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Run {
    window: Window,
    starts: OnceLock<Instant>,
    stopped_at: OnceLock<Instant>,
    is_hung_up: AtomicBool,
    changed: Notify,
    connections: Mutex<Vec<Weak<TcpStream>>>,
    tallies: Mutex<Vec<Arc<Mutex<Tally>>>>,
    tallies_given: AtomicUsize,
    failure: Mutex<Option<LoadError>>,
}

impl Run {
    /// A run whose clock stands still until [`Run::begin`]: a thousand connections may take longer than the run.
    pub fn new(window: Window) -> Arc<Run> {
        Arc::new(Run {
            window,
            starts: OnceLock::new(),
            stopped_at: OnceLock::new(),
            is_hung_up: AtomicBool::new(false),
            changed: Notify::new(),
            connections: Mutex::default(),
            tallies: Mutex::default(),
            tallies_given: AtomicUsize::new(0),
            failure: Mutex::new(None),
        })
    }

    /// Starts the clocks of these runs, all at the same moment. Their workers are connected by now.
    pub fn begin(runs: &[&Arc<Run>]) {
        let starts = Instant::now() + LEAD;
        for run in runs {
            run.starts.get_or_init(|| starts);
            run.changed.notify_waiters();
        }
    }

    /// When the first request goes out; waits for the gate.
    pub(crate) fn starts(&self) -> Instant {
        *self.starts.wait()
    }

    /// As [`Run::starts`], for tasks.
    pub(crate) async fn begun(&self) -> Instant {
        self.until_changed(|| self.starts.get().is_some()).await;
        self.starts()
    }

    async fn until_changed(&self, is_so: impl Fn() -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if is_so() {
                return;
            }
            changed.await;
        }
    }

    /// When counting begins.
    pub(crate) fn measures(&self) -> Instant {
        self.starts() + self.window.warm_up
    }

    /// When the last request goes out.
    fn ends(&self) -> Instant {
        self.measures() + self.window.measured
    }

    /// When counting ends, as far as it is known by now.
    pub(crate) fn counts_until(&self) -> Instant {
        self.stopped_at.get().map_or_else(|| self.ends(), |at| self.ends().min(*at))
    }

    /// Whether what happens at `at` counts.
    pub(crate) fn counts(&self, at: Instant) -> bool {
        at >= self.measures() && at < self.counts_until()
    }

    /// Whether nothing more is to be begun at `at`.
    pub(crate) fn is_over(&self, at: Instant) -> bool {
        at >= self.counts_until()
    }

    /// Whether somebody stopped it before its end.
    pub fn is_stopped(&self) -> bool {
        self.stopped_at.get().is_some()
    }

    /// Ends it now: nothing more is sent, and answers are waited for until [`Run::hang_up`]. Workers at the gate go home.
    pub fn stop(&self) {
        self.stopped_at.get_or_init(Instant::now);
        self.starts.get_or_init(Instant::now);
        self.changed.notify_waiters();
    }

    /// Ends it without waiting for answers: closes every connection. What was on its way stays unanswered.
    pub fn hang_up(&self) {
        self.stop();
        self.is_hung_up.store(true, Ordering::Release);
        self.changed.notify_waiters();
        for connection in self.connections.lock().iter().filter_map(Weak::upgrade) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Waits until nobody waits for answers any more.
    pub(crate) async fn hung_up(&self) {
        self.until_changed(|| self.is_hung_up.load(Ordering::Acquire)).await;
    }

    /// A connection that is closed when the run hangs up.
    pub(crate) fn watches(&self, connection: &Arc<TcpStream>) {
        self.connections.lock().push(Arc::downgrade(connection));
    }

    /// Whether the clock stands at the warm-up's end or behind it.
    pub fn is_measuring(&self) -> bool {
        self.starts.get().is_some() && Instant::now() >= self.measures()
    }

    /// Whether the time is up, and only answers are waited for.
    pub fn is_ending(&self) -> bool {
        self.starts.get().is_some() && self.is_over(Instant::now())
    }

    /// How long it has measured until now.
    pub fn measured(&self) -> Duration {
        if self.starts.get().is_none() {
            return Duration::ZERO;
        }
        Instant::now().min(self.counts_until()).saturating_duration_since(self.measures())
    }

    /// Records and bytes counted so far: cheap enough to be asked for while it runs.
    pub fn counted(&self) -> (u64, u64) {
        let tallies = self.tallies.lock();
        tallies.iter().fold((0, 0), |(records, bytes), tally| {
            let tally = tally.lock();
            (records + tally.records, bytes + tally.bytes)
        })
    }

    /// What has been counted so far, over all workers.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for tally in self.tallies.lock().iter() {
            sum.add(&tally.lock());
        }
        sum
    }

    /// A worker's tally.
    pub(crate) fn new_tally(&self) -> Arc<Mutex<Tally>> {
        let mut tallies = self.tallies.lock();
        if tallies.len() < TALLIES_MAX {
            tallies.push(Arc::default());
        }
        let turn = self.tallies_given.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&tallies[turn % TALLIES_MAX])
    }

    /// Keeps the first failure, and ends the run. What fails once the run is stopped is only its echo.
    pub fn fail(&self, error: LoadError) {
        let mut failure = self.failure.lock();
        if !self.is_stopped() {
            failure.get_or_insert(error);
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

    fn run(measured: Duration) -> Arc<Run> {
        Run::new(Window { warm_up: Duration::ZERO, measured })
    }

    #[test]
    fn the_first_failure_ends_the_run_and_later_ones_are_its_echo() {
        let run = run(Duration::from_secs(60));
        Run::begin(&[&run]);
        assert!(!run.is_over(Instant::now()));
        run.note(Err(LoadError::Plan("first".to_owned())));
        run.note(Err(LoadError::Plan("second".to_owned())));
        assert!(run.is_over(Instant::now()));
        assert_eq!(run.take_failure().unwrap().to_string(), "first");
        assert!(run.measured() < Duration::from_secs(1));
    }

    #[test]
    fn workers_wait_at_the_gate_and_the_clocks_of_two_runs_begin_at_once() {
        let (one, other) = (run(Duration::from_secs(1)), run(Duration::from_secs(2)));
        let waiting = std::thread::spawn({
            let one = Arc::clone(&one);
            move || one.starts()
        });
        assert_eq!((one.measured(), one.is_measuring()), (Duration::ZERO, false));
        Run::begin(&[&one, &other]);
        assert_eq!(waiting.join().unwrap(), other.starts());
    }

    #[test]
    fn a_run_that_is_stopped_before_it_began_lets_its_workers_go_and_measured_nothing() {
        let run = run(Duration::from_secs(60));
        run.stop();
        assert!(run.is_over(run.starts()));
        assert_eq!(run.measured(), Duration::ZERO);
    }

    #[test]
    fn what_happens_after_the_stop_does_not_count() {
        let run = Run::new(Window { warm_up: Duration::ZERO, measured: Duration::from_secs(60) });
        Run::begin(&[&run]);
        let soon = run.starts() + Duration::from_secs(1);
        assert!(run.counts(soon));
        run.stop();
        assert!(!run.counts(soon));
    }

    #[test]
    fn thousands_of_workers_share_a_few_tallies_and_nothing_is_counted_twice() {
        let run = run(Duration::from_secs(60));
        for _ in 0..1_000 {
            run.new_tally().lock().carried(1, 10);
        }
        assert_eq!(run.counted(), (1_000, 10_000));
        assert_eq!(run.tally().requests, 1_000);
        assert_eq!(run.tallies.lock().len(), TALLIES_MAX);
    }
}
