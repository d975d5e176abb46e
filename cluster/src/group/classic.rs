//! A group that rebalances by the classic protocol: an event machine over its members.
//!
//! ```text
//!            first join                 all joined, or time is up            leader's assignment is committed
//!   Empty ───────────────▶ Preparing ────────────────────────▶ Completing ───────────────────────────────────▶ Stable
//!     ▲                    Rebalance ◀──────────────────────── Rebalance                                          │
//!     └── nobody is left ──────┴ ◀────── a member joins anew, leaves, dies, or does not take its assignment ◀─────┘
//! ```
//!
//! This file holds the state and the moves between the phases; [`super::joining`] and [`super::syncing`] say which
//! request causes which move. What outlives the process is only what a GroupMetadata record says: a generation with its
//! assignments. It is *not* where offsets are kept. (KIP-134, KIP-345, KIP-394.)
//! Invariant: a member waits for JoinGroup only in PreparingRebalance and for SyncGroup only in CompletingRebalance.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::join_group::JoinGroupResponse;
use ottla_protocol::messages::sync_group::SyncGroupResponse;

use super::deadlines::Timer;
use super::effect::{Answer, Context, Then};
use super::joining::join_error;
use super::member::{Member, millis};
use super::record::{GroupMetadata, GroupRecord};
use super::syncing::sync_error;
use crate::time::Monotonic;

/// Where a group stands in its rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassicState {
    /// It has no members; it may have offsets.
    Empty,
    /// It waits for its members to join.
    PreparingRebalance,
    /// It waits for the leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
}

impl ClassicState {
    /// Kafka's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            ClassicState::Empty => "Empty",
            ClassicState::PreparingRebalance => "PreparingRebalance",
            ClassicState::CompletingRebalance => "CompletingRebalance",
            ClassicState::Stable => "Stable",
        }
    }
}

/// How long a first rebalance goes on waiting for more members (KIP-134).
#[derive(Debug, Clone, Copy)]
struct InitialDelay {
    /// Somebody joined since the current delay began.
    member_added: bool,
    /// When it ends at the latest.
    ends_at: Monotonic,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ClassicGroup<W> {
    pub(crate) id: Str,
    pub(crate) state: ClassicState,
    /// When it came into its state, in ms since 1970.
    pub(crate) state_timestamp_ms: i64,
    /// `consumer`, `connect` and so on; `None` until somebody has joined.
    pub(crate) protocol_type: Option<Str>,
    pub(crate) generation: i32,
    pub(crate) protocol: Option<Str>,
    pub(crate) leader: Option<Str>,
    pub(crate) members: BTreeMap<Str, Member<W>>,
    /// Static members by their own name.
    pub(crate) instances: BTreeMap<Str, Str>,
    /// Ids that were given out and have not come back yet (KIP-394), and until when they may.
    pub(crate) pending_ids: BTreeMap<Str, Monotonic>,
    /// Members of this generation that have not asked for their assignment yet.
    pub(crate) not_synced: BTreeSet<Str>,
    /// When the present phase ends without those who are missing.
    phase_deadline: Option<Monotonic>,
    initial_delay: Option<InitialDelay>,
}

impl<W> ClassicGroup<W> {
    /// A group without members.
    pub(crate) fn new(id: Str, now_ms: i64) -> Self {
        Self {
            id,
            state: ClassicState::Empty,
            state_timestamp_ms: now_ms,
            protocol_type: None,
            generation: 0,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending_ids: BTreeMap::new(),
            not_synced: BTreeSet::new(),
            phase_deadline: None,
            initial_delay: None,
        }
    }

