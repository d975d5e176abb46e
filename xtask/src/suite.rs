//! `cargo xtask test`: the tests of the whole workspace through `cargo test`, counted.
//!
//! Not a runner of its own: cargo's output is shown as it comes, and its closing lines are added up.

use crate::failure::Failure;
use crate::scoreboard::Scoreboard;
use crate::workspace::Workspace;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

/// Runs all tests, or those of the named packages.
pub(crate) fn run(workspace: &Workspace, packages: &[String], board: &mut Scoreboard) -> Result<(), Failure> {
    let mut command = workspace.cargo();
    command.args(["test", "--no-fail-fast", "--locked"]);
    if packages.is_empty() {
        command.arg("--workspace");
    }
    for package in packages {
        command.args(["--package", &format!("ottla-{package}")]);
    }
    let text = crate::process::line(&command);
    let start = |source| Failure::Start { command: text.clone(), source };
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(start)?;
    let mut counted = 0;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            if let Some((passed, failed, ignored)) = closing_line(&line) {
                board.add(passed, failed, ignored);
                counted += passed + failed;
            }
        }
    }
    let status = child.wait().map_err(start)?;
    if counted == 0 {
        return Err(Failure::Claim("no test ran".to_owned()));
    }
    if status.success() {
        return Ok(());
    }
    Err(Failure::Ended { command: text, status: status.to_string(), output: String::new() })
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`
fn closing_line(line: &str) -> Option<(u64, u64, u64)> {
    let rest = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| {
        rest.split("; ").find_map(|part| part.strip_suffix(what)?.trim().parse().ok()).unwrap_or(0)
    };
    Some((count("passed"), count("failed"), count("ignored")))
}

#[cfg(test)]
mod tests {
    use super::closing_line;

    #[test]
    fn the_closing_line_of_cargo_test_is_read() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(closing_line(line), Some((3, 2, 1)));
        assert_eq!(closing_line("running 3 tests"), None);
    }
}
