//! All groups whose records go to one partition of `__consumer_offsets`: the machine that the shell drives.
//!
//! It routes requests to groups, hands out appends, applies records once they are committed, and knows the next
//! deadline. Loading is replay: [`GroupShard::replay`] for each record in order, then [`GroupShard::finish_replay`]; when
//! the partition moves away the shard is dropped, so there is no undo. It never asks which shard a group belongs to.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::JoinGroupRequest;
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity, MemberResponse};
use ottla_protocol::messages::sync_group::SyncGroupRequest;

use super::classic::{ClassicGroup, ClassicState};
use super::consumer::state::ConsumerGroup;
use super::consumer::timers::{Duty, Timers};
use super::consumer::topics::{NoTopics, TopicDirectory};
use super::deadlines::{Deadlines, Timer};
use super::effect::{Answer, AppendId, Context, Effect, Outbox, Then};
use super::joining::{Joining, join_error};
use super::member::{millis, own};
use super::offsets::{Offsets, refuse_commit};
use super::record::GroupRecord;
use super::syncing::sync_error;
use super::turns::{Turn, Turns, member_response};
use super::{GroupConfig, Now};
use crate::time::Monotonic;

/// A group: its members, how far it has read, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Group<W> {
    pub(crate) membership: Membership<W>,
    pub(crate) offsets: Offsets,
    pub(crate) turns: Turns<W>,
}

/// The members of a group, by the protocol that the group is of.
#[derive(Debug)]
pub(crate) enum Membership<W> {
    /// The classic protocol; also a group that nobody ever joined and that has offsets only.
    Classic(Box<ClassicGroup<W>>),
    /// The consumer protocol (KIP-848).
    Consumer(Box<ConsumerMembership>),
}

/// The members of a consumer group: what is on record, and for what each is waited for.
#[derive(Debug)]
pub(crate) struct ConsumerMembership {
    pub(crate) group: ConsumerGroup,
    pub(crate) timers: Timers,
}

impl<W> Group<W> {
    fn new(id: Str, now: Now) -> Group<W> {
        let membership = Membership::Classic(Box::new(ClassicGroup::new(id, now.unix_ms)));
        Group { membership, offsets: Offsets::default(), turns: Turns::default() }
    }

    /// The group as one of the classic protocol.
    pub(crate) fn classic(&self) -> Option<&ClassicGroup<W>> {
        match &self.membership {
            Membership::Classic(classic) => Some(classic),
            Membership::Consumer(_) => None,
        }
    }

    /// The same, to change it.
    pub(crate) fn classic_mut(&mut self) -> Option<&mut ClassicGroup<W>> {
        match &mut self.membership {
            Membership::Classic(classic) => Some(classic),
            Membership::Consumer(_) => None,
        }
    }

    /// The group as one of the consumer protocol.
    pub(crate) fn consumer(&self) -> Option<&ConsumerMembership> {
        match &self.membership {
            Membership::Classic(_) => None,
            Membership::Consumer(consumer) => Some(consumer),
        }
    }

    /// Whether it has members, or is about to.
    pub(crate) fn has_members(&self) -> bool {
        match &self.membership {
            Membership::Classic(classic) => classic.state != ClassicState::Empty,
            Membership::Consumer(consumer) => !consumer.group.members.is_empty(),
        }
    }

    /// Whether there is anything to know of it: offsets, members, or a generation or epoch that it once had.
    pub(crate) fn is_known(&self) -> bool {
        let has_lived = match &self.membership {
            Membership::Classic(classic) => classic.generation > 0 || !classic.members.is_empty(),
            Membership::Consumer(consumer) => consumer.group.epoch > 0,
        };
        has_lived || !self.offsets.is_empty()
    }
}

/// See the module. `W` is the shell's token for a request that waits.
#[derive(Debug)]
pub struct GroupShard<W> {
    pub(crate) config: GroupConfig,
    pub(crate) groups: HashMap<Str, Group<W>>,
    pub(crate) outbox: Outbox<W>,
    pub(crate) deadlines: Deadlines,
    pub(crate) topics: Arc<dyn TopicDirectory>,
}

