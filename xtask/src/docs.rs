//! `cargo xtask docs`: writes the files that are generated from tables in the code, and checks that they are current.
//!
//! The generators are pure functions of the crates that own the tables; this file only knows where their text belongs.

mod protocol;

use crate::failure::Failure;
use crate::workspace::Workspace;

/// Path and text of every generated file.
fn generated() -> Vec<(&'static str, String)> {
    let mut files =
        vec![("docs/reference/apis.md", protocol::apis()), ("docs/reference/errors.md", protocol::errors())];
    files.extend(ottla_cluster::config::docs::pages());
    files
}

/// Writes them all.
pub(crate) fn write(workspace: &Workspace) -> Result<(), Failure> {
    for (file, text) in generated() {
        let path = workspace.path(file);
        std::fs::write(&path, text).map_err(Failure::file(&path))?;
        println!("wrote {file}");
    }
    Ok(())
}

/// The files that are not what the tables say.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    for (file, text) in generated() {
        if workspace.read(file).ok().as_deref() != Some(text.as_str()) {
            wrong.push(format!("{file} is not current; run `cargo xtask docs`"));
        }
    }
    Ok(wrong)
}
