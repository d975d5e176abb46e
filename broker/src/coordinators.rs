//! The coordinators of this broker: the shells around the pure group machines.
//!
//! Each partition of `__consumer_offsets` that is led here has a [`GroupHost`], loaded by replay when it is first needed. A
//! group belongs to the partition that Kafka would choose for it, so Kafka's tools and a cluster agree with us. One
//! timer serves all hosts. Nothing here decides: that is `ottla_cluster::group`.

mod cluster_topics;
mod group_host;
mod loading;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ottla_assignors::Assignor;
use ottla_cluster::config::BrokerConfig;
use ottla_cluster::controller::ConfigResource;
use ottla_cluster::group::{ConsumerGroupConfig, ConsumerTimeouts, GroupConfig, MigrationPolicy, Now};
use ottla_cluster::time::Monotonic;
use ottla_protocol::codec::Str;
use ottla_protocol::{ErrorCode, TopicId};
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinHandle;

use self::cluster_topics::ClusterTopics;
pub(crate) use self::group_host::{CoordinatorTicket, GroupHost};
use crate::core::Core;
use crate::partition::Partition;
use crate::rt::time;
use crate::topics::Topic;

/// Where groups leave their records.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The hosts of one incarnation of the topic.
#[derive(Debug)]
struct Hosts {
    topic_id: TopicId,
    by_partition: Vec<OnceCell<Arc<GroupHost>>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct GroupCoordinators {
    config: GroupConfig,
    append_timeout: Duration,
    expiry_interval: Duration,
    hosts: ArcSwapOption<Hosts>,
    timer: Arc<GroupTimer>,
}

/// How long a request waits for its group to be loaded, before its client is told to ask again. A load takes a few
/// milliseconds as a rule, and a client that is told so waits longer than that.
const LOADING_PATIENCE: Duration = Duration::from_millis(250);

/// The one timer: who sets an earlier deadline wakes the task that waits for it.
#[derive(Debug)]
pub(crate) struct GroupTimer {
    armed_ms: AtomicU64,
    moved: Notify,
}

impl GroupTimer {
    /// Something is due at `at`.
    pub(crate) fn want(&self, at: Monotonic) {
        if self.armed_ms.fetch_min(at.as_millis(), Ordering::AcqRel) > at.as_millis() {
            self.moved.notify_one();
        }
    }
}

/// What the broker's configuration means to groups.
fn group_config(config: &BrokerConfig) -> GroupConfig {
    let millis = |ms: u64| i32::try_from(ms).unwrap_or(i32::MAX);
    let retention_ms = config.offsets_retention_minutes.saturating_mul(60_000);
    GroupConfig {
        session_timeout_min_ms: millis(config.group_min_session_timeout_ms),
        session_timeout_max_ms: millis(config.group_max_session_timeout_ms),
        members_max: config.group_max_size,
        initial_rebalance_delay: Duration::from_millis(config.group_initial_rebalance_delay_ms),
        offset_metadata_bytes_max: config.offset_metadata_max_bytes,
        offsets_retention_ms: i64::try_from(retention_ms).unwrap_or(i64::MAX),
        consumer: ConsumerGroupConfig {
            timeouts: ConsumerTimeouts {
                session_timeout_ms: millis(config.group_consumer_session_timeout_ms),
                heartbeat_interval_ms: millis(config.group_consumer_heartbeat_interval_ms),
            },
            members_max: config.group_consumer_max_size,
            assignors: assignors(&config.group_consumer_assignors),
            migration: migration_policy(&config.group_consumer_migration_policy),
        },
    }
}

/// Those that we have, in the configured order; Kafka's classes by their own names, too.
fn assignors(names: &[String]) -> Vec<Assignor> {
    let named = |name: &String| match name.as_str() {
        "org.apache.kafka.coordinator.group.assignor.UniformAssignor" => Some(Assignor::Uniform),
        "org.apache.kafka.coordinator.group.assignor.RangeAssignor" => Some(Assignor::Range),
        name => Assignor::server_named(name),
    };
    names.iter().filter_map(named).collect()
}

fn migration_policy(text: &str) -> MigrationPolicy {
    match text.to_ascii_lowercase().as_str() {
        "disabled" => MigrationPolicy::Disabled,
        "upgrade" => MigrationPolicy::Upgrade,
        "downgrade" => MigrationPolicy::Downgrade,
        _ => MigrationPolicy::Bidirectional,
    }
}

/// The partition of the offsets topic that a group belongs to: Java's hash of the id, as in Kafka.
fn partition_of(group: &str, partition_count: usize) -> usize {
    let hash =
        group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Not the absolute value, which i32::MIN has none of.
    (hash & i32::MAX) as usize % partition_count
}

/// The time of an event.
pub(crate) fn now(core: &Core) -> Now {
    Now { monotonic: core.clock.now(), unix_ms: core.clock.wall_ms() }
}

impl GroupCoordinators {
    /// Coordinators that have loaded nothing yet.
    pub(crate) fn new(config: &BrokerConfig) -> GroupCoordinators {
        GroupCoordinators {
            config: group_config(config),
            append_timeout: Duration::from_millis(config.offsets_commit_timeout_ms),
            expiry_interval: Duration::from_millis(config.offsets_retention_check_interval_ms.max(1)),
            hosts: ArcSwapOption::empty(),
            timer: Arc::new(GroupTimer { armed_ms: AtomicU64::new(u64::MAX), moved: Notify::new() }),
        }
    }

