//! JoinGroup: how a request becomes a membership of a classic group.
//!
//! A dynamic member joins in two steps: it is given an id and comes back with it (KIP-394), so that a client that gave up
//! leaves no ghost behind. A static member (KIP-345) names itself; who comes back under the same name takes over the
//! place of the one before, who is fenced.

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse};

use super::classic::{ClassicGroup, ClassicState, arm_session, refuse_waiting};
use super::deadlines::Timer;
use super::effect::{Answer, Context, Then};
use super::member::{Member, millis, own, own_protocols, rebalance_timeout_ms};

/// What is known of a JoinGroup request beside its body.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The version of the request: it decides on the two steps and on what a leader can be told.
    pub api_version: i16,
    /// What the client calls itself.
    pub client_id: Str,
    /// Where it connects from.
    pub client_host: Str,
    /// A text that nobody has seen before, from which a new member's id is made.
    pub unique: Str,
}

/// From this version on a dynamic member joins in two steps.
pub(crate) const TWO_STEPS_SINCE: i16 = 4;
/// From this version on a leader can be told not to assign (KIP-814).
const SKIP_ASSIGNMENT_SINCE: i16 = 9;
/// How long a member that waits for its first generation may wait, however short its session.
const NEW_MEMBER_JOIN_MS: i32 = 5 * 60 * 1000;

/// The answer to a JoinGroup that fails.
pub(crate) fn join_error(member_id: Str, code: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse { error_code: code, member_id, ..JoinGroupResponse::default() }
}

impl<W> ClassicGroup<W> {
    /// Lets a client join; the answer comes as an effect.
    pub(crate) fn handle_join(
        &mut self,
        request: &JoinGroupRequest,
        joining: &Joining,
        waiter: W,
        cx: &mut Context<'_, W>,
    ) {
        if let Err(code) = self.check_joinable(request, cx) {
            cx.outbox.answer(waiter, Answer::Join(join_error(own(&request.member_id), code)));
        } else if !request.member_id.is_empty() {
            self.join_existing(request, joining, waiter, cx);
        } else if let Some(instance) = &request.group_instance_id {
            let id = Str::from(format!("{instance}-{}", joining.unique));
            match self.instances.get(instance).cloned() {
                Some(old) => self.replace_static(&old, id, request, joining, waiter, cx),
                None => self.add(id, request, joining, waiter, cx),
            }
        } else {
            let id = Str::from(format!("{}-{}", joining.client_id, joining.unique));
            if joining.api_version >= TWO_STEPS_SINCE {
                let until = cx.now.monotonic + millis(request.session_timeout_ms);
                self.pending_ids.insert(id.clone(), until);
                cx.deadlines.set(until, Timer::Session { group: self.id.clone(), member: id.clone() });
                cx.outbox.answer(waiter, Answer::Join(join_error(id, ErrorCode::MEMBER_ID_REQUIRED)));
            } else {
                self.add(id, request, joining, waiter, cx);
            }
        }
    }

    fn check_joinable(&self, request: &JoinGroupRequest, cx: &Context<'_, W>) -> Result<(), ErrorCode> {
        let speaks_nothing = request.protocols.is_empty() || request.protocol_type.is_empty();
        let others = self.members.values().any(|member| member.id != request.member_id);
        let same_type = self.protocol_type.as_ref() == Some(&request.protocol_type);
        let candidates = self.candidates();
        let shared = request.protocols.iter().any(|offered| candidates.contains(&offered.name));
        if speaks_nothing || (others && !(same_type && shared)) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let is_member = self.members.contains_key(&request.member_id)
            || request.group_instance_id.as_ref().is_some_and(|name| self.instances.contains_key(name));
        // An id that was given out has its place already; a place is not counted twice.
        let taken =
            self.members.len() + self.pending_ids.keys().filter(|id| **id != request.member_id).count();
        if !is_member && taken >= cx.config.members_max {
            return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        Ok(())
    }

    fn join_existing(
        &mut self,
        request: &JoinGroupRequest,
        joining: &Joining,
        waiter: W,
        cx: &mut Context<'_, W>,
    ) {
        if self.pending_ids.remove(&request.member_id).is_some() {
            return self.add(own(&request.member_id), request, joining, waiter, cx);
        }
        let id = match self.check_member(&request.member_id, request.group_instance_id.as_ref()) {
            Ok(id) => id,
            Err(code) => {
                let response = join_error(own(&request.member_id), code);
                return cx.outbox.answer(waiter, Answer::Join(response));
            }
        };
        let unchanged = self.members.get(&id).is_some_and(|member| member.offers(request));
        let is_leader = self.leader.as_ref() == Some(&id);
        let may_stay = match self.state {
            ClassicState::CompletingRebalance => unchanged,
            // A leader that joins again wants a new assignment.
            ClassicState::Stable => unchanged && !is_leader,
            ClassicState::Empty | ClassicState::PreparingRebalance => false,
        };
        if may_stay {
            if let Some(member) = self.members.get_mut(&id) {
                member.heard(cx.now.monotonic);
            }
            let response = self.join_response(&id);
            cx.outbox.answer(waiter, Answer::Join(response));
        } else {
            self.update(&id, request, joining, waiter, cx);
            self.rebalance(cx);
        }
    }

    /// The id of the member that a request speaks for, or why it does not.
    pub(crate) fn check_member(&self, member_id: &Str, instance_id: Option<&Str>) -> Result<Str, ErrorCode> {
        if let Some(instance) = instance_id {
            return match self.instances.get(instance) {
                None => Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(id) if id != member_id => Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(id) => Ok(id.clone()),
            };
        }
        self.members.get(member_id).map(|member| member.id.clone()).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    /// Adds a member and rebalances.
    fn add(
        &mut self,
        id: Str,
        request: &JoinGroupRequest,
        joining: &Joining,
        waiter: W,
        cx: &mut Context<'_, W>,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(own(&request.protocol_type));
        }
        let instance_id = request.group_instance_id.as_ref().map(own);
        if let Some(instance) = &instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        let session_deadline = cx.now.monotonic + millis(request.session_timeout_ms.max(NEW_MEMBER_JOIN_MS));
        let member = Member {
            id: id.clone(),
            instance_id,
            client_id: joining.client_id.clone(),
            client_host: joining.client_host.clone(),
            rebalance_timeout_ms: rebalance_timeout_ms(request),
            session_timeout_ms: request.session_timeout_ms,
            protocols: own_protocols(request),
            assignment: Bytes::new(),
            joining: Some(waiter),
            syncing: None,
            is_new: true,
            session_deadline,
            timer_at: session_deadline,
        };
        cx.deadlines.set(session_deadline, Timer::Session { group: self.id.clone(), member: id.clone() });
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id, member);
        self.note_member_added();
        self.rebalance(cx);
    }