impl<W> GroupShard<W> {
    /// A shard without groups.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            groups: HashMap::new(),
            outbox: Outbox::default(),
            deadlines: Deadlines::default(),
            topics: Arc::new(NoTopics),
        }
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
        match record {
            GroupRecord::Group { group, value: Some(metadata) } => {
                let kept = self.get_or_create(&group, now);
                let mut classic = ClassicGroup::new(group, now.unix_ms);
                classic.replay(metadata, now.monotonic);
                kept.membership = Membership::Classic(Box::new(classic));
            }
            GroupRecord::Group { group, value: None } => {
                // A group that became a consumer group leaves a tombstone while it has members.
                if let Some(kept) = self.groups.get_mut(&group)
                    && kept.classic().is_some()
                {
                    kept.membership =
                        Membership::Classic(Box::new(ClassicGroup::new(group.clone(), now.unix_ms)));
                    self.forget_if_nothing(&group);
                }
            }
            record => self.apply(now, &record),
        }
    }

    /// The partition has been read to its end: begins to watch the sessions of all members.
    pub fn finish_replay(&mut self, now: Now) {
        let Self { config, groups, outbox, deadlines, .. } = self;
        for (id, group) in groups.iter_mut() {
            let mut cx = Context { now, config, outbox, deadlines };
            match &mut group.membership {
                Membership::Classic(classic) => classic.watch_sessions(&mut cx),
                Membership::Consumer(consumer) => consumer.watch_sessions(id, &mut cx),
            }
        }
    }

    /// Makes a committed record part of the state. Members of classic groups change with their events, not here.
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
                    let nobody = |classic: &ClassicGroup<W>| {
                        classic.members.is_empty() && classic.pending_ids.is_empty()
                    };
                    group.classic().is_some_and(nobody) && group.offsets.is_empty()
                };
                if self.groups.get(group).is_some_and(gone) {
                    self.groups.remove(group);
                }
            }
            GroupRecord::Consumer { group, record } => self.apply_consumer(now, group, record),
        }
    }

    /// Who decides, asks for a member's record, so that the timers of those who are gone go with them.
    fn apply_consumer(&mut self, now: Now, id: &Str, record: &super::ConsumerRecord) {
        if record.is_tombstone() && !self.groups.contains_key(id) {
            return;
        }
        self.get_or_create(id, now);
        let Self { groups, deadlines, .. } = self;
        let Some(group) = groups.get_mut(id) else { return };
        if group.classic().is_some() {
            if record.is_tombstone() {
                return;
            }
            let membership =
                ConsumerMembership { group: ConsumerGroup::new(own(id)), timers: Timers::default() };
            group.membership = Membership::Consumer(Box::new(membership));
        }
        let Membership::Consumer(membership) = &mut group.membership else { return };
        membership.group.apply(record);
        match record {
            super::ConsumerRecord::Current { member_id, .. }
            | super::ConsumerRecord::Member { member_id, .. } => {
                membership.watch_revocation(member_id, now);
                membership.timers.arm(id, member_id, deadlines);
            }
            super::ConsumerRecord::Epoch(None) => {
                group.membership = Membership::Classic(Box::new(ClassicGroup::new(own(id), now.unix_ms)));
            }
            _ => {}
        }
    }

    pub(crate) fn get_or_create(&mut self, id: &Str, now: Now) -> &mut Group<W> {
        if !self.groups.contains_key(id) {
            let id = own(id);
            self.groups.insert(id.clone(), Group::new(id, now));
        }
        self.groups.get_mut(id).expect("the group was just put there")
    }

    /// Forgets a group that nothing is known of and for which nobody waits.
    pub(crate) fn forget_if_nothing(&mut self, id: &Str) {
        let nothing = |group: &Group<W>| {
            let pending = group.classic().is_some_and(|classic| !classic.pending_ids.is_empty());
            !group.is_known() && !group.turns.busy && !pending
        };
        if self.groups.get(id).is_some_and(nothing) {
            self.groups.remove(id);
        }
    }

    /// The group as one of the consumer protocol.
    pub(crate) fn consumer(&self, id: &Str) -> Option<&ConsumerMembership> {
        self.groups.get(id)?.consumer()
    }

    /// Calls `event` on a group with what it needs to act.
    pub(crate) fn with_group<R>(
        &mut self,
        id: &Str,
        now: Now,
        event: impl FnOnce(&mut Group<W>, &mut Context<'_, W>) -> R,
    ) -> Option<R> {
        let Self { config, groups, outbox, deadlines, .. } = self;
        let group = groups.get_mut(id)?;
        Some(event(group, &mut Context { now, config, outbox, deadlines }))
    }

    /// As [`GroupShard::with_group`], for a group of the classic protocol.
    pub(crate) fn with_classic<R>(
        &mut self,
        id: &Str,
        now: Now,
        event: impl FnOnce(&mut ClassicGroup<W>, &mut Context<'_, W>) -> R,
    ) -> Option<R> {
        self.with_group(id, now, |group, cx| group.classic_mut().map(|classic| event(classic, cx))).flatten()
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

    /// Changes the timers of a consumer group.
    pub(crate) fn with_timers(&mut self, id: &Str, change: impl FnOnce(&mut Timers, &mut Deadlines)) {
        if let Some(Membership::Consumer(consumer)) =
            self.groups.get_mut(id).map(|group| &mut group.membership)
        {
            change(&mut consumer.timers, &mut self.deadlines);
        }
    }

    /// The cluster's topics are these now: groups whose topics have changed get a new epoch.
    pub fn handle_topics(&mut self, now: Now, topics: Arc<dyn TopicDirectory>) {
        self.topics = topics;
        let consumers = self.groups.iter().filter(|(_, group)| group.consumer().is_some());
        let ids: Vec<Str> = consumers.map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.take_turn(now, &id, Turn::Topics);
            // A crash may have come between the last leave and what follows it.
            self.take_turn(now, &id, Turn::Downgrade);
        }
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
        if self.consumer(&request.group_id).is_some() {
            let asked = Box::new((request.clone(), joining.clone()));
            return self.take_turn(now, &own(&request.group_id), Turn::Join(asked, waiter));
        }
        self.join_classic(now, request, joining, waiter);
        // A delay of 0 is over at once.
        self.handle_deadlines(now);
    }

    /// JoinGroup of a group that is of the classic protocol, or new.
    pub(crate) fn join_classic(
        &mut self,
        now: Now,
        request: &JoinGroupRequest,
        joining: &Joining,
        waiter: W,
    ) {
        self.with_new_group(&request.group_id, now, |group, cx| {
            if let Some(classic) = group.classic_mut() {
                classic.handle_join(request, joining, waiter, cx);
            }
        });
    }

    /// SyncGroup. The answer comes as an effect.
    pub fn handle_sync(&mut self, now: Now, request: &SyncGroupRequest, waiter: W) {
        if self.consumer(&request.group_id).is_some() {
            let response = self.sync_consumer(now, request).unwrap_or_else(sync_error);
            return self.outbox.answer(waiter, Answer::Sync(response));
        }
        let code = if request.group_id.is_empty() {
            ErrorCode::INVALID_GROUP_ID
        } else if self.groups.contains_key(&request.group_id) {
            self.with_classic(&request.group_id, now, |classic, cx| classic.handle_sync(request, waiter, cx));
            return;
        } else {
            ErrorCode::UNKNOWN_MEMBER_ID
        };
        self.outbox.answer(waiter, Answer::Sync(sync_error(code)));
    }

    fn sync_consumer(
        &mut self,
        now: Now,
        request: &SyncGroupRequest,
    ) -> Result<ottla_protocol::messages::sync_group::SyncGroupResponse, ErrorCode> {
        let group = self.consumer(&request.group_id).map(|membership| &membership.group);
        let group = group.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let answer = group.handle_classic_sync(request, &*self.topics);
        self.note_classic_member(now, &request.group_id, &request.member_id, answer.as_ref().err().copied());
        if answer.is_ok() {
            self.with_timers(&request.group_id, |timers, _| timers.done(&request.member_id, Duty::Sync));
        }
        answer
    }

    /// A classic member of a consumer group was heard of, unless it was no member; told to join again, it has a time for
    /// that.
    fn note_classic_member(&mut self, now: Now, group_id: &Str, member_id: &Str, answer: Option<ErrorCode>) {
        if answer.is_some_and(|code| code != ErrorCode::REBALANCE_IN_PROGRESS) {
            return;
        }
        let Some(member) = self.consumer(group_id).and_then(|consumer| consumer.group.members.get(member_id))
        else {
            return;
        };
        let (id, join_by) =
            (member.id.clone(), now.monotonic + millis(member.subscription.rebalance_timeout_ms));
        let session = member.subscription.classic.as_ref().map_or(0, |classic| classic.session_timeout_ms);
        self.with_timers(group_id, |timers, deadlines| {
            timers.heard(&id, now.monotonic, millis(session));
            if answer.is_some() {
                timers.expect(&id, Duty::Join, join_by);
            }
            timers.arm(&own(group_id), &id, deadlines);
        });
    }

    /// Heartbeat.
    pub fn handle_heartbeat(&mut self, now: Now, request: &HeartbeatRequest) -> ErrorCode {
        if request.group_id.is_empty() {
            return ErrorCode::INVALID_GROUP_ID;
        }
        if let Some(consumer) = self.consumer(&request.group_id) {
            let answer = consumer.group.handle_classic_heartbeat(request).err();
            self.note_classic_member(now, &request.group_id, &request.member_id, answer);
            return answer.unwrap_or(ErrorCode::NONE);
        }
        self.with_classic(&request.group_id, now, |classic, cx| classic.handle_heartbeat(request, cx))
            .unwrap_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    /// LeaveGroup, with one member (before version 3) or many. The answer comes as an effect.
    pub fn handle_leave(&mut self, now: Now, request: &LeaveGroupRequest, waiter: W) {
        self.take_turn(now, &own(&request.group_id), Turn::Leave(request.clone(), waiter));
    }

    /// What becomes of each of these members of a classic group that leave together.
    pub(crate) fn leave_classic(
        &mut self,
        now: Now,
        id: &Str,
        leaving: &[MemberIdentity],
    ) -> Vec<MemberResponse> {
        let codes = self.with_classic(id, now, |classic, cx| {
            let codes: Vec<ErrorCode> = leaving.iter().map(|who| classic.handle_leave(who, cx)).collect();
            classic.after_leaving(cx);
            codes
        });
        let codes = codes.unwrap_or_else(|| vec![ErrorCode::UNKNOWN_MEMBER_ID; leaving.len()]);
        leaving.iter().zip(codes).map(|(who, code)| member_response(who, code)).collect()
    }

    /// DeleteGroups, for one group. The answer comes as an effect.
    pub fn handle_delete_group(&mut self, now: Now, group_id: &Str, waiter: W) {
        self.take_turn(now, &own(group_id), Turn::Delete(waiter));
    }

    /// Time has passed: sessions end, rebalances go on without those who are missing.
    pub fn handle_deadlines(&mut self, now: Now) {
        while let Some(timer) = self.deadlines.pop_due(now.monotonic) {
            match timer {
                Timer::Session { group, member } => {
                    if self.consumer(&group).is_some() {
                        self.take_turn(now, &group, Turn::Deadline(member));
                    } else {
                        self.with_classic(&group, now, |classic, cx| {
                            classic.handle_session_deadline(&member, cx)
                        });
                    }
                }
                Timer::Phase { group } => {
                    self.with_classic(&group, now, |classic, cx| classic.handle_phase_deadline(cx));
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
                self.with_classic(&group, now, |classic, cx| {
                    classic.handle_assigned(generation, outcome, cx)
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
            Then::EndTurn { group, end } => self.end_turn(now, &group, end, outcome),
        }
        self.handle_deadlines(now);
    }
}
