//! Which files a path on the command line means.

use std::path::{Path, PathBuf};

use ottla_log::inspect;

use crate::failure::Failure;

/// The partitions' directories under `path`, which is one of them or holds some.
///
/// # Errors
/// When the path cannot be read or there is no partition in it.
pub(crate) fn partition_directories(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::io(path.display(), &error);
    let path = path.canonicalize().map_err(failed)?;
    if path.is_dir() && inspect::partition_of(&path).is_some() {
        return Ok(vec![path]);
    }
    if !path.is_dir() {
        return Err(Failure::new(format!("{} is not a directory", path.display())));
    }
    let mut directories = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        let child = entry.map_err(failed)?.path();
        if child.is_dir() && inspect::partition_of(&child).is_some() {
            directories.push(child);
        }
    }
    directories.sort();
    match directories.is_empty() {
        true => Err(Failure::new(format!(
            "{} holds no partition: partition directories are named TOPIC-N",
            path.display()
        ))),
        false => Ok(directories),
    }
}

/// All files of a directory that `dump` may know, in order.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn files_of(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| Failure::io(directory.display(), &error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
