//! One server process under measurement: started, frozen while another is measured, watched through `/proc`, ended.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

use crate::error::{BenchError, Doing, Result};

/// Clock ticks in a second in `/proc/PID/stat`; a constant of the kernel's interface on every platform we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    started: Instant,
}

/// What a process holds in memory, in MiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MemoryMib {
    /// Anonymous pages: heap and stacks.
    pub(crate) rss_anon: f64,
    /// The most that was ever resident, page cache mappings included.
    pub(crate) high_water: f64,
}

impl ServerProcess {
    /// Starts `command` with its output in `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let out = File::create(log).doing(|| format!("create {}", log.display()))?;
        let err = out.try_clone().doing(|| "duplicate the log's descriptor".to_owned())?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let program = command.get_program().to_string_lossy().into_owned();
        let started = Instant::now();
        let child = command.spawn().doing(|| format!("start {program}"))?;
        Ok(Self { child, started })
    }

    /// When the process was started: the moment before `fork`.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// An error when the process has ended.
    pub(crate) fn assert_alive(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(BenchError::Server(format!("the server ended with {status}"))),
            Err(source) => Err(BenchError::Io { doing: "wait for the server".to_owned(), source }),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), signal).doing(|| format!("send {signal} to the server"))
    }

    /// Stops the process's clock while something else is measured.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Undoes [`freeze`](Self::freeze).
    pub(crate) fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().doing(|| "kill the server".to_owned())?;
        self.child.wait().doing(|| "wait for the killed server".to_owned()).map(|_| ())
    }

    /// Asks the process to end and waits for it, at most `patience`.
    pub(crate) fn terminate(mut self, patience: Duration) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait().doing(|| "wait for the server".to_owned())? {
                Some(_) => return Ok(()),
                None if Instant::now() > deadline => {
                    return Err(BenchError::Server(format!("no clean end within {patience:?}")));
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// CPU seconds used so far, user and system.
    pub(crate) fn cpu_s(&self) -> Result<f64> {
        cpu_s_of(self.child.id())
    }

    /// What the process holds in memory.
    pub(crate) fn memory(&self) -> Result<MemoryMib> {
        memory_of(self.child.id())
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Ended processes answer with an error here, which is what we want to hear.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU seconds used by a process so far, user and system, its ended threads included.
pub(crate) fn cpu_s_of(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).doing(|| format!("read {path}"))?;
    // The second field is the name in parentheses and may hold spaces, so count from the last parenthesis:
    // utime and stime are the 12th and 13th fields after it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / TICKS_PER_SECOND)
}

/// What a process holds in memory.
pub(crate) fn memory_of(pid: u32) -> Result<MemoryMib> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).doing(|| format!("read {path}"))?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    Ok(MemoryMib {
        rss_anon: field("RssAnon:").unwrap_or(0.0) / 1024.0,
        high_water: field("VmHWM:").unwrap_or(0.0) / 1024.0,
    })
}

/// How many descriptors a process has open.
pub(crate) fn descriptors_of(pid: u32) -> Result<usize> {
    let path = format!("/proc/{pid}/fd");
    fs::read_dir(&path).doing(|| format!("read {path}")).map(Iterator::count)
}

/// How many maps a process has.
pub(crate) fn maps_of(pid: u32) -> Result<usize> {
    let path = format!("/proc/{pid}/maps");
    fs::read_to_string(&path).doing(|| format!("read {path}")).map(|maps| maps.lines().count())
}

/// What a process has read so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BytesRead {
    /// By calls, whether or not a disk was needed.
    pub(crate) by_calls: u64,
    /// From a disk, by calls or through maps.
    pub(crate) from_disk: u64,
}

/// Bytes that a process has read so far.
pub(crate) fn bytes_read_of(pid: u32) -> Result<BytesRead> {
    let path = format!("/proc/{pid}/io");
    let io = fs::read_to_string(&path).doing(|| format!("read {path}"))?;
    let field = |name: &str| {
        let bytes = io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        bytes.ok_or_else(|| BenchError::Server(format!("{path} does not say what was read")))
    };
    Ok(BytesRead { by_calls: field("rchar:")?, from_disk: field("read_bytes:")? })
}

/// CPU seconds used so far by this process, by every child that it has now, and by those that have ended.
pub(crate) fn family_cpu_s() -> Result<f64> {
    let mut total = cpu_s_of(std::process::id())? + ended_children_cpu_s()?;
    let tasks = fs::read_dir("/proc/self/task").doing(|| "read /proc/self/task".to_owned())?;
    for task in tasks.flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            total += cpu_s_of(child).unwrap_or(0.0);
        }
    }
    Ok(total)
}

/// CPU seconds of all children that have ended and were waited for.
pub(crate) fn ended_children_cpu_s() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).doing(|| "ask for the processor time".to_owned())?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// One process of idle priority on each processor, so that none of them sleeps and misses a wake-up until the next
/// tick, as an idle virtual processor may (PERFORMANCE.md §0).
pub(crate) fn spinners(log_dir: &Path) -> Result<Vec<ServerProcess>> {
    let program = std::env::current_exe().doing(|| "find this program".to_owned())?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (0..processors)
        .map(|processor| {
            let mut command = Command::new("chrt");
            command.args(["--idle", "0", "taskset", "--cpu-list", &processor.to_string()]);
            command.arg(&program).arg("spin");
            ServerProcess::start(command, &log_dir.join("spinner.log"))
        })
        .collect()
}
