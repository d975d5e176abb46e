//! A file system in memory that fails when told to: the third one of every storage test.
//!
//! It counts the operations that change something, crashes at the one it is told (every later call then fails, as if the
//! process were dead), fails single operations, and builds the file system found after the crash. Given the same seed
//! and the same calls it does the same. It is not random by itself.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::memory::Fate;
use super::{Access, DirectoryEntry, MemoryStorage, Storage, StorageFile, StorageLock, joined};

/// The kinds of operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A write of bytes.
    Write,
    /// An fsync of a file.
    SyncData,
    /// An fsync of a directory.
    SyncDirectory,
    /// A truncation.
    Truncate,
    /// A rename.
    Rename,
    /// The creation of a file or directory.
    Create,
    /// A removal.
    Remove,
}

/// A [`MemoryStorage`] with faults.
#[derive(Clone, Debug, Default)]
pub struct FaultyStorage {
    memory: MemoryStorage,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    count: u64,
    crash_at: Option<u64>,
    crashed: bool,
    fail_next: Vec<(Operation, io::ErrorKind)>,
}

impl FaultyStorage {
    /// An empty file system without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts operations from now on and crashes right before the `at`th; a write then gets half of its bytes through.
    pub fn crash_at(&self, at: u64) {
        let mut plan = self.plan.lock();
        plan.count = 0;
        plan.crash_at = Some(at);
    }

    /// How many operations were counted since the start or the last [`FaultyStorage::crash_at`].
    pub fn operation_count(&self) -> u64 {
        self.plan.lock().count
    }

    /// Whether the crash has happened.
    pub fn has_crashed(&self) -> bool {
        self.plan.lock().crashed
    }

    /// Lets the next operation of this kind fail, without doing anything.
    pub fn fail_next(&self, operation: Operation, kind: io::ErrorKind) {
        self.plan.lock().fail_next.push((operation, kind));
    }

    /// Forgets what was to fail and did not come.
    pub fn clear_failures(&self) {
        self.plan.lock().fail_next.clear();
    }

    /// See [`MemoryStorage::set_capacity`].
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.memory.set_capacity(bytes);
    }

    /// What a process finds that is started again after a kill: everything that was written.
    pub fn after_kill(&self) -> FaultyStorage {
        FaultyStorage { memory: self.memory.power_loss(|| Fate::Kept), plan: Arc::default() }
    }

    /// What is found after a power loss. `chance` decides over each unsynced change: 0..=84 lost, 85..=169 torn, else
    /// kept.
    pub fn after_power_loss(&self, mut chance: impl FnMut() -> u8) -> FaultyStorage {
        let fate = || match chance() {
            0..=84 => Fate::Lost,
            85..=169 => Fate::Torn(chance()),
            _ => Fate::Kept,
        };
        FaultyStorage { memory: self.memory.power_loss(fate), plan: Arc::default() }
    }

    fn alive(&self) -> io::Result<()> {
        if self.plan.lock().crashed { Err(crashed()) } else { Ok(()) }
    }

    fn step(&self, operation: Operation) -> io::Result<()> {
        let mut plan = self.plan.lock();
        if plan.crashed {
            return Err(crashed());
        }
        if let Some(place) = plan.fail_next.iter().position(|(kind, _)| *kind == operation) {
            let (_, kind) = plan.fail_next.remove(place);
            return Err(kind.into());
        }
        plan.count += 1;
        if plan.crash_at == Some(plan.count) {
            plan.crashed = true;
            return Err(crashed());
        }
        Ok(())
    }
}

fn crashed() -> io::Error {
    io::Error::other("crashed as planned")
}

impl Storage for FaultyStorage {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        self.alive()?;
        let file = match self.memory.open(path, Access::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::Create => {
                self.step(Operation::Create)?;
                self.memory.open(path, access)?
            }
            result => result?,
        };
        Ok(Arc::new(FaultyFile { file, storage: self.clone() }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.alive()?;
        self.memory.list(directory)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.step(Operation::Create)?;
        self.memory.create_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Operation::Rename)?;
        self.memory.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(Operation::Remove)?;
        self.memory.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.step(Operation::SyncDirectory)?;
        self.memory.sync_directory(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.alive()?;
        self.memory.lock(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.alive()?;
        self.memory.free_bytes(path)
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        self.alive()?;
        self.memory.total_bytes(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn StorageFile>,
    storage: FaultyStorage,
}

impl StorageFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.storage.alive()?;
        self.file.read_at(buffer, position)
    }

    fn write_vectored_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let was_alive = !self.storage.has_crashed();
        match self.storage.step(Operation::Write) {
            Ok(()) => self.file.write_vectored_at(parts, position),
            Err(error) => {
                if was_alive && self.storage.has_crashed() {
                    let bytes = joined(parts);
                    self.file.write_vectored_at(&[IoSlice::new(&bytes[..bytes.len() / 2])], position)?;
                }
                Err(error)
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.step(Operation::SyncData)?;
        self.file.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.storage.step(Operation::Truncate)?;
        self.file.truncate(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.storage.alive()?;
        self.file.preallocate(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.storage.alive()?;
        self.file.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{read_file, write_all_at};
    use super::*;

    #[test]
    fn after_its_crash_every_call_fails_and_the_crashing_write_is_torn() {
        let storage = FaultyStorage::new();
        storage.create_directory(Path::new("/d")).unwrap();
        let file = storage.open(Path::new("/d/a"), Access::Create).unwrap();
        storage.crash_at(1);
        assert!(write_all_at(&*file, &mut [IoSlice::new(b"12345678")], 0).is_err());
        assert!(file.sync_data().is_err());
        assert!(storage.list(Path::new("/d")).is_err());
        assert_eq!(read_file(&storage.after_kill(), Path::new("/d/a")).unwrap().unwrap(), b"1234");
    }

    #[test]
    fn one_operation_fails_as_told_and_the_next_succeeds() {
        let storage = FaultyStorage::new();
        storage.create_directory(Path::new("/d")).unwrap();
        let file = storage.open(Path::new("/d/a"), Access::Create).unwrap();
        storage.fail_next(Operation::SyncData, io::ErrorKind::Other);
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_ok());
    }
}
