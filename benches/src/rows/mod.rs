//! The rows of PERFORMANCE.md §4 that this instrument measures, one file per kind of row.
//!
//! Every row measures its systems in interleaved rounds: only the ratio of figures from one run means something on a
//! machine whose speed drifts. A row ends by reading everything back; a difference makes the row void, not smaller.

pub(crate) mod clients;
pub(crate) mod connections;
pub(crate) mod crash;
pub(crate) mod end_to_end;
pub(crate) mod fetch;
pub(crate) mod launch;
pub(crate) mod produce;
pub(crate) mod round_trip;

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::error::Result;
use crate::machine::MachineCpu;
use crate::process::{ServerProcess, family_cpu_s};
use crate::system::{Places, System};

/// A row, by its number in PERFORMANCE.md §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Row(pub(crate) u8);

/// How much to measure, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) places: Places,
    pub(crate) systems: Vec<System>,
    /// Counted rounds; one more is run before them and dropped.
    pub(crate) rounds: u32,
    /// Smaller volumes.
    pub(crate) quick: bool,
}

impl Plan {
    /// The systems in the order of this round: each comes first equally often.
    pub(crate) fn order(&self, round: u32) -> Vec<System> {
        let mut order = self.systems.clone();
        let shift = round as usize % order.len().max(1);
        order.rotate_left(shift);
        order
    }

    /// The brokers among the systems.
    pub(crate) fn brokers(&self) -> impl Iterator<Item = System> {
        self.systems.iter().copied().filter(|system| *system != System::Floor)
    }
}

/// One measurement of one system.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) row: Row,
    pub(crate) system: System,
    /// Round 0 warms up and is dropped from the medians.
    pub(crate) round: u32,
    pub(crate) figures: BTreeMap<&'static str, f64>,
    /// The share of the machine that others used meanwhile, `0..=1`.
    pub(crate) foreign_share: f64,
}

/// The counters at the start of a measurement.
#[derive(Debug)]
pub(crate) struct Watch {
    machine: MachineCpu,
    family_cpu_s: f64,
    server_cpu_s: f64,
    started: Instant,
}

/// What the counters said at its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    pub(crate) elapsed_s: f64,
    pub(crate) server_cpu_s: f64,
    pub(crate) foreign_share: f64,
}

impl Watch {
    /// Starts the clock.
    pub(crate) fn start(server: &ServerProcess) -> Result<Self> {
        Ok(Self {
            machine: MachineCpu::now(),
            family_cpu_s: family_cpu_s()?,
            server_cpu_s: server.cpu_s()?,
            started: Instant::now(),
        })
    }

    /// Stops the clock.
    pub(crate) fn stop(self, server: &ServerProcess) -> Result<Observed> {
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let server_cpu_s = server.cpu_s()? - self.server_cpu_s;
        let own = family_cpu_s()? - self.family_cpu_s;
        Ok(Observed { elapsed_s, server_cpu_s, foreign_share: self.machine.foreign_share_since(own) })
    }
}

/// The figures of a transfer of `bytes` and `records`.
pub(crate) fn transfer_figures(observed: Observed, bytes: u64, records: u64) -> BTreeMap<&'static str, f64> {
    let gigabytes = bytes as f64 / 1e9;
    let mut figures = BTreeMap::from([
        ("MB/s", bytes as f64 / 1e6 / observed.elapsed_s),
        ("CPU-s/GB", observed.server_cpu_s / gigabytes),
    ]);
    if records > 0 {
        figures.insert("k records/s", records as f64 / 1e3 / observed.elapsed_s);
    }
    figures
}

/// Milliseconds since 1970, for the timestamps of records.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Tells a person who waits what is going on; the table comes at the end.
pub(crate) fn progress(row: Row, system: System, round: u32, figures: &BTreeMap<&'static str, f64>) {
    let text: Vec<String> = figures.iter().map(|(name, figure)| format!("{name} {figure:.3}")).collect();
    eprintln!("row {} round {round} {system}: {}", row.0, text.join(", "));
}
