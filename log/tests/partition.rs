//! Tests of a whole partition, through the crate's public face only.

#[path = "partition/append_and_read.rs"]
mod append_and_read;
#[path = "partition/fixture.rs"]
mod fixture;