    /// The generation that a record speaks of; sessions begin now.
    pub(crate) fn replay(&mut self, metadata: GroupMetadata, now: Monotonic) {
        self.generation = metadata.generation;
        self.protocol_type = Some(metadata.protocol_type).filter(|kind| !kind.is_empty());
        self.state_timestamp_ms = metadata.state_timestamp_ms;
        self.leader = metadata.leader;
        let protocol = metadata.protocol;
        let member = |member| Member::replayed(member, protocol.as_ref(), now);
        self.members =
            metadata.members.into_iter().map(member).map(|member| (member.id.clone(), member)).collect();
        let instance = |member: &Member<W>| Some((member.instance_id.clone()?, member.id.clone()));
        self.instances = self.members.values().filter_map(instance).collect();
        self.protocol = protocol;
        self.state = if self.members.is_empty() { ClassicState::Empty } else { ClassicState::Stable };
    }

    /// After a replay: begins to watch the sessions.
    pub(crate) fn watch_sessions(&self, cx: &mut Context<'_, W>) {
        for member in self.members.values() {
            let timer = Timer::Session { group: self.id.clone(), member: member.id.clone() };
            cx.deadlines.set(member.timer_at, timer);
        }
    }

    fn enter(&mut self, state: ClassicState, now_ms: i64) {
        self.state = state;
        self.state_timestamp_ms = now_ms;
    }

    fn set_phase_deadline(&mut self, at: Monotonic, cx: &mut Context<'_, W>) {
        self.phase_deadline = Some(at);
        cx.deadlines.set(at, Timer::Phase { group: self.id.clone() });
    }

    /// The longest that any member wants a rebalance to wait for it.
    fn rebalance_timeout(&self) -> std::time::Duration {
        millis(self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0))
    }

    /// Somebody joined during a first rebalance: it is worth waiting a little longer.
    pub(crate) fn note_member_added(&mut self) {
        if let Some(delay) = &mut self.initial_delay {
            delay.member_added = true;
        }
    }

    /// Begins a rebalance if none is on; if one is, ends it when everybody is there.
    pub(crate) fn rebalance(&mut self, cx: &mut Context<'_, W>) {
        if self.state == ClassicState::PreparingRebalance {
            self.complete_join_if_all_joined(cx);
            return;
        }
        if self.state == ClassicState::CompletingRebalance {
            self.refuse_syncing(ErrorCode::REBALANCE_IN_PROGRESS, cx);
            self.not_synced.clear();
        }
        let now = cx.now.monotonic;
        if self.state == ClassicState::Empty {
            let delay = cx.config.initial_rebalance_delay;
            let ends_at = now + self.rebalance_timeout().max(delay);
            self.initial_delay = Some(InitialDelay { member_added: false, ends_at });
            self.set_phase_deadline(now + delay, cx);
        } else {
            self.initial_delay = None;
            self.set_phase_deadline(now + self.rebalance_timeout(), cx);
        }
        self.enter(ClassicState::PreparingRebalance, cx.now.unix_ms);
        self.complete_join_if_all_joined(cx);
    }

    /// Ends the joining when nobody is missing; a first rebalance waits for its delay even then.
    pub(crate) fn complete_join_if_all_joined(&mut self, cx: &mut Context<'_, W>) {
        let all_joined =
            self.pending_ids.is_empty() && self.members.values().all(|member| member.joining.is_some());
        if self.state == ClassicState::PreparingRebalance && self.initial_delay.is_none() && all_joined {
            self.complete_join(cx);
        }
    }

    /// Time has passed.
    pub(crate) fn handle_phase_deadline(&mut self, cx: &mut Context<'_, W>) {
        let now = cx.now.monotonic;
        if self.phase_deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.phase_deadline = None;
        match self.state {
            ClassicState::PreparingRebalance => match &mut self.initial_delay {
                Some(delay) if delay.member_added && delay.ends_at > now => {
                    delay.member_added = false;
                    let next = (now + cx.config.initial_rebalance_delay).min(delay.ends_at);
                    self.set_phase_deadline(next, cx);
                }
                _ => self.complete_join(cx),
            },
            ClassicState::CompletingRebalance => self.remove_not_synced(cx),
            ClassicState::Empty | ClassicState::Stable => {}
        }
    }

