//! What DescribeConfigs shows of a topic, a broker, all brokers or a group.
//!
//! Value, source, type and synonyms are Kafka's to the letter, since tools compare them: a value that somebody set is
//! shown as set even when it equals the default; synonyms run from the strongest; and a topic config shows no synonyms
//! when its strongest broker key is set nowhere (`retention.ms` under nothing but `log.retention.hours`), because
//! Kafka drops those before the first of that name. Not here: which resources exist and who may look.

use super::layers::{Layers, Overrides, Source};
use super::row::{Row, Update};
use super::table;
use super::value::Kind;

/// One config of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub name: String,
    /// Its value; `None` when it has none or is a secret.
    pub value: Option<String>,
    /// Whether it can only be set at the start.
    pub is_read_only: bool,
    /// Where the value comes from.
    pub source: Source,
    /// Whether it is a secret.
    pub is_sensitive: bool,
    /// Every value that bears on it, the strongest first.
    pub synonyms: Vec<SynonymEntry>,
    /// Its type.
    pub kind: Kind,
    /// What it does.
    pub documentation: &'static str,
}

/// One of the values that bear on a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynonymEntry {
    /// Its key.
    pub name: String,
    /// Its value; `None` when it is a secret.
    pub value: Option<String>,
    /// Where it is set.
    pub source: Source,
}

/// The configs of a topic with these own values.
pub fn topic(own: &Overrides, layers: &Layers) -> Vec<Entry> {
    let rows = table::TOPIC_ROWS.iter().chain(table::DROPPED_TOPIC_ROWS);
    inheriting(rows, own, Source::Topic, layers)
}

/// The configs of a group with these own values.
pub fn group(own: &Overrides, layers: &Layers) -> Vec<Entry> {
    let mut entries = inheriting(table::GROUP_ROWS.iter(), own, Source::Group, layers);
    // A group config that no broker key stands behind is its own synonym.
    for (row, entry) in table::GROUP_ROWS.iter().zip(&mut entries).filter(|(row, _)| row.synonyms.is_empty())
    {
        let value = row.default.map(str::to_owned);
        entry.synonyms.push(SynonymEntry { name: row.name.to_owned(), value, source: Source::Default });
    }
    entries
}

/// The configs of a telemetry subscription: there are none, so each has its defaults.
pub fn client_metrics() -> Vec<Entry> {
    inheriting(
        table::CLIENT_METRICS_ROWS.iter(),
        &Overrides::new(),
        Source::ClientMetrics,
        &Layers::default(),
    )
}

/// The configs of the broker with these layers.
pub fn broker(layers: &Layers) -> Vec<Entry> {
    let is_set = |name: &str| layers.above_default().iter().any(|(_, layer)| layer.contains_key(name));
    let listed =
        table::broker_rows().filter(|row| row.is_listed() || is_set(row.name)).map(|row| (row.name, row));
    let set = layers.above_default().into_iter().flat_map(|(_, layer)| layer.keys());
    // Keys of one listener, and those that Kafka has dropped, are shown when they are set.
    let others = set.filter_map(|name| table::broker(name).map(|row| (name.as_str(), row)));
    let mut entries: Vec<Entry> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (name, row) in listed.chain(others) {
        if seen.insert(name) {
            entries.push(broker_entry(name, row, layers));
        }
    }
    entries
}

/// What is set at run time for all brokers.
pub fn all_brokers(layers: &Layers) -> Vec<Entry> {
    let only = Layers { dynamic_default: layers.dynamic_default.clone(), ..Layers::default() };
    let entry = |name: &String| {
        let mut entry = broker_entry(name, table::broker(name)?, &only);
        entry.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
        Some(entry)
    };
    only.dynamic_default.keys().filter_map(entry).collect()
}

