//! What the group machine asks of its shell, and what it means to do once a record is committed.

use std::collections::BTreeMap;

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse;
use ottla_protocol::messages::join_group::JoinGroupResponse;
use ottla_protocol::messages::leave_group::MemberResponse;
use ottla_protocol::messages::offset_commit::OffsetCommitResponse;
use ottla_protocol::messages::offset_delete::OffsetDeleteResponse;
use ottla_protocol::messages::sync_group::SyncGroupResponse;

use super::deadlines::Deadlines;
use super::record::GroupRecord;
use super::turns::TurnEnd;
use super::{GroupConfig, Now};

/// An answer to a request that waited. Each request gets the variant of its own API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// JoinGroup.
    Join(JoinGroupResponse),
    /// SyncGroup.
    Sync(SyncGroupResponse),
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    /// LeaveGroup: what became of each member.
    Leave(Vec<MemberResponse>),
    /// OffsetCommit.
    Commit(OffsetCommitResponse),
    /// OffsetDelete.
    OffsetDelete(OffsetDeleteResponse),
    /// One group of DeleteGroups.
    DeleteGroup(ErrorCode),
}

/// Names an append until its outcome is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId(u64);

/// What the machine asks of its shell, in the order in which it is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<W> {
    /// Send this answer to the request behind the token. May be done at once.
    Answer(W, Answer),
    /// Append these records, as one batch, after those of earlier effects; say what became of them, in the same order,
    /// with [`handle_appended`](super::GroupShard::handle_appended) once they are committed. No reply that depends
    /// on them leaves before that.
    Append {
        /// To name it by.
        id: AppendId,
        /// What to append.
        records: Vec<GroupRecord>,
    },
}

/// What happens when an append is committed, beside that its records are applied.
#[derive(Debug)]
pub(crate) enum Then<W> {
    /// Nothing.
    Nothing,
    /// The members get the assignment that the leader has handed in.
    Assign { group: Str, generation: i32 },
    /// A static member takes over its old place in a stable generation.
    AnswerJoin { waiter: W, response: JoinGroupResponse },
    /// Offsets are committed.
    AnswerCommit { waiter: W, response: OffsetCommitResponse },
    /// Offsets are forgotten.
    AnswerOffsetDelete { waiter: W, response: OffsetDeleteResponse },
    /// A group is forgotten.
    AnswerDeleteGroup { waiter: W },
    /// The turn of a consumer group's event ends.
    EndTurn { group: Str, end: TurnEnd<W> },
}

/// An append whose outcome is not known yet.
#[derive(Debug)]
pub(crate) struct Pending<W> {
    pub(crate) records: Vec<GroupRecord>,
    pub(crate) then: Then<W>,
}

/// Effects on their way to the shell.
#[derive(Debug)]
pub(crate) struct Outbox<W> {
    effects: Vec<Effect<W>>,
    next_append: u64,
    pending: BTreeMap<AppendId, Pending<W>>,
}

impl<W> Default for Outbox<W> {
    fn default() -> Self {
        Self { effects: Vec::new(), next_append: 0, pending: BTreeMap::new() }
    }
}

impl<W> Outbox<W> {
    /// Sends an answer.
    pub(crate) fn answer(&mut self, waiter: W, answer: Answer) {
        self.effects.push(Effect::Answer(waiter, answer));
    }

    /// Appends records, and remembers what is to happen then.
    pub(crate) fn append(&mut self, records: Vec<GroupRecord>, then: Then<W>) {
        let id = AppendId(self.next_append);
        self.next_append += 1;
        self.effects.push(Effect::Append { id, records: records.clone() });
        self.pending.insert(id, Pending { records, then });
    }

    /// Takes what was waiting for this append.
    pub(crate) fn settle(&mut self, id: AppendId) -> Option<Pending<W>> {
        self.pending.remove(&id)
    }

    /// Takes the effects.
    pub(crate) fn drain(&mut self) -> Vec<Effect<W>> {
        std::mem::take(&mut self.effects)
    }
}

/// What a group is lent while it handles an event.
#[derive(Debug)]
pub(crate) struct Context<'a, W> {
    pub(crate) now: Now,
    pub(crate) config: &'a GroupConfig,
    pub(crate) outbox: &'a mut Outbox<W>,
    pub(crate) deadlines: &'a mut Deadlines,
}