    /// The timeouts of a consumer group: its own, where some were set for it.
    pub(crate) fn timeouts(&self, core: &Core, group: &str) -> ConsumerTimeouts {
        let image = core.quorum.image();
        if image.configs(&ConfigResource::Group(group.to_owned())).is_empty() {
            return self.config.consumer.timeouts;
        }
        let own = image.group_config(group, &core.config);
        let millis = |ms: u32| i32::try_from(ms).unwrap_or(i32::MAX);
        ConsumerTimeouts {
            session_timeout_ms: millis(own.consumer_session_timeout_ms),
            heartbeat_interval_ms: millis(own.consumer_heartbeat_interval_ms),
        }
    }

    /// The host of a group, loaded.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE when the offsets topic does not exist yet or cannot be read,
    /// COORDINATOR_LOAD_IN_PROGRESS when reading it takes its time.
    pub(crate) async fn host(&self, core: &Arc<Core>, group: &Str) -> Result<Arc<GroupHost>, ErrorCode> {
        let topic = offsets_topic(core).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
        let partition = partition_of(group, topic.replicas.len());
        self.load(core, &self.hosts_of(&topic), &topic, partition).await
    }

    /// The hosts of all partitions that are here, loaded; none when the offsets topic does not exist yet. The groups of a
    /// partition whose disk is missing are nobody's for now.
    ///
    /// # Errors
    /// As [`GroupCoordinators::host`], for any partition.
    pub(crate) async fn all_hosts(&self, core: &Arc<Core>) -> Result<Vec<Arc<GroupHost>>, ErrorCode> {
        let Some(topic) = offsets_topic(core) else { return Ok(Vec::new()) };
        let hosts = self.hosts_of(&topic);
        let mut loaded = Vec::with_capacity(hosts.by_partition.len());
        for partition in 0..hosts.by_partition.len() {
            if led(&topic, partition).is_ok() {
                loaded.push(self.load(core, &hosts, &topic, partition).await?);
            }
        }
        Ok(loaded)
    }

    /// Loads all partitions, one after the other, however long that takes; gives those that could be loaded.
    async fn load_all(&self, core: &Arc<Core>) -> Vec<Arc<GroupHost>> {
        let Some(topic) = offsets_topic(core) else { return Vec::new() };
        let hosts = self.hosts_of(&topic);
        let mut loaded = Vec::with_capacity(hosts.by_partition.len());
        for partition in 0..hosts.by_partition.len() {
            if let Ok(loading) = begin_loading(core, &hosts, &topic, partition)
                && let Ok(Ok(host)) = loading.await
            {
                loaded.push(host);
            }
        }
        loaded
    }

    /// The hosts of this incarnation of the topic; those of an earlier one are dropped.
    fn hosts_of(&self, topic: &Topic) -> Arc<Hosts> {
        let matches =
            |hosts: &Hosts| hosts.topic_id == topic.id && hosts.by_partition.len() == topic.replicas.len();
        loop {
            let current = self.hosts.load_full();
            if let Some(hosts) = current.as_ref().filter(|hosts| matches(hosts)) {
                return Arc::clone(hosts);
            }
            let by_partition = topic.replicas.iter().map(|_| OnceCell::new()).collect();
            let fresh = Some(Arc::new(Hosts { topic_id: topic.id, by_partition }));
            self.hosts.compare_and_swap(&current, fresh);
        }
    }

    /// Waits for a partition's host as long as is decent.
    async fn load(
        &self,
        core: &Arc<Core>,
        hosts: &Arc<Hosts>,
        topic: &Topic,
        partition: usize,
    ) -> Result<Arc<GroupHost>, ErrorCode> {
        if let Some(host) = hosts.by_partition[partition].get() {
            return Ok(Arc::clone(host));
        }
        as_long_as_is_decent(begin_loading(core, hosts, topic, partition)?).await
    }

    async fn load_once(&self, core: &Arc<Core>, led: Arc<Partition>) -> Result<Arc<GroupHost>, ErrorCode> {
        let (config, loading_core) = (self.config.clone(), Arc::clone(core));
        let replay = move || {
            let shard = loading::replay(&led, config, now(&loading_core))?;
            Ok((led, shard))
        };
        let replayed = tokio::task::spawn_blocking(replay).await;
        let (led, shard) = replayed.unwrap_or(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE))?;
        let host = Arc::new(GroupHost::new(led, shard, self.append_timeout, Arc::clone(&self.timer)));
        show_topics(core, &host);
        Ok(host)
    }

    /// The hosts that are loaded already.
    fn loaded(&self) -> Vec<Arc<GroupHost>> {
        let hosts = self.hosts.load();
        hosts.iter().flat_map(|hosts| &hosts.by_partition).filter_map(|cell| cell.get().cloned()).collect()
    }

