//! All groups whose records go to one partition of `__consumer_offsets`: the machine that the shell drives.
//!
//! It routes requests to groups, hands out appends, applies records once they are committed, and knows the next
//! deadline. Loading is replay: [`GroupShard::replay`] for each record in order, then [`GroupShard::finish_replay`]; when
//! the partition moves away the shard is dropped, so there is no undo. It never asks which shard a group belongs to.

use foldhash::{HashMap, HashMapExt};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::JoinGroupRequest;
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity, MemberResponse};
use ottla_protocol::messages::sync_group::SyncGroupRequest;

use super::classic::{ClassicGroup, ClassicState};
use super::deadlines::{Deadlines, Timer};
use super::effect::{Answer, AppendId, Context, Effect, Outbox, Then};
use super::joining::{Joining, join_error};
use super::member::own;
use super::offsets::{Offsets, refuse_commit};
use super::record::GroupRecord;
use super::syncing::sync_error;
use super::{GroupConfig, Now};
use crate::time::Monotonic;

/// A group: its members, and how far it has read.
#[derive(Debug)]
pub(crate) struct Group<W> {
    pub(crate) classic: ClassicGroup<W>,
    pub(crate) offsets: Offsets,
}

/// See the module. `W` is the shell's token for a request that waits.
#[derive(Debug)]
pub struct GroupShard<W> {
    pub(crate) config: GroupConfig,
    pub(crate) groups: HashMap<Str, Group<W>>,
    pub(crate) outbox: Outbox<W>,
    deadlines: Deadlines,
}

impl<W> GroupShard<W> {
    /// A shard without groups.
    pub fn new(config: GroupConfig) -> Self {
        Self { config, groups: HashMap::new(), outbox: Outbox::default(), deadlines: Deadlines::default() }
    }

    /// Takes the effects of the calls since the last drain, in order.
    pub fn drain_effects(&mut self) -> Vec<Effect<W>> {
        self.outbox.drain()
    }

