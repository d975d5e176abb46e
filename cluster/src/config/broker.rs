//! What the configs of a broker come to, typed and checked against each other.
//!
//! [`BrokerConfig::load`] reads what was set at the start; [`BrokerConfig::with_dynamic`] is the same broker with what
//! has been set at run time. Rules that span several keys live here; those of one key are in its row.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use super::layers::{Layers, Overrides};
use super::listener::{self, Listener, ListenerError, ListenerTexts};
use super::settings::{Note, Settings, SettingsError};
use super::table;
use super::value::Value;
use super::view::view;

view! {
    /// The configs of a broker, by their keys.
    #[derive(Clone, Debug, PartialEq)]
    pub struct BrokerKeys {
        auto_create_topics_enable: bool = "auto.create.topics.enable",
        broker_heartbeat_interval_ms: u64 = "broker.heartbeat.interval.ms",
        broker_rack: Option<String> = "broker.rack",
        broker_session_timeout_ms: u64 = "broker.session.timeout.ms",
        cluster_id: Option<String> = "cluster.id",
        connections_max_idle_ms: Option<u64> = "connections.max.idle.ms",
        controlled_shutdown_enable: bool = "controlled.shutdown.enable",
        default_replication_factor: i32 = "default.replication.factor",
        delete_topic_enable: bool = "delete.topic.enable",
        fetch_max_bytes: u32 = "fetch.max.bytes",
        group_consumer_assignors: Vec<String> = "group.consumer.assignors",
        group_consumer_heartbeat_interval_ms: u64 = "group.consumer.heartbeat.interval.ms",
        group_consumer_max_heartbeat_interval_ms: u64 = "group.consumer.max.heartbeat.interval.ms",
        group_consumer_max_session_timeout_ms: u64 = "group.consumer.max.session.timeout.ms",
        group_consumer_max_size: usize = "group.consumer.max.size",
        group_consumer_migration_policy: String = "group.consumer.migration.policy",
        group_consumer_min_heartbeat_interval_ms: u64 = "group.consumer.min.heartbeat.interval.ms",
        group_consumer_min_session_timeout_ms: u64 = "group.consumer.min.session.timeout.ms",
        group_consumer_session_timeout_ms: u64 = "group.consumer.session.timeout.ms",
        group_initial_rebalance_delay_ms: u64 = "group.initial.rebalance.delay.ms",
        group_max_session_timeout_ms: u64 = "group.max.session.timeout.ms",
        group_max_size: usize = "group.max.size",
        group_min_session_timeout_ms: u64 = "group.min.session.timeout.ms",
        log_cleaner_backoff_ms: u64 = "log.cleaner.backoff.ms",
        log_cleaner_dedupe_buffer_size: u64 = "log.cleaner.dedupe.buffer.size",
        log_cleaner_enable: bool = "log.cleaner.enable",
        log_cleaner_io_buffer_load_factor: f64 = "log.cleaner.io.buffer.load.factor",
        log_cleaner_io_buffer_size: usize = "log.cleaner.io.buffer.size",
        log_cleaner_io_max_bytes_per_second: f64 = "log.cleaner.io.max.bytes.per.second",
        log_cleaner_threads: usize = "log.cleaner.threads",
        log_flush_offset_checkpoint_interval_ms: u64 = "log.flush.offset.checkpoint.interval.ms",
        log_flush_scheduler_interval_ms: u64 = "log.flush.scheduler.interval.ms",
        log_flush_start_offset_checkpoint_interval_ms: u64 = "log.flush.start.offset.checkpoint.interval.ms",
        log_retention_check_interval_ms: u64 = "log.retention.check.interval.ms",
        max_connection_creation_rate: u32 = "max.connection.creation.rate",
        max_connections: usize = "max.connections",
        max_connections_per_ip: usize = "max.connections.per.ip",
        max_connections_per_ip_overrides: BTreeMap<IpAddr, usize> = "max.connections.per.ip.overrides",
        max_incremental_fetch_session_cache_slots: usize = "max.incremental.fetch.session.cache.slots",
        max_request_partition_size_limit: usize = "max.request.partition.size.limit",
        metadata_log_dir: Option<String> = "metadata.log.dir",
        metadata_log_max_record_bytes_between_snapshots: u64 = "metadata.log.max.record.bytes.between.snapshots",
        node_id: i32 = "node.id",
        num_partitions: i32 = "num.partitions",
        offset_metadata_max_bytes: usize = "offset.metadata.max.bytes",
        offsets_commit_timeout_ms: u64 = "offsets.commit.timeout.ms",
        offsets_retention_check_interval_ms: u64 = "offsets.retention.check.interval.ms",
        offsets_retention_minutes: u64 = "offsets.retention.minutes",
        offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions",
        offsets_topic_replication_factor: i16 = "offsets.topic.replication.factor",
        offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes",
        ottla_connection_buffer_idle_ms: u64 = "ottla.connection.buffer.idle.ms",
        ottla_connection_inflight_requests_max: usize = "ottla.connection.inflight.requests.max",
        ottla_connection_queued_response_bytes_max: usize = "ottla.connection.queued.response.bytes.max",
        ottla_log_dir_free_bytes_min: u64 = "ottla.log.dir.free.bytes.min",
        ottla_request_bytes_per_second_min: u64 = "ottla.request.bytes.per.second.min",
        ottla_request_grace_ms: u64 = "ottla.request.grace.ms",
        producer_id_expiration_ms: u64 = "producer.id.expiration.ms",
        queued_max_request_bytes: Option<u64> = "queued.max.request.bytes",
        queued_max_requests: usize = "queued.max.requests",
        quota_window_num: u32 = "quota.window.num",
        quota_window_size_seconds: u32 = "quota.window.size.seconds",
        replica_lag_time_max_ms: u64 = "replica.lag.time.max.ms",
        socket_listen_backlog_size: i32 = "socket.listen.backlog.size",
        socket_receive_buffer_bytes: Option<usize> = "socket.receive.buffer.bytes",
        socket_request_max_bytes: usize = "socket.request.max.bytes",
        socket_send_buffer_bytes: Option<usize> = "socket.send.buffer.bytes",
        transaction_max_timeout_ms: i32 = "transaction.max.timeout.ms",
    }
}

