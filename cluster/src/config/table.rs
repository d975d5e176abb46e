//! The config table: every key, declared once.
//!
//! From these rows come the parser of files, environment and command line, DescribeConfigs and AlterConfigs, the
//! reference pages and `config/broker.toml`. Names, types, defaults, bounds and update modes are those of Apache Kafka
//! 4.3; a deviation is said in the row's sentence. Not here: values that somebody has set ([`super::layers`]).

mod group;
mod group_coordinator;
mod log;
mod notes;
mod ottla;
mod removed;
mod replication;
mod security;
mod server;
mod tiered_storage;
mod topic;
mod transaction;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::row::{Row, Synonym};

/// What the sections of the broker's configs are about, with their rows, in the order of the reference page.
pub const BROKER_SECTIONS: &[(&str, &[Row])] = &[
    ("The node, its listeners and its limits", server::SERVER),
    ("Logs", log::LOG),
    ("Replication, controllers and metadata", replication::REPLICATION),
    ("Groups and offsets", group_coordinator::GROUP_COORDINATOR),
    ("Producer ids and transactions", transaction::TRANSACTION),
    ("Security and quotas", security::SECURITY),
    ("Tiered storage", tiered_storage::TIERED),
    ("ottla's own", ottla::OTTLA),
];

/// The configs of a topic.
pub const TOPIC_ROWS: &[Row] = topic::TOPIC;

/// The configs of a group.
pub const GROUP_ROWS: &[Row] = group::GROUP;

/// The configs of a telemetry subscription.
pub const CLIENT_METRICS_ROWS: &[Row] = group::CLIENT_METRICS;

/// Broker keys that have no effect any more, or none without an authorizer.
pub const DROPPED_BROKER_ROWS: &[&[Row]] = &[removed::REMOVED_BROKER, removed::AUTHORIZER];

/// Topic keys that have no effect any more, or not yet.
pub const DROPPED_TOPIC_ROWS: &[Row] = removed::REMOVED_TOPIC;

/// Families of broker keys that say the same in different units, the strongest first: those a topic config comes from.
/// `log.flush.scheduler.interval.ms` is a default of `log.flush.interval.ms` but a config of its own as well.
const ONE_WAY_SYNONYM: &str = "log.flush.scheduler.interval.ms";

static BROKER: LazyLock<HashMap<&'static str, &'static Row>> = LazyLock::new(|| {
    let dropped = DROPPED_BROKER_ROWS.iter().copied().flatten();
    broker_rows().chain(dropped).map(|row| (row.name, row)).collect()
});
static TOPIC: LazyLock<HashMap<&'static str, &'static Row>> =
    LazyLock::new(|| TOPIC_ROWS.iter().chain(DROPPED_TOPIC_ROWS).map(|row| (row.name, row)).collect());
static GROUP: LazyLock<HashMap<&'static str, &'static Row>> =
    LazyLock::new(|| GROUP_ROWS.iter().map(|row| (row.name, row)).collect());
static FAMILIES: LazyLock<HashMap<&'static str, &'static [Synonym]>> = LazyLock::new(|| {
    let families = TOPIC_ROWS.iter().map(|row| row.synonyms).filter(|family| family.len() > 1);
    let member = |family: &'static [Synonym]| family.iter().map(move |synonym| (synonym.name, family));
    families.flat_map(member).filter(|(name, _)| *name != ONE_WAY_SYNONYM).collect()
});

/// The broker's configs that Kafka 4.3 or ottla knows, without the dropped ones.
pub fn broker_rows() -> impl Iterator<Item = &'static Row> {
    BROKER_SECTIONS.iter().flat_map(|(_, rows)| rows.iter())
}

/// The row of a broker config. The per-listener form `listener.name.NAME.key` has the row of `key`.
pub fn broker(name: &str) -> Option<&'static Row> {
    if let Some(row) = BROKER.get(name) {
        return Some(row);
    }
    let of_listener = name.strip_prefix("listener.name.")?;
    let (_, base) = of_listener.split_once('.')?;
    // With SASL the mechanism stands between the listener and the key: `listener.name.internal.scram-sha-256.sasl…`.
    BROKER.get(base).or_else(|| BROKER.get(base.split_once('.')?.1)).copied()
}

/// The row of a topic config.
pub fn topic(name: &str) -> Option<&'static Row> {
    TOPIC.get(name).copied()
}

/// The row of a group config.
pub fn group(name: &str) -> Option<&'static Row> {
    GROUP.get(name).copied()
}

