//! The facts that go beside every figure: processor, kernel, memory, commit and command line; and how busy the
//! machine was with things that are not part of the measurement.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::stat::{major, minor};
use serde::Serialize;

/// What the figures were measured on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processor_count: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// How far the kernel reads ahead of what is asked for, on the disk that is measured; `None` where it does not say.
    pub(crate) read_ahead_kib: Option<u64>,
    pub(crate) network: String,
    pub(crate) commit: String,
    pub(crate) command_line: String,
    pub(crate) unix_seconds: u64,
}

impl Machine {
    /// Describes this machine. `network` is what [`crate::namespace::enter`] said.
    pub(crate) fn describe(network: String) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: value_of(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            processor_count: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: value_of(&meminfo, "MemTotal").and_then(first_number).unwrap_or(0) / 1024,
            kernel: kernel.trim().to_owned(),
            read_ahead_kib: None,
            network,
            commit: commit(),
            command_line: command_line(),
            unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }

    /// The same, with the disk that `directory` is on.
    pub(crate) fn with_disk_of(self, directory: &Path) -> Self {
        Self { read_ahead_kib: read_ahead_kib(directory), ..self }
    }
}

fn read_ahead_kib(directory: &Path) -> Option<u64> {
    let device = fs::metadata(directory).ok()?.dev();
    let path = format!("/sys/class/bdi/{}:{}/read_ahead_kb", major(device), minor(device));
    first_number(&fs::read_to_string(path).ok()?)
}

/// The command line, with the names of files instead of their paths: where they lie is this machine's business.
fn command_line() -> String {
    let words = std::env::args().skip(1).map(|word| without_directory(&word).to_owned());
    std::iter::once("ottla-benches".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn without_directory(word: &str) -> &str {
    match word.rsplit_once('/') {
        Some((_, name)) if word.starts_with('/') => name,
        _ => word,
    }
}

fn commit() -> String {
    let run = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = run(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    match run(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if !changes.is_empty() => format!("{commit} with local changes"),
        _ => commit,
    }
}

fn value_of<'a>(table: &'a str, name: &str) -> Option<&'a str> {
    let line = table.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// CPU seconds that this machine has spent since boot: all of it, and the part that did work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MachineCpu {
    total_s: f64,
    busy_s: f64,
}

impl MachineCpu {
    /// Reads the counters.
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: Vec<f64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|field| field.parse().ok())
            .collect();
        let field = |index: usize| ticks.get(index).copied().unwrap_or(0.0);
        // user, nice, system, idle, iowait, irq, softirq, steal: the first eight; guest time is part of user.
        let idle = field(3) + field(4);
        let total: f64 = ticks.iter().take(8).sum();
        Self { total_s: total / 100.0, busy_s: (total - idle) / 100.0 }
    }

    /// The share of the machine that went to others since `self`, given what our own processes used, in `0..=1`.
    pub(crate) fn foreign_share_since(self, own_cpu_s: f64) -> f64 {
        let now = Self::now();
        let total = now.total_s - self.total_s;
        if total <= 0.0 {
            return 0.0;
        }
        ((now.busy_s - self.busy_s - own_cpu_s) / total).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::without_directory;

    #[test]
    fn a_command_line_names_files_and_not_where_they_lie() {
        assert_eq!(without_directory("/somewhere/release/ottla"), "ottla");
        assert_eq!(without_directory("docs/performance.md"), "docs/performance.md");
        assert_eq!(without_directory("--rows"), "--rows");
    }
}
