//! Who may commit offsets, and who may read them: members in their generation or epoch, and an administrator while the
//! group has no members.
//!
//! A member of a consumer group may be an epoch behind without knowing it yet. What it has processed of a partition that it
//! has owned since that epoch or before is still its own to commit (KIP-1251).

use ottla_protocol::ErrorCode;
use ottla_protocol::TopicId;
use ottla_protocol::messages::offset_commit::OffsetCommitRequest;
use ottla_protocol::messages::offset_fetch::OffsetFetchRequestGroup;

use super::Now;
use super::consumer::member::ConsumerMember;
use super::consumer::state::ConsumerGroup;
use super::shard::GroupShard;

/// From this version on a member of a consumer group can commit, and is told of its epoch.
const MEMBER_EPOCH_SINCE: i16 = 9;

/// For which partitions a request may commit.
#[derive(Clone, Debug)]
pub(crate) enum CommitRight {
    /// For all.
    All,
    /// For those that this member has had since the epoch that it names.
    Since(Box<ConsumerMember>, i32),
}

impl CommitRight {
    /// Whether it covers this partition.
    pub(crate) fn check(&self, topic: Option<TopicId>, partition: i32) -> Result<(), ErrorCode> {
        let CommitRight::Since(member, epoch) = self else { return Ok(()) };
        let current = &member.current;
        let since = |owned: &super::Owned| owned.get(&topic?)?.get(&partition).copied();
        match since(&current.assigned).or_else(|| since(&current.pending_revocation)) {
            Some(since) if *epoch >= since => Ok(()),
            _ => Err(ErrorCode::STALE_MEMBER_EPOCH),
        }
    }
}

impl<W> GroupShard<W> {
    /// For which partitions an OffsetCommit may commit; a member that does shows that it is alive.
    pub(crate) fn commit_right(
        &mut self,
        now: Now,
        request: &OffsetCommitRequest,
        api_version: i16,
    ) -> Result<CommitRight, ErrorCode> {
        let epoch = request.generation_id_or_member_epoch;
        if request.group_id.is_empty() && epoch >= 0 {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        if !self.groups.contains_key(&request.group_id) && epoch >= 0 {
            let is_new = api_version >= MEMBER_EPOCH_SINCE;
            return Err(if is_new { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::ILLEGAL_GENERATION });
        }
        let Some(consumer) = self.consumer(&request.group_id) else {
            return self.with_new_group(&request.group_id, now, |group, cx| {
                let checked = group.classic_mut().map_or(Ok(()), |classic| classic.check_commit(request, cx));
                checked.map(|()| CommitRight::All)
            });
        };
        let right = consumer.group.commit_right(request, api_version)?;
        let member = consumer.group.members.get(&request.member_id);
        if let Some(classic) = member.and_then(|member| member.subscription.classic.as_ref()) {
            let session = super::member::millis(classic.session_timeout_ms);
            self.with_timers(&request.group_id, |timers, _| {
                timers.heard(&request.member_id, now.monotonic, session);
            });
        }
        Ok(right)
    }

    /// Whether an OffsetFetch may read the group's offsets. Only members of consumer groups are asked who they are.
    pub(crate) fn check_fetch(&self, request: &OffsetFetchRequestGroup) -> Result<(), ErrorCode> {
        let Some(consumer) = self.consumer(&request.group_id) else { return Ok(()) };
        if request.member_id.is_none() && request.member_epoch < 0 {
            return Ok(());
        }
        let member_id = request.member_id.as_deref().unwrap_or_default();
        let member = consumer.group.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if member.current.member_epoch == request.member_epoch {
            Ok(())
        } else if member.is_classic() {
            Err(ErrorCode::ILLEGAL_GENERATION)
        } else {
            Err(ErrorCode::STALE_MEMBER_EPOCH)
        }
    }
}

impl ConsumerGroup {
    fn commit_right(
        &self,
        request: &OffsetCommitRequest,
        api_version: i16,
    ) -> Result<CommitRight, ErrorCode> {
        let epoch = request.generation_id_or_member_epoch;
        if epoch < 0 && self.members.is_empty() {
            return Ok(CommitRight::All);
        }
        let member = self.members.get(&request.member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let known = member.current.member_epoch;
        if epoch == known && (member.is_classic() || api_version >= MEMBER_EPOCH_SINCE) {
            return Ok(CommitRight::All);
        }
        if member.is_classic() {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        if api_version < MEMBER_EPOCH_SINCE {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        if epoch > known || epoch < 0 {
            return Err(ErrorCode::STALE_MEMBER_EPOCH);
        }
        Ok(CommitRight::Since(Box::new(member.clone()), epoch))
    }
}
