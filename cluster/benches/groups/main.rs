//! What the group machine itself costs: no network, no log, no clock; what it appends is committed at once.
//!
//! Groups of 10 and of 1,000 members. `classic` and `consumer` (KIP-848) each have what happens all the time, a heartbeat, and
//! what happens when somebody comes, a rebalance of everybody; `offsets` has commits, and a start's replay of them.

#![allow(clippy::unwrap_used, reason = "a measurement ends at its first surprise")]

mod classic;
mod consumer;
mod offsets;
mod shell;

use criterion::{criterion_group, criterion_main};

const GROUP: &str = "nightly-report";
const TOPIC: &str = "nycflights13";

/// The sizes of groups: smaller ones for whoever is not `cargo bench`, or says `--test`, and wants to know only that it runs.
fn member_counts() -> [usize; 2] {
    let said = |word: &str| std::env::args().any(|argument| argument == word);
    [10, if said("--bench") && !said("--test") { 1_000 } else { 100 }]
}

criterion_group!(benches, classic::groups, consumer::groups, offsets::commits, offsets::replay);
criterion_main!(benches);
