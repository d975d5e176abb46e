//! Linux `perf` as a child process that records only while it is told to: its control pipe begins and ends a window to the
//! microsecond, so that neither its own start nor the load's warm-up is in a figure.
//!
//! No library and no kernel interface of ours. Where perf is missing or not permitted, [`availability`] says so in one line.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{BenchError, Doing, Result};

/// Bytes of user stack kept with each sample. The broker is built without frame pointers, and futures nest deeply.
const STACK_BYTES: u32 = 16 << 10;
/// Where the kernel lists what it can count.
const SYSTEM_CALL_EVENTS: &str = "/sys/kernel/tracing/events/syscalls";
/// The system calls that are told apart. Counting all four hundred would take perf a minute to begin.
const NAMED: [&str; 30] = [
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "preadv2",
    "pwritev2",
    "recvfrom",
    "sendto",
    "recvmsg",
    "sendmsg",
    "sendfile64",
    "epoll_wait",
    "epoll_pwait",
    "epoll_ctl",
    "futex",
    "fdatasync",
    "fsync",
    "sync_file_range",
    "fallocate",
    "fadvise64",
    "openat",
    "close",
    "mmap",
    "munmap",
    "madvise",
    "sched_yield",
];
/// perf gives up when a thread ends between its listing and its being attached to, as idle threads do now and then.
const STARTS_MAX: usize = 3;

/// Why nothing can be profiled here, in one line; `None` when it can.
pub(crate) fn availability() -> Option<String> {
    let arguments = ["stat", "-e", "cpu-clock,raw_syscalls:sys_enter", "--", "true"];
    match Command::new("perf").args(arguments).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let reason = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
            Some(format!("perf is not permitted here ({}): no shares, no flame graphs", reason.trim()))
        }
        Err(error) => Some(format!("perf is not installed ({error}): no shares, no flame graphs")),
    }
}

/// A perf that waits for its window, or is in it.
#[derive(Debug)]
pub(crate) struct Perf {
    child: Child,
    control: ChildStdin,
    answers: BufReader<ChildStdout>,
    file: PathBuf,
    /// What it writes for people.
    said: PathBuf,
}

impl Perf {
    /// Will sample where a process spends its processor time, `per_second` times a second of it.
    pub(crate) fn sampling(pid: u32, per_second: u32, file: &Path) -> Result<Self> {
        let mut command = Command::new("perf");
        command.args(["record", "--quiet", "--event", "cpu-clock", "--freq", &per_second.to_string()]);
        command.args(["--call-graph", &format!("dwarf,{STACK_BYTES}"), "--pid", &pid.to_string()]);
        Self::start(command, file)
    }

    /// Will record when and where each of these threads stops running, who wakes it, and when it runs again.
    pub(crate) fn switches(threads: &[u32], file: &Path) -> Result<Self> {
        let any =
            |template: &dyn Fn(&u32) -> String| threads.iter().map(template).collect::<Vec<_>>().join(" || ");
        let switched = any(&|thread| format!("prev_pid=={thread} || next_pid=={thread}"));
        let woken = any(&|thread| format!("pid=={thread}"));
        let mut command = Command::new("perf");
        command.args(["record", "--quiet", "--all-cpus", "--call-graph", &format!("dwarf,{STACK_BYTES}")]);
        command.args(["--event", "sched:sched_switch", "--filter", &switched]);
        command.args(["--event", "sched:sched_waking", "--filter", &woken]);
        // Several megabytes a second on each processor come and must not be lost.
        command.args(["--mmap-pages", "16M"]);
        Self::start(command, file)
    }

    /// Will count all system calls, by name, and what the scheduler does with a process.
    pub(crate) fn counting(pid: u32, file: &Path) -> Result<Self> {
        let mut command = Command::new("perf");
        command.args(["stat", "--field-separator", ","]);
        let events = Path::new(SYSTEM_CALL_EVENTS);
        for name in NAMED.map(|name| format!("sys_enter_{name}")) {
            // Not every processor has them all.
            if !events.exists() || events.join(&name).exists() {
                command.arg("--event").arg(format!("syscalls:{name}"));
            }
        }
        command.args(["--event", "raw_syscalls:sys_enter,sched:sched_waking,cpu-migrations"]);
        command.args(["--pid", &pid.to_string()]);
        Self::start(command, file)
    }

    fn start(mut command: Command, file: &Path) -> Result<Self> {
        command.args(["--delay", "-1", "--control", "fd:0,1", "--output"]).arg(file);
        let mut started = Self::start_once(&mut command, file);
        for _ in 1..STARTS_MAX {
            if started.is_err() {
                started = Self::start_once(&mut command, file);
            }
        }
        started
    }

    /// Starts perf and waits until it listens, which it does when all its counters are in place.
    fn start_once(command: &mut Command, file: &Path) -> Result<Self> {
        let said = file.with_extension("said");
        let errors = File::create(&said).doing(|| format!("create {}", said.display()))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .doing(|| "start perf".to_owned())?;
        let (Some(control), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::Server("perf has no pipes".to_owned()));
        };
        let answers = BufReader::new(answers);
        let mut perf = Self { child, control, answers, file: file.to_owned(), said };
        perf.tell("ping")?;
        Ok(perf)
    }

    /// The window begins.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.tell("enable")
    }

    /// The window ends; where the recording is.
    pub(crate) fn end(mut self) -> Result<PathBuf> {
        self.tell("disable")?;
        let pid = Pid::from_raw(self.child.id() as i32);
        kill(pid, Signal::SIGINT).doing(|| "end perf".to_owned())?;
        self.child.wait().doing(|| "wait for perf".to_owned())?;
        Ok(self.file.clone())
    }

    /// Sends a word and waits until perf has done what it says.
    fn tell(&mut self, word: &str) -> Result<()> {
        let mut answer = Vec::new();
        let told = writeln!(self.control, "{word}")
            .and_then(|()| self.control.flush())
            .and_then(|()| self.answers.read_until(b'\n', &mut answer));
        if told.is_ok() && String::from_utf8_lossy(&answer).contains("ack") {
            return Ok(());
        }
        let said = fs::read_to_string(&self.said).unwrap_or_default();
        Err(BenchError::Server(format!("perf ended instead of doing `{word}`: {}", said.trim())))
    }
}

impl Drop for Perf {
    fn drop(&mut self) {
        // One that has ended answers with an error, which is what we want to hear.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a recording holds, as text: a paragraph for each event, with its stack, innermost frame first.
pub(crate) fn script(recording: &Path) -> Result<String> {
    let mut command = Command::new("perf");
    // Inlined functions would each cost a search through all of the debug information.
    command.args(["script", "--no-inline", "--fields", "comm,tid,time,event,trace,ip,sym,dso", "--input"]);
    let output = command.arg(recording).output().doing(|| "run perf script".to_owned())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(BenchError::Server(format!("perf script: {}", String::from_utf8_lossy(&output.stderr))))
}
