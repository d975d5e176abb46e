//! Turns samples into a table of medians, spreads and ratios, and keeps both the table (Markdown) and every sample
//! (JSON) with the machine, the commit and the command line.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::catalogue::{Against, CATALOGUE, Entry, Target};
use crate::error::{Doing, Result};
use crate::machine::Machine;
use crate::plot;
use crate::rows::{Life, Row, Sample};
use crate::stats::{Spread, spread};
use crate::system::System;

/// Above this share of the machine used by others a sample is noise and is dropped.
pub(crate) const FOREIGN_SHARE_MAX: f64 = 0.10;

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
    for entry in CATALOGUE {
        let (_, used) = quiet_of(samples, entry.row);
        for figure in entry.plotted {
            let bar = |system| Some((system, of(&used, system, figure)?));
            let bars: Vec<(System, Spread)> = systems_of(&used).into_iter().filter_map(bar).collect();
            plot::draw(&dir.join(plot_name(name, entry.row, figure)), entry.title, figure, &bars)?;
        }
    }
    Ok(())
}

/// The file of a plot, beside the results of the same name.
pub(crate) fn plot_name(name: &str, row: Row, figure: &str) -> String {
    let words = figure.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    format!("{name}-row-{}-{}.svg", row.0, words.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}

fn render(machine: &Machine, samples: &[Sample]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# Measured by `{}`\n", machine.command_line);
    let _ = writeln!(out, "{}\n", describe_machine(machine));
    let _ = writeln!(
        out,
        "Medians with [min – max] over interleaved rounds, the warm-up round dropped; a sample is dropped when more \
         than {:.0} % of the machine went to others. ÷ floor and ÷ kafka are medians of the ratios within a round. \
         Every row was read back in full and compared by count and checksum.\n",
        FOREIGN_SHARE_MAX * 100.0
    );
    for entry in CATALOGUE {
        let (all, used) = quiet_of(samples, entry.row);
        if all.is_empty() {
            continue;
        }
        let _ = writeln!(out, "## Row {}: {}\n\nTarget: {}.\n", entry.row.0, entry.title, entry.aim);
        render_row(&mut out, &all, &used);
        for line in verdicts(&used, entry) {
            let _ = writeln!(out, "- {line}");
        }
        out.push('\n');
    }
    out
}

/// Processor, memory, kernel, network, commit and time in one line.
pub(crate) fn describe_machine(machine: &Machine) -> String {
    format!(
        "{} × {}, {} MiB; Linux {}; {}; commit {}; Unix time {}.",
        machine.processor_count,
        machine.processor,
        machine.memory_mib,
        machine.kernel,
        machine.network,
        machine.commit,
        machine.unix_seconds
    )
}

/// All counted samples of a row, and those of them that are to be used: the quiet ones, if every system has some.
pub(crate) fn quiet_of(samples: &[Sample], row: Row) -> (Vec<&Sample>, Vec<&Sample>) {
    let all: Vec<&Sample> =
        samples.iter().filter(|sample| sample.row == row && sample.life != Life::Fresh).collect();
    let is_quiet = |sample: &&&Sample| sample.foreign_share <= FOREIGN_SHARE_MAX;
    let quiet: Vec<&Sample> = all.iter().filter(is_quiet).copied().collect();
    let is_enough = systems_of(&all).iter().all(|of| quiet.iter().any(|sample| sample.system == *of));
    let used = if is_enough { quiet } else { all.clone() };
    (all, used)
}

fn systems_of(samples: &[&Sample]) -> BTreeSet<System> {
    samples.iter().map(|sample| sample.system).collect()
}

/// A line for each target of a row.
pub(crate) fn verdicts(samples: &[&Sample], entry: &Entry) -> Vec<String> {
    entry.targets.iter().map(|target| verdict(samples, target)).collect()
}

/// A line for each target's figure in which Apache Kafka did better.
pub(crate) fn loses_to_kafka(samples: &[&Sample], entry: &Entry) -> Vec<String> {
    let better = |target: &Target| {
        let Spread { median, .. } = ratio(samples, target.figure, System::Ottla, System::Kafka)?;
        let is_worse = if target.is_least { median < 1.0 } else { median > 1.0 };
        is_worse.then(|| format!("{}: {} × Kafka's", target.figure, digits(median)))
    };
    entry.targets.iter().filter_map(better).collect()
}

/// Whether a target is met, by the median; if not, by how much it is missed.
fn verdict(samples: &[&Sample], target: &Target) -> String {
    let (reached, unit) = match target.against {
        Against::Floor => (ratio(samples, target.figure, System::Ottla, System::Floor), " × the floor"),
        Against::Nothing => (of(samples, System::Ottla, target.figure), ""),
    };
    let Some(Spread { median, .. }) = reached else {
        return format!("{}: not measured", target.figure);
    };
    let (is_met, sign) =
        if target.is_least { (median >= target.bound, '≥') } else { (median <= target.bound, '≤') };
    let (figure, bound, median) = (target.figure, digits(target.bound), digits(median));
    let verdict = if is_met { "met" } else { "**missed**" };
    format!("{figure} {sign} {bound}{unit}: {verdict} ({median})")
}

/// The table of one row.
pub(crate) fn render_row(out: &mut String, samples: &[&Sample], used: &[&Sample]) {
    let systems = systems_of(samples);
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
    let is_noisy = used.iter().any(|sample| sample.foreign_share > FOREIGN_SHARE_MAX);
    let dropped = samples.len() - used.len();
    let _ = match (is_noisy, dropped) {
        (true, _) => {
            writeln!(out, "\n**Noisy**: others used more than the allowed share of the machine throughout.\n")
        }
        (false, 0) => writeln!(out),
        (false, dropped) => writeln!(out, "\n{dropped} of {} samples dropped as noisy.\n", samples.len()),
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
pub(crate) fn digits(figure: f64) -> String {
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
        let life = Life::Warm;
        Sample {
            row: Row(1),
            system,
            round,
            life,
            figures: BTreeMap::from([("MB/s", figure)]),
            foreign_share,
        }
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
    fn a_target_is_judged_by_the_median_and_against_what_it_says() {
        let samples = [sample(System::Floor, 1, 100.0, 0.0), sample(System::Ottla, 1, 80.0, 0.0)];
        let used: Vec<&Sample> = samples.iter().collect();
        let target = |against, is_least, bound| Target { figure: "MB/s", against, is_least, bound };
        let of_floor = verdict(&used, &target(Against::Floor, true, 0.7));
        assert_eq!(of_floor, "MB/s ≥ 0.700 × the floor: met (0.800)");
        let alone = verdict(&used, &target(Against::Nothing, false, 70.0));
        assert_eq!(alone, "MB/s ≤ 70.0: **missed** (80.0)");
    }

    #[test]
    fn a_noisy_sample_is_dropped_when_quiet_ones_remain() {
        let samples = [sample(System::Floor, 1, 100.0, 0.0), sample(System::Floor, 2, 10.0, 0.5)];
        let (all, used) = quiet_of(&samples, Row(1));
        let mut out = String::new();
        render_row(&mut out, &all, &used);
        assert!(out.contains("| MB/s | 100 |"), "{out}");
        assert!(out.contains("1 of 2 samples dropped"), "{out}");
    }
}
