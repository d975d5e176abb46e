//! Deadlines without timers: the machine says when it next wants to be woken, and the shell keeps one timer for all.
//!
//! A deadline that moves is not looked for: its entry stays, and when it comes due its owner says when it really ends. A
//! heartbeat therefore costs no change here, and there is at most about one entry per member.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ottla_protocol::codec::Str;

use crate::time::Monotonic;

/// Whose deadline it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A member of the group has not been heard of, or has not done what it was asked to.
    Session {
        /// The group.
        group: Str,
        /// The member.
        member: Str,
    },
    /// The group waits for members to join, or to take their assignment.
    Phase {
        /// The group.
        group: Str,
    },
}

/// The deadlines of one machine.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Monotonic, Timer)>>,
}

impl Deadlines {
    /// Wants `timer` at `at`.
    pub(crate) fn set(&mut self, at: Monotonic, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Monotonic> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Monotonic) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }
}