    /// When [`GroupShard::handle_deadlines`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.deadlines.next()
    }

    /// Applies a record that was read from the partition.
    pub fn replay(&mut self, now: Now, record: GroupRecord) {
        if let GroupRecord::Group { group, value: Some(metadata) } = record {
            self.get_or_create(&group, now).classic.replay(metadata, now.monotonic);
        } else {
            self.apply(now, &record);
        }
    }

    /// The partition has been read to its end: begins to watch the sessions of all members.
    pub fn finish_replay(&mut self, now: Now) {
        let Self { config, groups, outbox, deadlines } = self;
        for group in groups.values() {
            group.classic.watch_sessions(&mut Context { now, config, outbox, deadlines });
        }
    }

    /// Makes a committed record part of the state. Members change with their events, not here.
    fn apply(&mut self, now: Now, record: &GroupRecord) {
        match record {
            GroupRecord::Offset { group, topic, partition, value: Some(committed) } => {
                self.get_or_create(group, now).offsets.set(topic, *partition, committed.clone());
            }
            GroupRecord::Offset { group, topic, partition, value: None } => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.offsets.remove(topic, *partition);
                }
            }
            GroupRecord::Group { value: Some(_), .. } => {}
            GroupRecord::Group { group, value: None } => {
                // Somebody may have joined since the tombstone was written; their own record follows it.
                let gone = |group: &Group<W>| {
                    group.classic.members.is_empty()
                        && group.classic.pending_ids.is_empty()
                        && group.offsets.is_empty()
                };
                if self.groups.get(group).is_some_and(gone) {
                    self.groups.remove(group);
                }
            }
        }
    }

    fn get_or_create(&mut self, id: &Str, now: Now) -> &mut Group<W> {
        if !self.groups.contains_key(id) {
            let id = own(id);
            let classic = ClassicGroup::new(id.clone(), now.unix_ms);
            self.groups.insert(id, Group { classic, offsets: Offsets::default() });
        }
        self.groups.get_mut(id).expect("the group was just put there")
    }

    /// Calls `event` on a group with what it needs to act.
    pub(crate) fn with_group<R>(
        &mut self,
        id: &Str,
        now: Now,
        event: impl FnOnce(&mut Group<W>, &mut Context<'_, W>) -> R,
    ) -> Option<R> {
        let Self { config, groups, outbox, deadlines } = self;
        let group = groups.get_mut(id)?;
        Some(event(group, &mut Context { now, config, outbox, deadlines }))
    }

    /// As [`GroupShard::with_group`], for a request that may be the group's first.
    pub(crate) fn with_new_group<R>(
        &mut self,
        id: &Str,
        now: Now,
        event: impl FnOnce(&mut Group<W>, &mut Context<'_, W>) -> R,
    ) -> R {
        self.get_or_create(id, now);
        self.with_group(id, now, event).expect("the group was just put there")
    }

    /// JoinGroup. The answer comes as an effect.
    pub fn handle_join(&mut self, now: Now, request: &JoinGroupRequest, joining: &Joining, waiter: W) {
        let session_timeouts = self.config.session_timeout_min_ms..=self.config.session_timeout_max_ms;
        let error = if request.group_id.is_empty() {
            Some(ErrorCode::INVALID_GROUP_ID)
        } else if !session_timeouts.contains(&request.session_timeout_ms) {
            Some(ErrorCode::INVALID_SESSION_TIMEOUT)
        } else if !self.groups.contains_key(&request.group_id) && !request.member_id.is_empty() {
            Some(ErrorCode::UNKNOWN_MEMBER_ID)
        } else {
            None
        };
        if let Some(code) = error {
            return self.outbox.answer(waiter, Answer::Join(join_error(own(&request.member_id), code)));
        }
        self.with_new_group(&request.group_id, now, |group, cx| {
            group.classic.handle_join(request, joining, waiter, cx);
        });
        // A delay of 0 is over at once.
        self.handle_deadlines(now);
    }

    /// SyncGroup. The answer comes as an effect.
    pub fn handle_sync(&mut self, now: Now, request: &SyncGroupRequest, waiter: W) {
        let code = if request.group_id.is_empty() {
            ErrorCode::INVALID_GROUP_ID
        } else if self.groups.contains_key(&request.group_id) {
            self.with_new_group(&request.group_id, now, |group, cx| {
                group.classic.handle_sync(request, waiter, cx)
            });
            return;
        } else {
            ErrorCode::UNKNOWN_MEMBER_ID
        };
        self.outbox.answer(waiter, Answer::Sync(sync_error(code)));
    }

    /// Heartbeat.
    pub fn handle_heartbeat(&mut self, now: Now, request: &HeartbeatRequest) -> ErrorCode {
        if request.group_id.is_empty() {
            return ErrorCode::INVALID_GROUP_ID;
        }
        self.with_group(&request.group_id, now, |group, cx| group.classic.handle_heartbeat(request, cx))
            .unwrap_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    /// LeaveGroup, with one member (before version 3) or many: what became of each.
    pub fn handle_leave(&mut self, now: Now, request: &LeaveGroupRequest) -> Vec<MemberResponse> {
        let alone = [MemberIdentity { member_id: request.member_id.clone(), ..MemberIdentity::default() }];
        let leaving = if request.members.is_empty() { &alone[..] } else { &request.members[..] };
        let codes = self.with_group(&request.group_id, now, |group, cx| {
            let codes: Vec<ErrorCode> =
                leaving.iter().map(|who| group.classic.handle_leave(who, cx)).collect();
            group.classic.after_leaving(cx);
            codes
        });
        let codes = codes.unwrap_or_else(|| vec![ErrorCode::UNKNOWN_MEMBER_ID; leaving.len()]);
        let response = |(who, error_code): (&MemberIdentity, ErrorCode)| MemberResponse {
            member_id: who.member_id.clone(),
            group_instance_id: who.group_instance_id.clone(),
            error_code,
        };
        leaving.iter().zip(codes).map(response).collect()
    }

    /// DeleteGroups, for one group. The answer comes as an effect.
    pub fn handle_delete_group(&mut self, group_id: &Str, waiter: W) {
        let code = match self.groups.get(group_id) {
            None => ErrorCode::GROUP_ID_NOT_FOUND,
            Some(group) if group.classic.state != ClassicState::Empty => ErrorCode::NON_EMPTY_GROUP,
            Some(group) => {
                let mut records = group.offsets.tombstones(group_id, |_, _, _| true);
                records.push(GroupRecord::Group { group: own(group_id), value: None });
                return self.outbox.append(records, Then::AnswerDeleteGroup { waiter });
            }
        };
        self.outbox.answer(waiter, Answer::DeleteGroup(code));
    }

    /// Time has passed: sessions end, rebalances go on without those who are missing.
    pub fn handle_deadlines(&mut self, now: Now) {
        while let Some(timer) = self.deadlines.pop_due(now.monotonic) {
            match timer {
                Timer::Session { group, member } => {
                    self.with_group(&group, now, |group, cx| {
                        group.classic.handle_session_deadline(&member, cx)
                    });
                }
                Timer::Phase { group } => {
                    self.with_group(&group, now, |group, cx| group.classic.handle_phase_deadline(cx));
                }
            }
        }
    }

    /// An append is committed, or will not be. The shell says so in the order of the appends.
    pub fn handle_appended(&mut self, now: Now, id: AppendId, outcome: Result<(), ErrorCode>) {
        let Some(pending) = self.outbox.settle(id) else { return };
        if outcome.is_ok() {
            for record in &pending.records {
                self.apply(now, record);
            }
        }
        let code = outcome.err().unwrap_or(ErrorCode::NONE);
        match pending.then {
            Then::Nothing => {}
            Then::Assign { group, generation } => {
                self.with_group(&group, now, |group, cx| {
                    group.classic.handle_assigned(generation, outcome, cx)
                });
            }
            Then::AnswerJoin { waiter, response } => {
                let response = if code.is_error() { join_error(response.member_id, code) } else { response };
                self.outbox.answer(waiter, Answer::Join(response));
            }
            Then::AnswerCommit { waiter, mut response } => {
                refuse_commit(&mut response, code);
                self.outbox.answer(waiter, Answer::Commit(response));
            }
            Then::AnswerOffsetDelete { waiter, mut response } => {
                response.error_code = code;
                self.outbox.answer(waiter, Answer::OffsetDelete(response));
            }
            Then::AnswerDeleteGroup { waiter } => self.outbox.answer(waiter, Answer::DeleteGroup(code)),
        }
        self.handle_deadlines(now);
    }
}
