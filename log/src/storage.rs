//! The seam between the log and a file system: two small traits and nothing else that touches a disk.
//!
//! A [`Storage`] names files, a [`StorageFile`] holds bytes. Three file systems stand behind it: [`RealStorage`] (with a
//! crash counter), [`MemoryStorage`] (which knows what a power loss would leave) and [`FaultyStorage`] (which crashes,
//! tears, fills up and fails on demand). It is not an abstraction over object stores or network disks. Invariant: what
//! was written before a successful `sync_data`, under a name that stood before a successful `sync_directory`, is there
//! after a power loss; nothing else is promised.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

mod faulty;
mod memory;
mod real;

pub use faulty::{FaultyStorage, Operation};
pub use memory::MemoryStorage;
pub use real::RealStorage;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It must exist and is only read.
    Read,
    /// It must exist and is read and written.
    Write,
    /// It is created if it is absent, and is read and written.
    Create,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The last part of its path.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Its size in bytes; 0 for a directory.
    pub len: u64,
}

/// A file system, as far as a log needs one. Paths are whole paths.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Opens a file, creating it only for [`Access::Create`].
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>>;

    /// The entries of a directory, in no particular order.
    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>>;

    /// Creates a directory and those above it; it may exist already.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Renames a file or directory, replacing a file of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file, or a directory that is empty.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory outlive a power loss.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock that `path` stands for, or `None` if another holder has it. Dropping it lets go.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>>;

    /// Bytes that can still be written below `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Bytes that the file system of `path` holds in all, used or free.
    fn total_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. All methods take `&self`: positions are explicit and there is no cursor.
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// Reads at `position` into `buffer`; fewer bytes than asked only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes the parts one after another at `position`; may write fewer bytes than given, as `pwritev` may.
    fn write_vectored_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize>;

    /// Makes the bytes and the length outlive a power loss.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Reserves disk for the first `len` bytes without changing the file's length.
    fn preallocate(&self, len: u64) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// The descriptor, for `sendfile` and `mmap`; `None` where there is no kernel behind the file.
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A held lock; it ends when dropped.
pub trait StorageLock: fmt::Debug + Send + Sync {}

/// Fills the whole buffer from `position`, or fails with `UnexpectedEof`.
pub fn read_exact_at(file: &dyn StorageFile, buffer: &mut [u8], position: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], position + done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(())
}

/// Writes all parts at `position`, going on after a short write. On failure an unknown part of them was written.
pub fn write_all_at(
    file: &dyn StorageFile,
    mut parts: &mut [IoSlice<'_>],
    mut position: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match file.write_vectored_at(parts, position)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                position += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
        }
    }
    Ok(())
}

/// The parts as one piece.
fn joined(parts: &[IoSlice<'_>]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.iter().copied()).collect()
}

/// The whole contents of a file, or `None` if there is no such file.
pub fn read_file(storage: &dyn Storage, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match storage.open(path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut contents = vec![0; len];
    read_exact_at(&*file, &mut contents, 0)?;
    Ok(Some(contents))
}

/// Replaces a file whole: temporary file, fsync, rename, fsync of the directory. After a crash the old or the new
/// contents are there, never a mixture.
pub fn replace_file(storage: &dyn Storage, path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let file = storage.open(temporary, Access::Create)?;
    file.truncate(0)?;
    write_all_at(&*file, &mut [IoSlice::new(contents)], 0)?;
    file.sync_data()?;
    drop(file);
    storage.rename(temporary, path)?;
    match path.parent() {
        Some(directory) => storage.sync_directory(directory),
        None => Ok(()),
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove_if_present(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    match storage.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a directory and the files in it; a log's directories do not nest further.
pub(crate) fn remove_directory_with_files(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    for entry in storage.list(path)? {
        remove_if_present(storage, &path.join(entry.name))?;
    }
    remove_if_present(storage, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The conformance test that every file system passes.
    fn keeps_the_contract(storage: &dyn Storage, root: &Path) {
        let directory = root.join("t-0");
        storage.create_directory(&directory).unwrap();
        let path = directory.join("a.log");
        assert_eq!(storage.open(&path, Access::Write).unwrap_err().kind(), io::ErrorKind::NotFound);
        let file = storage.open(&path, Access::Create).unwrap();
        write_all_at(&*file, &mut [IoSlice::new(b"hello "), IoSlice::new(b""), IoSlice::new(b"world")], 0)
            .unwrap();
        assert_eq!(file.len().unwrap(), 11);
        let mut buffer = [0; 16];
        assert_eq!(file.read_at(&mut buffer, 6).unwrap(), 5);
        assert_eq!(&buffer[..5], b"world");
        assert_eq!(file.read_at(&mut buffer, 99).unwrap(), 0);
        file.truncate(5).unwrap();
        file.preallocate(4096).unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.len().unwrap(), 5);
        storage.rename(&path, &directory.join("b.log")).unwrap();
        storage.sync_directory(&directory).unwrap();
        assert_eq!(read_file(storage, &directory.join("b.log")).unwrap().unwrap(), b"hello");
        assert_eq!(read_file(storage, &path).unwrap(), None);
        replace_file(storage, &path, b"new").unwrap();
        replace_file(storage, &path, b"newer").unwrap();
        let mut names: Vec<_> =
            storage.list(&directory).unwrap().into_iter().map(|e| (e.name, e.len)).collect();
        names.sort();
        assert_eq!(names, [("a.log".to_owned(), 5), ("b.log".to_owned(), 5)]);
        assert!(storage.list(root).unwrap().iter().any(|entry| entry.is_directory && entry.name == "t-0"));
        storage.remove(&path).unwrap();
        assert_eq!(storage.remove(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let lock = storage.lock(&root.join(".lock")).unwrap().expect("nobody holds it");
        assert!(storage.lock(&root.join(".lock")).unwrap().is_none());
        drop(lock);
        assert!(storage.lock(&root.join(".lock")).unwrap().is_some());
        assert!(storage.free_bytes(root).unwrap() > 0);
        assert!(storage.total_bytes(root).unwrap() >= storage.free_bytes(root).unwrap());
        let moved = root.join("t-0.gone-delete");
        storage.rename(&directory, &moved).unwrap();
        assert_eq!(read_file(storage, &moved.join("b.log")).unwrap().unwrap(), b"hello");
        remove_directory_with_files(storage, &moved).unwrap();
        assert!(storage.list(&moved).is_err());
    }

    #[test]
    fn a_real_directory_keeps_the_contract() {
        let directory = tempfile::tempdir().unwrap();
        keeps_the_contract(&RealStorage::new(), directory.path());
    }

    #[test]
    fn memory_keeps_the_contract() {
        let storage = MemoryStorage::new();
        storage.create_directory(Path::new("/data")).unwrap();
        keeps_the_contract(&storage, Path::new("/data"));
    }

    #[test]
    fn a_faulty_storage_without_faults_keeps_the_contract() {
        let storage = FaultyStorage::new();
        storage.create_directory(Path::new("/data")).unwrap();
        keeps_the_contract(&storage, Path::new("/data"));
    }
}
