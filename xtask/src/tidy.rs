//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Floors (a crate depends on lower floors only), and what a source file must have and must not have. Generated files
//! are compared by `docs::check`, and lock files with their manifests.

mod floors;
mod sources;

use crate::docs;
use crate::failure::Failure;
use crate::process::capture;
use crate::workspace::Workspace;

/// Runs every check and prints all that is wrong, not just the first.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let mut wrong = floors::check(workspace)?;
    wrong.extend(locks(workspace));
    wrong.extend(sources::check(workspace)?);
    wrong.extend(docs::check(workspace)?);
    for sentence in &wrong {
        println!("{sentence}");
    }
    if wrong.is_empty() {
        println!("tidy");
        return Ok(());
    }
    Err(Failure::Claim(format!("{} things are not tidy", wrong.len())))
}

/// The lock files that manifests have outgrown: CI builds with `--locked`.
fn locks(workspace: &Workspace) -> Vec<String> {
    let is_current = |manifest: &str| {
        let arguments =
            ["metadata", "--locked", "--format-version", "1", "--quiet", "--manifest-path", manifest];
        capture(workspace.cargo().args(arguments)).is_ok()
    };
    let outgrown = ["Cargo.toml", "fuzz/Cargo.toml"].into_iter().filter(|manifest| !is_current(manifest));
    outgrown.map(|manifest| format!("the lock file of {manifest} is not current")).collect()
}
