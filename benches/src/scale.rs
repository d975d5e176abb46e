//! What much of something costs one broker: many partitions and connections ([`crate::scale_partitions`]), and logs of many
//! segments ([`crate::scale_recovery`]).
//!
//! One system, one pass, no ratios: tables to look at, kept as Markdown and JSON. As everywhere, what was written is read
//! back and compared.
#![allow(clippy::print_stdout, reason = "the table is what this command is for")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::{BenchError, Doing, Result};
use crate::machine::Machine;
use crate::report::{describe_machine, digits};
use crate::scale_partitions;
use crate::scale_recovery;
use crate::system::{Launcher, Places, System};

/// A figure's name and what was measured.
pub(crate) type Figure = (&'static str, f64);

/// How much of what.
#[derive(Debug)]
pub(crate) struct Extent {
    pub(crate) partitions: Vec<usize>,
    pub(crate) gigabytes: Vec<usize>,
}

/// A figure for each column.
#[derive(Debug, Serialize)]
struct Line {
    figure: &'static str,
    values: Vec<f64>,
}

/// Figures by how much there was of something.
#[derive(Debug, Serialize)]
struct Table {
    title: &'static str,
    columns: Vec<String>,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Kept<'a> {
    machine: &'a Machine,
    system: System,
    tables: &'a [Table],
}

impl Table {
    fn new(title: &'static str) -> Self {
        Self { title, columns: Vec::new(), lines: Vec::new() }
    }

    /// Adds a column, which must have the same figures as those before it.
    fn add(&mut self, column: String, figures: Vec<Figure>) -> Result<()> {
        if self.columns.is_empty() {
            self.lines = figures.iter().map(|(figure, _)| Line { figure, values: Vec::new() }).collect();
        }
        if !self.lines.iter().map(|line| line.figure).eq(figures.iter().map(|(figure, _)| *figure)) {
            return Err(BenchError::Void(format!("{column} has other figures than the columns before it")));
        }
        for (line, (figure, value)) in self.lines.iter_mut().zip(figures) {
            eprintln!("{column}: {figure} {value:.3}");
            line.values.push(value);
        }
        self.columns.push(column);
        Ok(())
    }

    fn render(&self) -> String {
        let mut text = format!("## {}\n\n| |", self.title);
        for column in &self.columns {
            let _ = write!(text, " {column} |");
        }
        let _ = writeln!(text, "\n|---|{}", "---|".repeat(self.columns.len()));
        for line in &self.lines {
            let values: Vec<String> = line.values.iter().map(|value| digits(*value)).collect();
            let _ = writeln!(text, "| {} | {} |", line.figure, values.join(" | "));
        }
        text
    }
}

/// Measures, prints the tables and keeps them as `NAME.md` and `NAME.json`.
pub(crate) fn run(
    machine: &Machine,
    places: &Places,
    system: System,
    extent: &Extent,
    results: &Path,
    name: &str,
) -> Result<()> {
    let mut partitions = Table::new("Many partitions, 5,000 connections");
    let mut launchers = Vec::new();
    for count in &extent.partitions {
        let (figures, launcher) = scale_partitions::measure(places, system, *count)?;
        launchers.push(launcher);
        partitions.add(format!("{count} partitions"), figures)?;
    }
    let mut recovery = Table::new("A log of 1 GiB segments, and what a start reads of it");
    for count in &extent.gigabytes {
        recovery.add(format!("{count} GiB"), scale_recovery::measure(places, *count)?)?;
    }
    launchers.iter().for_each(Launcher::remove);
    let tables: Vec<Table> =
        [partitions, recovery].into_iter().filter(|table| !table.columns.is_empty()).collect();
    let mut text = format!(
        "# Scale: {system}, one broker\n\nMeasured by `{}`.\n\n{}\n",
        machine.command_line,
        describe_machine(machine)
    );
    for table in &tables {
        let _ = write!(text, "\n{}", table.render());
    }
    println!("{text}");
    let json = serde_json::to_string_pretty(&Kept { machine, system, tables: &tables }).unwrap_or_default();
    fs::create_dir_all(results).doing(|| format!("create {}", results.display()))?;
    for (extension, text) in [("md", text), ("json", json + "\n")] {
        let path = results.join(format!("{name}.{extension}"));
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_same_figures_in_every_column() {
        let mut table = Table::new("title");
        table.add("1".to_owned(), vec![("a", 1.0), ("b", 2.0)]).unwrap();
        assert!(table.add("2".to_owned(), vec![("b", 2.0), ("a", 1.0)]).is_err());
        table.add("2".to_owned(), vec![("a", 3.0), ("b", 4.0)]).unwrap();
        assert!(table.render().contains("| a | 1.00 | 3.00 |"), "{}", table.render());
    }
}
