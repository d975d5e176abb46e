//! What a server used while something was measured: CPU from `/proc/PID/stat`, memory from `/proc/PID/status`, and how busy
//! others kept the machine meanwhile.
//!
//! Memory has a peak that only somebody who looks on can see, so a thread looks ten times a second. `VmHWM` is reset at the
//! start where the kernel allows it, so that it is the peak of this measurement and not of the process's life.

use std::fs;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{BenchError, Result};
use crate::machine::MachineCpu;
use crate::process::{MemoryMib, ServerProcess, family_cpu_s, memory_of};
use crate::rows::Figures;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The counters at the start of a measurement.
#[derive(Debug)]
pub(crate) struct Watch {
    machine: MachineCpu,
    family_cpu_s: f64,
    server_cpu_s: f64,
    memory: MemoryWatch,
    started: Instant,
}

/// What the counters said at its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    pub(crate) elapsed_s: f64,
    pub(crate) server_cpu_s: f64,
    pub(crate) foreign_share: f64,
    /// The most that was held at any time.
    pub(crate) peak: MemoryMib,
}

impl Watch {
    /// Starts the clock.
    pub(crate) fn start(server: &ServerProcess) -> Result<Self> {
        Ok(Self {
            memory: MemoryWatch::start(server.pid())?,
            machine: MachineCpu::now(),
            family_cpu_s: family_cpu_s()?,
            server_cpu_s: server.cpu_s()?,
            started: Instant::now(),
        })
    }

    /// Stops the clock.
    pub(crate) fn stop(self, server: &ServerProcess) -> Result<Observed> {
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let server_cpu_s = server.cpu_s()? - self.server_cpu_s;
        let own = family_cpu_s()? - self.family_cpu_s;
        let foreign_share = self.machine.foreign_share_since(own);
        let peak = self.memory.stop(server.pid())?;
        Ok(Observed { elapsed_s, server_cpu_s, foreign_share, peak })
    }
}

impl Observed {
    /// What the server used for so many records, and its memory.
    pub(crate) fn figures_of(&self, records: u64) -> Figures {
        let mut figures =
            Figures::from([("RssAnon peak MiB", self.peak.rss_anon), ("VmHWM MiB", self.peak.high_water)]);
        if records > 0 {
            figures.insert("CPU-s/M records", self.server_cpu_s / (records as f64 / 1e6));
        }
        figures
    }

    /// The figures of a transfer of `bytes` and `records`.
    pub(crate) fn transfer_figures(&self, bytes: u64, records: u64) -> Figures {
        let mut figures = self.figures_of(records);
        figures.insert("MB/s", bytes as f64 / 1e6 / self.elapsed_s);
        figures.insert("CPU-s/GB", self.cpu_s_per_gb(bytes));
        if records > 0 {
            figures.insert("k records/s", records as f64 / 1e3 / self.elapsed_s);
        }
        figures
    }

    /// CPU seconds of the server for each gigabyte of `bytes`.
    pub(crate) fn cpu_s_per_gb(&self, bytes: u64) -> f64 {
        self.server_cpu_s / (bytes as f64 / 1e9)
    }
}

/// Looks at a process's memory until it is told to stop, or forgotten.
#[derive(Debug)]
struct MemoryWatch {
    enough: Sender<()>,
    looking: JoinHandle<f64>,
}

impl MemoryWatch {
    fn start(pid: u32) -> Result<Self> {
        // Without the right to reset it, `VmHWM` stays that of the process's life.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        let mut peak = memory_of(pid)?.rss_anon;
        let (enough, told) = channel::<()>();
        let looking = std::thread::spawn(move || {
            while told.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                // A server that has ended holds nothing.
                peak = peak.max(memory_of(pid).unwrap_or_default().rss_anon);
            }
            peak
        });
        Ok(Self { enough, looking })
    }

    fn stop(self, pid: u32) -> Result<MemoryMib> {
        let last = memory_of(pid)?;
        drop(self.enough);
        let seen =
            self.looking.join().map_err(|_| BenchError::Void("the memory's watcher panicked".to_owned()))?;
        Ok(MemoryMib { rss_anon: seen.max(last.rss_anon), ..last })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_peak_is_seen_although_it_has_passed() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("sh");
        // A string of 32 MiB for a while, and then a short one.
        command.args(["-c", "a=$(head -c 33554432 /dev/zero | tr '\\0' x); sleep 0.5; a=; sleep 60"]);
        let server = ServerProcess::start(command, log.path()).unwrap();
        let watch = Watch::start(&server).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while memory_of(server.pid()).unwrap().rss_anon < 30.0 {
            assert!(Instant::now() < deadline, "the shell took no memory");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(3 * LOOK_EVERY);
        let observed = watch.stop(&server).unwrap();
        assert!(observed.peak.rss_anon >= 30.0, "{observed:?}");
        assert!(observed.peak.high_water >= observed.peak.rss_anon, "{observed:?}");
    }

    #[test]
    fn cpu_is_told_per_gigabyte_and_per_million_records() {
        let observed =
            Observed { elapsed_s: 2.0, server_cpu_s: 1.0, foreign_share: 0.0, peak: MemoryMib::default() };
        let figures = observed.transfer_figures(4_000_000_000, 500_000);
        assert_eq!((figures["CPU-s/GB"], figures["CPU-s/M records"]), (0.25, 2.0));
        assert_eq!((figures["MB/s"], figures["k records/s"]), (2000.0, 250.0));
    }
}
