//! The file system: the log crate's own `Storage` seam, chosen here once per broker.

use std::sync::Arc;

use ottla_log::storage::{RealStorage, Storage};

/// The file system of this process.
pub fn storage() -> Arc<dyn Storage> {
    Arc::new(RealStorage::new())
}

/// How many file descriptors this process may open, after it has raised its soft limit to the hard one.
pub fn descriptors_max() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    let raised = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    usize::try_from(raised).unwrap_or(usize::MAX)
}