/// The configuration of a broker. Its keys are at hand as fields: `config.num_partitions`.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerConfig {
    keys: BrokerKeys,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// The directories of the data; at least one, all different.
    pub log_dirs: Vec<PathBuf>,
    layers: Layers,
}

/// Why a broker cannot start with these configs, as one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// One key is wrong.
    #[error(transparent)]
    Setting(#[from] SettingsError),
    /// The listeners are wrong.
    #[error("{place}: {source}")]
    Listener {
        /// Where the listeners are set.
        place: String,
        /// What is wrong with them.
        source: ListenerError,
    },
    /// Keys contradict each other.
    #[error("{place}: {why}")]
    Contradiction {
        /// Where one of them is set.
        place: String,
        /// What does not fit.
        why: String,
    },
}

impl BrokerConfig {
    /// Reads what was set at the start. The notes tell which settings have no effect.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(settings: &Settings) -> Result<(Self, Vec<Note>), ConfigError> {
        let mut static_broker = settings.to_overrides();
        unite_node_id(settings, &mut static_broker)?;
        let config = Self::read(Layers { static_broker, ..Layers::default() }, settings)?;
        Ok((config, settings.notes()))
    }

    /// A configuration from pairs, for programs that hold a broker in themselves and for tests.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ConfigError> {
        Ok(Self::load(&Settings::from_pairs(pairs)?)?.0)
    }

    /// This broker with what was set at run time for all brokers and for it. Listeners and directories stay as they
    /// were at the start.
    #[must_use]
    pub fn with_dynamic(&self, dynamic_default: Overrides, dynamic_broker: Overrides) -> Self {
        let static_broker = self.layers.static_broker.clone();
        let layers = Layers { dynamic_broker, dynamic_default, static_broker };
        let keys = BrokerKeys::read(|key| layers.broker_value(key));
        Self { keys, layers, ..self.clone() }
    }

    /// Where each value comes from.
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The number that is set for one listener (`listener.name.NAME.key`), and for no other.
    pub fn of_listener(&self, listener: &str, key: &str) -> Option<i64> {
        let name = format!("listener.name.{}.{key}", listener.to_lowercase());
        let row = table::broker(&name)?;
        let set = self.layers.above_default().into_iter().find_map(|(_, layer)| layer.get(&name))?;
        if let Value::Whole(number) = row.parse(set).ok()? { Some(number) } else { None }
    }

    fn read(layers: Layers, settings: &Settings) -> Result<Self, ConfigError> {
        let keys = BrokerKeys::read(|key| layers.broker_value(key));
        check_timeouts(&keys, settings)?;
        let text = |key| match layers.broker_value(key) {
            Value::Text(text) => text,
            _ => String::new(),
        };
        let list = |key| match layers.broker_value(key) {
            Value::List(items) => items,
            _ => Vec::new(),
        };
        let inter_broker = Some(text("inter.broker.listener.name")).filter(|name| !name.is_empty());
        let listeners = listener::parse(ListenerTexts {
            listeners: &list("listeners"),
            advertised: &list("advertised.listeners"),
            protocol_map: &text("listener.security.protocol.map"),
            controllers: &list("controller.listener.names"),
            inter_broker: inter_broker.as_deref(),
        })
        .map_err(|source| ConfigError::Listener { place: settings.place("listeners"), source })?;
        let dirs_key = if layers.static_broker.contains_key("log.dirs") { "log.dirs" } else { "log.dir" };
        let log_dirs = log_dirs(list(dirs_key), &settings.place(dirs_key))?;
        Ok(Self { keys, listeners, log_dirs, layers })
    }
}

