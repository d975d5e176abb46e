//! The settings of a consumer, named and defaulted as Kafka's where Kafka has them.

use std::time::Duration;

use ottla_assignors::Assignor;

/// Where to go when a position does not exist (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// To the first record.
    #[default]
    Earliest,
    /// Behind the last record.
    Latest,
    /// Nowhere: `poll` fails.
    Fail,
}

/// Which records of transactions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// All of them, aborted ones too.
    #[default]
    ReadUncommitted,
    /// Only those of committed transactions.
    ReadCommitted,
}

/// How the members of a group agree on who reads what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupProtocol {
    /// A member is elected and decides, every change makes everybody join again (Kafka's classic protocol).
    #[default]
    Classic,
    /// The broker decides, and only who is concerned is moved (KIP-848).
    Consumer,
}

/// Settings of a [`Consumer`](super::Consumer).
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// The broker answers once it has this many bytes (`fetch.min.bytes`) …
    pub fetch_bytes_min: usize,
    /// … or this time has passed (`fetch.max.wait.ms`).
    pub fetch_wait_max: Duration,
    /// One answer carries at most this much (`fetch.max.bytes`) …
    pub fetch_bytes_max: usize,
    /// … and of one partition this much (`max.partition.fetch.bytes`). A single larger batch comes all the same.
    pub partition_bytes_max: usize,
    /// Batches fetched ahead take at most about this much memory.
    pub buffer_bytes_max: usize,
    /// Records of one compressed batch may take this much memory.
    pub decompressed_bytes_max: usize,
    /// Where to go when a position does not exist (`auto.offset.reset`).
    pub offset_reset: OffsetReset,
    /// Which records of transactions are read (`isolation.level`).
    pub isolation_level: IsolationLevel,
    /// Prefer a replica in this rack (`client.rack`).
    pub rack: String,
    /// The group, whose members share topics and whose offsets are kept by the brokers (`group.id`).
    pub group_id: Option<String>,
    /// A name that outlives the process: who comes back under it in time finds its partitions again, without a
    /// rebalance (`group.instance.id`).
    pub group_instance_id: Option<String>,
    /// How the group agrees on who reads what (`group.protocol`).
    pub group_protocol: GroupProtocol,
    /// Who is silent for so long counts as dead (`session.timeout.ms`); in the consumer protocol the broker decides.
    pub session_timeout: Duration,
    /// How often a sign of life is sent (`heartbeat.interval.ms`); in the consumer protocol the broker decides.
    pub heartbeat_interval: Duration,
    /// Who does not poll for so long leaves the group, and who is asked to give partitions back has so long to do it
    /// (`max.poll.interval.ms`).
    pub rebalance_timeout: Duration,
    /// How partitions are divided, in the order of preference; all members need one in common
    /// (`partition.assignment.strategy`). Classic protocol only.
    pub assignors: Vec<Assignor>,
    /// The broker's assignor to use; its own choice if there is none (`group.remote.assignor`). Consumer protocol only.
    pub server_assignor: Option<String>,
    /// Commit what the program is done with this often, when partitions are taken away, and when closed
    /// (`enable.auto.commit`, `auto.commit.interval.ms`); never, if none.
    pub auto_commit: Option<Duration>,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        ConsumerConfig {
            fetch_bytes_min: 1,
            fetch_wait_max: Duration::from_millis(500),
            fetch_bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            buffer_bytes_max: 64 << 20,
            decompressed_bytes_max: 256 << 20,
            offset_reset: OffsetReset::Earliest,
            isolation_level: IsolationLevel::ReadUncommitted,
            rack: String::new(),
            group_id: None,
            group_instance_id: None,
            group_protocol: GroupProtocol::Classic,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            rebalance_timeout: Duration::from_secs(300),
            assignors: vec![Assignor::Range],
            server_assignor: None,
            auto_commit: Some(Duration::from_secs(5)),
        }
    }
}

impl ConsumerConfig {
    /// The defaults as a member of this group.
    ///
    /// ```
    /// let config = ottla_client::ConsumerConfig::in_group("billing");
    /// assert_eq!(config.group_id.as_deref(), Some("billing"));
    /// ```
    pub fn in_group(group_id: impl Into<String>) -> ConsumerConfig {
        ConsumerConfig { group_id: Some(group_id.into()), ..ConsumerConfig::default() }
    }

    /// Fetching goes on while less than this is buffered.
    pub(crate) fn hungry_bytes(&self) -> usize {
        (self.buffer_bytes_max / 2).max(1)
    }
}
