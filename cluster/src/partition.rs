//! What one partition's leader decides: which replicas are in sync, how far the log is committed, and whom that sets free.
//!
//! These are event machines: the shell tells them what happened (`handle_*`), then drains the effects and carries them
//! out. They hold offsets and replica ids, never records; they read no clock and open no file.

pub mod isr;
pub mod leader;
pub mod waits;

pub use isr::Isr;
pub use leader::{Acknowledgement, Ceiling, Effect, Leader, LeaderStart, NotEnoughReplicas};
pub use waits::{WaitOutcome, Waits};