    /// Begins the next generation with those who have joined.
    fn complete_join(&mut self, cx: &mut Context<'_, W>) {
        self.initial_delay = None;
        let missing: Vec<Str> = self
            .members
            .values()
            .filter(|member| member.joining.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in missing {
            self.remove(&id, cx);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members are left, and none of them has come back: wait on, as their sessions still run.
            let again = cx.now.monotonic + self.rebalance_timeout();
            self.set_phase_deadline(again, cx);
            return;
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        self.phase_deadline = None;
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.enter(ClassicState::Empty, cx.now.unix_ms);
            let record = self.to_record(|_| Bytes::new());
            cx.outbox.append(vec![record], Then::Nothing);
            return;
        }
        self.protocol = self.vote();
        self.enter(ClassicState::CompletingRebalance, cx.now.unix_ms);
        self.answer_joining(cx);
        self.not_synced = self.members.keys().cloned().collect();
        self.set_phase_deadline(cx.now.monotonic + self.rebalance_timeout(), cx);
    }

    fn answer_joining(&mut self, cx: &mut Context<'_, W>) {
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.join_response(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.is_new = false;
            member.heard(cx.now.monotonic);
            arm_session(&self.id, member, cx);
            if let Some(waiter) = member.joining.take() {
                cx.outbox.answer(waiter, Answer::Join(response));
            }
        }
    }

    /// Keeps the leader if it has joined, else makes one of those who have; false when nobody has.
    fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &Str| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let Some(next) = self.members.values().find(|member| member.joining.is_some()) else { return false };
        self.leader = Some(next.id.clone());
        true
    }

    /// The protocols that every member speaks.
    pub(crate) fn candidates(&self) -> Vec<Str> {
        let mut members = self.members.values();
        let Some(first) = members.next() else { return Vec::new() };
        let mut names: Vec<Str> = first.protocols.iter().map(|offered| offered.name.clone()).collect();
        for member in members {
            names.retain(|name| member.protocols.iter().any(|offered| offered.name == *name));
        }
        names
    }

    /// The protocol that most members like best among those that all speak.
    pub(crate) fn vote(&self) -> Option<Str> {
        let candidates = self.candidates();
        let mut votes: BTreeMap<&Str, usize> = BTreeMap::new();
        for choice in self.members.values().filter_map(|member| member.vote(&candidates)) {
            *votes.entry(choice).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.clone())
    }

