//! The page that people read: every row with its verdict, where we lose, the bounds, how to repeat it. Made from the samples
//! of one run and from the names of the result files that lie there; no figure in it is typed in.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::bounds;
use crate::catalogue::{CATALOGUE, Entry};
use crate::comparison::{Counted, Verdict, losses};
use crate::error::{Doing, Result};
use crate::report::{
    Run, cell, describe_machine, describe_time, digits, fresh_and_warm, plot_name, render_row, sentence,
};
use crate::system::{RIVAL, System};

const INTRO: &str = "\
# Performance

Made by `cargo xtask bench` from the results that it names; not written by hand. A *floor* is the least that any broker must
do for a row, measured in the same run: request → `sendfile` of 1 MiB; receive, CRC-32C, write, acknowledge; a tokio echo; an
fdatasync. Only ratios of one run mean something, because machines are shared and their speed drifts.

## Repeat it

    cargo xtask bench --quick          # all rows but 16, Apache Kafka beside ottla: about 14 minutes with its builds
    cargo xtask bench                  # seven rounds of larger volumes: about 35 minutes
    cargo xtask bench --rows 1,2,3     # some rows; this page stays as it is
    cargo xtask bench --rows 16        # what lasts: minutes for each broker
    cargo xtask bench clients          # our client, librdkafka's and Java's
    ottla bench produce                # any broker, from the shipped binary

It takes a Rust toolchain, a JDK with Maven for Apache Kafka, a C compiler for librdkafka, and root for a network namespace;
what is missing is left out, and the page says so. `benches/README.md` says how it stays honest.
";

/// Writes the page. `results` is the directory with this run's files, as seen from the page.
pub(crate) fn write(path: &Path, run: &Run<'_>, results: &str) -> Result<()> {
    let page = render(run, results, &path.with_file_name(results));
    fs::write(path, page).doing(|| format!("write {}", path.display()))
}

fn render(run: &Run<'_>, results: &str, directory: &Path) -> String {
    let (mut out, name) = (INTRO.to_owned(), run.name);
    let _ = writeln!(out, "\n## What was measured\n");
    let _ = writeln!(out, "{} {}\n", describe_machine(run.machine), describe_time(run));
    let _ = writeln!(out, "Command line: `{}`. Rival: {RIVAL}.\n", run.machine.command_line);
    let _ = writeln!(
        out,
        "Samples and tables, ratios round by round: [{name}]({results}/{name}.md), [JSON]({results}/{name}.json).\n"
    );
    summary(&mut out, run);
    missed(&mut out, run);
    lost(&mut out, run);
    let _ = writeln!(out, "## Bounds of this machine\n\n{}", bounds::render(run.samples));
    fresh(&mut out, run);
    further(&mut out, results, directory);
    for entry in CATALOGUE {
        row(&mut out, run, entry, results, directory);
    }
    out.trim_end().to_owned() + "\n"
}

/// A line for each target of each row.
fn summary(out: &mut String, run: &Run<'_>) {
    let _ = writeln!(out, "## All rows\n\n| row | what | ottla | Kafka | ottla ÷ Kafka | target |");
    let _ = writeln!(out, "|---|---|---|---|---|---|");
    for entry in CATALOGUE {
        let (number, name) = (entry.row.0, entry.name);
        let counted = Counted::warm(run.samples, entry.row);
        if counted.all.is_empty() {
            let why = run.absent.iter().find(|(row, _)| *row == number).map(|(_, why)| why.as_str());
            let why = why.or(entry.impossible).unwrap_or("not asked for in this run");
            let _ = writeln!(out, "| {number} | {name} | – | – | – | not measured: {why} |");
            continue;
        }
        let line = |out: &mut String, figure: &str, verdict: &str| {
            let of = |system| counted.median(system, figure).map_or_else(|| "–".to_owned(), digits);
            let ratio = cell(counted.ratio(figure, System::Ottla, System::Kafka));
            let (ours, kafkas) = (of(System::Ottla), of(System::Kafka));
            let _ =
                writeln!(out, "| {number} | {name}: {figure} | {ours} | {kafkas} | {ratio} | {verdict} |");
        };
        for verdict in Verdict::all(&counted, entry) {
            let told = sentence(&verdict);
            let told = told.strip_prefix(verdict.target.figure).unwrap_or(&told).trim_start();
            line(out, verdict.target.figure, told);
        }
        if entry.targets.is_empty() {
            entry.plotted.iter().for_each(|figure| line(out, figure, "none"));
        }
    }
    out.push('\n');
}

