//! Whose turn it is in a consumer group: events that make records are carried out one after the other.
//!
//! ```text
//!   event ─▶ decided on the committed state ─▶ records appended ─▶ committed: applied, answered ─▶ next event
//!              └── needs no record: answered at once                └── not: nothing has changed, an error is answered
//! ```
//! So a decision never rests on a record that may yet fail, and there is nothing to undo but one: a classic group becomes
//! a consumer group with the decision, because its members go on while the records are on their way. What waits is
//! bounded by the requests that wait. Events of classic groups have no turns; they pass through here.

use std::collections::VecDeque;
use std::time::Duration;

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity, MemberResponse};

use super::classic::ClassicGroup;
use super::consumer::conversion;
use super::consumer::heartbeat::{Outcome, Scene, check, heartbeat_error, is_leaving};
use super::consumer::member::MemberState;
use super::consumer::timers::Duty;
use super::effect::{Answer, Then};
use super::joining::{Joining, join_error};
use super::member::{millis, own};
use super::record::GroupRecord;
use super::shard::{ConsumerMembership, GroupShard, Membership};
use super::{ConsumerTimeouts, Now};
use crate::refusal::{Refusal, Refused, refuse};

/// An event of a consumer group that may make records.
#[derive(Debug)]
pub(crate) enum Turn<W> {
    Heartbeat(Box<(ConsumerGroupHeartbeatRequest, Joining, ConsumerTimeouts)>, W),
    Join(Box<(JoinGroupRequest, Joining)>, W),
    Leave(LeaveGroupRequest, W),
    Delete(W),
    /// A member was silent or slow.
    Deadline(Str),
    /// The cluster's topics have changed.
    Topics,
    /// Nobody is left who speaks the consumer protocol.
    Downgrade,
}

/// The turns of a group.
#[derive(Debug)]
pub(crate) struct Turns<W> {
    /// Records are on their way.
    pub(crate) busy: bool,
    waiting: VecDeque<Turn<W>>,
}

impl<W> Default for Turns<W> {
    fn default() -> Self {
        Self { busy: false, waiting: VecDeque::new() }
    }
}

/// What is to be done once a turn's records are committed.
#[derive(Debug)]
pub(crate) enum TurnEnd<W> {
    /// A member is answered; `undo` is the classic group that the group was before.
    Heartbeat { waiter: W, response: ConsumerGroupHeartbeatResponse, undo: Option<Box<ClassicGroup<W>>> },
    /// A classic member is answered.
    Join { waiter: W, response: JoinGroupResponse, session_timeout_ms: i32, rebalance_timeout_ms: i32 },
    /// The group is gone, and begins anew as a classic one.
    Rejoin(Box<(JoinGroupRequest, Joining)>, W),
    /// Members are gone.
    Leave { waiter: W, responses: Vec<MemberResponse> },
    /// The group is gone.
    Delete { waiter: W },
    /// The group is of the classic protocol now.
    Downgrade(Box<ClassicGroup<W>>),
    /// Nobody waits.
    Nothing,
}

impl<W> GroupShard<W> {
    /// ConsumerGroupHeartbeat. The answer comes as an effect.
    pub fn handle_consumer_heartbeat(
        &mut self,
        now: Now,
        request: &ConsumerGroupHeartbeatRequest,
        joining: &Joining,
        timeouts: ConsumerTimeouts,
        waiter: W,
    ) {
        if let Err(refusal) = check(request, joining.api_version, &self.config.consumer) {
            return self.outbox.answer(waiter, Answer::ConsumerHeartbeat(heartbeat_error(refusal)));
        }
        let id = own(&request.group_id);
        if request.member_epoch == 0 {
            self.get_or_create(&id, now);
        }
        self.take_turn(
            now,
            &id,
            Turn::Heartbeat(Box::new((request.clone(), joining.clone(), timeouts)), waiter),
        );
        self.forget_if_nothing(&id);
    }

    /// Carries an event out, now or when those before it are done.
    pub(crate) fn take_turn(&mut self, now: Now, id: &Str, turn: Turn<W>) {
        match self.groups.get_mut(id) {
            Some(group) if group.turns.busy => group.turns.waiting.push_back(turn),
            _ => self.act(now, id, turn),
        }
    }