    /// What a member of the present generation is told.
    pub(crate) fn join_response(&self, member_id: &Str) -> JoinGroupResponse {
        let is_leader = self.leader.as_ref() == Some(member_id);
        let members =
            || self.members.values().map(|member| member.for_leader(self.protocol.as_ref())).collect();
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.clone(),
            members: if is_leader { members() } else { Vec::new() },
            ..JoinGroupResponse::default()
        }
    }

    /// The record of the present generation, with these assignments.
    pub(crate) fn to_record(&self, assignment: impl Fn(&Member<W>) -> Bytes) -> GroupRecord {
        let protocol = self.protocol.as_ref();
        let members =
            self.members.values().map(|member| member.for_record(protocol, assignment(member))).collect();
        let value = GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: self.state_timestamp_ms,
            members,
        };
        GroupRecord::Group { group: self.id.clone(), value: Some(value) }
    }

    /// The assignment of this generation is committed, or could not be.
    pub(crate) fn handle_assigned(
        &mut self,
        generation: i32,
        outcome: Result<(), ErrorCode>,
        cx: &mut Context<'_, W>,
    ) {
        if self.state != ClassicState::CompletingRebalance || self.generation != generation {
            return;
        }
        if let Err(code) = outcome {
            self.refuse_syncing(code, cx);
            self.rebalance(cx);
            return;
        }
        self.enter(ClassicState::Stable, cx.now.unix_ms);
        let (protocol_type, protocol_name) = (self.protocol_type.clone(), self.protocol.clone());
        for member in self.members.values_mut() {
            if let Some(waiter) = member.syncing.take() {
                member.heard(cx.now.monotonic);
                let response = SyncGroupResponse {
                    protocol_type: protocol_type.clone(),
                    protocol_name: protocol_name.clone(),
                    assignment: member.assignment.clone(),
                    ..SyncGroupResponse::default()
                };
                cx.outbox.answer(waiter, Answer::Sync(response));
            }
        }
    }

    fn refuse_syncing(&mut self, code: ErrorCode, cx: &mut Context<'_, W>) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(waiter) = member.syncing.take() {
                let response = SyncGroupResponse { error_code: code, ..SyncGroupResponse::default() };
                cx.outbox.answer(waiter, Answer::Sync(response));
            }
        }
    }

    /// Refuses whatever the members wait for.
    pub(crate) fn refuse_all_waiting(&mut self, code: ErrorCode, cx: &mut Context<'_, W>) {
        for member in self.members.values_mut() {
            if let Some(waiter) = member.joining.take() {
                let response = join_error(member.id.clone(), code);
                cx.outbox.answer(waiter, Answer::Join(response));
            }
            if let Some(waiter) = member.syncing.take() {
                cx.outbox.answer(waiter, Answer::Sync(sync_error(code)));
            }
        }
    }

    /// Removes those who joined and never asked for their assignment, and begins anew without them.
    fn remove_not_synced(&mut self, cx: &mut Context<'_, W>) {
        let late = std::mem::take(&mut self.not_synced);
        if late.is_empty() {
            // Everybody has asked; the assignment itself is late, which is not the members' fault.
            return;
        }
        for id in late {
            self.remove(&id, cx);
        }
        self.rebalance(cx);
    }

    /// Removes a member; whatever it waits for is refused. Does not rebalance.
    pub(crate) fn remove(&mut self, member_id: &Str, cx: &mut Context<'_, W>) {
        let Some(member) = self.members.remove(member_id) else { return };
        self.not_synced.remove(member_id);
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance) == Some(member_id)
        {
            self.instances.remove(instance);
        }
        if self.leader.as_ref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        refuse_waiting(member, ErrorCode::UNKNOWN_MEMBER_ID, cx);
    }

    /// A member's session may have ended, or the time of an id that was given out.
    pub(crate) fn handle_session_deadline(&mut self, member_id: &Str, cx: &mut Context<'_, W>) {
        let now = cx.now.monotonic;
        if self.pending_ids.get(member_id).is_some_and(|deadline| *deadline <= now) {
            self.pending_ids.remove(member_id);
            self.complete_join_if_all_joined(cx);
            return;
        }
        let Some(member) = self.members.get_mut(member_id) else { return };
        if member.timer_at > now {
            return;
        }
        if member.is_waiting() {
            member.heard(now);
        }
        if member.session_deadline > now {
            member.timer_at = member.session_deadline;
            let timer = Timer::Session { group: self.id.clone(), member: member_id.clone() };
            cx.deadlines.set(member.timer_at, timer);
            return;
        }
        self.remove(member_id, cx);
        self.rebalance(cx);
    }
}

/// Answers everything that a member waits for with an error.
pub(crate) fn refuse_waiting<W>(member: Member<W>, code: ErrorCode, cx: &mut Context<'_, W>) {
    if let Some(waiter) = member.joining {
        let response =
            JoinGroupResponse { error_code: code, member_id: member.id, ..JoinGroupResponse::default() };
        cx.outbox.answer(waiter, Answer::Join(response));
    }
    if let Some(waiter) = member.syncing {
        let response = SyncGroupResponse { error_code: code, ..SyncGroupResponse::default() };
        cx.outbox.answer(waiter, Answer::Sync(response));
    }
}

/// Puts a session that now ends earlier than is on record on record.
pub(crate) fn arm_session<W>(group: &Str, member: &mut Member<W>, cx: &mut Context<'_, W>) {
    if member.session_deadline < member.timer_at {
        member.timer_at = member.session_deadline;
        let timer = Timer::Session { group: group.clone(), member: member.id.clone() };
        cx.deadlines.set(member.timer_at, timer);
    }
}
