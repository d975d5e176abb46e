//! What the kernel knows of a process: its memory, descriptors, threads and time, from `/proc`.

use crate::finding::Finding;
use std::path::PathBuf;
use std::time::Duration;

/// The kernel counts in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A running process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    directory: PathBuf,
}

impl Process {
    /// The process of this id.
    pub(crate) fn new(id: u32) -> Self {
        Self { directory: PathBuf::from(format!("/proc/{id}")) }
    }

    /// Memory of its own: without the page cache and its program.
    pub(crate) fn anonymous_kib(&self) -> Result<u64, Finding> {
        self.status("RssAnon:")
    }

    /// How many threads it has.
    pub(crate) fn thread_count(&self) -> Result<u64, Finding> {
        self.status("Threads:")
    }

    /// The numbers of its open descriptors.
    pub(crate) fn descriptors(&self) -> Result<Vec<u64>, Finding> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(self.directory.join("fd"))? {
            numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The hard limit of its descriptors.
    pub(crate) fn descriptors_max(&self) -> Result<u64, Finding> {
        let limits = std::fs::read_to_string(self.directory.join("limits"))?;
        let hard = |line: &str| line.strip_prefix("Max open files")?.split_whitespace().nth(1)?.parse().ok();
        limits
            .lines()
            .find_map(hard)
            .ok_or_else(|| Finding::Void("no limit of open files in /proc".to_owned()))
    }

    /// How long it has used a core, in user mode and in the kernel.
    pub(crate) fn cpu_time(&self) -> Result<Duration, Finding> {
        let line = std::fs::read_to_string(self.directory.join("stat"))?;
        // Behind the name in brackets, which may hold anything, come 11 fields and then these two.
        let fields = line.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(TICK * u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    fn status(&self, key: &str) -> Result<u64, Finding> {
        let status = std::fs::read_to_string(self.directory.join("status"))?;
        let value =
            status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
        value.ok_or_else(|| Finding::Void(format!("no {key} in /proc")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_figures_make_sense() {
        let process = Process::new(std::process::id());
        assert!(process.anonymous_kib().expect("a status") > 100);
        assert!(process.thread_count().expect("a status") >= 1);
        assert!(process.descriptors().expect("a list").starts_with(&[0, 1, 2]));
        assert!(process.descriptors_max().expect("limits") >= 3);
        process.cpu_time().expect("a stat");
    }
}
