//! `cargo xtask fuzz`: every fuzz target for some minutes each, with coverage guidance.
//!
//! The targets live in `fuzz/`, outside the workspace. libFuzzer's instrumentation is a nightly flag of the compiler;
//! `RUSTC_BOOTSTRAP` opens it on the pinned stable one, so that no second toolchain is needed.

use crate::failure::Failure;
use crate::process::{capture, run};
use crate::scoreboard::Scoreboard;
use crate::workspace::Workspace;

/// Runs every target, or the named one.
pub(crate) fn targets(
    workspace: &Workspace,
    minutes: u64,
    only: Option<&str>,
    board: &mut Scoreboard,
) -> Result<(), Failure> {
    if capture(workspace.cargo().args(["fuzz", "--version"])).is_err() {
        println!("installing cargo-fuzz");
        run(workspace.cargo().args(["install", "--quiet", "--locked", "cargo-fuzz"]))?;
    }
    let listing = capture(workspace.cargo().args(["fuzz", "list"]).env("RUSTC_BOOTSTRAP", "1"))?;
    for target in listing.lines().filter(|target| only.is_none_or(|only| only == *target)) {
        board.step(&format!("fuzz {target} for {minutes} min"), || {
            let mut command = workspace.cargo();
            command.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", "--sanitizer", "none", target, "--"]);
            command.args([&format!("-max_total_time={}", minutes * 60), "-rss_limit_mb=1024", "-timeout=5"]);
            run(&mut command)
        });
    }
    Ok(())
}
