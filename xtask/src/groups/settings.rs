//! The settings that all members of a run share.

use clap::ValueEnum;

/// Which protocol the members speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    /// JoinGroup and SyncGroup; a member assigns.
    Classic,
    /// KIP-848: the broker assigns.
    Consumer,
    /// First one, then, member by member, the other, and back.
    Upgrade,
}

impl Protocol {
    /// As `group.protocol` spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Upgrade => "upgrade",
        }
    }
}

/// What every member is told.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Its group.
    pub(super) group: String,
    /// What it reads.
    pub(super) topic: String,
    /// Of the topic.
    pub(super) partition_count: i32,
    /// Classic or consumer, as it is at this moment.
    pub(super) protocol: Protocol,
    /// Whether one member of each kind keeps its place over a restart.
    pub(super) static_members: bool,
    /// By the name that the protocol's own configs use.
    pub(super) assignor: String,
    /// After that silence a member is thrown out.
    pub(super) session_timeout_ms: u64,
    /// How often it is heard of.
    pub(super) heartbeat_interval_ms: u64,
    /// How long a rebalance waits for a member.
    pub(super) rebalance_timeout_ms: u64,
    /// How often it commits.
    pub(super) commit_interval_ms: u64,
    /// What the producer sends.
    pub(super) records_per_second: u64,
}

impl Settings {
    /// For one run of a protocol with an assignor.
    pub(super) fn new(protocol: Protocol, assignor: &str) -> Self {
        let name = format!("groups-{}-{assignor}", protocol.name());
        let first = if protocol == Protocol::Consumer { protocol } else { Protocol::Classic };
        Self {
            group: name.clone(),
            topic: name,
            partition_count: 12,
            protocol: first,
            static_members: protocol != Protocol::Upgrade,
            assignor: assignor.to_owned(),
            session_timeout_ms: 6_000,
            heartbeat_interval_ms: 1_000,
            rebalance_timeout_ms: 20_000,
            commit_interval_ms: 300,
            records_per_second: 400,
        }
    }

    /// When a member changes its protocol: the broker has no assignor of the name, or the client has none.
    pub(super) fn assignor_of(&self, protocol: Protocol) -> String {
        match protocol {
            Protocol::Consumer => "uniform".to_owned(),
            Protocol::Classic | Protocol::Upgrade => "range".to_owned(),
        }
    }

    /// The broker's side of them: for KIP-848 it decides about sessions.
    pub(super) fn of_broker(&self) -> Vec<String> {
        let (session, heartbeat) = (self.session_timeout_ms, self.heartbeat_interval_ms);
        vec![
            format!("group.consumer.session.timeout.ms={session}"),
            format!("group.consumer.min.session.timeout.ms={session}"),
            format!("group.consumer.heartbeat.interval.ms={heartbeat}"),
            format!("group.consumer.min.heartbeat.interval.ms={heartbeat}"),
        ]
    }

    /// The command line of every kind of member, after the history's file.
    pub(super) fn of_member(&self, instance: Option<&str>) -> Vec<String> {
        let mut words = vec![
            format!("protocol={}", self.protocol.name()),
            format!("assignor={}", self.assignor),
            format!("session.timeout.ms={}", self.session_timeout_ms),
            format!("heartbeat.interval.ms={}", self.heartbeat_interval_ms),
            format!("rebalance.timeout.ms={}", self.rebalance_timeout_ms),
            format!("commit.interval.ms={}", self.commit_interval_ms),
        ];
        words.extend(instance.map(|instance| format!("instance={instance}")));
        words
    }
}
