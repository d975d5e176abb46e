//! What a cluster decides: partitions, controller, groups, configuration. Pure: no tokio, no clock.

pub mod config;
pub mod controller;
pub mod fetch_session;
pub mod group;
pub mod partition;
pub mod refusal;
pub mod time;
