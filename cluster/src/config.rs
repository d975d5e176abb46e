//! The configuration: one table of keys, the layers in which values are set, and the typed views that the broker reads.
//!
//! Kafka's keys, defaults and meaning. A key is declared once, in [`table`]; everything else here is derived from it.

mod address_counts;
pub mod alter;
mod broker;
pub mod describe;
pub mod docs;
mod group;
pub mod layers;
pub mod listener;
pub mod properties;
pub mod row;
pub mod settings;
mod suggest;
pub mod table;
mod topic;
pub mod value;
mod view;

pub use broker::{BrokerConfig, BrokerKeys, ConfigError};
pub use group::GroupKeys;
pub use layers::{Layers, Overrides, Source};
pub use listener::{Advertised, HostPort, Listener, ListenerError, SecurityProtocol};
pub use settings::{Note, Settings, SettingsError};
pub use topic::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
