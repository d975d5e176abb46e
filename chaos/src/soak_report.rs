//! What a soak leaves behind: every sample, and what its last third has on top of its first.
//!
//! The judgement is made here, of figures alone; how they come about is `soak`'s. A report is written before it is judged,
//! so that a run that fails can be looked at.

use crate::finding::Finding;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the last third may have on top of the first.
const MEMORY_GROWTH_MAX: f64 = 0.10;
const MEMORY_GROWTH_FREE_KIB: f64 = 4096.0;
const DESCRIPTORS_GROWTH_MAX: f64 = 16.0;
const THREADS_GROWTH_MAX: f64 = 2.0;
const LATENCY_GROWTH_MAX: f64 = 1.0;
const LATENCY_GROWTH_FREE_MS: f64 = 10.0;

/// One row of the table.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Sample {
    pub(crate) second: u64,
    pub(crate) memory_kib: f64,
    pub(crate) descriptors: f64,
    pub(crate) threads: f64,
    pub(crate) p99_ms: f64,
    pub(crate) cpu_percent: f64,
    pub(crate) records_per_s: f64,
    pub(crate) commits_per_s: f64,
    pub(crate) connections_per_s: f64,
    pub(crate) fetched_mb_per_s: f64,
    /// Of all files in the broker's directory.
    pub(crate) disk_mib: f64,
    /// Below the partitions' log start offsets: retention has removed them.
    pub(crate) records_removed: f64,
}

impl Sample {
    /// The columns' titles.
    const TITLES: [&str; 12] = [
        "s",
        "RssAnon KiB",
        "descriptors",
        "threads",
        "p99 ms",
        "CPU %",
        "records/s",
        "commits/s",
        "connections/s",
        "fetched MB/s",
        "disk MiB",
        "records removed",
    ];

    fn cells(&self) -> [String; 12] {
        [
            self.second.to_string(),
            format!("{:.0}", self.memory_kib),
            format!("{:.0}", self.descriptors),
            format!("{:.0}", self.threads),
            format!("{:.2}", self.p99_ms),
            format!("{:.1}", self.cpu_percent),
            format!("{:.0}", self.records_per_s),
            format!("{:.0}", self.commits_per_s),
            format!("{:.0}", self.connections_per_s),
            format!("{:.1}", self.fetched_mb_per_s),
            format!("{:.1}", self.disk_mib),
            format!("{:.0}", self.records_removed),
        ]
    }

    /// The line above the rows.
    pub(crate) fn title_row() -> String {
        Self::TITLES.join(" | ")
    }

    /// The row, its cells as wide as their titles.
    pub(crate) fn row(&self) -> String {
        let cells = self.cells();
        let padded = cells
            .iter()
            .zip(Self::TITLES)
            .map(|(cell, title)| format!("{cell:>width$}", width = title.len()));
        padded.collect::<Vec<_>>().join(" | ")
    }
}

/// What ran, and what came of it.
#[derive(Serialize)]
pub(crate) struct Soak {
    pub(crate) command_line: String,
    /// Whether the machine's processors have other things to do.
    pub(crate) load_average_at_start: String,
    pub(crate) commit: String,
    pub(crate) unix_seconds: u64,
    pub(crate) records_written: u64,
    pub(crate) samples: Vec<Sample>,
}

/// A figure that may grow by a share of what it was, and by so much in any case.
struct Bound {
    what: &'static str,
    of: fn(&Sample) -> f64,
    share_max: f64,
    free: f64,
}

const BOUNDS: [Bound; 4] = [
    Bound {
        what: "RssAnon in KiB",
        of: |sample| sample.memory_kib,
        share_max: MEMORY_GROWTH_MAX,
        free: MEMORY_GROWTH_FREE_KIB,
    },
    Bound {
        what: "descriptors",
        of: |sample| sample.descriptors,
        share_max: 0.0,
        free: DESCRIPTORS_GROWTH_MAX,
    },
    Bound { what: "threads", of: |sample| sample.threads, share_max: 0.0, free: THREADS_GROWTH_MAX },
    Bound {
        what: "p99 in ms",
        of: |sample| sample.p99_ms,
        share_max: LATENCY_GROWTH_MAX,
        free: LATENCY_GROWTH_FREE_MS,
    },
];

/// How a figure went.
struct Growth {
    what: &'static str,
    first: f64,
    middle: f64,
    last: f64,
    max: f64,
}

