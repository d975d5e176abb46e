//! SyncGroup, Heartbeat, LeaveGroup, and the right to commit: what members of a classic group do besides joining.

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::leave_group::MemberIdentity;
use ottla_protocol::messages::offset_commit::OffsetCommitRequest;
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::classic::{ClassicGroup, ClassicState};
use super::effect::{Answer, Context, Then};

/// The answer to a SyncGroup that fails.
pub(crate) fn sync_error(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: code, ..SyncGroupResponse::default() }
}

impl<W> ClassicGroup<W> {
    fn check_generation(
        &self,
        generation: i32,
        member_id: &Str,
        instance_id: Option<&Str>,
    ) -> Result<Str, ErrorCode> {
        let id = self.check_member(member_id, instance_id)?;
        if generation == self.generation { Ok(id) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    /// A member asks for its assignment; the leader brings everybody's. The answer comes as an effect.
    pub(crate) fn handle_sync(&mut self, request: &SyncGroupRequest, waiter: W, cx: &mut Context<'_, W>) {
        match self.check_sync(request) {
            Ok(id) => self.sync(&id, request, waiter, cx),
            Err(code) => cx.outbox.answer(waiter, Answer::Sync(sync_error(code))),
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<Str, ErrorCode> {
        let id = self.check_generation(
            request.generation_id,
            &request.member_id,
            request.group_instance_id.as_ref(),
        )?;
        let differs = |theirs: &Option<Str>, ours: &Option<Str>| theirs.is_some() && theirs != ours;
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match self.state {
            ClassicState::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            ClassicState::PreparingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            ClassicState::CompletingRebalance | ClassicState::Stable => Ok(id),
        }
    }

    fn sync(&mut self, id: &Str, request: &SyncGroupRequest, waiter: W, cx: &mut Context<'_, W>) {
        self.not_synced.remove(id);
        let (protocol_type, protocol_name) = (self.protocol_type.clone(), self.protocol.clone());
        let Some(member) = self.members.get_mut(id) else { return };
        member.heard(cx.now.monotonic);
        if self.state == ClassicState::Stable {
            let assignment = member.assignment.clone();
            let response = SyncGroupResponse {
                protocol_type,
                protocol_name,
                assignment,
                ..SyncGroupResponse::default()
            };
            return cx.outbox.answer(waiter, Answer::Sync(response));
        }
        let repeated = member.syncing.replace(waiter);
        if self.leader.as_ref() == Some(id) && repeated.is_none() {
            self.assign(request, cx);
        }
        if let Some(lost) = repeated {
            cx.outbox.answer(lost, Answer::Sync(sync_error(ErrorCode::REBALANCE_IN_PROGRESS)));
        }
    }

    /// Takes the leader's assignment; members hear of it once it is committed.
    fn assign(&mut self, request: &SyncGroupRequest, cx: &mut Context<'_, W>) {
        for member in self.members.values_mut() {
            let part = request.assignments.iter().find(|part| part.member_id == member.id);
            member.assignment = part.map_or_else(Bytes::new, |part| Bytes::copy_from_slice(&part.assignment));
        }
        let record = self.to_record(|member| member.assignment.clone());
        let then = Then::Assign { group: self.id.clone(), generation: self.generation };
        cx.outbox.append(vec![record], then);
    }

    /// A member is alive.
    pub(crate) fn handle_heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        cx: &mut Context<'_, W>,
    ) -> ErrorCode {
        let checked = self.check_generation(
            request.generation_id,
            &request.member_id,
            request.group_instance_id.as_ref(),
        );
        let id = match checked {
            Ok(id) => id,
            Err(code) => return code,
        };
        if let Some(member) = self.members.get_mut(&id) {
            member.heard(cx.now.monotonic);
        }
        match self.state {
            ClassicState::Empty => ErrorCode::UNKNOWN_MEMBER_ID,
            ClassicState::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            ClassicState::CompletingRebalance | ClassicState::Stable => ErrorCode::NONE,
        }
    }

    /// A member leaves. The caller rebalances once all have left that leave together.
    pub(crate) fn handle_leave(&mut self, who: &MemberIdentity, cx: &mut Context<'_, W>) -> ErrorCode {
        if who.group_instance_id.is_none() && self.pending_ids.remove(&who.member_id).is_some() {
            return ErrorCode::NONE;
        }
        let id = match &who.group_instance_id {
            // An administrator removes static members by their name alone.
            Some(instance) if who.member_id.is_empty() => {
                self.instances.get(instance).cloned().ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
            }
            instance => self.check_member(&who.member_id, instance.as_ref()),
        };
        match id {
            Ok(id) => {
                self.remove(&id, cx);
                ErrorCode::NONE
            }
            Err(code) => code,
        }
    }

    /// After members have left.
    pub(crate) fn after_leaving(&mut self, cx: &mut Context<'_, W>) {
        if self.state != ClassicState::Empty {
            self.rebalance(cx);
        }
    }

    /// Whether this request may commit offsets; a member that does shows that it is alive.
    pub(crate) fn check_commit(
        &mut self,
        request: &OffsetCommitRequest,
        cx: &Context<'_, W>,
    ) -> Result<(), ErrorCode> {
        let generation = request.generation_id_or_member_epoch;
        let speaks_for_member =
            generation >= 0 || !request.member_id.is_empty() || request.group_instance_id.is_some();
        if generation < 0 && self.state == ClassicState::Empty {
            return Ok(());
        }
        if !speaks_for_member {
            // A group with members is theirs to commit for.
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        let id = self.check_generation(generation, &request.member_id, request.group_instance_id.as_ref())?;
        if self.state == ClassicState::CompletingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.heard(cx.now.monotonic);
        }
        Ok(())
    }
}
