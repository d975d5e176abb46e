//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Floors (a crate depends on lower floors only), and what a source file must have and must not have. Generated files
//! are compared by `docs::check`, which tidy calls too.

mod floors;
mod sources;

use crate::docs;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Runs every check and prints all that is wrong, not just the first.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let mut wrong = floors::check(workspace)?;
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
