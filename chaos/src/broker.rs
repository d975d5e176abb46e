//! The broker process: started on a directory, killed, started again on the same directory and port.

use crate::finding::Finding;
use crate::wire::Wire;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a start may take; recovery included.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How long a clean end may take. It syncs all that was never synced, which after a long run is gigabytes.
const STOP_DEADLINE: Duration = Duration::from_secs(120);

/// Where a broker lives over several lives.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    binary: PathBuf,
    directory: PathBuf,
    data: Vec<PathBuf>,
    settings: Vec<String>,
    /// Where it listens, in every life.
    pub(crate) address: SocketAddr,
}

/// At which of its own operations the broker is to die.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrashPoint {
    /// Counts writes, fsyncs, renames and the like from one.
    pub(crate) operation: u64,
    /// Whether half of the bytes get through, if it is a write.
    pub(crate) torn: bool,
}

/// How a start ended.
pub(crate) enum Start {
    /// It answers.
    Listening(Life),
    /// It died before that.
    Died(ExitStatus),
}

impl Home {
    /// A home in this directory, with a port of its own.
    pub(crate) fn new(binary: &Path, directory: &Path) -> Result<Self, Finding> {
        std::fs::create_dir_all(directory)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let data = vec![directory.join("data")];
        let settings = Vec::new();
        Ok(Self { binary: binary.to_owned(), directory: directory.to_owned(), data, settings, address })
    }

    /// With its data in these directories.
    pub(crate) fn with_data(mut self, data: &[PathBuf]) -> Self {
        self.data = data.to_vec();
        self
    }

    /// With one more setting, `key=value`.
    pub(crate) fn with(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Starts a life and waits until it answers, or has died at its crash point.
    pub(crate) fn start(&self, crash: Option<CrashPoint>) -> Result<Start, Finding> {
        let log = self.directory.join("broker.log");
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--set").arg(format!("listeners=PLAINTEXT://{}", self.address));
        let data: Vec<String> = self.data.iter().map(|path| path.display().to_string()).collect();
        command.arg("--set").arg(format!("log.dirs={}", data.join(",")));
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        if let Some(crash) = crash {
            command.env("OTTLA_CRASH_AT", crash.operation.to_string());
            if crash.torn {
                command.env("OTTLA_CRASH_TEAR", "1");
            }
        }
        command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let mut life = Life { child: command.spawn()?, log };
        let started = Instant::now();
        loop {
            // The socket listens before the logs are open; an answer is what counts.
            match Wire::connect(self.address).and_then(|mut wire| wire.ask()) {
                Ok(()) => return Ok(Start::Listening(life)),
                Err(finding) if finding.is_disconnection() => {}
                Err(finding) => return Err(finding),
            }
            if let Some(status) = life.child.try_wait()? {
                return Ok(Start::Died(status));
            }
            if started.elapsed() > START_DEADLINE {
                return Err(life.finding("it does not answer 60 s after its start"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts a life that must come up.
    pub(crate) fn start_sound(&self) -> Result<Life, Finding> {
        match self.start(None)? {
            Start::Listening(life) => Ok(life),
            Start::Died(status) => Err(Finding::Process {
                what: format!("it does not start again: {status}"),
                log: self.directory.join("broker.log"),
            }),
        }
    }
}

/// One run of the broker process. Dropping it kills it.
pub(crate) struct Life {
    child: Child,
    log: PathBuf,
}

impl Life {
    /// `kill -9`.
    pub(crate) fn kill(mut self) -> Result<(), Finding> {
        if let Some(status) = self.child.try_wait()? {
            return Err(self.finding(&format!("it ended before it was killed: {status}")));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has died.
    pub(crate) fn has_died(&mut self) -> Result<bool, Finding> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// SIGTERM; true if it ended well, false if it died on the way.
    pub(crate) fn stop(mut self) -> Result<bool, Finding> {
        Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).stderr(Stdio::null()).status()?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            if started.elapsed() > STOP_DEADLINE {
                return Err(self.finding("it does not end 120 s after SIGTERM"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn finding(&self, what: &str) -> Finding {
        Finding::Process { what: what.to_owned(), log: self.log.clone() }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // Already ended is fine: then there is nothing left to kill or to wait for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