    fn act(&mut self, now: Now, id: &Str, turn: Turn<W>) {
        match turn {
            Turn::Heartbeat(heard, waiter) => self.act_heartbeat(now, id, &heard, waiter),
            Turn::Join(joining, waiter) => self.act_join(now, id, joining, waiter),
            Turn::Leave(request, waiter) => self.act_leave(now, id, &request, waiter),
            Turn::Delete(waiter) => self.act_delete(id, waiter),
            Turn::Deadline(member) => self.act_deadline(now, id, &member),
            Turn::Topics => {
                let records = self.decide(now, id, |membership, scene| membership.group.follow_topics(scene));
                self.begin(id, records.unwrap_or_default(), TurnEnd::Nothing);
            }
            Turn::Downgrade => {
                let wants = |membership: &ConsumerMembership| membership.group.wants_downgrade(&self.config);
                if self.consumer(id).is_some_and(wants)
                    && let Some((classic, records)) =
                        self.decide(now, id, |membership, scene| membership.group.downgrade(scene))
                {
                    self.begin(id, records, TurnEnd::Downgrade(Box::new(classic)));
                }
            }
        }
    }

    /// Decides something on the committed state of a consumer group; `None` if it is none.
    fn decide<R>(
        &self,
        now: Now,
        id: &Str,
        decision: impl FnOnce(&ConsumerMembership, &Scene<'_>) -> R,
    ) -> Option<R> {
        let scene = Scene { now, config: &self.config.consumer, topics: &*self.topics };
        self.consumer(id).map(|membership| decision(membership, &scene))
    }

    /// Appends the records of a turn; one without records ends at once.
    fn begin(&mut self, id: &Str, records: Vec<GroupRecord>, end: TurnEnd<W>) {
        if let Some(group) = self.groups.get_mut(id) {
            group.turns.busy = !records.is_empty();
        }
        if !records.is_empty() {
            self.outbox.append(records, Then::EndTurn { group: id.clone(), end });
        } else {
            self.answer_turn(end);
        }
    }

    fn answer_turn(&mut self, end: TurnEnd<W>) {
        match end {
            TurnEnd::Heartbeat { waiter, response, .. } => {
                self.outbox.answer(waiter, Answer::ConsumerHeartbeat(response));
            }
            TurnEnd::Join { waiter, response, .. } => self.outbox.answer(waiter, Answer::Join(response)),
            TurnEnd::Leave { waiter, responses } => self.outbox.answer(waiter, Answer::Leave(responses)),
            TurnEnd::Delete { waiter } => self.outbox.answer(waiter, Answer::DeleteGroup(ErrorCode::NONE)),
            TurnEnd::Rejoin(..) | TurnEnd::Downgrade(_) | TurnEnd::Nothing => {}
        }
    }

    fn act_heartbeat(
        &mut self,
        now: Now,
        id: &Str,
        heard: &(ConsumerGroupHeartbeatRequest, Joining, ConsumerTimeouts),
        waiter: W,
    ) {
        let (request, _, timeouts) = heard;
        let upgraded = match self.upgrade_if_classic(now, id, request) {
            Ok(upgraded) => upgraded,
            Err(refusal) => {
                return self.outbox.answer(waiter, Answer::ConsumerHeartbeat(heartbeat_error(refusal)));
            }
        };
        let present = upgraded.as_ref().map(|(membership, _)| membership);
        let decided = self.decide_heartbeat(now, id, present, heard);
        let Outcome { records, reply } = match decided {
            Ok(outcome) => outcome,
            Err(refusal) => {
                return self.outbox.answer(waiter, Answer::ConsumerHeartbeat(heartbeat_error(refusal)));
            }
        };
        let mut all = Vec::new();
        let mut undo = None;
        if let Some((membership, conversion)) = upgraded {
            all = conversion;
            undo = self.become_consumer(now, id, membership);
        }
        all.extend(records);
        let config = &self.config.consumer;
        if let Some(group) = self.groups.get_mut(id)
            && let Membership::Consumer(membership) = &mut group.membership
            && let Some(member_id) = reply.member_id.as_ref().filter(|_| !is_leaving(request))
        {
            let session = if timeouts.session_timeout_ms > 0 { *timeouts } else { config.timeouts };
            membership.timers.heard(member_id, now.monotonic, millis(session.session_timeout_ms));
            membership.timers.arm(id, member_id, &mut self.deadlines);
        }
        self.begin(id, all, TurnEnd::Heartbeat { waiter, response: reply, undo });
    }

    fn decide_heartbeat(
        &self,
        now: Now,
        id: &Str,
        upgraded: Option<&ConsumerMembership>,
        (request, joining, timeouts): &(ConsumerGroupHeartbeatRequest, Joining, ConsumerTimeouts),
    ) -> Refused<Outcome<ConsumerGroupHeartbeatResponse>> {
        let scene = Scene { now, config: &self.config.consumer, topics: &*self.topics };
        let Some(membership) = upgraded.or_else(|| self.consumer(id)) else {
            return refuse(ErrorCode::GROUP_ID_NOT_FOUND, format!("there is no consumer group {id}"));
        };
        if is_leaving(request) {
            membership.group.handle_leave(&scene, request)
        } else {
            membership.group.handle_heartbeat(&scene, request, joining, *timeouts)
        }
    }

    /// The consumer group that a classic group is about to become, if this heartbeat makes it one.
    fn upgrade_if_classic(
        &self,
        now: Now,
        id: &Str,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Refused<Option<(ConsumerMembership, Vec<GroupRecord>)>> {
        let Some(classic) = self.groups.get(id).and_then(|group| group.classic()) else { return Ok(None) };
        if request.member_epoch != 0 {
            return refuse(ErrorCode::GROUP_ID_NOT_FOUND, format!("there is no consumer group {id}"));
        }
        let scene = Scene { now, config: &self.config.consumer, topics: &*self.topics };
        let (group, records) = conversion::upgrade(classic, &scene)?;
        Ok(Some((ConsumerMembership { group, timers: Default::default() }, records)))
    }

    /// Puts a consumer group in the place of the classic one, whose members are told to join again; gives that back.
    fn become_consumer(
        &mut self,
        now: Now,
        id: &Str,
        mut membership: ConsumerMembership,
    ) -> Option<Box<ClassicGroup<W>>> {
        self.with_group(id, now, |group, cx| {
            if let Some(classic) = group.classic_mut() {
                classic.refuse_all_waiting(ErrorCode::REBALANCE_IN_PROGRESS, cx);
            }
            membership.watch_sessions(id, cx);
            let before = std::mem::replace(&mut group.membership, Membership::Consumer(Box::new(membership)));
            match before {
                Membership::Classic(classic) => Some(classic),
                Membership::Consumer(_) => None,
            }
        })
        .flatten()
    }

    fn act_join(&mut self, now: Now, id: &Str, asked: Box<(JoinGroupRequest, Joining)>, waiter: W) {
        let Some(membership) = self.consumer(id) else {
            let (request, joining) = &*asked;
            return self.join_classic(now, request, joining, waiter);
        };
        if membership.group.members.is_empty() {
            let records = membership.group.tombstones();
            return self.begin(id, records, TurnEnd::Rejoin(asked, waiter));
        }
        let (request, joining) = &*asked;
        let decided = self.decide(now, id, |membership, scene| {
            membership.group.handle_classic_join(scene, request, joining)
        });
        match decided.unwrap_or_else(|| refuse(ErrorCode::UNKNOWN_MEMBER_ID, "the group is gone")) {
            Ok(Outcome { records, reply }) => {
                let end = TurnEnd::Join {
                    waiter,
                    response: reply,
                    session_timeout_ms: request.session_timeout_ms,
                    rebalance_timeout_ms: super::member::rebalance_timeout_ms(request),
                };
                if records.is_empty() { self.succeed(now, id, end) } else { self.begin(id, records, end) }
            }
            Err(refusal) => {
                let response = join_error(own(&request.member_id), refusal.error_code);
                self.outbox.answer(waiter, Answer::Join(response));
            }
        }
    }

    fn act_leave(&mut self, now: Now, id: &Str, request: &LeaveGroupRequest, waiter: W) {
        let alone = [MemberIdentity { member_id: request.member_id.clone(), ..MemberIdentity::default() }];
        let who = if request.members.is_empty() { &alone[..] } else { &request.members[..] };
        let Some(membership) = self.consumer(id) else {
            let responses = self.leave_classic(now, id, who);
            return self.outbox.answer(waiter, Answer::Leave(responses));
        };
        let mut leaving: Vec<Str> = Vec::new();
        let mut responses = Vec::with_capacity(who.len());
        for who in who {
            let leaver = membership.group.classic_leaver(who);
            let leaver = leaver.and_then(|id| {
                if leaving.contains(&id) { Err(ErrorCode::UNKNOWN_MEMBER_ID) } else { Ok(id) }
            });
            responses.push(member_response(who, leaver.as_ref().err().copied().unwrap_or(ErrorCode::NONE)));
            leaving.extend(leaver.ok());
        }
        let records = self.remove_members(now, id, &leaving);
        self.begin(id, records, TurnEnd::Leave { waiter, responses });
    }

    fn remove_members(&self, now: Now, id: &Str, leaving: &[Str]) -> Vec<GroupRecord> {
        if leaving.is_empty() {
            return Vec::new();
        }
        self.decide(now, id, |membership, scene| membership.group.without(scene, leaving)).unwrap_or_default()
    }

    fn act_delete(&mut self, id: &Str, waiter: W) {
        let code = match self.groups.get(id) {
            None => ErrorCode::GROUP_ID_NOT_FOUND,
            Some(group) if group.has_members() => ErrorCode::NON_EMPTY_GROUP,
            Some(group) => {
                let mut records = group.offsets.tombstones(id, |_, _, _| true);
                match &group.membership {
                    Membership::Consumer(membership) => records.extend(membership.group.tombstones()),
                    Membership::Classic(_) => {
                        records.push(GroupRecord::Group { group: own(id), value: None });
                        return self.outbox.append(records, Then::AnswerDeleteGroup { waiter });
                    }
                }
                return self.begin(id, records, TurnEnd::Delete { waiter });
            }
        };
        self.outbox.answer(waiter, Answer::DeleteGroup(code));
    }

    fn act_deadline(&mut self, now: Now, id: &Str, member: &Str) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let Membership::Consumer(membership) = &mut group.membership else { return };
        // While the event waited for its turn the member may have spoken.
        if !membership.timers.is_over(id, member, now.monotonic, &mut self.deadlines) {
            return;
        }
        if !membership.group.members.contains_key(member) {
            // Its first heartbeat never came on record.
            return membership.timers.forget(member);
        }
        let records = self.remove_members(now, id, std::slice::from_ref(member));
        self.begin(id, records, TurnEnd::Nothing);
    }

    /// The records of a turn are committed and applied, or will not be: answers, and lets the next event have its turn.
    pub(crate) fn end_turn(&mut self, now: Now, id: &Str, end: TurnEnd<W>, outcome: Result<(), ErrorCode>) {
        if let Some(group) = self.groups.get_mut(id) {
            group.turns.busy = false;
        }
        match outcome {
            Ok(()) => self.succeed(now, id, end),
            Err(code) => self.fail(now, id, end, code),
        }
        let wants = |membership: &ConsumerMembership| membership.group.wants_downgrade(&self.config);
        let is_free = self.groups.get(id).is_some_and(|group| !group.turns.busy);
        if outcome.is_ok() && is_free && self.consumer(id).is_some_and(wants) {
            self.act(now, id, Turn::Downgrade);
        }
        while let Some(group) = self.groups.get_mut(id).filter(|group| !group.turns.busy) {
            let Some(next) = group.turns.waiting.pop_front() else { break };
            self.act(now, id, next);
        }
        self.forget_if_nothing(id);
    }

    fn succeed(&mut self, now: Now, id: &Str, end: TurnEnd<W>) {
        match end {
            TurnEnd::Join { waiter, response, session_timeout_ms, rebalance_timeout_ms } => {
                if !response.error_code.is_error() {
                    let session = millis(session_timeout_ms);
                    let sync_by = now.monotonic + millis(rebalance_timeout_ms);
                    self.with_timers(id, |timers, deadlines| {
                        timers.heard(&response.member_id, now.monotonic, session);
                        timers.done(&response.member_id, Duty::Join);
                        timers.done(&response.member_id, Duty::Sync);
                        timers.expect(&response.member_id, Duty::Sync, sync_by);
                        timers.arm(id, &response.member_id, deadlines);
                    });
                }
                self.outbox.answer(waiter, Answer::Join(response));
            }
            TurnEnd::Rejoin(asked, waiter) => self.join_classic(now, &asked.0, &asked.1, waiter),
            TurnEnd::Downgrade(classic) => {
                self.with_new_group(id, now, |group, cx| {
                    classic.watch_sessions(cx);
                    group.membership = Membership::Classic(classic);
                    if let Some(classic) = group.classic_mut() {
                        classic.rebalance(cx);
                    }
                });
            }
            end => self.answer_turn(end),
        }
    }

    fn fail(&mut self, now: Now, id: &Str, end: TurnEnd<W>, code: ErrorCode) {
        match end {
            TurnEnd::Heartbeat { waiter, undo, .. } => {
                if let Some(classic) = undo {
                    self.with_group(id, now, |group, cx| {
                        classic.watch_sessions(cx);
                        group.membership = Membership::Classic(classic);
                        if let Some(classic) = group.classic_mut().filter(|it| !it.members.is_empty()) {
                            classic.rebalance(cx);
                        }
                    });
                }
                let refusal = Refusal::new(code, code.sentence());
                self.outbox.answer(waiter, Answer::ConsumerHeartbeat(heartbeat_error(refusal)));
            }
            TurnEnd::Join { waiter, response, .. } => {
                self.outbox.answer(waiter, Answer::Join(join_error(response.member_id, code)));
            }
            TurnEnd::Rejoin(asked, waiter) => {
                self.outbox.answer(waiter, Answer::Join(join_error(own(&asked.0.member_id), code)));
            }
            TurnEnd::Leave { waiter, mut responses } => {
                responses.iter_mut().for_each(|response| response.error_code = code);
                self.outbox.answer(waiter, Answer::Leave(responses));
            }
            TurnEnd::Delete { waiter } => self.outbox.answer(waiter, Answer::DeleteGroup(code)),
            TurnEnd::Downgrade(_) | TurnEnd::Nothing => {}
        }
    }
}

impl ConsumerMembership {
    /// Begins to watch the sessions of all members, and what they have been asked to do.
    pub(crate) fn watch_sessions<W>(&mut self, id: &Str, cx: &mut super::effect::Context<'_, W>) {
        let default = cx.config.consumer.timeouts.session_timeout_ms;
        for member in self.group.members.values() {
            let classic = member.subscription.classic.as_ref();
            let session = millis(classic.map_or(default, |classic| classic.session_timeout_ms));
            self.timers.heard(&member.id, cx.now.monotonic, session);
        }
        let members: Vec<Str> = self.group.members.keys().cloned().collect();
        for member in &members {
            self.watch_revocation(member, cx.now);
            self.timers.arm(id, member, cx.deadlines);
        }
    }

    /// A member's assignment has changed: it has a time to give up what it is asked for.
    pub(crate) fn watch_revocation(&mut self, member_id: &Str, now: Now) {
        self.timers.done(member_id, Duty::Revoke);
        let Some(member) = self.group.members.get(member_id) else { return self.timers.forget(member_id) };
        if member.current.state == MemberState::UnrevokedPartitions && !member.is_classic() {
            let timeout: Duration = millis(member.subscription.rebalance_timeout_ms);
            self.timers.expect(member_id, Duty::Revoke, now.monotonic + timeout);
        }
    }
}

/// What a member of a LeaveGroup request is told.
pub(crate) fn member_response(who: &MemberIdentity, error_code: ErrorCode) -> MemberResponse {
    MemberResponse {
        member_id: who.member_id.clone(),
        group_instance_id: who.group_instance_id.clone(),
        error_code,
    }
}