    /// Takes over what a member says of itself now; its request waits.
    fn update(
        &mut self,
        id: &Str,
        request: &JoinGroupRequest,
        joining: &Joining,
        waiter: W,
        cx: &mut Context<'_, W>,
    ) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.protocols = own_protocols(request);
        member.rebalance_timeout_ms = rebalance_timeout_ms(request);
        member.session_timeout_ms = request.session_timeout_ms;
        member.client_id = joining.client_id.clone();
        member.client_host = joining.client_host.clone();
        member.heard(cx.now.monotonic);
        arm_session(&self.id, member, cx);
        // The client sends one JoinGroup at a time: an earlier one that still waits belongs to a lost connection.
        if let Some(lost) = member.joining.replace(waiter) {
            let response = join_error(id.clone(), ErrorCode::REBALANCE_IN_PROGRESS);
            cx.outbox.answer(lost, Answer::Join(response));
        }
    }

    /// A static member has come back without its id: it takes over its own place under a new one.
    fn replace_static(
        &mut self,
        old: &Str,
        id: Str,
        request: &JoinGroupRequest,
        joining: &Joining,
        waiter: W,
        cx: &mut Context<'_, W>,
    ) {
        let old_leader = self.leader.clone();
        let Some(mut member) = self.members.remove(old) else { return };
        let ghost = Member {
            joining: member.joining.take(),
            syncing: member.syncing.take(),
            ..Member::replayed(member.for_record(None, Bytes::new()), None, cx.now.monotonic)
        };
        refuse_waiting(ghost, ErrorCode::FENCED_INSTANCE_ID, cx);
        member.id = id.clone();
        member.heard(cx.now.monotonic);
        member.timer_at = member.session_deadline;
        cx.deadlines.set(member.timer_at, Timer::Session { group: self.id.clone(), member: id.clone() });
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        if self.not_synced.remove(old) {
            self.not_synced.insert(id.clone());
        }
        if self.leader.as_ref() == Some(old) {
            self.leader = Some(id.clone());
        }
        self.members.insert(id.clone(), member);
        self.update(&id, request, joining, waiter, cx);
        if self.state == ClassicState::Stable && self.vote() == self.protocol {
            self.rejoin_stable(&id, old_leader, joining.api_version, cx);
        } else {
            self.rebalance(cx);
        }
    }

    /// Nothing changes for the others: the member is told the present generation, once its new id is on record.
    fn rejoin_stable(
        &mut self,
        id: &Str,
        old_leader: Option<Str>,
        api_version: i16,
        cx: &mut Context<'_, W>,
    ) {
        let Some(waiter) = self.members.get_mut(id).and_then(|member| member.joining.take()) else { return };
        let mut response = self.join_response(id);
        if api_version >= SKIP_ASSIGNMENT_SINCE {
            response.skip_assignment = self.leader.as_ref() == Some(id);
        } else {
            // An older leader would assign anew; told the id of the one before, it takes itself for a follower.
            response.leader = old_leader.unwrap_or_default();
            response.members = Vec::new();
        }
        let record = self.to_record(|member| member.assignment.clone());
        cx.outbox.append(vec![record], Then::AnswerJoin { waiter, response });
    }
}
