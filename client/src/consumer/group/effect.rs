//! What a membership hears, and what it asks of the shell: the seam between the machines of `classic` and `consumer`
//! and the task that acts for them.
//!
//! A machine is told events with the time, and leaves effects, which the shell takes after each call and carries out in
//! order. Nothing here does anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use ottla_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use ottla_protocol::{TopicId, TopicName, TopicPartition};

use crate::backoff::Backoff;
use crate::error::ClientError;

/// A question for the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Question {
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    /// A classic member leaves; the shell puts it in the words of the version that is spoken.
    Leave {
        member_id: Str,
        reason: &'static str,
    },
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
}

/// The coordinator's answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    /// Whatever it was: who has left does not come back for it.
    Leave,
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
}

/// Why partitions are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    /// They are still ours: what was done may be committed before they go.
    Revoked,
    /// They are another's already.
    Lost,
}

/// What a membership asks of the shell.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    /// Ask the coordinator; the answer is told by `answered`. A question that is still open is given up for it.
    Ask(Box<Question>),
    /// The coordinator is another one now, or gone: find it again before the next question.
    ForgetCoordinator,
    /// Learn these topics and tell of them by `topics_learned`.
    LearnTopics(BTreeSet<TopicName>),
    /// The same, of topics that are known by their ids alone.
    LearnTopicIds(BTreeSet<TopicId>),
    /// Take partitions from the program, then say `done`. Revoked ones: stop handing them out, wait until the program
    /// is done with what it has, commit if that is automatic, tell the listener, and only then let go.
    Take(Vec<TopicPartition>, Taking),
    /// Give partitions to the program, then say `done`: tell the listener, then begin to read.
    Give(Vec<TopicPartition>),
    /// The group cannot be joined: tell the program.
    Fail(ClientError),
    /// It is not a member any more, as it was told.
    Left,
}

/// A topic as far as an assignment depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TopicShape {
    /// Zero for brokers without ids, and for a topic that does not exist.
    pub(crate) id: Option<TopicId>,
    /// 0 for a topic that does not exist.
    pub(crate) partition_count: u32,
    /// For each partition the racks of its replicas; empty where no broker has a rack.
    pub(crate) racks: Vec<Vec<String>>,
}

/// What is known of topics.
pub(crate) type Topics = BTreeMap<TopicName, TopicShape>;

/// Who a member says it is in commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Empty for none.
    pub(crate) member_id: Str,
    /// The generation of a classic group, the member epoch of a consumer group; -1 for none.
    pub(crate) generation: i32,
}

impl Identity {
    /// That of somebody who is not a member.
    pub(crate) fn none() -> Identity {
        Identity { member_id: Str::default(), generation: -1 }
    }
}

/// What a membership has to know of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) group_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) assignors: Vec<ottla_assignors::Assignor>,
    pub(crate) server_assignor: Option<String>,
    pub(crate) rack: Option<String>,
    pub(crate) backoff: Backoff,
}

/// A member of a group, whichever protocol it speaks. After each call the effects are taken.
pub(crate) trait Membership: Send {
    /// Topics are wanted, or (none) the group is to be left. `pattern` goes to brokers that match it themselves.
    fn subscribe(&mut self, now: Instant, topics: Option<BTreeSet<TopicName>>, pattern: Option<&str>);
    /// This is what topics look like now; those that are not named are as they were.
    fn topics_learned(&mut self, now: Instant, topics: Topics);
    /// The question that was open is answered.
    fn answered(&mut self, now: Instant, answer: Result<Answer, ClientError>);
    /// One `Take` or `Give` is done, in the order in which they were asked.
    fn done(&mut self, now: Instant);
    /// The program polled last at this time.
    fn polled(&mut self, now: Instant, at: Instant);
    /// Time has passed.
    fn tick(&mut self, now: Instant);
    /// When to tick at the latest.
    fn next_wake(&self) -> Option<Instant>;
    /// The topics that matter to it.
    fn topics(&self) -> BTreeSet<TopicName>;
    /// Who it is now.
    fn identity(&self) -> Identity;
    /// Whether it stays out of the group until the program polls.
    fn awaits_poll(&self) -> bool;
    /// What it asks, in order.
    fn take_effects(&mut self) -> Vec<Effect>;
}
