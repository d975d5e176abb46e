//! What each fuzz target does with its input, as plain functions, so that a finding can be repeated without a fuzzer.
//!
//! A target may do nothing with an input, but it must never panic, and each checks one property more than that. The
//! inputs to start from are written by the `seeds` example; README.md says how to run.

pub mod frame;
pub mod log_recovery;
pub mod record_batch;
pub mod requests;
pub mod responses;