impl std::ops::Deref for BrokerConfig {
    type Target = BrokerKeys;
    fn deref(&self) -> &BrokerKeys {
        &self.keys
    }
}

fn contradiction(place: String, why: impl Into<String>) -> ConfigError {
    ConfigError::Contradiction { place, why: why.into() }
}

/// Both names of the node's id say the same afterwards, as in Kafka.
fn unite_node_id(settings: &Settings, values: &mut Overrides) -> Result<(), ConfigError> {
    let older = settings.get("broker.id").filter(|id| id.trim() != "-1");
    let id = match (settings.get("node.id"), older) {
        (Some(node), Some(broker)) if node.trim() != broker.trim() => {
            let why =
                format!("node.id is {node} and broker.id is {broker}: they are two names of one number");
            return Err(contradiction(settings.place("broker.id"), why));
        }
        (None, None) => "1",
        (node, broker) => node.or(broker).unwrap_or("1"),
    };
    if id.trim().parse::<i32>().is_ok_and(|id| id < 0) {
        let place = settings.place("broker.id");
        return Err(contradiction(
            place,
            format!("Invalid value {id} for configuration node.id: Value must be at least 0"),
        ));
    }
    let id = id.to_owned();
    values.insert("broker.id".to_owned(), id.clone());
    values.insert("node.id".to_owned(), id);
    Ok(())
}

fn check_timeouts(keys: &BrokerKeys, settings: &Settings) -> Result<(), ConfigError> {
    if keys.group_max_session_timeout_ms < keys.group_min_session_timeout_ms {
        let why = "group.max.session.timeout.ms is below group.min.session.timeout.ms";
        return Err(contradiction(settings.place("group.max.session.timeout.ms"), why));
    }
    let session = keys.group_consumer_session_timeout_ms;
    let sessions = keys.group_consumer_min_session_timeout_ms..=keys.group_consumer_max_session_timeout_ms;
    let interval = keys.group_consumer_heartbeat_interval_ms;
    let intervals =
        keys.group_consumer_min_heartbeat_interval_ms..=keys.group_consumer_max_heartbeat_interval_ms;
    let wrong = if !sessions.contains(&session) {
        Some(("group.consumer.session.timeout.ms", "is outside of its min and max"))
    } else if !intervals.contains(&interval) {
        Some(("group.consumer.heartbeat.interval.ms", "is outside of its min and max"))
    } else if interval >= session {
        Some(("group.consumer.heartbeat.interval.ms", "is not below group.consumer.session.timeout.ms"))
    } else {
        None
    };
    if let Some((key, why)) = wrong {
        return Err(contradiction(settings.place(key), format!("{key} {why}")));
    }
    if keys.broker_session_timeout_ms < 2 * keys.broker_heartbeat_interval_ms {
        let why = "broker.session.timeout.ms is less than two of broker.heartbeat.interval.ms";
        return Err(contradiction(settings.place("broker.session.timeout.ms"), why));
    }
    Ok(())
}

