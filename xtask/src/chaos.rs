//! `cargo xtask crash`, `hostile`, `full-disk`, `power-loss`, `descriptors` and `soak`: hand over to the `chaos` crate, built in release, with the release broker.

use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::run;
use crate::workspace::Workspace;
use std::path::PathBuf;

/// What to try.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many random moments.
    #[arg(long, default_value_t = 200)]
    pub(crate) moments: u32,
    /// How many random moments of compaction.
    #[arg(long, default_value_t = 60)]
    pub(crate) compactions: u32,
    /// Of the broker's own operations, every so many; 0 for none.
    #[arg(long, default_value_t = 1)]
    pub(crate) stride: u64,
    /// Repeats a run's choices.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// How long and how hard a soak is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Soak {
    /// How long.
    #[arg(long, default_value_t = 30)]
    pub(crate) minutes: u64,
    /// Everything so many times less often.
    #[arg(long, default_value_t = 1)]
    pub(crate) slow_down: u32,
    /// Keep the report as benches/results/NAME.md and NAME.json.
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// The binaries, and the directory of this task.
struct Harness<'a> {
    workspace: &'a Workspace,
    ottla: Ottla,
    scratch: PathBuf,
    seed: u64,
}

impl<'a> Harness<'a> {
    fn build(workspace: &'a Workspace, task: &str, seed: u64) -> Result<Self, Failure> {
        let ottla = Ottla::build(workspace, None)?;
        Ok(Self { workspace, ottla, scratch: workspace.scratch(task)?, seed })
    }

    fn run(&self, task: &[&str]) -> Result<(), Failure> {
        let mut command = self.workspace.cargo();
        command.args(["run", "--quiet", "--release", "--locked", "--package", "ottla-chaos", "--"]);
        command.arg("--broker").arg(self.ottla.binary()).arg("--directory").arg(&self.scratch);
        run(command.args(["--seed", &self.seed.to_string()]).args(task))
    }
}

/// Kills the broker at random moments, then while it compacts, then at its own writes, fsyncs and renames.
pub(crate) fn crash(workspace: &Workspace, options: &Options) -> Result<(), Failure> {
    let harness = Harness::build(workspace, "crash", options.seed)?;
    if options.moments > 0 {
        harness.run(&["moments", "--count", &options.moments.to_string()])?;
    }
    if options.compactions > 0 {
        harness.run(&["compaction", "--count", &options.compactions.to_string()])?;
    }
    if options.stride > 0 {
        harness.run(&["points", "--stride", &options.stride.to_string()])?;
    }
    Ok(())
}

/// Sends the broker what no client sends.
pub(crate) fn hostile(workspace: &Workspace) -> Result<(), Failure> {
    let golden = workspace.path("protocol/tests/golden");
    Harness::build(workspace, "hostile", 1)?.run(&["hostile", "--golden", &golden.to_string_lossy()])
}

/// Cuts the power of an ext4 under load, and turns one read-only.
pub(crate) fn power_loss(workspace: &Workspace, rounds: u32) -> Result<(), Failure> {
    Harness::build(workspace, "power-loss", 1)?.run(&["power-loss", "--rounds", &rounds.to_string()])
}

/// Leaves the broker without a descriptor for a while.
pub(crate) fn descriptors(workspace: &Workspace) -> Result<(), Failure> {
    Harness::build(workspace, "descriptors", 1)?.run(&["descriptors"])
}

/// Mixed load for a long time.
pub(crate) fn soak(workspace: &Workspace, options: &Soak) -> Result<(), Failure> {
    let (minutes, slow_down) = (options.minutes.to_string(), options.slow_down.to_string());
    let mut task = vec!["soak", "--minutes", &minutes, "--slow-down", &slow_down];
    let report =
        options.name.as_ref().map(|name| workspace.path("benches/results").join(name).display().to_string());
    if let Some(report) = &report {
        task.extend(["--report", report]);
    }
    Harness::build(workspace, "soak", 1)?.run(&task)
}

/// Lets the disk fill up, and empties it again.
pub(crate) fn full_disk(workspace: &Workspace) -> Result<(), Failure> {
    Harness::build(workspace, "full-disk", 1)?.run(&["full-disk"])
}
