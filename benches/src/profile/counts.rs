//! What a process did within a window, counted and not sampled: system calls by name (from `perf stat`), switches, page faults
//! and bytes through files (from `/proc`, which needs no perf).

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::{BenchError, Doing, Result};

/// The counters of `/proc`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct ProcCounts {
    /// Times a thread waited for something.
    pub(crate) voluntary_switches: u64,
    /// Times a thread had to make room for another.
    pub(crate) involuntary_switches: u64,
    pub(crate) page_faults: u64,
    /// Bytes read from files, `sendfile` included; sockets are not.
    pub(crate) read_bytes: u64,
    /// Bytes written, files for the most part; `sendfile` to sockets included, other sending is not.
    pub(crate) written_bytes: u64,
}

impl ProcCounts {
    /// Reads the counters of a process and of the threads that it has now.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut counts = Self::default();
        for thread in threads(pid)? {
            // A thread may end between the listing and here; then it takes its switches with it.
            let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).unwrap_or_default();
            counts.voluntary_switches += field(&status, "voluntary_ctxt_switches:");
            counts.involuntary_switches += field(&status, "nonvoluntary_ctxt_switches:");
        }
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).doing(|| format!("read {path}"))
        };
        let stat = read("stat")?;
        // The 8th field after the name in parentheses counts the faults that needed no disk, the 10th those that did.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let fault = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        counts.page_faults = fault(7) + fault(9);
        let io = read("io")?;
        counts.read_bytes = field(&io, "rchar:");
        counts.written_bytes = field(&io, "wchar:");
        Ok(counts)
    }

    /// What came on top of `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            involuntary_switches: self.involuntary_switches.saturating_sub(earlier.involuntary_switches),
            page_faults: self.page_faults - earlier.page_faults,
            read_bytes: self.read_bytes - earlier.read_bytes,
            written_bytes: self.written_bytes - earlier.written_bytes,
        }
    }
}

/// The threads of a process.
pub(crate) fn threads(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task");
    let listing = fs::read_dir(&path).doing(|| format!("read {path}"))?;
    Ok(listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

fn field(table: &str, name: &str) -> u64 {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// What `perf stat` counted.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct KernelCounts {
    /// System calls of all kinds.
    pub(crate) system_calls: u64,
    /// The same by name, most frequent first; those that were never called are left out.
    pub(crate) by_name: Vec<(String, u64)>,
    /// Threads that this process woke, its own and others.
    pub(crate) wake_ups: u64,
    /// Times a thread went on on another processor.
    pub(crate) migrations: u64,
}

impl KernelCounts {
    /// Reads the file that `perf stat` wrote.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).doing(|| format!("read {}", path.display()))?;
        let counts = Self::parse(&text);
        if counts.system_calls == 0 {
            return Err(BenchError::Void("perf stat counted no system call at all".to_owned()));
        }
        Ok(counts)
    }

    fn parse(text: &str) -> Self {
        let mut counts = Self::default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split(',').collect();
            let [value, _, event, ..] = fields[..] else { continue };
            // What could not be counted says so instead of a number.
            let Ok(value) = value.parse::<u64>() else { continue };
            match event {
                "raw_syscalls:sys_enter" => counts.system_calls = value,
                "sched:sched_waking" => counts.wake_ups = value,
                "cpu-migrations" => counts.migrations = value,
                _ => {
                    if let Some(name) = event.strip_prefix("syscalls:sys_enter_").filter(|_| value > 0) {
                        counts.by_name.push((name.to_owned(), value));
                    }
                }
            }
        }
        counts.by_name.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let named: u64 = counts.by_name.iter().map(|(_, count)| count).sum();
        if let Some(unnamed) = counts.system_calls.checked_sub(named).filter(|unnamed| *unnamed > 0) {
            counts.by_name.push(("others".to_owned(), unnamed));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_ranked_and_those_never_made_left_out() {
        let counts = KernelCounts::parse(
            "# started on a day\n\n15,,syscalls:sys_enter_madvise,67,100.00,,\n0,,syscalls:sys_enter_read,1,100.00,,\n\
             4156,,syscalls:sys_enter_pwritev,6,100.00,,\n<not counted>,,cpu-migrations,0,100.00,,\n\
             42424,,raw_syscalls:sys_enter,6,100.00,,\n8805,,sched:sched_waking,6,100.00,,\n",
        );
        assert_eq!(
            counts.by_name,
            [("pwritev".to_owned(), 4156), ("madvise".to_owned(), 15), ("others".to_owned(), 38253)]
        );
        assert_eq!((counts.system_calls, counts.wake_ups, counts.migrations), (42424, 8805, 0));
    }

    #[test]
    fn our_own_process_has_threads_and_faults() {
        let pid = std::process::id();
        assert!(threads(pid).unwrap().contains(&pid));
        let counts = ProcCounts::of(pid).unwrap();
        assert!(counts.page_faults > 0 && counts.read_bytes > 0, "{counts:?}");
    }
}
