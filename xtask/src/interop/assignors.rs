//! Our assignors against Kafka's on fresh random groups, by a seed that is printed.
//!
//! The committed cases (`assignors/tests/kafka.txt`) are one seed of the same program; the comparison is that crate's own
//! test.

use crate::apache::Apache;
use crate::failure::Failure;
use crate::process::{capture, run};
use crate::scoreboard::Scoreboard;
use crate::workspace::Workspace;
use std::path::Path;

/// How many sequences of client groups and of server groups; some six cases each.
const SEQUENCES: [&str; 2] = ["300", "100"];

/// Lets Kafka's classes answer, and ours repeat.
pub(super) fn compare(workspace: &Workspace, apache: &Apache, scratch: &Path, board: &mut Scoreboard) {
    board.step("assignors on fresh groups", || {
        let seed = std::process::id().to_string();
        println!("seed {seed}");
        let cases = capture(apache.java("Assignors").arg(&seed).args(SEQUENCES))?;
        let file = scratch.join("assignors.txt");
        std::fs::write(&file, cases).map_err(Failure::file(&file))?;
        let test = ["test", "-q", "-p", "ottla-assignors", "--test", "kafka", "--", "--nocapture"];
        run(workspace.cargo().args(test).env("OTTLA_ASSIGNOR_CASES", &file))
    });
}
