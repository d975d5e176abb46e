//! Whether the program still polls (`max.poll.interval.ms`, KIP-62): a member that does not makes room for others.
//!
//! Pure: the time is a parameter. It does not leave the group; the membership does, and comes back when a poll comes.

use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct PollWatch {
    polled_at: Instant,
    interval: Duration,
    is_stalled: bool,
}

impl PollWatch {
    /// The program has polled `now` and will again within `interval`.
    pub(crate) fn new(now: Instant, interval: Duration) -> Self {
        Self { polled_at: now, interval, is_stalled: false }
    }

    /// Whether the program was late and has not polled since.
    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// The program polled at `at`, and it is `now`.
    pub(crate) fn polled(&mut self, now: Instant, at: Instant) {
        self.polled_at = self.polled_at.max(at);
        if now < self.deadline() {
            self.is_stalled = false;
        }
    }

    /// When the program has to have polled again; none once it is late.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        (!self.is_stalled).then(|| self.deadline())
    }

    /// Whether the program has just become late.
    pub(crate) fn has_become_late(&mut self, now: Instant, group_id: &str) -> bool {
        if self.is_stalled || now < self.deadline() {
            return false;
        }
        tracing::warn!(
            group = group_id,
            "the program did not poll within max.poll.interval.ms: it leaves the group until it does"
        );
        self.is_stalled = true;
        true
    }

    fn deadline(&self) -> Instant {
        self.polled_at + self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_late_once_until_it_polls_again() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut watch = PollWatch::new(start, second);
        assert!(!watch.has_become_late(start, "g"));
        assert_eq!(watch.next_wake(), Some(start + second));
        assert!(watch.has_become_late(start + second, "g"));
        assert!(!watch.has_become_late(start + second, "g"));
        assert_eq!((watch.is_stalled(), watch.next_wake()), (true, None));
        watch.polled(start + 2 * second, start + 2 * second);
        assert_eq!(watch.next_wake(), Some(start + 3 * second));
    }
}
