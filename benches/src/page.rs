//! The page that people read: what was measured, on what, where a target is missed, where Apache Kafka is better, and how
//! to repeat it. Made from the samples of one run; no figure in it is typed in.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::catalogue::CATALOGUE;
use crate::error::{Doing, Result};
use crate::machine::Machine;
use crate::report::{describe_machine, loses_to_kafka, plot_name, quiet_of, render_row, verdicts};
use crate::rows::Sample;

const INTRO: &str = "\
# Performance

Made by `cargo xtask bench` from the results it names; not written by hand. A *floor* is the least that any broker
must do for a row, measured in the same run: request → `sendfile` of 1 MiB; receive, CRC-32C, write, acknowledge; a
tokio echo; an fdatasync. Only ratios of one run mean something, because machines are shared and their speed drifts.

## Repeat it

    cargo xtask bench --quick          # all rows, Apache Kafka beside ottla
    cargo xtask bench                  # seven rounds, larger volumes
    cargo xtask bench --rows 1,2,3     # some rows
    ottla bench produce                # any broker, from the shipped binary

`benches/README.md` says how it stays honest.
";

/// Writes the page. `results` is the directory with this run's files, as seen from the page.
pub(crate) fn write(
    path: &Path,
    machine: &Machine,
    samples: &[Sample],
    results: &str,
    name: &str,
) -> Result<()> {
    let mut out = INTRO.to_owned();
    let _ = writeln!(out, "\n## What was measured\n\n{}\n", describe_machine(machine));
    let _ =
        writeln!(out, "Samples and tables: [{name}]({results}/{name}.md), [JSON]({results}/{name}.json).\n");
    let mut missed = Vec::new();
    let mut lost = Vec::new();
    let mut rows = String::new();
    for entry in CATALOGUE {
        let (all, used) = quiet_of(samples, entry.row);
        if all.is_empty() {
            continue;
        }
        let told = verdicts(&used, entry);
        missed.extend(
            told.iter().filter(|line| line.contains("missed")).map(|line| (entry.row.0, line.clone())),
        );
        lost.extend(loses_to_kafka(&used, entry).into_iter().map(|line| (entry.row.0, line)));
        let _ = writeln!(rows, "## Row {}: {}\n\nTarget: {}.\n", entry.row.0, entry.title, entry.aim);
        render_row(&mut rows, &all, &used);
        for line in &told {
            let _ = writeln!(rows, "- {line}");
        }
        for figure in entry.plotted {
            let plot = plot_name(name, entry.row, figure);
            if path.with_file_name(results).join(&plot).exists() {
                let _ = writeln!(rows, "\n![{figure}]({results}/{plot})");
            }
        }
        rows.push('\n');
    }
    list(&mut out, "Targets missed", &missed);
    list(&mut out, "Where Apache Kafka is better", &lost);
    out.push_str(&rows);
    fs::write(path, out.trim_end().to_owned() + "\n").doing(|| format!("write {}", path.display()))
}

fn list(out: &mut String, title: &str, lines: &[(u8, String)]) {
    let _ = writeln!(out, "## {title}\n");
    if lines.is_empty() {
        let _ = writeln!(out, "None in this run.\n");
        return;
    }
    for (row, line) in lines {
        let _ = writeln!(out, "- row {row}: {line}");
    }
    out.push('\n');
}
