//! One step of a member towards its target (KIP-848): give up first, then take over what is free.
//!
//! ```text
//!                 has to give up something          said that it gave it up
//!   Stable ─────────────────────────────▶ Unrevoked ───────────────────────┐
//!     ▲  ▲                                Partitions                       │
//!     │  └──────── all that it is to own is free ──────────────────────────┤
//!     └─────────── ◀── Unreleased ◀─── somebody else still has a part ─────┘
//!                      Partitions
//! ```
//! Pure: from a member, its target and who owns what, to the member's next state. It never assigns a partition that
//! another member has.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::ErrorCode;
use ottla_protocol::TopicId;
use ottla_protocol::messages::consumer_group_heartbeat::TopicPartitions;

use super::member::{ConsumerMember, CurrentAssignment, MemberState};
use super::partitions::{Owned, Partitions, owns};
use crate::refusal::{Refused, refuse};

/// What a step depends on beside the member.
pub(crate) struct Step<'a> {
    /// The epoch of the target assignment.
    pub(crate) target_epoch: i32,
    /// What the member is to own.
    pub(crate) target: &'a Partitions,
    /// The topics that it reads and that exist.
    pub(crate) subscribed: &'a BTreeSet<TopicId>,
    /// It reads other topics than before: what it does not read any more is to go at once.
    pub(crate) subscription_changed: bool,
    /// What it says that it owns; `None` when it says nothing.
    pub(crate) claimed: Option<&'a [TopicPartitions]>,
    /// Whether somebody has a partition.
    pub(crate) is_owned: &'a dyn Fn(TopicId, i32) -> bool,
}

/// The member's next state.
///
/// # Errors
/// FENCED_MEMBER_EPOCH: it is in a state that we do not know, and has to begin anew.
pub(crate) fn next(member: &ConsumerMember, step: &Step<'_>) -> Refused<CurrentAssignment> {
    let current = &member.current;
    match current.state {
        MemberState::Stable if current.member_epoch != step.target_epoch => Ok(advance(member, step)),
        MemberState::Stable if step.subscription_changed => Ok(drop_unsubscribed(member, step)),
        MemberState::Stable => Ok(current.clone()),
        MemberState::UnrevokedPartitions if claims(step.claimed, &current.pending_revocation) => {
            if step.subscription_changed { Ok(drop_unsubscribed(member, step)) } else { Ok(current.clone()) }
        }
        MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => Ok(advance(member, step)),
        MemberState::Unknown if step.claimed.is_some_and(|claimed| claimed.is_empty()) => {
            Ok(advance(member, step))
        }
        MemberState::Unknown => refuse(
            ErrorCode::FENCED_MEMBER_EPOCH,
            "the member is in a state that this coordinator does not know; it has to give up all and join again",
        ),
    }
}

/// Whether the member says, or does not deny, that it still owns one of these.
fn claims(claimed: Option<&[TopicPartitions]>, owned: &Owned) -> bool {
    let Some(claimed) = claimed else { return true };
    claimed
        .iter()
        .any(|topic| topic.partitions.iter().any(|it| owns(owned, TopicId::new(topic.topic_id), *it)))
}

/// Gives up the topics that the member does not read any more, and changes nothing else.
fn drop_unsubscribed(member: &ConsumerMember, step: &Step<'_>) -> CurrentAssignment {
    let mut next = member.current.clone();
    let (kept, gone): (Owned, Owned) = std::mem::take(&mut next.assigned)
        .into_iter()
        .partition(|(topic, _)| step.subscribed.contains(topic));
    next.assigned = kept;
    if gone.is_empty() {
        return next;
    }
    let mut pending = next.pending_revocation.clone();
    for (topic, partitions) in gone {
        pending.entry(topic).or_default().extend(partitions);
    }
    if claims(step.claimed, &pending) {
        next.state = MemberState::UnrevokedPartitions;
        next.pending_revocation = pending;
    }
    next
}

/// Takes the member as far towards its target as it may go.
fn advance(member: &ConsumerMember, step: &Step<'_>) -> CurrentAssignment {
    let Division { kept, revoked, free, unreleased } = divide(member, step);
    let current = &member.current;
    if !revoked.is_empty() && claims(step.claimed, &revoked) {
        // It stays in its epoch until it has said that it gave them up.
        return CurrentAssignment {
            member_epoch: current.member_epoch,
            previous_member_epoch: current.member_epoch,
            state: MemberState::UnrevokedPartitions,
            assigned: kept,
            pending_revocation: revoked,
        };
    }
    let mut assigned = kept;
    for (topic, partitions) in free {
        let since = partitions.into_iter().map(|partition| (partition, step.target_epoch));
        assigned.entry(topic).or_default().extend(since);
    }
    CurrentAssignment {
        member_epoch: step.target_epoch,
        previous_member_epoch: current.member_epoch,
        state: if unreleased { MemberState::UnreleasedPartitions } else { MemberState::Stable },
        assigned,
        pending_revocation: Owned::new(),
    }
}

/// How what a member owns compares with what it is to own.
struct Division {
    kept: Owned,
    revoked: Owned,
    /// To be taken over, and nobody has it.
    free: BTreeMap<TopicId, Vec<i32>>,
    /// Something is to be taken over that somebody else still has.
    unreleased: bool,
}

fn divide(member: &ConsumerMember, step: &Step<'_>) -> Division {
    let current = &member.current;
    let mut division =
        Division { kept: Owned::new(), revoked: Owned::new(), free: BTreeMap::new(), unreleased: false };
    let target_of = |topic: &TopicId| step.target.get(topic).filter(|_| step.subscribed.contains(topic));
    for (topic, partitions) in &current.assigned {
        let target = target_of(topic);
        let (kept, revoked): (BTreeMap<i32, i32>, BTreeMap<i32, i32>) = partitions
            .iter()
            .map(|(partition, since)| (*partition, *since))
            .partition(|(partition, _)| target.is_some_and(|target| target.contains(partition)));
        if !kept.is_empty() {
            division.kept.insert(*topic, kept);
        }
        if !revoked.is_empty() {
            division.revoked.insert(*topic, revoked);
        }
    }
    for topic in step.target.keys() {
        for partition in target_of(topic).into_iter().flatten() {
            if owns(&division.kept, *topic, *partition) {
                continue;
            }
            // What it was about to give up itself is nobody else's.
            let is_own = owns(&current.pending_revocation, *topic, *partition);
            if is_own || !(step.is_owned)(*topic, *partition) {
                division.free.entry(*topic).or_default().push(*partition);
            } else {
                division.unreleased = true;
            }
        }
    }
    division
}
