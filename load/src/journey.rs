//! What the senders and readers of an end-to-end run know of each other: the mark and the due time in each value, and how
//! many records are on their way.
//!
//! A record carries its due time, so that a reader needs no list of what was sent, and the run's mark, so that other
//! people's records do not count. Sender and reader share a clock because they share a process.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::run::Run;

/// The run's mark and the due time, before the rest of a value.
pub const STAMP_BYTES: usize = 16;
/// What has not arrived so long after the last that did is lost.
const GRACE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Journey {
    mark: u64,
    sent: AtomicU64,
    arrived: AtomicU64,
    senders: AtomicUsize,
}

impl Journey {
    /// A journey with so many senders, each of which must say when it is done.
    pub(crate) fn new(senders: usize) -> Journey {
        Journey {
            mark: rand::random(),
            sent: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            senders: AtomicUsize::new(senders),
        }
    }

    /// Where the noise of the values begins.
    pub(crate) fn seed(&self) -> u64 {
        self.mark
    }

    /// Writes mark and due time to the front of a value, which is made long enough.
    pub(crate) fn stamp(&self, value: &mut Vec<u8>, run: &Run, due: Instant) {
        value.resize(value.len().max(STAMP_BYTES), 0);
        let since_start = due.saturating_duration_since(run.starts()).as_nanos() as u64;
        value[..8].copy_from_slice(&self.mark.to_be_bytes());
        value[8..STAMP_BYTES].copy_from_slice(&since_start.to_be_bytes());
    }

    /// When a record was due, if it is one of ours.
    pub(crate) fn due(&self, value: &[u8], run: &Run) -> Option<Instant> {
        let (mark, rest) = value.split_first_chunk::<8>()?;
        let (nanos, _) = rest.split_first_chunk::<8>()?;
        let is_ours = u64::from_be_bytes(*mark) == self.mark;
        is_ours.then(|| run.starts() + Duration::from_nanos(u64::from_be_bytes(*nanos)))
    }

    /// A record is about to leave.
    pub(crate) fn departs(&self) {
        self.sent.fetch_add(1, Ordering::AcqRel);
    }

    /// A record is there.
    pub(crate) fn arrives(&self) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
    }

    /// A sender sends nothing more.
    pub(crate) fn sender_is_done(&self) {
        self.senders.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether there is nothing to wait for: all has arrived, or nothing did for a while.
    pub(crate) fn is_over(&self, idle: Duration) -> bool {
        let is_sent = self.senders.load(Ordering::Acquire) == 0;
        is_sent
            && (self.arrived.load(Ordering::Acquire) >= self.sent.load(Ordering::Acquire) || idle >= GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Window;

    #[test]
    fn a_stamp_is_read_by_its_own_journey_only() {
        let run = Run::new(Window { warm_up: Duration::ZERO, measured: Duration::from_secs(1) });
        Run::begin(&[&run]);
        let (ours, theirs) = (Journey::new(1), Journey::new(1));
        let due = run.starts() + Duration::from_micros(1_234_567);
        let mut value = vec![7; 3];
        ours.stamp(&mut value, &run, due);
        assert_eq!(value.len(), STAMP_BYTES);
        assert_eq!(ours.due(&value, &run), Some(due));
        assert_eq!(theirs.due(&value, &run), None);
        assert_eq!(ours.due(b"short", &run), None);
    }

    #[test]
    fn readers_wait_for_what_is_on_its_way_but_not_for_ever() {
        let journey = Journey::new(1);
        journey.departs();
        assert!(!journey.is_over(GRACE));
        journey.sender_is_done();
        assert!(!journey.is_over(Duration::ZERO));
        assert!(journey.is_over(GRACE));
        journey.arrives();
        assert!(journey.is_over(Duration::ZERO));
    }
}
