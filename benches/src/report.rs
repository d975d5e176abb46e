//! Turns the samples of a run into its results: a table of medians, spreads and ratios (Markdown), everything that was
//! measured and every ratio of every round (JSON), and pictures.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::bounds;
use crate::catalogue::{Against, CATALOGUE, Entry};
use crate::comparison::{Counted, FOREIGN_SHARE_MAX, Pairs, Verdict, all_pairs, systems_of};
use crate::error::{Doing, Result};
use crate::machine::Machine;
use crate::plot;
use crate::rows::{Life, Row, Sample};
use crate::stats::Spread;
use crate::system::{RIVAL, System};

/// What one call of `run` has to tell.
pub(crate) struct Run<'a> {
    pub(crate) machine: &'a Machine,
    /// The name of its files, without extension.
    pub(crate) name: &'a str,
    pub(crate) samples: &'a [Sample],
    /// Rows that were asked for and have no result, and why.
    pub(crate) absent: &'a [(u8, String)],
    /// Seconds that each row took.
    pub(crate) took: &'a [(u8, f64)],
    /// Whether to draw: a quick run is for its tables, and is kept beside a full one.
    pub(crate) has_pictures: bool,
}

#[derive(Serialize)]
struct Kept<'a> {
    machine: &'a Machine,
    rival: &'static str,
    absent: &'a [(u8, String)],
    seconds_by_row: &'a [(u8, f64)],
    samples: &'a [Sample],
    ratios: Vec<Pairs>,
}

impl Run<'_> {
    /// Seconds of all rows.
    pub(crate) fn took_s(&self) -> f64 {
        self.took.iter().map(|(_, seconds)| seconds).sum()
    }
}

/// Prints the table, and writes it, the samples and the pictures to `dir`.
pub(crate) fn publish(run: &Run<'_>, dir: &Path) -> Result<()> {
    let markdown = render(run);
    println!("{markdown}");
    fs::create_dir_all(dir).doing(|| format!("create {}", dir.display()))?;
    let kept = Kept {
        machine: run.machine,
        rival: RIVAL,
        absent: run.absent,
        seconds_by_row: run.took,
        samples: run.samples,
        ratios: all_pairs(run.samples),
    };
    let json = serde_json::to_string_pretty(&kept).unwrap_or_default();
    for (extension, text) in [("md", markdown), ("json", json + "\n")] {
        let path = dir.join(format!("{}.{extension}", run.name));
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    }
    for entry in CATALOGUE.iter().filter(|_| run.has_pictures) {
        let counted = Counted::warm(run.samples, entry.row);
        for figure in entry.plotted {
            let bar = |system| Some((system, counted.spread(system, figure)?));
            let bars: Vec<(System, Spread)> = systems_of(&counted.used).into_iter().filter_map(bar).collect();
            plot::draw(&dir.join(plot_name(run.name, entry.row, figure)), entry.title, figure, &bars)?;
        }
    }
    Ok(())
}

