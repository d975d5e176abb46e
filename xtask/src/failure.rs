//! What can go wrong in a task, as one sentence that says what to look at.
//!
//! Not a library error: nothing matches on it. It is printed once, by `main` or by the scoreboard.

use std::io;
use std::path::PathBuf;

/// Why a task did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A program could not be started at all.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The program and its arguments.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("`{command}` ended with {status}\n{output}")]
    Ended {
        /// The program and its arguments.
        command: String,
        /// Its exit status.
        status: String,
        /// The end of what it printed, if it was captured.
        output: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something that must hold does not.
    #[error("{0}")]
    Claim(String),
}

impl Failure {
    /// For `map_err` at file operations.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
