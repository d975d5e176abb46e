//! Requests that wait until a partition's high watermark has reached an offset, each with a deadline.
//!
//! Keyed by the offset they wait for, so that an advance completes exactly those it sets free and touches no other.
//! Invariant: a wait leaves exactly once, as reached or as timed out.

use std::collections::BTreeMap;

use ottla_protocol::Offset;

use crate::time::Monotonic;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// The high watermark reached the offset.
    Reached,
    /// The deadline came first. The records stay in the log and may yet be committed (KAFKA-13574).
    TimedOut,
    /// This broker no longer leads the partition.
    LostLeadership,
}

/// The waits of one partition; `T` is the shell's token for what is to be answered.
#[derive(Debug)]
pub struct Waits<T> {
    by_offset: BTreeMap<(Offset, u64), (Monotonic, T)>,
    by_deadline: BTreeMap<(Monotonic, u64), Offset>,
    arrivals: u64,
}

impl<T> Default for Waits<T> {
    fn default() -> Self {
        Self { by_offset: BTreeMap::new(), by_deadline: BTreeMap::new(), arrivals: 0 }
    }
}

impl<T> Waits<T> {
    /// Parks `token` until the high watermark is at least `offset` (exclusive end of what was appended).
    pub fn park(&mut self, offset: Offset, deadline: Monotonic, token: T) {
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.by_offset.insert((offset, arrival), (deadline, token));
        self.by_deadline.insert((deadline, arrival), offset);
    }

    /// Takes the tokens whose offset is at or below `high_watermark`, lowest offset first.
    pub fn reached(&mut self, high_watermark: Offset) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(move || {
            let entry = self.by_offset.first_entry()?;
            let (offset, arrival) = *entry.key();
            if offset > high_watermark {
                return None;
            }
            let (deadline, token) = entry.remove();
            self.by_deadline.remove(&(deadline, arrival));
            Some(token)
        })
    }

    /// Takes the tokens whose deadline is at or before `now`, earliest first.
    pub fn expired(&mut self, now: Monotonic) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(move || {
            let entry = self.by_deadline.first_entry()?;
            let (deadline, arrival) = *entry.key();
            if deadline > now {
                return None;
            }
            let offset = entry.remove();
            self.by_offset.remove(&(offset, arrival)).map(|(_, token)| token)
        })
    }

    /// Takes every token, for when this broker stops leading.
    pub fn abandon(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.by_deadline.clear();
        std::mem::take(&mut self.by_offset).into_values().map(|(_, token)| token)
    }

    /// When the next wait times out.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.by_deadline.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// How many requests wait.
    pub fn waiting_count(&self) -> usize {
        self.by_offset.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advance_frees_exactly_what_it_has_reached_in_offset_order() {
        let mut waits = Waits::default();
        let deadline = Monotonic::from_millis(100);
        for (offset, token) in [(7, 'c'), (5, 'a'), (5, 'b'), (9, 'd')] {
            waits.park(Offset::new(offset), deadline, token);
        }
        assert_eq!(waits.reached(Offset::new(7)).collect::<String>(), "abc");
        assert_eq!(waits.waiting_count(), 1);
        assert_eq!(waits.next_deadline(), Some(deadline));
    }

    #[test]
    fn a_wait_leaves_once_whether_reached_or_timed_out() {
        let mut waits = Waits::default();
        waits.park(Offset::new(1), Monotonic::from_millis(10), 'a');
        waits.park(Offset::new(2), Monotonic::from_millis(20), 'b');
        assert_eq!(waits.expired(Monotonic::from_millis(10)).collect::<String>(), "a");
        assert_eq!(waits.reached(Offset::new(5)).collect::<String>(), "b");
        assert_eq!(waits.next_deadline(), None);
        assert_eq!(waits.abandon().count(), 0);
    }
}
