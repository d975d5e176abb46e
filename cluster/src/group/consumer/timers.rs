//! How long a consumer group waits for each member: soft state, beside what is on record, and begun anew after a restart.
//!
//! A member has up to four deadlines (its session; to give partitions up; as a classic member, to join and to fetch its
//! assignment), and one entry among the shard's [`Deadlines`](crate::group::deadlines::Deadlines), never after the
//! earliest of them.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla_protocol::codec::Str;

use crate::group::deadlines::{Deadlines, Timer};
use crate::time::Monotonic;

/// What a member is waited for beside its next sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Duty {
    /// To give up the partitions that it was asked for.
    Revoke,
    /// A classic member: to join again.
    Join,
    /// A classic member: to fetch its assignment.
    Sync,
}

#[derive(Debug, Default)]
struct MemberTimer {
    session: Monotonic,
    duties: BTreeMap<Duty, Monotonic>,
    /// The deadline that is among the shard's for it.
    armed: Option<Monotonic>,
}

impl MemberTimer {
    fn earliest(&self) -> Monotonic {
        self.duties.values().copied().fold(self.session, Monotonic::min)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    members: BTreeMap<Str, MemberTimer>,
}

impl Timers {
    /// The member has been heard of: its session begins anew.
    pub(crate) fn heard(&mut self, member_id: &Str, now: Monotonic, session_timeout: Duration) {
        self.of(member_id).session = now + session_timeout;
    }

    /// The member is to do something within a time; a duty that it has already keeps its deadline.
    pub(crate) fn expect(&mut self, member_id: &Str, duty: Duty, at: Monotonic) {
        self.of(member_id).duties.entry(duty).or_insert(at);
    }

    /// The member has done it.
    pub(crate) fn done(&mut self, member_id: &Str, duty: Duty) {
        if let Some(timer) = self.members.get_mut(member_id) {
            timer.duties.remove(&duty);
        }
    }

    /// The member is gone.
    pub(crate) fn forget(&mut self, member_id: &Str) {
        self.members.remove(member_id);
    }

    /// Puts the member's earliest deadline among the shard's, unless an earlier one is there.
    pub(crate) fn arm(&mut self, group: &Str, member_id: &Str, deadlines: &mut Deadlines) {
        let Some(timer) = self.members.get_mut(member_id) else { return };
        let earliest = timer.earliest();
        if timer.armed.is_none_or(|armed| earliest < armed) {
            timer.armed = Some(earliest);
            deadlines.set(earliest, Timer::Session { group: group.clone(), member: member_id.clone() });
        }
    }

    /// The shard's deadline for the member has come; tells whether one of its own has, and arms the next one if not.
    pub(crate) fn is_over(
        &mut self,
        group: &Str,
        member_id: &Str,
        now: Monotonic,
        deadlines: &mut Deadlines,
    ) -> bool {
        let Some(timer) = self.members.get_mut(member_id) else { return false };
        if timer.armed.is_some_and(|armed| armed > now) {
            return false;
        }
        timer.armed = None;
        if timer.earliest() <= now {
            return true;
        }
        self.arm(group, member_id, deadlines);
        false
    }

    fn of(&mut self, member_id: &Str) -> &mut MemberTimer {
        self.members.entry(member_id.clone()).or_default()
    }
}
