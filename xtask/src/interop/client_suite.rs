//! The integration suite of `ottla-client` against the broker of this run, and against Apache Kafka beside it.
//!
//! The suite is `client/tests/suite`; in-process tests run it too. Here it meets brokers in processes of their own.

use crate::apache::Apache;
use crate::failure::Failure;
use crate::process::capture;
use crate::scoreboard::Scoreboard;
use crate::workspace::Workspace;
use std::net::SocketAddr;
use std::path::Path;

/// Runs the suite against `bootstrap`, and against a fresh Apache Kafka unless that is what `bootstrap` is.
pub(super) fn run(
    workspace: &Workspace,
    bootstrap: SocketAddr,
    beside: Option<&Apache>,
    scratch: &Path,
    board: &mut Scoreboard,
) {
    board.step("the client's suite", || suite(workspace, bootstrap));
    if let Some(apache) = beside {
        board.step("the client's suite against Apache Kafka", || {
            let broker = apache.start(&scratch.join("suite-apache"), &[])?;
            let ran = suite(workspace, broker.address);
            broker.stop()?;
            ran
        });
    }
}

fn suite(workspace: &Workspace, bootstrap: SocketAddr) -> Result<(), Failure> {
    let mut command = workspace.cargo();
    command.args(["test", "--locked", "--package", "ottla-client", "--test", "cluster"]);
    let printed = capture(command.env("OTTLA_TEST_BOOTSTRAP", bootstrap.to_string()))?;
    for line in printed.lines().filter(|line| line.starts_with("test ")) {
        println!("{line}");
    }
    Ok(())
}
