//! What a broker grants its clients, resolved once from the configuration: every bound that a connection meets.
//!
//! Kafka's own keys where Kafka has one. Kafka's "unlimited" becomes a finite default here, because a bound that nobody
//! set is one that an attacker sets (RELIABILITY §5): connections are bounded by the file descriptors of the process,
//! request memory by the memory of the machine.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ottla_cluster::config::BrokerConfig;

use crate::connection::{RateWindow, UNLIMITED};

/// What stays free of the process's file descriptors for logs, when connections are not bounded otherwise.
const DESCRIPTORS_KEPT: usize = 9 * 1024;

/// Of those, what is not for log files: metadata, checkpoints, files on their way to disk.
const DESCRIPTORS_SPARE: usize = 1024;

/// The pool of request memory when `queued.max.request.bytes` leaves the choice to the broker.
const REQUEST_MEMORY_BYTES: usize = 256 << 20;

/// The bounds of one listener, beside those of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenerLimits {
    /// `listener.name.NAME.max.connections`.
    pub(crate) connections_max: usize,
    /// `listener.name.NAME.max.connection.creation.rate`.
    pub(crate) connection_creation_rate: u32,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// `socket.request.max.bytes`: the largest frame.
    pub(crate) request_bytes_max: usize,
    /// `queued.max.request.bytes`: what all connections together hold in half-received requests.
    pub(crate) request_memory_bytes: usize,
    /// `max.connections`.
    pub(crate) connections_max: usize,
    /// How many log files may be kept open.
    pub(crate) log_files_max: usize,
    /// `max.connections.per.ip`.
    pub(crate) connections_max_per_ip: usize,
    /// `max.connections.per.ip.overrides`.
    pub(crate) connections_max_per_ip_overrides: BTreeMap<IpAddr, usize>,
    /// `max.connection.creation.rate`.
    pub(crate) connection_creation_rate: u32,
    /// How that rate is measured.
    pub(crate) creation_window: RateWindow,
    /// What is set for single listeners.
    listeners: BTreeMap<String, ListenerLimits>,
    /// `connections.max.idle.ms`.
    pub(crate) connections_max_idle_ms: u64,
    /// `fetch.max.bytes`: the most record bytes in one response.
    pub(crate) fetch_bytes_max: usize,
    /// How many requests of one connection may be unanswered.
    pub(crate) in_flight_requests_max: usize,
    /// How many bytes may be queued for a client that does not read; a fetch response of any size may be the last one
    /// in the queue, since its records stay on disk.
    pub(crate) queued_response_bytes_max: usize,
    /// How long a frame may take to arrive before its pace matters.
    pub(crate) frame_grace_ms: u64,
    /// The pace that a frame must keep after the grace.
    pub(crate) frame_bytes_per_second_min: u64,
    /// After how long without a byte a connection gives back its large read buffer.
    pub(crate) buffer_idle_ms: u64,
}

impl Limits {
    /// The limits that a configuration comes to. Half of the file descriptors that the process may open are for
    /// connections, so that a flood of clients cannot keep the broker from opening its logs.
    pub(crate) fn new(config: &BrokerConfig, descriptors_max: usize) -> Limits {
        let affordable = (descriptors_max / 2).max(descriptors_max.saturating_sub(DESCRIPTORS_KEPT)).max(1);
        let kept = descriptors_max.saturating_sub(affordable);
        let request_memory =
            config.queued_max_request_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let sample = Duration::from_secs(u64::from(config.quota_window_size_seconds));
        Limits {
            request_bytes_max: config.socket_request_max_bytes,
            request_memory_bytes: request_memory.unwrap_or(REQUEST_MEMORY_BYTES),
            connections_max: config.max_connections.min(affordable),
            log_files_max: kept - DESCRIPTORS_SPARE.min(kept / 2),
            connections_max_per_ip: config.max_connections_per_ip,
            connections_max_per_ip_overrides: config.max_connections_per_ip_overrides.clone(),
            connection_creation_rate: config.max_connection_creation_rate,
            creation_window: RateWindow {
                full_samples: sample * config.quota_window_num.saturating_sub(1),
                sample,
            },
            listeners: config
                .listeners
                .iter()
                .filter_map(|listener| of_listener(config, &listener.name))
                .collect(),
            connections_max_idle_ms: config.connections_max_idle_ms.unwrap_or(u64::MAX),
            fetch_bytes_max: config.fetch_max_bytes as usize,
            in_flight_requests_max: config.ottla_connection_inflight_requests_max,
            queued_response_bytes_max: config.ottla_connection_queued_response_bytes_max,
            frame_grace_ms: config.ottla_request_grace_ms,
            frame_bytes_per_second_min: config.ottla_request_bytes_per_second_min,
            buffer_idle_ms: config.ottla_connection_buffer_idle_ms,
        }
    }

