//! Turns samples into a table of medians, spreads and ratios, and keeps both the table (Markdown) and every sample
//! (JSON) with the machine, the commit and the command line.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::{Doing, Result};
use crate::machine::Machine;
use crate::rows::{Row, Sample};
use crate::stats::{Spread, spread};
use crate::system::System;

/// Above this share of the machine used by others a sample is noise and is dropped.
pub(crate) const FOREIGN_SHARE_MAX: f64 = 0.10;

/// What each row is, and what it aims at, in the words of PERFORMANCE.md §4.
const ROWS: [(Row, &str, &str); 11] = [
    (
        Row(1),
        "fetch 1 MiB, hot, depth 1, one connection",
        "MB/s ≥ 0.70, CPU ≤ 1.5 × the floor; moonshot 0.90, 1.2 ×",
    ),
    (
        Row(2),
        "produce 1 KiB records in 256 KiB batches, 5 in flight, acks=all, no fsync",
        "MB/s ≥ 0.60, CPU ≤ 1.6 × the floor; moonshot 0.85, 1.2 ×",
    ),
    (
        Row(3),
        "produce 100 B records in 16 KiB batches, 5 in flight, acks=all, no fsync",
        "MB/s ≥ 0.45, CPU ≤ 2.5 × the floor; moonshot 0.75, 1.5 ×",
    ),
    (
        Row(4),
        "produce 1 KiB records, half of each repeating, packed by lz4, beside plain ones; as row 2",
        "CPU per wire GB ≤ 1.2 × that of plain batches; moonshot 1.0 ×",
    ),
    (
        Row(5),
        "round trip of one 1 KiB record, acks=all, no fsync; floor: tokio echo",
        "p50 ≤ 1.4 ×, p99 ≤ 1.5 × the floor; moonshot 1.15 ×, 1.2 ×",
    ),
    (
        Row(6),
        "from producer to consumer, 2,000 records a second, linger 0, acks=all; from the intended time",
        "p50 0.25 ms, p99 1.0 ms; moonshot 0.15, 0.4 ms",
    ),
    (
        Row(7),
        "one 1 KiB record, acks=all, flush.messages=1 (fsync before the ack); floor: 4 KiB fdatasync (growing or preallocated file) + tokio echo",
        "2,000/s p50 1 ms, p99 6 ms; round trip ≤ 1.3 × the floor; moonshot 0.5 ms, 2 ms, 1.1 ×",
    ),
    (
        Row(8),
        "exec → first ack; and rows 10 and 14: memory, creation of 10,000 partitions",
        "50 ms empty, 1 s with 10,000 partitions; RssAnon 20 and 60 MiB; creation 1 s, 1 CPU-s",
    ),
    (
        Row(9),
        "kill -9 → first ack, 5 GB unflushed in 12 partitions, everything audited",
        "1 s; moonshot 100 ms",
    ),
    (
        Row(12),
        "1,000 connections, beside 10,000 partitions; and row 11: idle CPU",
        "round trip ≤ 1.1 × that over one connection; 16 KiB each; idle CPU ≤ 0.3 %; moonshot 1.0 ×, 4 KiB, 0.05 %",
    ),
    (
        Row(13),
        "produce 1 KiB records in 16 KiB batches over many partitions in turn, 5 in flight, acks=all",
        "≥ 0.6 of the rate into one partition; moonshot 0.85",
    ),
];

#[derive(Serialize)]
struct Kept<'a> {
    machine: &'a Machine,
    samples: &'a [Sample],
}

