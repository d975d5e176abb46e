//! The `ottla` binary as the other tasks use it: built in release, started as a broker, run as a client.

use crate::failure::Failure;
use crate::process::{Background, free_port, run};
use crate::workspace::Workspace;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The binary.
pub(crate) struct Ottla {
    binary: PathBuf,
}

impl Ottla {
    /// Builds it in release, because interop moves five gigabytes through it; or takes one that is there already.
    pub(crate) fn build(workspace: &Workspace, binary: Option<&Path>) -> Result<Self, Failure> {
        if let Some(binary) = binary {
            return Ok(Self { binary: binary.to_owned() });
        }
        run(workspace.cargo().args(["build", "--quiet", "--release", "--locked", "--package", "ottla-cli"]))?;
        Ok(Self { binary: workspace.path("target/release/ottla") })
    }

    /// Where the binary is.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The binary with its arguments still to come.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.binary)
    }

    /// `ottla produce` on records as JSON lines.
    pub(crate) fn produce(&self, bootstrap: &str, topic: &str, codec: &str, file: &Path) -> Command {
        let mut command = self.command();
        command.args([
            "produce",
            topic,
            "--bootstrap",
            bootstrap,
            "--compression",
            codec,
            "--format",
            "json",
        ]);
        command.arg("--quiet").arg(file);
        command
    }

    /// `ottla consume` of a whole topic into JSON lines.
    pub(crate) fn consume(&self, bootstrap: &str, topic: &str, file: &Path) -> Command {
        let mut command = self.command();
        command.args(["consume", topic, "--bootstrap", bootstrap, "--exit-at-end", "--format", "json"]);
        command.args(["--quiet", "--output-file"]).arg(file);
        command
    }

    /// `ottla serve` on a free port of loopback, with its data in `directory`.
    pub(crate) fn serve(&self, directory: &Path, settings: &[&str]) -> Result<OttlaBroker, Failure> {
        std::fs::create_dir_all(directory).map_err(Failure::file(directory))?;
        let port = free_port()?;
        let data = directory.join("data");
        let mut command = self.command();
        command.arg("serve");
        command.arg("--set").arg(format!("listeners=PLAINTEXT://127.0.0.1:{port}"));
        command.arg("--set").arg(format!("log.dirs={}", data.display()));
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut process = Background::start(&mut command, &directory.join("broker.log"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        process.wait_until_listening(address, Duration::from_secs(30))?;
        Ok(OttlaBroker { process, address, data })
    }
}

/// A running `ottla serve`; dropping it kills it.
pub(crate) struct OttlaBroker {
    process: Background,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its log directory.
    pub(crate) data: PathBuf,
}

impl OttlaBroker {
    /// SIGKILL, and a new start on its files; returns once it listens again.
    pub(crate) fn kill_and_restart(&mut self) -> Result<(), Failure> {
        self.process.kill_and_restart()?;
        self.process.wait_until_listening(self.address, Duration::from_secs(30))
    }

    /// Ends it cleanly.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.process.stop()
    }
}