/// Every target that was missed, in a sentence.
fn missed(out: &mut String, run: &Run<'_>) {
    let mut lines = Vec::new();
    for entry in CATALOGUE {
        let counted = Counted::warm(run.samples, entry.row);
        for verdict in Verdict::all(&counted, entry).iter().filter(|verdict| verdict.is_met() == Some(false))
        {
            let mut line = format!("row {} ({}): {}", entry.row.0, entry.name, sentence(verdict));
            let figure = verdict.target.figure;
            if let Some(floor) = bounds::beside(run.samples, entry.row, figure) {
                let _ = write!(line, "; the floor itself took {floor}");
            }
            if let Some(spread) =
                counted.spread(System::Ottla, figure).filter(|spread| spread.min < spread.max)
            {
                let _ = write!(line, "; rounds from {} to {}", digits(spread.min), digits(spread.max));
            }
            if counted.is_noisy() {
                line.push_str("; others kept the machine busy throughout");
            }
            lines.push(line);
        }
    }
    list(out, "Targets missed", &lines);
}

/// Every figure in which Kafka was better, in a sentence.
fn lost(out: &mut String, run: &Run<'_>) {
    let told = losses(run.samples).into_iter().map(|loss| {
        let agreed = match (loss.ratio.min < loss.ratio.max, loss.always) {
            (false, _) => "one round",
            (true, true) => "in every round",
            (true, false) => "the rounds disagree",
        };
        let (ours, kafkas, ratio) = (digits(loss.ours), digits(loss.kafkas), cell(Some(loss.ratio)));
        format!("row {}, {}: {ours} against {kafkas}, {ratio} × Kafka's ({agreed})", loss.row.0, loss.figure)
    });
    let mut lines: Vec<String> = told.collect();
    let uncompared = !run.samples.iter().any(|sample| sample.system == System::Kafka);
    if uncompared {
        lines.push("Apache Kafka was not measured in this run".to_owned());
    }
    list(out, "Where Apache Kafka is better", &lines);
}

fn list(out: &mut String, title: &str, lines: &[String]) {
    let _ = writeln!(out, "## {title}\n");
    if lines.is_empty() {
        let _ = writeln!(out, "Nowhere in this run.");
    }
    for line in lines {
        let _ = writeln!(out, "- {line}");
    }
    out.push('\n');
}

fn fresh(out: &mut String, run: &Run<'_>) {
    let lines: Vec<String> =
        CATALOGUE.iter().filter_map(|entry| fresh_and_warm(run.samples, entry)).collect();
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "## Fresh and warm\n\nThe first load after a start on an empty directory, and the later ones.\n\n\
         | row | ottla, fresh | Kafka, fresh | ÷, fresh | ottla, warm | Kafka, warm | ÷, warm |\n\
         |---|---|---|---|---|---|---|\n{}\n",
        lines.join("\n")
    );
}

/// A kind of results that is not made here.
struct Further {
    /// What the names of its files have in them.
    mark: &'static str,
    what: &'static str,
    /// Whether older ones say something that the newest does not.
    is_each_told: bool,
}

const fn newest_of(mark: &'static str, what: &'static str) -> Further {
    Further { mark, what, is_each_told: false }
}

const fn each_of(mark: &'static str, what: &'static str) -> Further {
    Further { mark, what, is_each_told: true }
}

const FURTHER: &[Further] = &[
    newest_of("-scale", "10,000 and 50,000 partitions, 5,000 connections, recovery of a large log"),
    each_of("-lasting", "row 16, in runs of its own"),
    newest_of("-soak", "an hour of mixed load: memory, descriptors, threads"),
    newest_of("-clients", "clients side by side"),
    newest_of("-profile", "where the broker's time goes"),
    each_of("-optimisations", "what was made faster, before and after"),
];

