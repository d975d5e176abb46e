//! Consumer groups: who is a member, who reads what, and how far each group has read.
//!
//! [`GroupShard`] is the machine that the shell drives: one for each partition of `__consumer_offsets` that this broker
//! leads. The membership of a classic group is an event machine ([`classic`]); consumer groups ([`consumer`], KIP-848) and
//! offsets ([`offsets`]) are record machines. All leave their traces as records in Kafka's own formats ([`record`]).
//! Requests that wait are known by the shell's token `W`; the answers come back as [`Effect`]s, those that promise
//! something only after its record is committed. There is no clock, no lock, no task here.

mod classic;
mod committing;
mod consumer;
mod deadlines;
mod effect;
mod fields;
mod joining;
mod listing;
mod member;
mod offsets;
mod record;
mod retention;
mod shard;
mod subscription;
mod syncing;
#[cfg(test)]
mod tests;
mod turns;

use std::time::Duration;

use ottla_assignors::Assignor;

pub use self::classic::ClassicState;
pub use self::consumer::member::{ClassicMetadata, CurrentAssignment, MemberState, MemberSubscription};
pub use self::consumer::partitions::{Owned, Partitions};
pub use self::consumer::record::{ConsumerRecord, GroupEpoch, ResolvedRegex, TargetEpoch};
pub use self::consumer::topics::{TopicDirectory, TopicShape};
pub use self::effect::{Answer, AppendId, Effect};
pub use self::joining::Joining;
pub use self::member::Protocol;
pub use self::record::{CommittedOffset, GroupMetadata, GroupRecord, MemberMetadata, RecordError};
pub use self::shard::GroupShard;
use crate::time::Monotonic;

/// The time of an event: for deadlines, and for what is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic reading.
    pub monotonic: Monotonic,
    /// Milliseconds since 1970.
    pub unix_ms: i64,
}

/// What the broker's configuration means to groups, by Kafka's keys.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_max_ms: i32,
    /// `group.max.size`.
    pub members_max: usize,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: Duration,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in ms.
    pub offsets_retention_ms: i64,
    /// What concerns consumer groups (KIP-848).
    pub consumer: ConsumerGroupConfig,
}

/// What the broker's configuration means to consumer groups (KIP-848).
#[derive(Clone, Debug)]
pub struct ConsumerGroupConfig {
    /// `group.consumer.session.timeout.ms` and `group.consumer.heartbeat.interval.ms`, for groups without their own.
    pub timeouts: ConsumerTimeouts,
    /// `group.consumer.max.size`.
    pub members_max: usize,
    /// `group.consumer.assignors`; the first is what a group uses that has no wish.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
}

/// How long the members of a consumer group may be silent, and how often they are asked to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerTimeouts {
    /// `group.consumer.session.timeout.ms`, or the group's own `consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`, or the group's own `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
}

/// Whether a group may change its protocol while it runs (`group.consumer.migration.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// It may not.
    Disabled,
    /// From the classic to the consumer protocol.
    Upgrade,
    /// From the consumer to the classic protocol.
    Downgrade,
    /// Both.
    Bidirectional,
}

impl MigrationPolicy {
    pub(crate) fn may_upgrade(self) -> bool {
        matches!(self, MigrationPolicy::Upgrade | MigrationPolicy::Bidirectional)
    }

    pub(crate) fn may_downgrade(self) -> bool {
        matches!(self, MigrationPolicy::Downgrade | MigrationPolicy::Bidirectional)
    }
}
