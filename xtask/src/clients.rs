//! The other clients of the interop task: kcat from Debian, librdkafka in a Python environment of its own.
//!
//! Both are installed when they are missing, from the ordinary registries, so that CI needs nothing but toolchains.

use crate::failure::Failure;
use crate::process::{capture, run};
use crate::workspace::Workspace;
use std::path::PathBuf;
use std::process::Command;

/// The Python interpreter that has confluent-kafka and the flights.
pub(crate) struct Python {
    interpreter: PathBuf,
    scripts: PathBuf,
}

impl Python {
    /// Makes the environment, or takes the one that is there if its pins are the same.
    pub(crate) fn install(workspace: &Workspace) -> Result<Self, Failure> {
        let environment = workspace.path(".cache/python");
        let interpreter = environment.join("bin/python3");
        let stamp = environment.join("installed.txt");
        let requirements = workspace.path("interop/requirements.txt");
        let wanted = std::fs::read_to_string(&requirements).map_err(Failure::file(&requirements))?;
        if std::fs::read_to_string(&stamp).ok().as_deref() != Some(wanted.as_str()) {
            println!("installing the Python clients");
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
            run(Command::new(&interpreter)
                .args(["-m", "pip", "--quiet", "install", "--no-deps", "-r"])
                .arg(&requirements))?;
            std::fs::write(&stamp, &wanted).map_err(Failure::file(&stamp))?;
        }
        Ok(Self { interpreter, scripts: workspace.path("interop/python") })
    }

    /// One of the scripts of `interop/python`.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg(self.scripts.join(name));
        command
    }
}

/// Installs kcat where it is missing; needs root and Debian for that, as CI has.
pub(crate) fn install_kcat() -> Result<(), Failure> {
    if capture(Command::new("kcat").arg("-V")).is_ok() {
        return Ok(());
    }
    println!("installing kcat");
    capture(Command::new("apt-get").args(["-qq", "update"]))?;
    capture(
        Command::new("apt-get")
            .args(["-qq", "install", "-y", "kcat"])
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    Ok(())
}
