//! `cargo xtask crash` and `soak`: hand over to the `chaos` crate, built in release, with the release broker.

use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::run;
use crate::workspace::Workspace;

/// Kills the broker at this many random moments, then at its own writes, fsyncs and renames.
pub(crate) fn crash(workspace: &Workspace, moments: u32, seed: Option<u64>) -> Result<(), Failure> {
    let ottla = Ottla::of(workspace);
    ottla.build(workspace)?;
    let scratch = workspace.scratch("crash")?;
    let mut command = workspace.cargo();
    command.args(["run", "--quiet", "--release", "--locked", "--package", "ottla-chaos", "--", "crash"]);
    command.arg("--broker").arg(ottla.binary()).arg("--directory").arg(&scratch);
    command.args(["--moments", &moments.to_string()]);
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    run(&mut command)
}
