//! What a broker keeps, through stops, kills, power losses and full disks; and when it refuses to start.

#![allow(clippy::print_stdout, reason = "a test that cannot run here says so")]
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test stands outside of the broker and its seams")]

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod compaction;
mod concurrency;
mod deletion;
mod directories;
mod faults;
mod full_disk;
mod idempotence;
mod restart;
mod retention;
mod single_faults;
mod start;
