//! The hard compatibility rules, distilled from the failures of other brokers: each has tests that name its number.
//!
//! They speak in raw frames, so that nothing of a client's leniency hides a mistake. What a test expects here was
//! checked on Apache Kafka by the same test (`OTTLA_TEST_BOOTSTRAP`), except where it says that Kafka differs.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod api_versions;
mod configs;
mod connection;
mod fetching;
mod groups;
mod metadata;
mod producing;
mod sessions;
