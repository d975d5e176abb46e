//! `cargo xtask bench`: builds what is measured, fetches the rival, and hands over to `ottla-benches`.

use crate::apache::Apache;
use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::run as run_to_end;
use crate::workspace::Workspace;

/// Measures. Options alone mean the command `run`, which then also writes the page for people.
pub(crate) fn run(workspace: &Workspace, arguments: Vec<String>) -> Result<(), Failure> {
    Ottla::build(workspace, None)?;
    Apache::install(workspace)?;
    let mut command = workspace.cargo();
    command.args(["run", "--quiet", "--release", "--locked", "--package", "ottla-benches"]);
    let is_command = arguments.first().is_some_and(|first| !first.starts_with('-'));
    if arguments.first().is_some_and(|first| first == "clients") {
        command.args(["--features", "librdkafka"]);
    }
    command.arg("--");
    if !is_command {
        command.arg("run").arg("--page").arg(workspace.path("docs/performance.md"));
    }
    run_to_end(command.args(arguments))
}
