//! `cargo xtask ci`: everything that must hold before a change lands, in one run, with one closing line.
//!
//! The order is from cheap to dear, and nothing stops at the first failure. It needs toolchains and the ordinary
//! package registries, and installs the rest.

use crate::failure::Failure;
use crate::interop;
use crate::process::{capture, run};
use crate::scoreboard::Scoreboard;
use crate::workspace::Workspace;
use crate::{chaos, groups, suite, tidy};

/// What CI tries of the crash harness; `cargo xtask crash` tries all.
const CRASHES: chaos::Options = chaos::Options { moments: 20, compactions: 10, stride: 7, seed: 1 };

/// How often CI cuts the power.
const POWER_LOSSES: u32 = 4;

/// Runs it all.
pub(crate) fn all(workspace: &Workspace) -> Result<(), Failure> {
    let mut board = Scoreboard::default();
    board.step("format", || run(workspace.cargo().args(["fmt", "--all", "--check"])));
    board.step("tidy", || tidy::run(workspace));
    board.step("clippy", || {
        let arguments =
            ["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        run(workspace.cargo().args(arguments))
    });
    let mut tests = Scoreboard::default();
    board.step("tests", || suite::run(workspace, &[], &mut tests));
    board.merge(tests);
    board.step("benches run once", || {
        // Built as the tests are, and without a word about time.
        let arguments = ["test", "--quiet", "--workspace", "--locked", "--bench", "*"];
        capture(workspace.cargo().args(arguments)).map(|_| ())
    });
    board.step("documentation", || {
        let arguments = ["doc", "--quiet", "--workspace", "--no-deps", "--locked"];
        run(workspace.cargo().args(arguments).env("RUSTDOCFLAGS", "-D warnings"))
    });
    board.step("fuzz targets compile", || {
        run(workspace.cargo().args(["check", "--quiet", "--locked", "--manifest-path", "fuzz/Cargo.toml"]))
    });
    let mut cells = Scoreboard::default();
    board.step("interop", || interop::run(workspace, &interop::Options::everything(), &mut cells));
    board.merge(cells);
    let mut churned = Scoreboard::default();
    for options in [groups::Options::short_classic(), groups::Options::short_consumer()] {
        board.step("groups", || groups::run(workspace, &options, &mut churned));
    }
    board.merge(churned);
    board.step("crash", || chaos::crash(workspace, &CRASHES));
    board.step("hostile", || chaos::hostile(workspace));
    board.step("full disk", || chaos::full_disk(workspace));
    board.step("power loss", || chaos::power_loss(workspace, POWER_LOSSES));
    board.step("descriptors", || chaos::descriptors(workspace));
    board.close("ci")
}