/// The broker keys that say the same as `name`, the strongest first, `name` among them.
pub fn family(name: &str) -> Vec<&str> {
    match FAMILIES.get(name) {
        Some(family) => family.iter().map(|synonym| synonym.name).collect(),
        None => vec![name],
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Support, Update};
    use super::super::value::Value;
    use super::*;

    fn all_rows() -> impl Iterator<Item = &'static Row> {
        let dropped = DROPPED_BROKER_ROWS.iter().copied().flatten();
        broker_rows().chain(TOPIC_ROWS).chain(GROUP_ROWS).chain(DROPPED_TOPIC_ROWS).chain(dropped)
    }

    #[test]
    fn every_default_is_a_value_that_its_own_row_accepts() {
        for row in all_rows() {
            if let Some(default) = row.default {
                let value = row.parse(default).unwrap_or_else(|why| panic!("{why}"));
                assert_eq!(value.shown().as_deref(), Some(default), "{} is written as it is shown", row.name);
            }
        }
    }

    #[test]
    fn every_key_has_one_row_and_a_whole_sentence() {
        let broker_row_count =
            broker_rows().count() + DROPPED_BROKER_ROWS.iter().map(|rows| rows.len()).sum::<usize>();
        assert_eq!(BROKER.len(), broker_row_count);
        assert_eq!(TOPIC.len(), TOPIC_ROWS.len() + DROPPED_TOPIC_ROWS.len());
        for row in all_rows() {
            assert!(row.doc.ends_with('.') && row.doc.len() > 15, "{}: {}", row.name, row.doc);
            assert!(row.note().is_none_or(|note| !note.ends_with('.')), "{}", row.name);
        }
    }

    #[test]
    fn every_synonym_is_a_broker_key_of_the_same_type_or_a_coarser_unit() {
        for row in TOPIC_ROWS.iter().chain(GROUP_ROWS) {
            for synonym in row.synonyms {
                let theirs = broker(synonym.name).unwrap_or_else(|| panic!("{}", synonym.name));
                let same = matches!(synonym.unit, super::super::row::Unit::Same);
                assert!(theirs.kind == row.kind || !same, "{} and {}", row.name, synonym.name);
            }
        }
    }

    #[test]
    fn a_topic_default_is_what_its_synonyms_default_to() {
        for row in TOPIC_ROWS.iter().filter(|row| !row.synonyms.is_empty()) {
            let inherited = row.synonyms.iter().map(|synonym| {
                synonym.unit.convert(broker(synonym.name).expect("a synonym is a broker key").default_value())
            });
            let first = inherited.into_iter().find(|value| *value != Value::Null);
            assert_eq!(first, Some(row.default_value()), "{}", row.name);
        }
    }

    #[test]
    fn a_listener_prefix_finds_the_row_of_the_key_behind_it() {
        assert_eq!(broker("listener.name.internal.ssl.client.auth").unwrap().name, "ssl.client.auth");
        let jaas = broker("listener.name.internal.scram-sha-256.sasl.jaas.config").unwrap();
        assert_eq!(jaas.name, "sasl.jaas.config");
        assert!(broker("listener.name.internal.nonsense").is_none());
        assert!(broker("nonsense").is_none());
    }

    #[test]
    fn keys_in_several_units_form_a_family_ordered_by_strength() {
        let retention = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
        assert_eq!(family("log.retention.hours"), retention);
        assert_eq!(
            family("log.flush.interval.ms"),
            ["log.flush.interval.ms", "log.flush.scheduler.interval.ms"]
        );
        assert_eq!(family("log.flush.scheduler.interval.ms"), ["log.flush.scheduler.interval.ms"]);
        assert_eq!(family("num.partitions"), ["num.partitions"]);
    }

    #[test]
    fn what_kafka_can_change_at_run_time_can_be_changed_here() {
        for (name, update) in [
            ("log.retention.ms", Update::ClusterWide),
            ("listeners", Update::PerBroker),
            ("log.dirs", Update::ReadOnly),
            ("log.retention.hours", Update::ReadOnly),
        ] {
            assert_eq!(broker(name).unwrap().update, update, "{name}");
        }
    }

    #[test]
    fn the_number_of_configs_shown_is_kafkas() {
        let listed =
            |rows: &mut dyn Iterator<Item = &'static Row>| rows.filter(|row| row.is_listed()).count();
        assert_eq!(listed(&mut TOPIC_ROWS.iter()), 33);
        assert_eq!(listed(&mut GROUP_ROWS.iter()), 17);
        let kafkas = &mut broker_rows().filter(|row| !ottla::OTTLA.iter().any(|own| own.name == row.name));
        assert_eq!(listed(kafkas), 340);
        assert!(broker_rows().all(|row| !matches!(row.support, Support::Removed(_))));
    }
}
