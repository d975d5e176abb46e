//! The hard compatibility rules, distilled from the failures of other brokers: each has tests that name its number.
//!
//! They speak in raw frames, so that nothing of a client's leniency hides a mistake. What a test expects here was
//! checked on Apache Kafka by the same test (`OTTLA_TEST_BOOTSTRAP`), except where it says that Kafka differs.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test stands outside of the broker and its seams")]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod api_versions;
mod broker_loggers;
mod config_resources;
mod configs;
mod connection;
mod fetching;
mod groups;
mod listeners;
mod listing;
mod metadata;
mod producing;
mod sessions;