    /// How many connections one client address may have.
    pub(crate) fn connections_max_of(&self, address: IpAddr) -> usize {
        self.connections_max_per_ip_overrides.get(&address).copied().unwrap_or(self.connections_max_per_ip)
    }

    /// The bounds of one listener; none where nothing is set.
    pub(crate) fn of_listener(&self, name: &str) -> ListenerLimits {
        let unbounded = ListenerLimits { connections_max: usize::MAX, connection_creation_rate: UNLIMITED };
        self.listeners.get(name).copied().unwrap_or(unbounded)
    }

    /// Whether a frame of which `arrived` bytes have come in `elapsed_ms` is to be given up.
    pub(crate) fn is_too_slow(&self, elapsed_ms: u64, arrived: usize) -> bool {
        let paced_ms = elapsed_ms.saturating_sub(self.frame_grace_ms);
        paced_ms > 0 && (arrived as u64) < paced_ms.saturating_mul(self.frame_bytes_per_second_min) / 1000
    }

    /// How often deadlines have to be looked at so that none is missed by much.
    pub(crate) fn sweep_interval_ms(&self) -> u64 {
        (self.connections_max_idle_ms.min(self.frame_grace_ms) / 4).clamp(10, 1000)
    }
}

fn of_listener(config: &BrokerConfig, name: &str) -> Option<(String, ListenerLimits)> {
    let connections_max = config.of_listener(name, "max.connections");
    let rate = config.of_listener(name, "max.connection.creation.rate");
    if connections_max.is_none() && rate.is_none() {
        return None;
    }
    let limits = ListenerLimits {
        connections_max: connections_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(0)),
        connection_creation_rate: rate.map_or(UNLIMITED, |rate| u32::try_from(rate).unwrap_or(0)),
    };
    Some((name.to_owned(), limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(pairs: &[(&str, &str)]) -> Limits {
        Limits::new(&BrokerConfig::from_pairs(pairs.iter().copied()).unwrap(), 20_000)
    }

    #[test]
    fn what_kafka_leaves_unlimited_is_bounded_by_what_the_process_can_afford() {
        let limits = limits(&[]);
        assert_eq!((limits.connections_max, limits.log_files_max), (10_784, 8192));
        let few = Limits::new(&BrokerConfig::from_pairs([("node.id", "1")]).unwrap(), 100);
        assert_eq!((few.connections_max, few.log_files_max), (50, 25));
        assert_eq!(limits.request_memory_bytes, REQUEST_MEMORY_BYTES);
    }

    #[test]
    fn a_frame_may_be_slow_for_a_while_but_not_for_ever() {
        let limits = limits(&[]);
        assert!(!limits.is_too_slow(30_000, 1), "within the grace");
        assert!(limits.is_too_slow(32_000, 1), "a byte a minute");
        assert!(!limits.is_too_slow(60_000, 1 << 20), "a slow link that keeps its pace");
    }

    #[test]
    fn an_override_beats_the_limit_per_address() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let limits =
            limits(&[("max.connections.per.ip", "100"), ("max.connections.per.ip.overrides", "10.0.0.1:7")]);
        assert_eq!(limits.connections_max_of(address), 7);
        assert_eq!(limits.connections_max_of("10.0.0.2".parse().unwrap()), 100);
    }

    #[test]
    fn a_listener_has_bounds_of_its_own_where_they_are_set() {
        let limits = limits(&[
            ("listeners", "PLAINTEXT://:1,OUTSIDE://:2"),
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,OUTSIDE:PLAINTEXT"),
            ("listener.name.outside.max.connections", "7"),
        ]);
        let outside = ListenerLimits { connections_max: 7, connection_creation_rate: UNLIMITED };
        assert_eq!(limits.of_listener("OUTSIDE"), outside);
        assert_eq!(limits.of_listener("PLAINTEXT").connections_max, usize::MAX);
    }
}
