//! `cargo xtask fuzz`: every fuzz target for some minutes each, with coverage guidance.
//!
//! The targets live in `fuzz/`, outside the workspace. libFuzzer's instrumentation is a nightly flag of the compiler, so
//! a nightly toolchain and cargo-fuzz must be there; nothing is installed here.

use crate::failure::Failure;
use crate::process::{capture, run};
use crate::scoreboard::Scoreboard;
use crate::workspace::Workspace;
use std::process::Command;

/// Runs every target, or the named one.
pub(crate) fn targets(
    workspace: &Workspace,
    minutes: u64,
    only: Option<&str>,
    board: &mut Scoreboard,
) -> Result<(), Failure> {
    run(nightly(workspace).args([
        "run",
        "--quiet",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--example",
        "seeds",
    ]))?;
    let listing = capture(nightly(workspace).args(["fuzz", "list"]))?;
    for target in listing.lines().filter(|target| only.is_none_or(|only| only == *target)) {
        board.step(&format!("fuzz {target} for {minutes} min"), || {
            let mut command = nightly(workspace);
            command.args(["fuzz", "run", target, "--"]);
            command.args([&format!("-max_total_time={}", minutes * 60), "-rss_limit_mb=1024", "-timeout=10"]);
            run(&mut command)
        });
    }
    Ok(())
}

/// `cargo` of the nightly toolchain, in the root.
fn nightly(workspace: &Workspace) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).current_dir(workspace.path("")).env_remove("RUSTUP_TOOLCHAIN");
    for variable in ["CARGO", "RUSTC", "RUSTDOC"] {
        command.env_remove(variable);
    }
    command
}
