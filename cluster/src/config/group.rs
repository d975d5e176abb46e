//! What the configs of a group come to: its own values over those of its broker (KIP-848's dynamic group configs).
//!
//! Only what something reads is here. Not here: whether the group exists. A group may have configs before its first
//! member comes and keeps them when its last one goes, as on Kafka.

use super::layers::{Layers, Overrides};
use super::table;
use super::view::view;

view! {
    /// The configs of a group, resolved. Times are in milliseconds.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct GroupKeys {
        consumer_assignment_interval_ms: u32 = "consumer.assignment.interval.ms",
        consumer_heartbeat_interval_ms: u32 = "consumer.heartbeat.interval.ms",
        consumer_session_timeout_ms: u32 = "consumer.session.timeout.ms",
    }
}

impl GroupKeys {
    /// The configs of a group with these own values on a broker with these layers.
    pub fn resolve(own: &Overrides, layers: &Layers) -> Self {
        let row = |key| table::group(key).unwrap_or_else(|| panic!("{key} is not a config of a group"));
        Self::read(|key| layers.inherited_value(row(key), own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_its_own_values_over_those_of_its_broker() {
        let set = |key: &str, value: &str| Overrides::from([(key.to_owned(), value.to_owned())]);
        let layers = Layers {
            static_broker: set("group.consumer.heartbeat.interval.ms", "7000"),
            ..Layers::default()
        };
        let keys = GroupKeys::resolve(&set("consumer.session.timeout.ms", "50000"), &layers);
        assert_eq!(keys.consumer_session_timeout_ms, 50_000);
        assert_eq!(keys.consumer_heartbeat_interval_ms, 7_000);
        assert_eq!(keys.consumer_assignment_interval_ms, 1_000);
    }
}
