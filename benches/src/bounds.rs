//! What no broker goes below on this machine, as the floors of a run measured it: the table at the top of the results.

use std::fmt::Write as _;

use crate::comparison::Counted;
use crate::report::{cell, digits};
use crate::rows::{Row, Sample};
use crate::system::System;

/// One bound: a floor and the figures that describe it, each with a name of its own where that differs.
struct Bound {
    what: &'static str,
    row: Row,
    rate: Option<&'static str>,
    cpu_per_gb: Option<&'static str>,
    latencies: Option<(&'static str, &'static str)>,
}

const BOUNDS: &[Bound] = &[
    Bound {
        what: "raw sendfile: request → 1 MiB, depth 1",
        row: Row(1),
        rate: Some("MB/s"),
        cpu_per_gb: Some("CPU-s/GB"),
        latencies: None,
    },
    Bound {
        what: "raw receive + CRC-32C + write + ack, 256 KiB requests, 5 in flight",
        row: Row(2),
        rate: Some("MB/s"),
        cpu_per_gb: Some("CPU-s/GB"),
        latencies: None,
    },
    Bound {
        what: "the same with 16 KiB requests",
        row: Row(3),
        rate: Some("MB/s"),
        cpu_per_gb: Some("CPU-s/GB"),
        latencies: None,
    },
    Bound {
        what: "raw ping: tokio echo of 1 KiB, one at a time",
        row: Row(5),
        rate: None,
        cpu_per_gb: None,
        latencies: Some(("round trip p50 µs", "round trip p99 µs")),
    },
    Bound {
        what: "raw ping at 2,000 a second, from the intended time (in ms)",
        row: Row(6),
        rate: None,
        cpu_per_gb: None,
        latencies: Some(("p50 ms", "p99 ms")),
    },
    Bound {
        what: "4 KiB append + fdatasync, growing file",
        row: Row(7),
        rate: None,
        cpu_per_gb: None,
        latencies: Some(("fdatasync p50 µs", "fdatasync p99 µs")),
    },
    Bound {
        what: "4 KiB append + fdatasync, preallocated file",
        row: Row(7),
        rate: None,
        cpu_per_gb: None,
        latencies: Some(("fdatasync preallocated p50 µs", "fdatasync preallocated p99 µs")),
    },
    Bound {
        what: "exec of a program that listens → first echo (in ms)",
        row: Row(8),
        rate: None,
        cpu_per_gb: None,
        latencies: Some(("first ack, empty ms", "")),
    },
    Bound {
        what: "raw ping over 1,000 connections in turn",
        row: Row(12),
        rate: None,
        cpu_per_gb: None,
        latencies: Some(("1,000 connections: round trip p50 µs", "1,000 connections: round trip p99 µs")),
    },
];

/// The table, with a line for every bound that this run has measured; empty when it measured none.
pub(crate) fn render(samples: &[Sample]) -> String {
    let mut lines = String::new();
    for bound in BOUNDS {
        let counted = Counted::warm(samples, bound.row);
        let figure = |name: &str| cell(counted.spread(System::Floor, name));
        let cells = [
            bound.rate.map_or_else(|| "–".to_owned(), figure),
            bound.cpu_per_gb.map_or_else(|| "–".to_owned(), figure),
            bound.latencies.map_or_else(|| "–".to_owned(), |(p50, _)| figure(p50)),
            bound.latencies.map_or_else(|| "–".to_owned(), |(_, p99)| figure(p99)),
            cell(counted.spread(System::Floor, "CPU-s/M records")),
        ];
        if cells.iter().any(|cell| cell != "–") {
            let _ = writeln!(lines, "| {} (row {}) | {} |", bound.what, bound.row.0, cells.join(" | "));
        }
    }
    if lines.is_empty() {
        return lines;
    }
    let head =
        "| what | MB/s | CPU-s/GB | p50 µs | p99 µs | CPU-s per million |\n|---|---|---|---|---|---|\n";
    format!("{head}{lines}")
}

/// What the machine itself took, beside a figure of ours: for sentences about a missed target.
pub(crate) fn beside(samples: &[Sample], row: Row, figure: &str) -> Option<String> {
    Counted::warm(samples, row).median(System::Floor, figure).map(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Figures, Life};

    #[test]
    fn a_bound_that_was_not_measured_has_no_line() {
        let figures = Figures::from([("MB/s", 4000.0), ("CPU-s/GB", 0.07)]);
        let (row, system, life) = (Row(1), System::Floor, Life::Warm);
        let samples = [Sample { row, system, round: 1, life, figures, foreign_share: 0.0 }];
        let table = render(&samples);
        assert!(table.contains("(row 1) | 4000 | 0.070 | – | – | – |"), "{table}");
        assert_eq!(table.lines().count(), 3, "{table}");
        assert_eq!(render(&[]), "");
    }
}