/// The file of a plot, beside the results of the same name.
pub(crate) fn plot_name(name: &str, row: Row, figure: &str) -> String {
    let words = figure.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    format!("{name}-row-{}-{}.svg", row.0, words.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}

fn render(run: &Run<'_>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# Measured by `{}`\n", run.machine.command_line);
    let _ = writeln!(out, "{} {}\n", describe_machine(run.machine), describe_time(run));
    let _ = writeln!(out, "Rival: {RIVAL}.\n");
    let _ = writeln!(
        out,
        "Medians with [min – max] over interleaved rounds of brokers that have had the same load before; their first load \
         after a start on an empty directory stands apart as *fresh*. Rows 8 to 12, 14 and 16 start their brokers anew in \
         each round. A sample is dropped when more than {:.0} % of the machine went to others. ÷ floor and ÷ kafka are \
         medians of the ratios within a round. CPU is the server's, from `/proc/PID/stat`; RssAnon peak is the most that \
         ten looks a second saw, VmHWM the kernel's own mark, reset before each measurement. Every row was read back in \
         full and compared by count and checksum.\n",
        FOREIGN_SHARE_MAX * 100.0
    );
    let bounds = bounds::render(run.samples);
    if !bounds.is_empty() {
        let _ = writeln!(out, "## Bounds of this machine, measured in this run\n\n{bounds}");
    }
    for entry in CATALOGUE {
        let counted = Counted::warm(run.samples, entry.row);
        if counted.all.is_empty() {
            continue;
        }
        let _ = writeln!(out, "## Row {}: {}\n\nTarget: {}.\n", entry.row.0, entry.title, entry.aim);
        render_row(&mut out, &counted);
        for verdict in Verdict::all(&counted, entry) {
            let _ = writeln!(out, "- {}", sentence(&verdict));
        }
        out.push('\n');
        render_rounds(&mut out, &counted, entry);
        let fresh = Counted::fresh(run.samples, entry.row);
        if !fresh.all.is_empty() {
            let _ = writeln!(out, "Fresh:\n");
            render_row(&mut out, &fresh);
        }
    }
    for (row, why) in run.absent {
        let _ = writeln!(out, "Row {row} was asked for and not measured: {why}.\n");
    }
    out.trim_end().to_owned() + "\n"
}

/// Processor, memory, kernel, network, commit and time in one line.
pub(crate) fn describe_machine(machine: &Machine) -> String {
    let disk = machine.read_ahead_kib.map(|kib| format!("; a disk that is read {kib} KiB ahead"));
    format!(
        "{} × {}, {} MiB; Linux {}{}; {}; commit {}; Unix time {}.",
        machine.processor_count,
        machine.processor,
        machine.memory_mib,
        machine.kernel,
        disk.unwrap_or_default(),
        machine.network,
        machine.commit,
        machine.unix_seconds
    )
}

/// How long the rows took.
pub(crate) fn describe_time(run: &Run<'_>) -> String {
    let minutes = |seconds: f64| format!("{} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0);
    let rows: Vec<String> =
        run.took.iter().map(|(row, seconds)| format!("row {row} {seconds:.0} s")).collect();
    format!("The rows took {}: {}.", minutes(run.took_s()), rows.join(", "))
}

/// A verdict in words.
pub(crate) fn sentence(verdict: &Verdict) -> String {
    let target = verdict.target;
    let unit = if target.against == Against::Floor { " × the floor" } else { "" };
    let sign = if target.is_least { '≥' } else { '≤' };
    let bound = format!("{} {sign} {}{unit}", target.figure, digits(target.bound));
    match (verdict.reached, verdict.missed_by()) {
        (None, _) => format!("{bound}: not measured"),
        (Some(reached), None) => format!("{bound}: met ({})", digits(reached)),
        (Some(reached), Some(share)) => {
            format!("{bound}: **missed** by {} % ({})", digits(share * 100.0), digits(reached))
        }
    }
}

/// The table of one row.
pub(crate) fn render_row(out: &mut String, counted: &Counted<'_>) {
    let systems = systems_of(&counted.all);
    let names: Vec<String> = systems.iter().map(ToString::to_string).collect();
    let _ = writeln!(out, "| | {} | ottla ÷ floor | kafka ÷ floor | ottla ÷ kafka |", names.join(" | "));
    let _ = writeln!(out, "|---|{}---|---|---|", "---|".repeat(systems.len()));
    for name in counted.names() {
        let figures: Vec<String> = systems.iter().map(|system| cell(counted.spread(*system, name))).collect();
        let ratios = COUPLES.map(|(upper, lower)| cell(counted.ratio(name, upper, lower)));
        let _ = writeln!(out, "| {name} | {} | {} |", figures.join(" | "), ratios.join(" | "));
    }
    let dropped = counted.all.len() - counted.used.len();
    let _ = match (counted.is_noisy(), dropped) {
        (true, _) => {
            writeln!(out, "\n**Noisy**: others used more than the allowed share of the machine throughout.\n")
        }
        (false, 0) => writeln!(out),
        (false, dropped) => writeln!(out, "\n{dropped} of {} samples dropped as noisy.\n", counted.all.len()),
    };
}

const COUPLES: [(System, System); 3] =
    [(System::Ottla, System::Floor), (System::Kafka, System::Floor), (System::Ottla, System::Kafka)];

/// The ratios of each round, for the figures that have a target or a picture; the JSON has those of all figures.
fn render_rounds(out: &mut String, counted: &Counted<'_>, entry: &Entry) {
    let targets = entry.targets.iter().map(|target| target.figure);
    let figures: BTreeSet<&str> = targets.chain(entry.plotted.iter().copied()).collect();
    let rounds: BTreeSet<u32> = counted.used.iter().map(|sample| sample.round).collect();
    let mut lines = String::new();
    for figure in figures {
        for (upper, lower) in [(System::Ottla, System::Kafka), (System::Ottla, System::Floor)] {
            let pairs = counted.pairs(figure, upper, lower);
            if pairs.is_empty() {
                continue;
            }
            let of_round = |round| pairs.get(round).map_or_else(|| "–".to_owned(), |ratio| digits(*ratio));
            let ratios: Vec<String> = rounds.iter().map(of_round).collect();
            let _ = writeln!(lines, "| {figure}, {upper} ÷ {lower} | {} |", ratios.join(" | "));
        }
    }
    if lines.is_empty() || rounds.len() < 2 {
        return;
    }
    let numbers: Vec<String> = rounds.iter().map(u32::to_string).collect();
    let _ = writeln!(out, "Round by round:\n\n| | {} |", numbers.join(" | "));
    let _ = writeln!(out, "|---|{}\n{lines}", "---|".repeat(rounds.len()));
}

/// The same figures of fresh and of warm brokers, for a row that has both.
pub(crate) fn fresh_and_warm(samples: &[Sample], entry: &Entry) -> Option<String> {
    let (fresh, warm) = (Counted::fresh(samples, entry.row), Counted::warm(samples, entry.row));
    let figure = *entry.plotted.first()?;
    let is_warm = warm.used.first()?.life == Life::Warm;
    let both = |counted: &Counted<'_>| {
        let of = |system| counted.median(system, figure).map_or_else(|| "–".to_owned(), digits);
        let ratio = cell(counted.ratio(figure, System::Ottla, System::Kafka));
        format!("{} | {} | {ratio}", of(System::Ottla), of(System::Kafka))
    };
    let line =
        || format!("| {} {}: {figure} | {} | {} |", entry.row.0, entry.name, both(&fresh), both(&warm));
    (is_warm && !fresh.used.is_empty()).then(line)
}

/// A median with its spread.
pub(crate) fn cell(spread: Option<Spread>) -> String {
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
    use crate::rows::Figures;

    fn sample(system: System, round: u32, figure: f64, foreign_share: f64) -> Sample {
        let life = if round == 0 { Life::Fresh } else { Life::Warm };
        Sample { row: Row(1), system, round, life, figures: Figures::from([("MB/s", figure)]), foreign_share }
    }

    #[test]
    fn a_missed_target_says_by_how_much() {
        let samples = [sample(System::Floor, 1, 100.0, 0.0), sample(System::Ottla, 1, 56.0, 0.0)];
        let verdicts = Verdict::all(&Counted::warm(&samples, Row(1)), &CATALOGUE[0]);
        assert_eq!(sentence(&verdicts[0]), "MB/s ≥ 0.700 × the floor: **missed** by 20.0 % (0.560)");
        assert_eq!(sentence(&verdicts[1]), "CPU-s/GB ≤ 1.50 × the floor: not measured");
    }

    #[test]
    fn a_row_shows_its_rounds_one_by_one_and_says_what_was_dropped() {
        let samples = [
            sample(System::Ottla, 1, 80.0, 0.0),
            sample(System::Kafka, 1, 40.0, 0.0),
            sample(System::Ottla, 2, 90.0, 0.0),
            sample(System::Kafka, 2, 30.0, 0.0),
            sample(System::Kafka, 3, 1.0, 0.5),
        ];
        let counted = Counted::warm(&samples, Row(1));
        let mut out = String::new();
        render_row(&mut out, &counted);
        render_rounds(&mut out, &counted, &CATALOGUE[0]);
        assert!(out.contains("1 of 5 samples dropped"), "{out}");
        assert!(out.contains("| MB/s, ottla ÷ kafka | 2.00 | 3.00 |"), "{out}");
    }

    #[test]
    fn fresh_and_warm_stand_side_by_side() {
        let samples = [
            sample(System::Ottla, 0, 70.0, 0.0),
            sample(System::Kafka, 0, 10.0, 0.0),
            sample(System::Ottla, 1, 80.0, 0.0),
            sample(System::Kafka, 1, 40.0, 0.0),
        ];
        let line = fresh_and_warm(&samples, &CATALOGUE[0]).unwrap();
        assert_eq!(line, "| 1 fetch 1 MiB: MB/s | 70.0 | 10.0 | 7.00 | 80.0 | 40.0 | 2.00 |");
        assert!(fresh_and_warm(&samples[2..], &CATALOGUE[0]).is_none());
    }
}
