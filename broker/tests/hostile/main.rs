//! Input that no client should send, and clients that do not behave: each ends in Kafka's error or a closed connection,
//! nothing of it is appended, and the broker goes on serving others (RELIABILITY §5).
//!
//! What such input costs in memory is measured in `memory.rs`, in a process of its own.

#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test stands outside of the broker and its seams")]

#[path = "../support/mod.rs"]
mod support;

mod bombs;
mod connection_rate;
mod frames;
mod lying_batches;
mod misbehaviour;
mod names;
