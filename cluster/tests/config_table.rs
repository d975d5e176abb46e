//! The config table against what Apache Kafka 4.3 says of its own configs.

use std::collections::BTreeMap;

use ottla_cluster::config::row::{Row, Update};
use ottla_cluster::config::table;

const KAFKAS: &str = include_str!("data/kafka-4.3-configs.txt");

/// Defaults that differ on purpose (decision 0009), each said in its row or on the page about coming from Kafka.
const OTHER_DEFAULTS: &[&str] = &[
    "node.id",
    "process.roles",
    "controller.listener.names",
    "log.dir",
    "group.initial.rebalance.delay.ms",
    "socket.send.buffer.bytes",
    "socket.receive.buffer.bytes",
];

/// Configs of Kafka's that nobody can have a reason to set.
const LEFT_OUT: &[&str] = &[
    "internal.metadata.delete.delay.millis",
    "internal.metadata.log.segment.bytes",
    "internal.metadata.max.batch.size.in.bytes",
];

fn ours(kind: &str) -> BTreeMap<&'static str, &'static Row> {
    let rows: Vec<&Row> = match kind {
        "broker" => table::broker_rows().collect(),
        "topic" => table::TOPIC_ROWS.iter().collect(),
        _ => table::GROUP_ROWS.iter().collect(),
    };
    rows.into_iter().map(|row| (row.name, row)).collect()
}

#[test]
fn every_config_of_kafkas_is_in_the_table_with_its_type_default_and_update_mode() {
    let mut seen = 0;
    for line in KAFKAS.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('|').collect();
        let [kind, name, kafkas_type, default, mode] = fields[..] else { panic!("{line}") };
        if LEFT_OUT.contains(&name) {
            continue;
        }
        let is_internal = kind.starts_with('-');
        let kind = kind.trim_start_matches('-');
        let rows = ours(kind);
        let row = rows.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(row.kind.name(), kafkas_type, "{name}");
        assert_eq!(row.is_listed(), !is_internal, "{name}");
        if !OTHER_DEFAULTS.contains(&name) {
            assert_eq!(row.default.unwrap_or("<null>"), default, "{name}");
        }
        if kind == "broker" {
            let update = match mode {
                "read-only" => Update::ReadOnly,
                "per-broker" => Update::PerBroker,
                _ => Update::ClusterWide,
            };
            assert_eq!(row.update, update, "{name}");
        }
        seen += 1;
    }
    assert_eq!(seen, 408);
}

#[test]
fn what_is_in_the_table_and_not_in_kafka_is_ottlas_own() {
    let known = |kind: &str, name: &str| {
        KAFKAS.lines().any(|line| {
            let mut fields = line.trim_start_matches('-').split('|');
            fields.next() == Some(kind) && fields.next() == Some(name)
        })
    };
    for kind in ["broker", "topic", "group"] {
        for name in ours(kind).keys() {
            assert!(
                known(kind, name) || name.starts_with("ottla.") || *name == "cluster.id",
                "{kind} {name}"
            );
        }
    }
}
