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
    scripts: PathBuf,
}

impl Ottla {
    /// Where it will be.
    pub(crate) fn of(workspace: &Workspace) -> Self {
        Self { binary: workspace.path("target/release/ottla"), scripts: workspace.path("interop/python") }
    }

    /// Builds it in release, because interop moves five gigabytes through it.
    pub(crate) fn build(&self, workspace: &Workspace) -> Result<(), Failure> {
        run(workspace.cargo().args(["build", "--quiet", "--release", "--locked", "--package", "ottla-cli"]))
    }

    /// Where the binary is.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The binary with its arguments still to come.
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.binary)
    }

    /// `ottla produce` on lines `timestamp <tab> key <tab> value`; the file name is still to come.
    pub(crate) fn produce_lines(&self, bootstrap: &str, topic: &str, codec: &str) -> Command {
        let mut command = Command::new("python3");
        command.arg(self.scripts.join("ottla.py")).arg("produce").arg(&self.binary);
        command.args([bootstrap, topic, codec]);
        command
    }

    /// `ottla consume` into lines `partition offset timestamp key value`; the file name is still to come.
    pub(crate) fn consume_lines(&self, bootstrap: &str, topic: &str) -> Command {
        let mut command = Command::new("python3");
        command.arg(self.scripts.join("ottla.py")).arg("consume").arg(&self.binary);
        command.args([bootstrap, topic]);
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
    /// Ends it cleanly.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.process.stop()
    }
}
