//! Consumer groups: which partitions are assigned, and how far the group has read them.
//!
//! Whether to join, what an answer means and what has to go back is decided by a membership machine without a clock
//! (`classic`, `consumer`); one task per consumer (`membership`) asks the coordinator for it, moves partitions
//! (`handover`) and keeps sending signs of life while the program is busy. What the program wants lies in one place that
//! the task looks at, so nothing queues up. Invariant: a partition is let go only when the program is done with what it
//! was handed, or when it is another member's already.

mod api;
mod classic;
mod commit;
mod consumer;
mod coordinator;
mod effect;
mod handover;
mod listener;
mod membership;
mod offsets;
mod partitions;
mod poll_watch;
mod question;
mod sticky;
mod subscription;
mod topics;
#[cfg(test)]
mod transcript;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ottla_protocol::{Offset, TopicId, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

pub use self::api::PendingCommit;
use self::coordinator::Coordinator;
pub(crate) use self::effect::Identity;
use self::effect::{Membership, Settings};
pub use self::listener::{RebalanceListener, Rebalancing};
pub(super) use self::membership::run;
pub use self::offsets::OffsetAndMetadata;
pub(crate) use self::offsets::{COMMIT_VERSION_MAX, FETCH_VERSION_MAX, commit_codes, commit_request};
use self::subscription::Subscription;
use super::config::{ConsumerConfig, GroupProtocol};
use super::{Handle, Inner};
use crate::client::Client;
use crate::error::{ClientError, Result};

/// Who a consumer is in its group, for those who commit on its behalf (a transactional producer does).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group.
    pub group_id: String,
    /// The generation, or the member epoch in the consumer protocol; none while it is not a member.
    pub generation_id: Option<i32>,
    /// The member; empty while it has no id.
    pub member_id: String,
    /// Its name, if it is a static member.
    pub group_instance_id: Option<String>,
}

/// What the program wants of the group.
#[derive(Debug, Default)]
struct Desired {
    subscription: Option<Arc<Subscription>>,
    /// Grows with every wish.
    version: u64,
}

/// Which wish the membership has come to, and whether it is out of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Seen {
    version: u64,
    is_out: bool,
}

/// What the program is doing.
#[derive(Debug)]
struct Program {
    /// How many polls are going on.
    polling: u32,
    polled_at: Instant,
    /// The membership waits for the next poll.
    is_awaited: bool,
    /// Why the group cannot be joined.
    failure: Option<ClientError>,
}

/// A consumer's part in its group, shared by its handles and the membership's task.
pub(crate) struct Group {
    settings: Settings,
    protocol: GroupProtocol,
    coordinator: Coordinator,
    /// For joining and heartbeats alone: a JoinGroup waits for other members.
    connections: Client,
    desired: Mutex<Desired>,
    seen: watch::Sender<Seen>,
    program: Mutex<Program>,
    identity: Mutex<Identity>,
    listener: Mutex<Option<Arc<dyn RebalanceListener>>>,
    committing: tokio::sync::Mutex<()>,
    /// What was committed last of what is owned.
    committed: Mutex<BTreeMap<TopicPartition, Offset>>,
    /// What the last commit on the way out came to.
    parting: Mutex<Option<ClientError>>,
    /// The program wants something else, or polls again.
    wake: Notify,
    /// The program is done with something it was handed.
    acknowledged: Notify,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut group = f.debug_struct("Group");
        group.field("group_id", &self.settings.group_id).field("identity", &self.identity());
        group.finish_non_exhaustive()
    }
}

/// A poll that is going on.
pub(super) struct Polling<'a>(&'a Group);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let mut program = self.0.program.lock();
        program.polling -= 1;
        program.polled_at = Instant::now();
    }
}

