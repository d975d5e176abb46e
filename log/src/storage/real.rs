//! The kernel's file system, with the crash counter by which `kill -9` is tried at every operation.
//!
//! `OTTLA_CRASH_AT=N` counts every write, fsync, rename, truncate, create and remove of the process and kills it right
//! before the Nth; `OTTLA_CRASH_TEAR=1` lets half of the bytes through first if that operation is a write. This is the
//! only file of the crate that calls the operating system. It is not a fault injector: an error here is a real one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::signal::{Signal, raise};
use nix::sys::uio::pwritev;

use super::{Access, DirectoryEntry, Storage, StorageFile, StorageLock, joined};

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealStorage;

impl RealStorage {
    /// The file system of this machine.
    pub fn new() -> Self {
        Self
    }
}

impl Storage for RealStorage {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        if access == Access::Create && !path.exists() {
            crash_point();
        }
        let file = OpenOptions::new()
            .read(true)
            .write(access != Access::Read)
            .create(access == Access::Create)
            .truncate(false)
            .open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed between the listing and the look at it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                let len = if metadata.is_dir() { 0 } else { metadata.len() };
                entries.push(DirectoryEntry { name, is_directory: metadata.is_dir(), len });
            }
        }
        Ok(entries)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        crash_point();
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        crash_point();
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        crash_point();
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs::remove_dir(path),
            result => result,
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let directory = File::open(path)?;
        crash_point();
        directory.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(RealLock { _file: file }))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let figures = nix::sys::statvfs::statvfs(path)?;
        Ok(figures.blocks_available() * figures.fragment_size())
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        let figures = nix::sys::statvfs::statvfs(path)?;
        Ok(figures.blocks() * figures.fragment_size())
    }
}

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl StorageLock for RealLock {}

impl StorageFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write_vectored_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        if crash_is_next() {
            self.tear(parts, position);
            die();
        }
        let position = i64::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // IOV_MAX; the caller goes on after a short write.
        let parts = &parts[..parts.len().min(1024)];
        loop {
            match pwritev(&self.0, parts, position) {
                Err(nix::Error::EINTR) => {}
                result => return Ok(result?),
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        crash_point();
        self.0.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        crash_point();
        self.0.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        let len = i64::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        match fallocate(&self.0, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, len) {
            // A file system without the call only loses the speed.
            Ok(()) | Err(nix::Error::EOPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

impl RealFile {
    fn tear(&self, parts: &[IoSlice<'_>], position: u64) {
        if std::env::var_os("OTTLA_CRASH_TEAR").is_none() {
            return;
        }
        let bytes = joined(parts);
        // The process is about to die: whether the half arrives is of no interest to it.
        let _ = self.0.write_all_at(&bytes[..bytes.len() / 2], position);
    }
}

static OPERATIONS: AtomicU64 = AtomicU64::new(0);

fn crash_at() -> Option<u64> {
    static CRASH_AT: OnceLock<Option<u64>> = OnceLock::new();
    *CRASH_AT.get_or_init(|| std::env::var("OTTLA_CRASH_AT").ok().and_then(|number| number.parse().ok()))
}

fn crash_is_next() -> bool {
    crash_at().is_some_and(|at| OPERATIONS.fetch_add(1, Ordering::Relaxed) + 1 == at)
}

fn crash_point() {
    if crash_is_next() {
        die();
    }
}

/// Ends the process as `kill -9` does: no destructor, no buffer flushed, no core.
fn die() -> ! {
    let _ = raise(Signal::SIGKILL);
    std::process::abort()
}