/// Links to other results that lie there, and to the newest flame graphs.
fn further(out: &mut String, results: &str, directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let mut lines = Vec::new();
    for further in FURTHER {
        let is_one = |name: &&String| name.contains(further.mark) && name.ends_with(".md");
        let most = if further.is_each_told { usize::MAX } else { 1 };
        let found = names.iter().rev().filter(is_one).take(most);
        let links: Vec<String> =
            found.map(|name| format!("[{}]({results}/{name})", name.trim_end_matches(".md"))).collect();
        if !links.is_empty() {
            lines.push(format!("- {}: {}", further.what, links.join(", ")));
        }
    }
    let flame = |name: &String| name.contains("-flame-") && name.ends_with(".svg");
    let newest = names.iter().rev().find(|name| flame(name)).and_then(|name| name.split("-flame-").next());
    let of_newest = |name: &&String| flame(name) && name.split("-flame-").next() == newest;
    let graphs = names.iter().filter(of_newest).map(|name| {
        let load = name.rsplit("-flame-").next().unwrap_or(name).trim_end_matches(".svg");
        format!("[{load}]({results}/{name})")
    });
    let graphs: Vec<String> = graphs.collect();
    if !graphs.is_empty() {
        lines.push(format!("- flame graphs of the broker: {}", graphs.join(", ")));
    }
    lines.push(
        "- instructions per request, under callgrind: [instructions](../benches/instructions.md)".to_owned(),
    );
    let _ = writeln!(out, "## More\n\n{}\n", lines.join("\n"));
}

/// One row with its table and its pictures.
fn row(out: &mut String, run: &Run<'_>, entry: &'static Entry, results: &str, directory: &Path) {
    let counted = Counted::warm(run.samples, entry.row);
    if counted.all.is_empty() {
        return;
    }
    let _ = writeln!(out, "## Row {}: {}\n\nTarget: {}.\n", entry.row.0, entry.title, entry.aim);
    render_row(out, &counted);
    for verdict in Verdict::all(&counted, entry) {
        let _ = writeln!(out, "- {}", sentence(&verdict));
    }
    for figure in entry.plotted {
        let plot = plot_name(run.name, entry.row, figure);
        if directory.join(&plot).exists() {
            let _ = writeln!(out, "\n![{figure}]({results}/{plot})");
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::rows::{Figures, Life, Row, Sample};

    #[test]
    fn the_page_has_a_line_for_every_row_and_says_why_one_is_missing() {
        let sample = |system, p99| {
            let figures = Figures::from([("p50 ms", 0.1), ("p99 ms", p99)]);
            Sample { row: Row(6), system, round: 1, life: Life::Warm, figures, foreign_share: 0.0 }
        };
        let samples = [sample(System::Floor, 0.5), sample(System::Ottla, 1.5), sample(System::Kafka, 1.2)];
        let machine = Machine::describe(String::new());
        let absent = [(20, "no C compiler".to_owned())];
        let run = Run {
            machine: &machine,
            name: "a-run",
            samples: &samples,
            absent: &absent,
            took: &[(6, 61.0)],
            has_pictures: false,
        };
        let dir = tempfile::tempdir().unwrap();
        let files = ["s-1-flame-old.svg", "s-2-flame-fetch.svg", "s-1-scale.md", "s-2-scale.md"];
        let told = ["s-1-optimisations.md", "s-2-optimisations.md"];
        for name in files.into_iter().chain(told) {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let page = render(&run, "results", dir.path());
        for text in [
            "| 20 | librdkafka, 100 B | – | – | – | not measured: no C compiler |",
            "| 17 | three brokers | – | – | – | not measured: there is no cluster of several brokers yet |",
            "| 6 | end to end, 2,000/s: p50 ms | 0.100 | 0.100 | 1.00 | ≤ 0.250: met (0.100) |",
            "p99 ms ≤ 1.00: **missed** by 50.0 % (1.50); the floor itself took 0.500",
            "- row 6, p99 ms: 1.50 against 1.20, 1.25 × Kafka's (one round)",
            "recovery of a large log: [s-2-scale](results/s-2-scale.md)\n",
            "[s-2-optimisations](results/s-2-optimisations.md), [s-1-optimisations](results/s-1-optimisations.md)\n",
            "flame graphs of the broker: [fetch](results/s-2-flame-fetch.svg)\n",
            "The rows took 1 min 1 s: row 6 61 s.",
        ] {
            assert!(page.contains(text), "{text} in {page}");
        }
        for entry in CATALOGUE {
            assert!(page.contains(&format!("| {} | ", entry.row.0)), "row {}", entry.row.0);
        }
    }
}