fn log_dirs(dirs: Vec<String>, place: &str) -> Result<Vec<PathBuf>, ConfigError> {
    let distinct: BTreeSet<&str> = dirs.iter().map(|dir| dir.trim_end_matches('/')).collect();
    if dirs.is_empty() || dirs.iter().any(String::is_empty) {
        return Err(contradiction(place.to_owned(), "there is no directory for the data"));
    }
    if distinct.len() < dirs.len() {
        return Err(contradiction(place.to_owned(), "a directory is named twice"));
    }
    Ok(dirs.into_iter().map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(pairs: &[(&str, &str)]) -> String {
        BrokerConfig::from_pairs(pairs.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn nothing_set_is_a_broker_on_port_9092_with_data_below_the_working_directory() {
        let config = BrokerConfig::from_pairs([]).unwrap();
        assert_eq!(config.node_id, 1);
        assert_eq!(config.log_dirs, [PathBuf::from("./ottla-data")]);
        assert_eq!((config.listeners[0].bind.port, config.listeners[0].bind.host.as_str()), (9092, ""));
        assert_eq!(config.listeners[0].advertised, listener::Advertised::AsDialled);
        assert_eq!(config.socket_request_max_bytes, 100 << 20);
        assert_eq!(config.queued_max_request_bytes, None);
        assert!(config.auto_create_topics_enable && config.delete_topic_enable);
    }

    #[test]
    fn kafkas_own_server_properties_starts_a_broker() {
        let mut settings = Settings::default();
        let text = include_str!("../../tests/data/server.properties");
        settings.add_file("server.properties", text).unwrap();
        let (config, notes) = BrokerConfig::load(&settings).unwrap();
        assert_eq!(config.node_id, 1);
        assert_eq!(config.log_dirs, [PathBuf::from("/tmp/kraft-combined-logs")]);
        assert_eq!(config.listeners.len(), 1);
        let with_notes: Vec<_> = notes.iter().map(|note| note.key.as_str()).collect();
        assert_eq!(with_notes.len(), notes.len());
        assert!(!with_notes.contains(&"num.io.threads"), "its value is the default anyway");
    }

    #[test]
    fn keys_that_contradict_each_other_are_one_line() {
        for (pairs, line) in [
            (
                &[("node.id", "1"), ("broker.id", "2")][..],
                "broker.id: node.id is 1 and broker.id is 2: they are two names of one number",
            ),
            (
                &[("broker.id", "-2")],
                "broker.id: Invalid value -2 for configuration node.id: Value must be at least 0",
            ),
            (&[("log.dirs", "")], "log.dirs: there is no directory for the data"),
            (&[("log.dirs", "/a,/a/")], "log.dirs: a directory is named twice"),
            (
                &[("listeners", "SSL://:1")],
                "listeners: listener SSL asks for SSL, which is not served yet: only PLAINTEXT is",
            ),
            (
                &[("group.max.session.timeout.ms", "5")],
                "group.max.session.timeout.ms: group.max.session.timeout.ms is below group.min.session.timeout.ms",
            ),
            (
                &[("group.consumer.session.timeout.ms", "44999")],
                "group.consumer.session.timeout.ms: group.consumer.session.timeout.ms is outside of its min and max",
            ),
            (
                &[
                    ("group.consumer.heartbeat.interval.ms", "50000"),
                    ("group.consumer.max.heartbeat.interval.ms", "50000"),
                ],
                "group.consumer.heartbeat.interval.ms: group.consumer.heartbeat.interval.ms is not below \
                 group.consumer.session.timeout.ms",
            ),
            (
                &[("max.connections.per.ip.overrides", "here:5")],
                "max.connections.per.ip.overrides: Invalid value here:5 for configuration \
                 max.connections.per.ip.overrides: \"here:5\" is not ADDRESS:COUNT",
            ),
        ] {
            assert_eq!(complaint(pairs), line);
        }
    }

    #[test]
    fn either_name_of_the_node_id_sets_both() {
        let config = BrokerConfig::from_pairs([("broker.id", "7")]).unwrap();
        assert_eq!(config.node_id, 7);
        assert_eq!(config.layers().static_broker["node.id"], "7");
    }

    #[test]
    fn log_dirs_goes_before_log_dir() {
        let config = BrokerConfig::from_pairs([("log.dir", "/a"), ("log.dirs", "/b,/c")]).unwrap();
        assert_eq!(config.log_dirs, [PathBuf::from("/b"), PathBuf::from("/c")]);
    }

    #[test]
    fn what_is_set_at_run_time_goes_before_what_was_set_at_the_start() {
        let config = BrokerConfig::from_pairs([("max.connections", "5")]).unwrap();
        let set = |value: &str| Overrides::from([("max.connections".to_owned(), value.to_owned())]);
        assert_eq!(config.with_dynamic(set("6"), Overrides::new()).max_connections, 6);
        assert_eq!(config.with_dynamic(set("6"), set("7")).max_connections, 7);
        assert_eq!(config.with_dynamic(Overrides::new(), Overrides::new()), config);
    }

    #[test]
    fn connection_limits_can_be_given_per_address() {
        let pairs = [("max.connections.per.ip.overrides", "10.0.0.1:5, [::1]:7")];
        let config = BrokerConfig::from_pairs(pairs).unwrap();
        let overrides = [("10.0.0.1".parse().unwrap(), 5), ("::1".parse().unwrap(), 7)];
        assert_eq!(config.max_connections_per_ip_overrides, overrides.into());
    }
}
