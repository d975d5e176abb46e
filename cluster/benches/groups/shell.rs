//! The shell around the machine: a clock that is set, and appends that are committed as soon as they are asked for.

use std::time::Duration;

use ottla_assignors::Assignor;
use ottla_cluster::group::{
    Answer, ConsumerGroupConfig, ConsumerTimeouts, Effect, GroupConfig, GroupRecord, GroupShard, Joining,
    MigrationPolicy, Now,
};
use ottla_cluster::time::Monotonic;
use ottla_protocol::codec::Str;

/// Kafka's defaults.
pub(crate) const TIMEOUTS: ConsumerTimeouts =
    ConsumerTimeouts { session_timeout_ms: 45_000, heartbeat_interval_ms: 5_000 };

/// See the module. A request's token is the number of the member that sent it.
pub(crate) struct Shell {
    pub(crate) shard: GroupShard<usize>,
    pub(crate) now: Now,
    /// What was answered since the last look.
    pub(crate) answers: Vec<(usize, Answer)>,
    /// What was committed.
    pub(crate) log: Vec<GroupRecord>,
    joins: usize,
}

impl Shell {
    pub(crate) fn new() -> Shell {
        let config = GroupConfig {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            members_max: usize::MAX,
            initial_rebalance_delay: Duration::from_secs(3),
            offset_metadata_bytes_max: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            consumer: ConsumerGroupConfig {
                timeouts: TIMEOUTS,
                members_max: usize::MAX,
                assignors: vec![Assignor::Uniform, Assignor::Range],
                migration: MigrationPolicy::Bidirectional,
            },
        };
        let now = Now { monotonic: Monotonic::from_millis(1_000), unix_ms: 1_700_000_000_000 };
        Shell { shard: GroupShard::new(config), now, answers: Vec::new(), log: Vec::new(), joins: 0 }
    }

    /// Does what the machine asks for, until it asks for nothing more.
    pub(crate) fn settle(&mut self) {
        loop {
            let effects = self.shard.drain_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Answer(member, answer) => self.answers.push((member, answer)),
                    Effect::Append { id, records } => {
                        self.shard.handle_appended(self.now, id, Ok(()));
                        self.log.extend(records);
                    }
                }
            }
        }
    }

    /// Lets the time of the next deadline come.
    pub(crate) fn wait(&mut self) {
        self.now.monotonic = self.shard.next_deadline().unwrap();
        self.shard.handle_deadlines(self.now);
        self.settle();
    }

    /// What the connection knows of a request.
    pub(crate) fn joining(&mut self, api_version: i16) -> Joining {
        self.joins += 1;
        Joining {
            api_version,
            client_id: "consumer-nightly-report-1".into(),
            client_host: "/127.0.0.1".into(),
            unique: Str::from(format!("0f3c2a9e-5d61-4b0e-9c57-{:012x}", self.joins)),
        }
    }
}
