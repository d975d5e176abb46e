//! The runtime seam: sockets, time, storage and randomness, each behind one small module.
//!
//! Nothing else in the broker calls `tokio::net`, `Instant::now`, `SystemTime::now`, `std::fs` or a
//! random number generator (clippy's `disallowed-methods` says so), so a simulation may swap this one
//! module, by `--cfg ottla_sim`, and run the shipped code on a seeded network and clock. It is *not* an
//! abstraction over runtimes: tokio's tasks and locks are used directly everywhere.

pub mod net;
pub mod rng;
pub mod storage;
pub mod time;
