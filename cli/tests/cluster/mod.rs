//! A broker in this process, and `ottla` run against it.

use std::io::{BufRead, Read, Write};
use std::process::Stdio;

use assert_cmd::Command;
use ottla_broker::{Broker, BrokerConfig, BrokerHandle};

/// A running broker with its data in a temporary directory.
pub(crate) struct TestCluster {
    runtime: tokio::runtime::Runtime,
    broker: Option<BrokerHandle>,
    bootstrap: String,
    directory: tempfile::TempDir,
}

impl TestCluster {
    /// Starts it on a free port.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        let directory = tempfile::tempdir().expect("a directory");
        let log_dirs = directory.path().join("data").display().to_string();
        let pairs = [
            ("listeners", "PLAINTEXT://127.0.0.1:0"),
            ("log.dirs", log_dirs.as_str()),
            // Nobody else is about to join.
            ("group.initial.rebalance.delay.ms", "0"),
        ];
        let config = BrokerConfig::from_pairs(pairs).expect("a legal configuration");
        let broker = runtime.block_on(Broker::start(config)).expect("started");
        let bootstrap = broker.address().to_string();
        TestCluster { runtime, broker: Some(broker), bootstrap, directory }
    }

    /// `ottla` with these arguments against the broker.
    pub(crate) fn ottla(&self, arguments: &[&str]) -> Command {
        let mut command = ottla(arguments);
        command.env("OTTLA_BOOTSTRAP", &self.bootstrap);
        command
    }

    /// The broker's data directory.
    pub(crate) fn data(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    /// A file with this content.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.display().to_string()
    }

    /// Stops the broker cleanly.
    pub(crate) fn stop(&mut self) {
        if let Some(broker) = self.broker.take() {
            self.runtime.block_on(broker.shutdown()).expect("stopped cleanly");
        }
    }
}

/// `ottla` with these arguments.
pub(crate) fn ottla(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.args(arguments).env_remove("OTTLA_BOOTSTRAP").timeout(std::time::Duration::from_secs(60));
    command
}

/// The standard output of a command that succeeds.
#[track_caller]
pub(crate) fn stdout_of(mut command: impl std::borrow::BorrowMut<Command>) -> String {
    let output = command.borrow_mut().output().expect("runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// The standard error of a command that ends with this exit code.
#[track_caller]
pub(crate) fn stderr_of(mut command: Command, code: i32) -> String {
    let output = command.output().expect("runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

/// The lines of a text.
pub(crate) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// `ottla` while it runs.
pub(crate) struct Running {
    child: std::process::Child,
    stdout: std::io::BufReader<std::process::ChildStdout>,
    stdin: std::process::ChildStdin,
}

impl TestCluster {
    /// Where the broker is.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Starts `ottla` with these arguments against the broker.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(arguments)
            .env("OTTLA_BOOTSTRAP", &self.bootstrap)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let stdout = std::io::BufReader::new(child.stdout.take().expect("piped"));
        let stdin = child.stdin.take().expect("piped");
        Running { child, stdout, stdin }
    }
}

impl Running {
    /// Gives it a line.
    pub(crate) fn write_line(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("read");
        self.stdin.flush().expect("read");
    }

    /// A line of it.
    pub(crate) fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("text");
        line
    }

    /// Waits for its own end; its exit code and what it had still to print.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("ends").code(), rest)
    }

    /// By what it is interrupted.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Interrupts it; its exit code and its standard error.
    pub(crate) fn interrupted(self) -> (Option<i32>, String) {
        interrupt(self.pid());
        let output = self.child.wait_with_output().expect("ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// As Ctrl-C does.
pub(crate) fn interrupt(pid: u32) {
    let sent = std::process::Command::new("kill").args(["-INT", &pid.to_string()]).status();
    assert!(sent.expect("runs").success());
}
