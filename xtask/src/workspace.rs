//! Where things are: the workspace root, its cache, and its files as git sees them.

use crate::failure::Failure;
use crate::process::capture;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace, found from where this crate was compiled.
#[derive(Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace that this binary was built in.
    pub(crate) fn here() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self { root: manifest.parent().unwrap_or(manifest).to_owned() }
    }

    /// A path below the root.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A fresh, empty directory below `target/xtask`, for what a task leaves behind.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.root.join("target/xtask").join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(Failure::file(&path))?;
        }
        std::fs::create_dir_all(&path).map_err(Failure::file(&path))?;
        Ok(path)
    }

    /// `cargo` in the root, the one that runs this.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }

    /// Every file that is tracked or could be: relative paths, with `/`.
    pub(crate) fn files(&self) -> Result<Vec<String>, Failure> {
        let listing = capture(
            Command::new("git")
                .args(["ls-files", "--cached", "--others", "--exclude-standard"])
                .current_dir(&self.root),
        )?;
        let mut files: Vec<String> = listing.lines().map(str::to_owned).collect();
        files.retain(|file| self.path(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The text of a file below the root.
    pub(crate) fn read(&self, relative: &str) -> Result<String, Failure> {
        let path = self.path(relative);
        std::fs::read_to_string(&path).map_err(Failure::file(path))
    }
}