    /// A topic was deleted: the offsets that groups have in it go too.
    pub(crate) async fn topic_deleted(&self, core: &Arc<Core>, topic: &Str) {
        // A partition that cannot be loaded keeps them until it can, and until their retention is over.
        for host in self.load_all(core).await {
            host.act(core, |shard, _| shard.handle_topic_deleted(topic));
        }
    }
}

fn led(topic: &Topic, partition: usize) -> Result<&Arc<Partition>, ErrorCode> {
    topic.partition(i32::try_from(partition).unwrap_or(i32::MAX))
}

/// What came of a load; a client that would have to wait for long is told to ask again.
async fn as_long_as_is_decent<T>(loading: JoinHandle<Result<T, ErrorCode>>) -> Result<T, ErrorCode> {
    match time::timeout(LOADING_PATIENCE, loading).await {
        Ok(loaded) => loaded.unwrap_or(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE)),
        Err(_elapsed) => Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
    }
}

/// Loads a partition in a task of its own, which goes on when whoever asked has gone.
fn begin_loading(
    core: &Arc<Core>,
    hosts: &Arc<Hosts>,
    topic: &Topic,
    partition: usize,
) -> Result<JoinHandle<Result<Arc<GroupHost>, ErrorCode>>, ErrorCode> {
    let led = led(topic, partition).map_err(|_| ErrorCode::COORDINATOR_NOT_AVAILABLE)?;
    let (core, hosts, led) = (Arc::clone(core), Arc::clone(hosts), Arc::clone(led));
    Ok(tokio::spawn(async move {
        let load = || core.groups.load_once(&core, led);
        hosts.by_partition[partition].get_or_try_init(load).await.cloned()
    }))
}

/// Shows a host the topics as they are now.
fn show_topics(core: &Arc<Core>, host: &Arc<GroupHost>) {
    let topics = Arc::new(ClusterTopics(core.topics.load_full()));
    host.act(core, |shard, now| shard.handle_topics(now, topics));
}

fn offsets_topic(core: &Core) -> Option<Arc<Topic>> {
    core.topics.load().by_name(OFFSETS_TOPIC).cloned()
}

/// Loads all groups, then watches their deadlines until the broker stops. One task for all groups.
pub(crate) async fn run(core: Arc<Core>) {
    let groups = &core.groups;
    // Sessions go on after a restart even if nobody asks: a member that is gone must not keep its partitions. What
    // cannot be loaded now is tried again by the first who asks.
    let _loaded = groups.load_all(&core).await;
    let mut next_expiry = time::now() + groups.expiry_interval;
    loop {
        groups.timer.armed_ms.store(u64::MAX, Ordering::Release);
        let earliest = groups.loaded().iter().filter_map(|host| host.handle_deadlines(&core)).min();
        if let Some(earliest) = earliest {
            groups.timer.armed_ms.fetch_min(earliest.as_millis(), Ordering::AcqRel);
        }
        if time::now() >= next_expiry {
            next_expiry = time::now() + groups.expiry_interval;
            groups.loaded().iter().for_each(|host| host.act(&core, |shard, now| shard.expire_offsets(now)));
        }
        let armed = Monotonic::from_millis(groups.timer.armed_ms.load(Ordering::Acquire));
        let wake_at = if armed.as_millis() == u64::MAX {
            next_expiry
        } else {
            core.clock.instant(armed).min(next_expiry)
        };
        tokio::select! {
            biased;
            () = core.stopping.cancelled() => return,
            () = groups.timer.moved.notified() => {}
            () = core.topics.changed() => groups.loaded().iter().for_each(|host| show_topics(&core, host)),
            () = time::sleep_until(wake_at) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_belongs_to_the_partition_that_kafka_would_choose() {
        // Java: Math.abs-free hash of the UTF-16 units. "abc".hashCode() is 96354.
        assert_eq!(partition_of("abc", 50), 96_354 % 50);
        assert_eq!(partition_of("", 50), 0);
        // "polygenelubricants".hashCode() is Integer.MIN_VALUE.
        assert_eq!(partition_of("polygenelubricants", 50), 0);
        assert_eq!(partition_of("größe", 50), (i64::from(java_hash("größe")) & 0x7fff_ffff) as usize % 50);
    }

    #[tokio::test]
    async fn a_group_that_takes_long_to_load_is_in_progress_and_a_load_that_fails_says_why() {
        let slow = tokio::spawn(std::future::pending::<Result<(), ErrorCode>>());
        assert_eq!(as_long_as_is_decent(slow).await, Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
        let broken = tokio::spawn(async { Err::<(), _>(ErrorCode::COORDINATOR_NOT_AVAILABLE) });
        assert_eq!(as_long_as_is_decent(broken).await, Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
        assert_eq!(as_long_as_is_decent(tokio::spawn(async { Ok(7) })).await, Ok(7));
    }

    fn java_hash(text: &str) -> i32 {
        text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
    }
}
