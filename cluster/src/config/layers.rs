//! The layers in which a broker's configs are set, and which of them wins.
//!
//! From the strongest: set at run time for this broker, set at run time for all brokers, given at the start, default.
//! Every value in here has passed its row's check, so that reading one cannot fail. Not here: how values get in
//! ([`super::settings`] at the start, the controller's records at run time).

use std::collections::BTreeMap;

use super::row::Row;
use super::table;
use super::value::Value;

/// Keys with the texts that somebody set them to.
pub type Overrides = BTreeMap<String, String>;

/// Where a config's value comes from, with the number that DescribeConfigs gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum Source {
    /// Set for this topic.
    Topic = 1,
    /// Set at run time for this broker.
    DynamicBroker = 2,
    /// Set at run time for all brokers.
    DynamicDefaultBroker = 3,
    /// Given at the start: a file, the environment or the command line.
    StaticBroker = 4,
    /// Nobody set it.
    Default = 5,
    /// Set for this logger.
    DynamicBrokerLogger = 6,
    /// Set for this telemetry subscription.
    ClientMetrics = 7,
    /// Set for this group.
    Group = 8,
}

/// What is set for a broker; see the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// Set at run time for this broker.
    pub dynamic_broker: Overrides,
    /// Set at run time for all brokers.
    pub dynamic_default: Overrides,
    /// Given at the start.
    pub static_broker: Overrides,
}

impl Source {
    /// The number of the source in a DescribeConfigs response.
    pub const fn code(self) -> i8 {
        self as i8
    }
}

impl Layers {
    /// The layers above the default, the strongest first.
    pub fn above_default(&self) -> [(Source, &Overrides); 3] {
        [
            (Source::DynamicBroker, &self.dynamic_broker),
            (Source::DynamicDefaultBroker, &self.dynamic_default),
            (Source::StaticBroker, &self.static_broker),
        ]
    }

    /// The value of a broker config: what the strongest layer says, else its default.
    pub fn value(&self, row: &Row) -> Value {
        let set = self.above_default().into_iter().find_map(|(_, layer)| layer.get(row.name));
        set.and_then(|text| row.parse(text).ok()).unwrap_or_else(|| row.default_value())
    }

    /// The value of the broker config `name`.
    ///
    /// # Panics
    /// If there is no such config.
    pub fn broker_value(&self, name: &str) -> Value {
        self.value(table::broker(name).unwrap_or_else(|| panic!("{name} is not a config of a broker")))
    }

    /// The value that a topic or group has: its own, else that of the first synonym that has one, else its default.
    pub fn inherited_value(&self, row: &Row, own: &Overrides) -> Value {
        if let Some(value) = own.get(row.name).and_then(|text| row.parse(text).ok()) {
            return value;
        }
        let of_synonym = |synonym: &super::row::Synonym| {
            let value = synonym.unit.convert(self.broker_value(synonym.name));
            (value != Value::Null).then_some(value)
        };
        row.synonyms.iter().find_map(of_synonym).unwrap_or_else(|| row.default_value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(pairs: &[(&str, &str)]) -> Overrides {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_strongest_layer_wins() {
        let mut layers = Layers::default();
        assert_eq!(layers.broker_value("log.segment.bytes"), Value::Whole(1 << 30));
        layers.static_broker = overrides(&[("log.segment.bytes", "2000000")]);
        assert_eq!(layers.broker_value("log.segment.bytes"), Value::Whole(2_000_000));
        layers.dynamic_default = overrides(&[("log.segment.bytes", "3000000")]);
        assert_eq!(layers.broker_value("log.segment.bytes"), Value::Whole(3_000_000));
        layers.dynamic_broker = overrides(&[("log.segment.bytes", "4000000")]);
        assert_eq!(layers.broker_value("log.segment.bytes"), Value::Whole(4_000_000));
    }

    #[test]
    fn milliseconds_go_before_minutes_and_minutes_before_hours() {
        let retention = table::topic("retention.ms").unwrap();
        for (set, expected) in [
            (&[][..], 604_800_000),
            (&[("log.retention.hours", "1")][..], 3_600_000),
            (&[("log.retention.hours", "1"), ("log.retention.minutes", "2")][..], 120_000),
            (&[("log.retention.hours", "1"), ("log.retention.ms", "3")][..], 3),
            (&[("log.retention.hours", "-1")][..], -1),
        ] {
            let layers = Layers { static_broker: overrides(set), ..Layers::default() };
            assert_eq!(
                layers.inherited_value(retention, &Overrides::new()),
                Value::Whole(expected),
                "{set:?}"
            );
        }
        let own = overrides(&[("retention.ms", " 5 ")]);
        assert_eq!(Layers::default().inherited_value(retention, &own), Value::Whole(5));
    }
}
