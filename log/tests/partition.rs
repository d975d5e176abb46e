//! Tests of a whole partition, through the crate's public face only.
#![allow(clippy::unwrap_used, reason = "an unwrap that fails fails its test")]

#[path = "partition/append_and_read.rs"]
mod append_and_read;
#[path = "partition/compaction.rs"]
mod compaction;
#[path = "partition/compaction_beside.rs"]
mod compaction_beside;
#[path = "partition/compaction_model.rs"]
mod compaction_model;
#[path = "partition/deletion.rs"]
mod deletion;
#[path = "partition/directory.rs"]
mod directory;
#[path = "partition/fixture.rs"]
mod fixture;
#[path = "partition/power_loss.rs"]
mod power_loss;
#[path = "partition/recovery.rs"]
mod recovery;
#[path = "partition/room_ahead.rs"]
mod room_ahead;
#[path = "partition/stale_chunk.rs"]
mod stale_chunk;
#[path = "partition/transactions.rs"]
mod transactions;
