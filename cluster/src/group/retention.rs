//! When a committed offset is over, and when a group is (KIP-211).
//!
//! Offsets of a classic group without members end `offsets.retention.minutes` after it became empty; those of a client that
//! never joins, as long after they were committed. A group with members keeps the offsets of the topics that they read,
//! and the others as long after they were committed; so does a consumer group (KIP-848), which has no more topics than
//! its members.

use std::collections::BTreeSet;

use ottla_protocol::codec::Str;

use super::classic::{ClassicGroup, ClassicState};
use super::consumer::classic_member::CONSUMER;
use super::effect::Then;
use super::record::{CommittedOffset, GroupRecord};
use super::shard::{Group, GroupShard, Membership};
use super::subscription::add_topics;
use super::turns::TurnEnd;
use super::{GroupConfig, Now};

impl<W> GroupShard<W> {
    /// Forgets the offsets whose time is over, and groups that have neither members nor offsets. The shell calls it
    /// every `offsets.retention.check.interval.ms`.
    pub fn expire_offsets(&mut self, now: Now) {
        let mut gone = Vec::new();
        for (id, group) in &mut self.groups {
            let mut records = group.offsets.tombstones(id, |topic, _, committed| {
                is_over(&self.config, now, &group.membership, topic, committed)
            });
            let stays = group.offsets.count() > records.len();
            let mut then = Then::Nothing;
            match &group.membership {
                Membership::Classic(classic) => {
                    let empty = classic.state == ClassicState::Empty && classic.pending_ids.is_empty();
                    if empty && !stays && classic.generation > 0 {
                        records.push(GroupRecord::Group { group: id.clone(), value: None });
                    } else if empty && !stays && records.is_empty() {
                        gone.push(id.clone());
                    }
                }
                Membership::Consumer(consumer) => {
                    if consumer.group.members.is_empty() && !stays && !group.turns.busy {
                        records.extend(consumer.group.tombstones());
                        group.turns.busy = true;
                        then = Then::EndTurn { group: id.clone(), end: TurnEnd::Nothing };
                    }
                }
            }
            if !records.is_empty() {
                self.outbox.append(records, then);
            }
        }
        for id in gone {
            self.groups.remove(&id);
        }
    }
}

/// The topics that the members read; `None` when that cannot be known although there are members.
pub(crate) fn subscribed_topics<W>(group: &Group<W>) -> Option<BTreeSet<Str>> {
    match &group.membership {
        Membership::Classic(classic) => classic_topics(classic),
        Membership::Consumer(consumer) => Some(consumer.group.subscribed_topics()),
    }
}

fn classic_topics<W>(group: &ClassicGroup<W>) -> Option<BTreeSet<Str>> {
    let mut topics = BTreeSet::new();
    if group.state == ClassicState::Empty {
        return Some(topics);
    }
    if group.protocol_type.as_ref().is_none_or(|kind| *kind != CONSUMER) {
        return None;
    }
    for offered in group.members.values().flat_map(|member| &member.protocols) {
        add_topics(&offered.metadata, &mut topics);
    }
    Some(topics)
}

fn is_over<W>(
    config: &GroupConfig,
    now: Now,
    membership: &Membership<W>,
    topic: &Str,
    committed: &CommittedOffset,
) -> bool {
    let over_since = |from_ms: i64| now.unix_ms.saturating_sub(from_ms) >= config.offsets_retention_ms;
    let committed_ms = committed.commit_timestamp_ms;
    let group = match membership {
        Membership::Classic(classic) => classic,
        Membership::Consumer(consumer) => {
            let over = match committed.expire_timestamp_ms {
                Some(expires) => now.unix_ms >= expires,
                None => over_since(committed_ms),
            };
            return over && !consumer.group.is_subscribed_to(topic);
        }
    };
    if let Some(expires) = committed.expire_timestamp_ms {
        return now.unix_ms >= expires && group.state == ClassicState::Empty;
    }
    match group.state {
        // Nobody ever joined: the client keeps its own assignment.
        ClassicState::Empty if group.protocol_type.is_none() => over_since(committed_ms),
        ClassicState::Empty => over_since(group.state_timestamp_ms.max(committed_ms)),
        ClassicState::Stable => {
            let unread = classic_topics(group).is_some_and(|topics| !topics.contains(topic));
            unread && over_since(committed_ms)
        }
        ClassicState::PreparingRebalance | ClassicState::CompletingRebalance => false,
    }
}
