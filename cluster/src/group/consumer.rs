//! Consumer groups (KIP-848): the coordinator assigns, and each member is led to its target step by step.
//!
//! ```text
//!   members and topics ──▶ group epoch ──▶ target assignment (its epoch follows the group's) ──▶ each member's epoch
//!        change              + 1              by a server-side assignor                     gives up, then takes over
//! ```
//! A record machine: [`state::ConsumerGroup`] changes by [`ConsumerGroup::apply`](state::ConsumerGroup::apply) only, and what
//! a request asks for is decided on `&self` as records and an answer that waits for them. Sessions and timeouts are no
//! state: they live beside it, in [`timers`], and begin anew after a restart. A group that is of the classic protocol may
//! become one of these while it runs, and back ([`conversion`]). Not here: offsets, and whose turn it is ([`turns`]).
//! Invariant (I13): no partition is ever assigned to a member before the one that owned it has said that it gave it up,
//! or has been removed.
//!
//! [`turns`]: super::turns

pub(crate) mod classic_member;
pub(crate) mod conversion;
pub(crate) mod describe;
pub(crate) mod heartbeat;
pub(crate) mod leaving;
pub(crate) mod member;
pub(crate) mod partitions;
pub(crate) mod reconcile;
pub(crate) mod record;
pub(crate) mod state;
pub(crate) mod subscription;
pub(crate) mod target;
pub(crate) mod timers;
pub(crate) mod topics;
