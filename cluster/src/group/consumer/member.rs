//! A member of a consumer group: what it says of itself, and what it owns. Both change only by a committed record.

use std::collections::BTreeSet;

use ottla_protocol::codec::Str;

use super::partitions::Owned;
use crate::group::member::Protocol;

/// The epoch of a static member that has left for a while and will come back.
pub(crate) const LEFT_FOR_A_WHILE: i32 = -2;
/// The epoch of a member that leaves for good.
pub(crate) const LEAVING: i32 = -1;

/// How far a member has come on its way to its target assignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It owns what it is to own, in its epoch.
    #[default]
    Stable,
    /// It is to give up some partitions before it goes on.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given up yet.
    UnreleasedPartitions,
    /// A state that a newer coordinator wrote.
    Unknown,
}

impl MemberState {
    pub(crate) const fn code(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown => 127,
        }
    }

    pub(crate) const fn of_code(code: i8) -> MemberState {
        match code {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        }
    }
}

/// What a member says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSubscription {
    /// Its own name, if it is a static member.
    pub instance_id: Option<Str>,
    /// Where it is.
    pub rack_id: Option<Str>,
    /// What its client calls itself.
    pub client_id: Str,
    /// Where it connects from.
    pub client_host: Str,
    /// The topics that it reads, by name.
    pub topic_names: BTreeSet<Str>,
    /// The topics that it reads, by expression; never empty.
    pub topic_regex: Option<Str>,
    /// How long it may take to give up partitions, in ms.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it wants.
    pub server_assignor: Option<Str>,
    /// Set for a member that speaks the classic protocol.
    pub classic: Option<ClassicMetadata>,
}

/// What is known of a member that speaks the classic protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMetadata {
    /// How long it may be silent, in ms.
    pub session_timeout_ms: i32,
    /// What it speaks, in its order of preference.
    pub protocols: Vec<Protocol>,
}

/// What a member owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentAssignment {
    /// The epoch that its requests carry.
    pub member_epoch: i32,
    /// The epoch before: an answer may have been lost.
    pub previous_member_epoch: i32,
    /// How far it has come.
    pub state: MemberState,
    /// What it may use.
    pub assigned: Owned,
    /// What it is to give up, and still owns.
    pub pending_revocation: Owned,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerMember {
    pub(crate) id: Str,
    pub(crate) subscription: MemberSubscription,
    pub(crate) current: CurrentAssignment,
}

impl ConsumerMember {
    /// A member that has just come.
    pub(crate) fn new(id: Str) -> ConsumerMember {
        let subscription = MemberSubscription { rebalance_timeout_ms: -1, ..MemberSubscription::default() };
        ConsumerMember { id, subscription, ..ConsumerMember::default() }
    }

    /// Whether it speaks the classic protocol.
    pub(crate) fn is_classic(&self) -> bool {
        self.subscription.classic.is_some()
    }

    /// Whether it owns all that it is to own since this epoch.
    pub(crate) fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.member_epoch == epoch
    }

    /// The protocol that the member is told it speaks: the one that it likes best.
    pub(crate) fn classic_protocol(&self) -> Option<&Protocol> {
        self.subscription.classic.as_ref()?.protocols.first()
    }
}
