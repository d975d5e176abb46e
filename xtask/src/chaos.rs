//! `cargo xtask crash`: hands over to the `chaos` crate, built in release, with the release broker.

use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::run;
use crate::workspace::Workspace;

/// What to try.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many random moments.
    #[arg(long, default_value_t = 200)]
    pub(crate) moments: u32,
    /// Of the broker's own operations, every so many; 0 for none.
    #[arg(long, default_value_t = 1)]
    pub(crate) stride: u64,
    /// Repeats a run's choices.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Kills the broker at random moments, then at its own writes, fsyncs and renames.
pub(crate) fn crash(workspace: &Workspace, options: &Options) -> Result<(), Failure> {
    let ottla = Ottla::of(workspace);
    ottla.build(workspace)?;
    let scratch = workspace.scratch("crash")?;
    let chaos = |task: &[&str]| {
        let mut command = workspace.cargo();
        command.args(["run", "--quiet", "--release", "--locked", "--package", "ottla-chaos", "--"]);
        command.arg("--broker").arg(ottla.binary()).arg("--directory").arg(&scratch);
        command.args(["--seed", &options.seed.to_string()]).args(task);
        run(&mut command)
    };
    if options.moments > 0 {
        chaos(&["moments", "--count", &options.moments.to_string()])?;
    }
    if options.stride > 0 {
        chaos(&["points", "--stride", &options.stride.to_string()])?;
    }
    Ok(())
}