fn broker_entry(name: &str, row: &Row, layers: &Layers) -> Entry {
    let synonyms = broker_synonyms(name, layers, row.is_sensitive());
    let set = layers.above_default().into_iter().find_map(|(_, layer)| layer.get(name));
    let value = match set {
        Some(text) => row.parse(text).ok().and_then(|value| value.shown()),
        None if name == row.name => row.default_value().shown(),
        None => None,
    };
    Entry {
        name: name.to_owned(),
        value: value.filter(|_| !row.is_sensitive()),
        is_read_only: row.update == Update::ReadOnly || name != row.name,
        source: synonyms.first().map_or(Source::Default, |first| first.source),
        is_sensitive: row.is_sensitive(),
        synonyms,
        kind: row.kind,
        documentation: row.doc,
    }
}

/// All values of the keys that say the same as `name`, layer by layer, from the first of `name` itself on.
fn broker_synonyms(name: &str, layers: &Layers, is_sensitive: bool) -> Vec<SynonymEntry> {
    let family = table::family(name);
    let mut synonyms = Vec::new();
    let mut add = |name: &str, value: Option<&str>, source| {
        if let Some(value) = value {
            let value = (!is_sensitive).then(|| value.to_owned());
            synonyms.push(SynonymEntry { name: name.to_owned(), value, source });
        }
    };
    for (source, layer) in layers.above_default() {
        family.iter().for_each(|name| add(name, layer.get(*name).map(String::as_str), source));
    }
    for name in family {
        let default = table::broker(name).filter(|row| row.name == name).and_then(|row| row.default);
        add(name, default, Source::Default);
    }
    synonyms.into_iter().skip_while(|synonym| synonym.name != name).collect()
}

