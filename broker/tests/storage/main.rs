//! What a broker keeps, through stops, kills, power losses and full disks; and when it refuses to start.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod full_disk;
mod idempotence;
mod restart;
mod retention;
mod start;
