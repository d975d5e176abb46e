//! What the broker's black-box tests stand on: a broker with a runtime of its own, a blocking connection that speaks in
//! frames, and the requests and batches that most of them send.
//!
//! Nothing here knows how the broker works: it sees a configuration, a port and bytes. A test that needs no particular
//! configuration takes [`broker::TestBroker::any`], and then runs against the broker at `OTTLA_TEST_BOOTSTRAP` when that
//! is set; this is how the expectations themselves are checked on Apache Kafka.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "a module of a test binary, shared by several of them")]
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![allow(
    clippy::disallowed_methods,
    reason = "a client is not the broker: it uses the system's sockets and clock"
)]

pub mod batches;
pub mod broker;
pub mod client;
pub mod requests;

pub use broker::TestBroker;
pub use client::Client;