fn inheriting(
    rows: impl Iterator<Item = &'static Row>,
    own: &Overrides,
    own_source: Source,
    layers: &Layers,
) -> Vec<Entry> {
    let entry = |row: &'static Row| {
        let mut synonyms = Vec::new();
        if let Some(value) = own.get(row.name) {
            synonyms.push(SynonymEntry {
                name: row.name.to_owned(),
                value: Some(value.clone()),
                source: own_source,
            });
        }
        if let Some(strongest) = row.synonyms.first() {
            synonyms.extend(broker_synonyms(strongest.name, layers, false));
        }
        Entry {
            name: row.name.to_owned(),
            value: layers.inherited_value(row, own).shown(),
            is_read_only: false,
            source: synonyms.first().map_or(Source::Default, |first| first.source),
            is_sensitive: row.is_sensitive(),
            synonyms,
            kind: row.kind,
            documentation: row.doc,
        }
    };
    rows.filter(|row| row.is_listed() || own.contains_key(row.name)).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// One entry in a line: value, source, mode, synonyms.
    fn line(entries: &[Entry], name: &str) -> String {
        let entry =
            entries.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("{name} is shown"));
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
        let synonyms: Vec<_> =
            entry.synonyms.iter().map(|s| format!("{}={}@{:?}", s.name, shown(&s.value), s.source)).collect();
        let mode = if entry.is_read_only { " read-only" } else { "" };
        format!("{} {:?}{mode} [{}]", shown(&entry.value), entry.source, synonyms.join(", "))
    }

    /// The transcript of a Kafka 4.3 broker with `log.retention.hours=100` and `compression.type=lz4` in its file and
    /// values set at run time.
    #[test]
    fn a_topic_is_described_as_kafka_describes_it() {
        let mut layers = Layers {
            static_broker: overrides(&[("log.retention.hours", "100"), ("compression.type", "lz4")]),
            ..Layers::default()
        };
        let entries = topic(&Overrides::new(), &layers);
        assert_eq!(entries.len(), 33);
        for (name, expected) in [
            ("retention.ms", "360000000 Default []"),
            ("segment.ms", "604800000 Default []"),
            ("flush.ms", "9223372036854775807 Default []"),
            (
                "compression.type",
                "lz4 StaticBroker [compression.type=lz4@StaticBroker, compression.type=producer@Default]",
            ),
            ("max.message.bytes", "1048588 Default [message.max.bytes=1048588@Default]"),
            ("leader.replication.throttled.replicas", " Default []"),
            ("remote.storage.enable", "false Default []"),
        ] {
            assert_eq!(line(&entries, name), expected, "{name}");
        }
        layers.dynamic_broker = overrides(&[("log.retention.ms", "5000")]);
        layers.dynamic_default = overrides(&[("log.retention.ms", "6000"), ("log.segment.bytes", "2000000")]);
        let inherited = "log.retention.ms=5000@DynamicBroker, log.retention.ms=6000@DynamicDefaultBroker, \
                         log.retention.hours=100@StaticBroker, log.retention.hours=168@Default";
        let entries = topic(&Overrides::new(), &layers);
        assert_eq!(line(&entries, "retention.ms"), format!("5000 DynamicBroker [{inherited}]"));
        assert_eq!(
            line(&entries, "segment.bytes"),
            "2000000 DynamicDefaultBroker [log.segment.bytes=2000000@DynamicDefaultBroker, \
             log.segment.bytes=1073741824@Default]"
        );
        let entries = topic(&overrides(&[("retention.ms", "604800000")]), &layers);
        let own = "604800000 Topic [retention.ms=604800000@Topic, ";
        assert_eq!(line(&entries, "retention.ms"), format!("{own}{inherited}]"));
    }

    #[test]
    fn a_broker_is_described_as_kafka_describes_it() {
        let layers = Layers {
            static_broker: overrides(&[("log.retention.hours", "100"), ("node.id", "1"), ("broker.id", "1")]),
            dynamic_default: overrides(&[("log.retention.ms", "6000")]),
            dynamic_broker: overrides(&[("log.retention.ms", "5000")]),
        };
        let entries = broker(&layers);
        for (name, expected) in [
            (
                "log.retention.ms",
                "5000 DynamicBroker [log.retention.ms=5000@DynamicBroker, log.retention.ms=6000@DynamicDefaultBroker, \
                 log.retention.hours=100@StaticBroker, log.retention.hours=168@Default]",
            ),
            ("log.retention.minutes", "null Default read-only []"),
            (
                "log.retention.hours",
                "100 StaticBroker read-only [log.retention.hours=100@StaticBroker, log.retention.hours=168@Default]",
            ),
            ("broker.id", "1 StaticBroker read-only [broker.id=1@StaticBroker, broker.id=-1@Default]"),
            ("ssl.key.password", "null Default []"),
            ("num.partitions", "1 Default read-only [num.partitions=1@Default]"),
        ] {
            assert_eq!(line(&entries, name), expected, "{name}");
        }
        let defaults = all_brokers(&layers);
        assert_eq!(defaults.len(), 1);
        assert_eq!(
            line(&defaults, "log.retention.ms"),
            "6000 DynamicDefaultBroker [log.retention.ms=6000@DynamicDefaultBroker]"
        );
    }

    #[test]
    fn a_secret_is_never_shown() {
        let layers = Layers {
            static_broker: overrides(&[
                ("listener.name.a.ssl.key.password", "hush"),
                ("ssl.key.password", "hush"),
            ]),
            ..Layers::default()
        };
        for entry in broker(&layers) {
            assert!(entry.value.as_deref() != Some("hush"));
            assert!(
                entry.synonyms.iter().all(|synonym| synonym.value.as_deref() != Some("hush")),
                "{}",
                entry.name
            );
            assert_eq!(entry.is_sensitive, entry.kind == Kind::Password);
        }
        assert_eq!(
            line(&broker(&layers), "ssl.key.password"),
            "null StaticBroker [ssl.key.password=null@StaticBroker]"
        );
    }

    #[test]
    fn a_group_inherits_from_the_brokers_group_configs() {
        let own = overrides(&[("consumer.session.timeout.ms", "50000")]);
        let entries = group(&own, &Layers::default());
        assert_eq!(entries.len(), 17);
        assert_eq!(
            line(&entries, "consumer.session.timeout.ms"),
            "50000 Group [consumer.session.timeout.ms=50000@Group, group.consumer.session.timeout.ms=45000@Default]"
        );
        let lone = "latest Default [share.auto.offset.reset=latest@Default]";
        assert_eq!(line(&entries, "share.auto.offset.reset"), lone);
    }

    #[test]
    fn what_kafka_hides_is_shown_once_it_is_set() {
        let own = overrides(&[("internal.segment.bytes", "1000"), ("message.format.version", "2.8")]);
        assert_eq!(topic(&own, &Layers::default()).len(), 35);
    }
}