impl Soak {
    /// A soak that begins now.
    pub(crate) fn begin(command_line: String) -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            command_line,
            load_average_at_start: load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            commit: commit(),
            unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            records_written: 0,
            samples: Vec::new(),
        }
    }

    /// Means of the thirds.
    fn growths(&self) -> Result<Vec<Growth>, Finding> {
        let count = self.samples.len();
        let third = count / 3;
        if third == 0 {
            return Err(Finding::Void("too few samples to compare".to_owned()));
        }
        let mean = |from: usize, to: usize, of: fn(&Sample) -> f64| {
            self.samples[from..to].iter().map(of).sum::<f64>() / (to - from) as f64
        };
        let growth = |Bound { what, of, share_max, free }: &Bound| {
            let first = mean(0, third, *of);
            let max = first * (1.0 + share_max) + free;
            let (middle, last) = (mean(third, count - third, *of), mean(count - third, count, *of));
            Growth { what, first, middle, last, max }
        };
        Ok(BOUNDS.iter().map(growth).collect())
    }

    /// Holds the last third against the first.
    pub(crate) fn judge(&self) -> Result<(), Finding> {
        match self.growths()?.iter().find(|growth| growth.last > growth.max) {
            None => Ok(()),
            Some(Growth { what, first, last, max, .. }) => Err(Finding::Broken(format!(
                "{what} grew from {first:.1} to {last:.1}; the bound is {max:.1}"
            ))),
        }
    }

    /// A line for each figure that is judged.
    pub(crate) fn verdicts(&self) -> Result<String, Finding> {
        let mut text =
            "| | first third | middle | last third | at most | |\n|---|---|---|---|---|---|\n".to_owned();
        for Growth { what, first, middle, last, max } in self.growths()? {
            let verdict = if last > max { "grew" } else { "level" };
            let _ =
                writeln!(text, "| {what} | {first:.1} | {middle:.1} | {last:.1} | {max:.1} | {verdict} |");
        }
        Ok(text)
    }

    /// Keeps it as `STEM.md` and `STEM.json`.
    pub(crate) fn keep(&self, stem: &Path) -> Result<(), Finding> {
        let json = serde_json::to_string_pretty(self).map_err(|error| Finding::Void(error.to_string()))?;
        let name = stem.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = |extension: &str| -> PathBuf { stem.with_file_name(format!("{name}.{extension}")) };
        std::fs::write(file("json"), json + "\n")?;
        std::fs::write(file("md"), self.markdown()?)?;
        Ok(())
    }

    fn markdown(&self) -> Result<String, Finding> {
        let seconds = self.samples.last().map_or(0, |sample| sample.second);
        let removed = self.samples.last().map_or(0.0, |sample| sample.records_removed);
        let mut text = format!(
            "# Soak: {} minutes\n\nMeasured by `{}`; commit {}; Unix time {}; load average at the start {}.\n\n\
             {} records were written, and retention removed {removed:.0} of them.\n\n",
            seconds / 60,
            self.command_line,
            self.commit,
            self.unix_seconds,
            self.load_average_at_start,
            self.records_written,
        );
        text.push_str(&self.verdicts()?);
        let _ =
            write!(text, "\n| {} |\n|{}\n", Sample::TITLES.join(" | "), "---|".repeat(Sample::TITLES.len()));
        for sample in &self.samples {
            let _ = writeln!(text, "| {} |", sample.cells().join(" | "));
        }
        Ok(text)
    }
}

fn commit() -> String {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok();
    let known = output.filter(|output| output.status.success());
    known.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soak(memory_kib: &[f64], p99_ms: f64) -> Soak {
        let sample = |memory_kib: &f64| Sample {
            memory_kib: *memory_kib,
            descriptors: 50.0,
            threads: 8.0,
            p99_ms,
            ..Sample::default()
        };
        Soak { samples: memory_kib.iter().map(sample).collect(), ..Soak::begin("soak".to_owned()) }
    }

    #[test]
    fn a_level_run_passes_and_a_leak_does_not() {
        let level = soak(&[40_000.0, 41_000.0, 40_500.0, 40_000.0, 41_500.0, 42_000.0], 2.0);
        level.judge().expect("level");
        assert!(!level.verdicts().expect("enough samples").contains("grew"));
        let leak = soak(&[40_000.0, 45_000.0, 50_000.0, 55_000.0, 60_000.0, 65_000.0], 2.0);
        assert!(leak.judge().is_err());
        assert!(
            leak.verdicts()
                .expect("enough samples")
                .contains("| RssAnon in KiB | 42500.0 | 52500.0 | 62500.0")
        );
        assert!(soak(&[40_000.0], 2.0).judge().is_err(), "one sample proves nothing");
    }

    #[test]
    fn waits_that_grow_are_found() {
        let mut run = soak(&[40_000.0; 6], 2.0);
        run.samples[5].p99_ms = 100.0;
        assert!(run.judge().is_err());
    }
}
