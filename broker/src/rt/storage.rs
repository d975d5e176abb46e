//! The file system: the log crate's own `Storage` seam, chosen here once per broker.

use std::io::IoSliceMut;
use std::os::fd::BorrowedFd;
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

/// Reads at `position` what is in the page cache, without ever waiting for a disk. Returns whether all of `buffer` was
/// filled; where the file system cannot tell (tmpfs, which has no disk), whatever it takes to read is short, so it reads.
pub fn read_cached(file: BorrowedFd<'_>, buffer: &mut [u8], position: u64) -> bool {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let len = buffer.len();
    let mut slices = [IoSliceMut::new(buffer)];
    match preadv2(file, &mut slices, position, ReadWriteFlags::NOWAIT) {
        Ok(read) => read == len,
        Err(Errno::OPNOTSUPP) => rustix::io::pread(file, buffer, position).is_ok_and(|read| read == len),
        Err(_) => false,
    }
}