impl Group {
    /// The group of this configuration, if it names one.
    pub(super) fn new(client: &Client, config: &ConsumerConfig) -> Option<Group> {
        let group_id = config.group_id.clone()?;
        let now = Instant::now();
        Some(Group {
            coordinator: Coordinator::new(&group_id),
            connections: client.with_own_connections(),
            protocol: config.group_protocol,
            settings: Settings {
                group_id,
                group_instance_id: config.group_instance_id.clone(),
                session_timeout: config.session_timeout,
                heartbeat_interval: config.heartbeat_interval,
                rebalance_timeout: config.rebalance_timeout,
                assignors: config.assignors.clone(),
                server_assignor: config.server_assignor.clone(),
                rack: Some(config.rack.clone()).filter(|rack| !rack.is_empty()),
                backoff: client.config().backoff,
            },
            desired: Mutex::default(),
            seen: watch::Sender::new(Seen { version: 0, is_out: true }),
            program: Mutex::new(Program { polling: 0, polled_at: now, is_awaited: false, failure: None }),
            identity: Mutex::new(Identity::none()),
            listener: Mutex::new(None),
            committing: tokio::sync::Mutex::new(()),
            committed: Mutex::default(),
            parting: Mutex::new(None),
            wake: Notify::new(),
            acknowledged: Notify::new(),
        })
    }

    fn membership(&self) -> Box<dyn Membership> {
        let (settings, now) = (self.settings.clone(), Instant::now());
        match self.protocol {
            GroupProtocol::Classic => Box::new(classic::Classic::new(settings, now)),
            GroupProtocol::Consumer => {
                let member_id =
                    TopicId::new(uuid::Builder::from_random_bytes(rand::random()).into_uuid()).to_string();
                Box::new(consumer::ConsumerMembership::new(settings, &member_id, now))
            }
        }
    }

    fn identity(&self) -> Identity {
        self.identity.lock().clone()
    }

    /// OffsetFetch takes an identity only from members of consumer groups.
    fn identity_for_fetch(&self) -> Identity {
        match self.protocol {
            GroupProtocol::Classic => Identity::none(),
            GroupProtocol::Consumer => self.identity(),
        }
    }

    fn metadata(&self) -> GroupMetadata {
        let identity = self.identity();
        GroupMetadata {
            group_id: self.settings.group_id.clone(),
            generation_id: Some(identity.generation).filter(|generation| *generation >= 0),
            member_id: identity.member_id.to_string(),
            group_instance_id: self.settings.group_instance_id.clone(),
        }
    }

    /// The program begins to poll, which says that it is done with everything that it was handed.
    pub(super) fn enter_poll(&self, inner: &Inner) -> Result<Polling<'_>> {
        {
            let mut program = self.program.lock();
            if let Some(failure) = &program.failure {
                return Err(failure.clone());
            }
            program.polling += 1;
            if std::mem::take(&mut program.is_awaited) {
                self.wake.notify_one();
            }
        }
        let polling = Polling(self);
        self.acknowledge(inner);
        Ok(polling)
    }

    /// The program is done with everything that it was handed.
    fn acknowledge(&self, inner: &Inner) {
        inner.assignment.lock().acknowledge();
        self.acknowledged.notify_one();
    }

    /// Why no poll can bring anything any more.
    pub(super) fn failure(&self) -> Option<ClientError> {
        self.program.lock().failure.clone()
    }

    /// When the program polled last; now, if it does.
    fn polled_at(&self, now: Instant) -> Instant {
        let program = self.program.lock();
        if program.polling > 0 { now } else { program.polled_at }
    }

    /// Whether the group decides what is assigned.
    pub(super) fn is_wanted(&self) -> bool {
        self.desired.lock().subscription.is_some() || !self.seen.borrow().is_out
    }

    /// The program wants this from now on.
    fn desire(&self, subscription: Option<Arc<Subscription>>) -> u64 {
        let version = {
            let mut desired = self.desired.lock();
            desired.subscription = subscription;
            desired.version += 1;
            desired.version
        };
        {
            let mut program = self.program.lock();
            program.failure = None;
            program.polled_at = Instant::now();
        }
        self.wake.notify_one();
        version
    }

    /// Waits until the membership is out of the group and knows that it is to be.
    async fn wait_until_out(&self, version: u64) {
        let mut seen = self.seen.subscribe();
        // It cannot fail: the sender is ours.
        let _ = seen.wait_for(|seen| seen.is_out && seen.version >= version).await;
    }

    /// The consumer's last handle is gone.
    pub(super) fn abandon(&self) {
        self.wake.notify_one();
        self.acknowledged.notify_one();
    }
}