/// Prints the table, and writes it and the samples to `dir`; returns the files' common name.
pub(crate) fn publish(machine: &Machine, samples: &[Sample], dir: &Path, name: &str) -> Result<()> {
    let markdown = render(machine, samples);
    println!("{markdown}");
    fs::create_dir_all(dir).doing(|| format!("create {}", dir.display()))?;
    let json = serde_json::to_string_pretty(&Kept { machine, samples }).unwrap_or_default();
    for (extension, text) in [("md", markdown), ("json", json + "\n")] {
        let path = dir.join(format!("{name}.{extension}"));
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn render(machine: &Machine, samples: &[Sample]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# Measured by `{}`\n", machine.command_line);
    let _ = writeln!(
        out,
        "{} × {}, {} MiB; Linux {}; {}; commit {}; Unix time {}.\n",
        machine.processor_count,
        machine.processor,
        machine.memory_mib,
        machine.kernel,
        machine.network,
        machine.commit,
        machine.unix_seconds
    );
    let _ = writeln!(
        out,
        "Medians with [min – max] over interleaved rounds, the warm-up round dropped; a sample is dropped when more \
         than {:.0} % of the machine went to others. ÷ floor and ÷ kafka are medians of the ratios within a round. \
         Every row was read back in full and compared by count and checksum.\n",
        FOREIGN_SHARE_MAX * 100.0
    );
    for (row, title, target) in &ROWS {
        let of_row: Vec<&Sample> =
            samples.iter().filter(|sample| sample.row == *row && sample.round > 0).collect();
        if !of_row.is_empty() {
            let _ = writeln!(out, "## Row {}: {title}\n\nTarget: {target}.\n", row.0);
            render_row(&mut out, &of_row);
        }
    }
    out
}

fn render_row(out: &mut String, samples: &[&Sample]) {
    let quiet: Vec<&Sample> =
        samples.iter().copied().filter(|sample| sample.foreign_share <= FOREIGN_SHARE_MAX).collect();
    let systems: BTreeSet<System> = samples.iter().map(|sample| sample.system).collect();
    let every_system_has_quiet = systems.iter().all(|of| quiet.iter().any(|sample| sample.system == *of));
    let used = if every_system_has_quiet { &quiet[..] } else { samples };
    let _ = writeln!(out, "| | {} | ottla ÷ floor | kafka ÷ floor | ottla ÷ kafka |", join(&systems));
    let _ = writeln!(out, "|---|{}---|---|---|", "---|".repeat(systems.len()));
    let names: BTreeSet<&'static str> =
        used.iter().flat_map(|sample| sample.figures.keys().copied()).collect();
    for name in names {
        let figures: Vec<String> = systems.iter().map(|system| cell(of(used, *system, name))).collect();
        let ratios =
            [(System::Ottla, System::Floor), (System::Kafka, System::Floor), (System::Ottla, System::Kafka)]
                .map(|(upper, lower)| cell(ratio(used, name, upper, lower)));
        let _ = writeln!(out, "| {name} | {} | {} |", figures.join(" | "), ratios.join(" | "));
    }
    let dropped = samples.len() - used.len();
    let _ = match (every_system_has_quiet, dropped) {
        (false, _) => {
            writeln!(out, "\n**Noisy**: others used more than the allowed share of the machine throughout.\n")
        }
        (true, 0) => writeln!(out),
        (true, dropped) => writeln!(out, "\n{dropped} of {} samples dropped as noisy.\n", samples.len()),
    };
}

fn join(systems: &BTreeSet<System>) -> String {
    systems.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

fn of(samples: &[&Sample], system: System, name: &str) -> Option<Spread> {
    spread(
        samples
            .iter()
            .filter(|sample| sample.system == system)
            .filter_map(|sample| sample.figures.get(name).copied()),
    )
}

/// The spread of the ratios within each round that has both.
fn ratio(samples: &[&Sample], name: &str, upper: System, lower: System) -> Option<Spread> {
    let by_round = |system: System| -> BTreeMap<u32, f64> {
        let of_system = samples.iter().filter(|sample| sample.system == system);
        of_system.filter_map(|sample| Some((sample.round, *sample.figures.get(name)?))).collect()
    };
    let (upper, lower) = (by_round(upper), by_round(lower));
    spread(upper.iter().filter_map(|(round, figure)| {
        let divisor = lower.get(round).filter(|divisor| **divisor > 0.0)?;
        Some(figure / divisor)
    }))
}

fn cell(spread: Option<Spread>) -> String {
    let Some(Spread { median, min, max }) = spread else { return "–".to_owned() };
    if min == max {
        digits(median)
    } else {
        format!("**{}** [{} – {}]", digits(median), digits(min), digits(max))
    }
}

/// Three significant digits for small figures, none after the point for large ones.
fn digits(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(system: System, round: u32, figure: f64, foreign_share: f64) -> Sample {
        Sample { row: Row(1), system, round, figures: BTreeMap::from([("MB/s", figure)]), foreign_share }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let samples = [
            sample(System::Floor, 1, 100.0, 0.0),
            sample(System::Ottla, 1, 80.0, 0.0),
            sample(System::Floor, 2, 200.0, 0.0),
            sample(System::Ottla, 2, 140.0, 0.0),
        ];
        let all: Vec<&Sample> = samples.iter().collect();
        let found = ratio(&all, "MB/s", System::Ottla, System::Floor).unwrap();
        assert_eq!((found.min, found.max), (0.7, 0.8));
    }

    #[test]
    fn a_noisy_sample_is_dropped_when_quiet_ones_remain() {
        let samples = [sample(System::Floor, 1, 100.0, 0.0), sample(System::Floor, 2, 10.0, 0.5)];
        let all: Vec<&Sample> = samples.iter().collect();
        let mut out = String::new();
        render_row(&mut out, &all);
        assert!(out.contains("| MB/s | 100 |"), "{out}");
        assert!(out.contains("1 of 2 samples dropped"), "{out}");
    }
}
