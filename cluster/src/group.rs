//! Consumer groups: who is a member, who reads what, and how far each group has read.
//!
//! [`GroupShard`] is the machine that the shell drives: one for each partition of `__consumer_offsets` that this broker
//! leads. Membership is an event machine ([`classic`]), offsets are a record machine ([`offsets`]), and both leave their
//! traces as records in Kafka's own formats ([`record`]). Requests that wait are known by the shell's token `W`; the
//! answers come back as [`Effect`]s, those that promise something only after its record is committed.
//! There is no clock, no lock, no task here.

mod classic;
mod deadlines;
mod effect;
mod joining;
mod listing;
mod member;
mod offsets;
mod record;
mod shard;
mod subscription;
mod syncing;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::classic::ClassicState;
pub use self::effect::{Answer, AppendId, Effect};
pub use self::joining::Joining;
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
}
