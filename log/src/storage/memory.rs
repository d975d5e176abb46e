//! A file system in memory that knows what a power loss would leave of it.
//!
//! Each file keeps its durable bytes and the operations since its last `sync_data`; each directory the same for its
//! names. [`MemoryStorage::power_loss`] builds the file system that a machine would find afterwards. It is not a model
//! of one particular kernel: unsynced writes are lost one by one, in any combination, and a survivor may be torn.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Access, DirectoryEntry, Storage, StorageFile, StorageLock, joined};

/// Files that live as long as the process, or until the power fails.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    tree: Arc<Mutex<Tree>>,
}

#[derive(Debug, Default)]
struct Tree {
    directories: BTreeMap<PathBuf, Directory>,
    locks: Vec<PathBuf>,
    /// What may be written in all, or `None` for as much as there is memory.
    capacity: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Directory {
    names: BTreeMap<String, Arc<MemoryFile>>,
    durable: BTreeMap<String, Arc<MemoryFile>>,
    pending: Vec<NameChange>,
}

/// One change of a directory that a power loss may undo.
#[derive(Clone, Debug)]
struct NameChange {
    added: Option<(String, Arc<MemoryFile>)>,
    removed: Option<String>,
}

#[derive(Debug, Default)]
struct MemoryFile(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

/// What becomes of something that was not synced when the power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Lost,
    /// A write of which only this many 256ths arrived.
    Torn(u8),
}

impl MemoryStorage {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the sum of all file lengths; a write beyond it stops short and then fails with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.tree.lock().capacity = bytes;
    }

    /// The file system that is found after a power loss: everything synced, and of the rest what `fate` says, asked
    /// once for each unsynced change in order. Names in one directory are lost from the last change backwards, as a
    /// journal loses them. The old file system is left as it is, and so are its open files.
    pub(super) fn power_loss(&self, mut fate: impl FnMut() -> Fate) -> MemoryStorage {
        let tree = self.tree.lock();
        let mut after = Tree { capacity: tree.capacity, ..Tree::default() };
        // A file may be known by two names, one of them lost: it must be asked about once only.
        let mut seen: Vec<(*const MemoryFile, Arc<MemoryFile>)> = Vec::new();
        for (path, directory) in &tree.directories {
            let mut names = directory.durable.clone();
            for change in &directory.pending {
                if fate() == Fate::Lost {
                    break;
                }
                change.apply(&mut names);
            }
            let mut survivors = BTreeMap::new();
            for (name, file) in names {
                let known =
                    seen.iter().find(|(old, _)| std::ptr::eq(*old, &*file)).map(|(_, new)| new.clone());
                let survivor = known.unwrap_or_else(|| {
                    let survivor = Arc::new(file.0.lock().after_power_loss(&mut fate));
                    seen.push((&*file, survivor.clone()));
                    survivor
                });
                survivors.insert(name, survivor);
            }
            let directory = Directory { names: survivors.clone(), durable: survivors, pending: Vec::new() };
            after.directories.insert(path.clone(), directory);
        }
        MemoryStorage { tree: Arc::new(Mutex::new(after)) }
    }

    fn used_bytes(tree: &Tree) -> u64 {
        let files = tree.directories.values().flat_map(|directory| directory.names.values());
        files.map(|file| file.0.lock().bytes.len() as u64).sum()
    }

    /// How many of `wanted` further bytes fit.
    fn room_for(&self, wanted: usize) -> usize {
        let tree = self.tree.lock();
        match tree.capacity {
            None => wanted,
            Some(capacity) => {
                let room = capacity.saturating_sub(Self::used_bytes(&tree));
                wanted.min(usize::try_from(room).unwrap_or(usize::MAX))
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, Arc<MemoryFile>>) {
        if let Some(name) = &self.removed {
            names.remove(name);
        }
        if let Some((name, file)) = &self.added {
            names.insert(name.clone(), file.clone());
        }
    }
}

impl Directory {
    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }
}

impl Contents {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.pending.push(change);
    }

    fn after_power_loss(&self, fate: &mut impl FnMut() -> Fate) -> MemoryFile {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match fate() {
                Fate::Lost => {}
                Fate::Kept => change.apply(&mut bytes),
                Fate::Torn(part) => change.torn(part).apply(&mut bytes),
            }
        }
        MemoryFile(Mutex::new(Contents { durable: bytes.clone(), bytes, pending: Vec::new() }))
    }
}

impl Change {
    fn apply(&self, contents: &mut Vec<u8>) {
        match self {
            Change::Truncate { len } => contents.resize(*len, 0),
            Change::Write { position, bytes } => {
                let end = position + bytes.len();
                if contents.len() < end {
                    contents.resize(end, 0);
                }
                contents[*position..end].copy_from_slice(bytes);
            }
        }
    }

    fn torn(&self, part: u8) -> Change {
        match self {
            Change::Truncate { len } => Change::Truncate { len: *len },
            Change::Write { position, bytes } => {
                let kept = bytes.len() * usize::from(part) / 256;
                Change::Write { position: *position, bytes: bytes[..kept].to_vec() }
            }
        }
    }
}

fn split(path: &Path) -> io::Result<(&Path, String)> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok((parent, name.to_owned()))
}

impl Storage for MemoryStorage {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let (parent, name) = split(path)?;
        let mut tree = self.tree.lock();
        let directory = tree.directories.get_mut(parent).ok_or(io::ErrorKind::NotFound)?;
        let file = match (directory.names.get(&name), access) {
            (Some(file), _) => file.clone(),
            (None, Access::Create) => {
                let file = Arc::new(MemoryFile::default());
                directory.change(NameChange { added: Some((name, file.clone())), removed: None });
                file
            }
            (None, _) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(OpenFile { file, storage: self.clone() }))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let tree = self.tree.lock();
        let directory = tree.directories.get(path).ok_or(io::ErrorKind::NotFound)?;
        let files = directory.names.iter().map(|(name, file)| DirectoryEntry {
            name: name.clone(),
            is_directory: false,
            len: file.0.lock().bytes.len() as u64,
        });
        let below =
            tree.directories.keys().filter(|below| below.parent() == Some(path)).filter_map(|below| {
                let name = below.file_name()?.to_str()?.to_owned();
                Some(DirectoryEntry { name, is_directory: true, len: 0 })
            });
        Ok(files.chain(below).collect())
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        for path in path.ancestors() {
            tree.directories.entry(path.to_owned()).or_default();
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        // The names of directories are durable at once: no log depends on the moment of their rename.
        if let Some(directory) = tree.directories.remove(from) {
            tree.directories.insert(to.to_owned(), directory);
            return Ok(());
        }
        let ((parent, old), (parent_to, new)) = (split(from)?, split(to)?);
        if parent != parent_to {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let directory = tree.directories.get_mut(parent).ok_or(io::ErrorKind::NotFound)?;
        let file = directory.names.get(&old).ok_or(io::ErrorKind::NotFound)?.clone();
        directory.change(NameChange { added: Some((new, file)), removed: Some(old) });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        if let Some(directory) = tree.directories.get(path) {
            if !directory.names.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            tree.directories.remove(path);
            return Ok(());
        }
        let (parent, name) = split(path)?;
        let directory = tree.directories.get_mut(parent).ok_or(io::ErrorKind::NotFound)?;
        if !directory.names.contains_key(&name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        directory.change(NameChange { added: None, removed: Some(name) });
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let directory = tree.directories.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        directory.durable = directory.names.clone();
        directory.pending.clear();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        let mut tree = self.tree.lock();
        if tree.locks.iter().any(|held| held == path) {
            return Ok(None);
        }
        tree.locks.push(path.to_owned());
        Ok(Some(Box::new(MemoryLock { path: path.to_owned(), tree: self.tree.clone() })))
    }

    fn total_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.tree.lock().capacity.unwrap_or(u64::MAX))
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let tree = self.tree.lock();
        Ok(tree.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(Self::used_bytes(&tree))))
    }
}

#[derive(Debug)]
struct MemoryLock {
    path: PathBuf,
    tree: Arc<Mutex<Tree>>,
}

impl StorageLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.tree.lock().locks.retain(|held| *held != self.path);
    }
}

#[derive(Debug)]
struct OpenFile {
    file: Arc<MemoryFile>,
    storage: MemoryStorage,
}

impl StorageFile for OpenFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let contents = self.file.0.lock();
        let from = usize::try_from(position).unwrap_or(usize::MAX).min(contents.bytes.len());
        let len = buffer.len().min(contents.bytes.len() - from);
        buffer[..len].copy_from_slice(&contents.bytes[from..from + len]);
        Ok(len)
    }

    fn write_vectored_at(&self, parts: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let mut bytes = joined(parts);
        let position = usize::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let len = self.file.0.lock().bytes.len();
        let growth = (position + bytes.len()).saturating_sub(len);
        let missing = growth - self.storage.room_for(growth);
        if missing > 0 {
            if missing >= bytes.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            bytes.truncate(bytes.len() - missing);
        }
        let written = bytes.len();
        self.file.0.lock().change(Change::Write { position, bytes });
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut contents = self.file.0.lock();
        let Contents { durable, pending, .. } = &mut *contents;
        for change in pending.drain(..) {
            change.apply(durable);
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.file.0.lock().change(Change::Truncate { len });
        Ok(())
    }

    fn preallocate(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.0.lock().bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{read_file, replace_file, write_all_at};
    use super::*;

    fn written(storage: &MemoryStorage, name: &str, bytes: &[u8]) -> Arc<dyn StorageFile> {
        storage.create_directory(Path::new("/d")).unwrap();
        let file = storage.open(&Path::new("/d").join(name), Access::Create).unwrap();
        write_all_at(&*file, &mut [IoSlice::new(bytes)], 0).unwrap();
        file
    }

    #[test]
    fn power_loss_keeps_what_was_synced_under_a_synced_name_and_nothing_else() {
        let storage = MemoryStorage::new();
        written(&storage, "both", b"kept").sync_data().unwrap();
        written(&storage, "name", b"lost");
        storage.sync_directory(Path::new("/d")).unwrap();
        written(&storage, "data", b"lost").sync_data().unwrap();
        let after = storage.power_loss(|| Fate::Lost);
        assert_eq!(read_file(&after, Path::new("/d/both")).unwrap().unwrap(), b"kept");
        assert_eq!(read_file(&after, Path::new("/d/name")).unwrap().unwrap(), b"");
        assert_eq!(read_file(&after, Path::new("/d/data")).unwrap(), None);
    }

    #[test]
    fn a_write_may_survive_torn_behind_a_lost_one() {
        let storage = MemoryStorage::new();
        let file = written(&storage, "a", b"1111");
        write_all_at(&*file, &mut [IoSlice::new(b"2222")], 4).unwrap();
        storage.sync_directory(Path::new("/d")).unwrap();
        let mut fates = [Fate::Lost, Fate::Torn(128)].into_iter();
        let after = storage.power_loss(|| fates.next().unwrap());
        assert_eq!(read_file(&after, Path::new("/d/a")).unwrap().unwrap(), b"\0\0\0\x0022");
    }

    #[test]
    fn a_replaced_file_is_old_or_new_after_power_loss() {
        let storage = MemoryStorage::new();
        storage.create_directory(Path::new("/d")).unwrap();
        replace_file(&storage, Path::new("/d/c"), b"old").unwrap();
        replace_file(&storage, Path::new("/d/c"), b"new").unwrap();
        let after = storage.power_loss(|| Fate::Lost);
        assert_eq!(read_file(&after, Path::new("/d/c")).unwrap().unwrap(), b"new");
    }

    #[test]
    fn a_full_storage_writes_what_fits_and_then_says_so() {
        let storage = MemoryStorage::new();
        storage.set_capacity(Some(6));
        let file = written(&storage, "a", b"1234");
        assert_eq!(file.write_vectored_at(&[IoSlice::new(b"5678")], 4).unwrap(), 2);
        let error = file.write_vectored_at(&[IoSlice::new(b"78")], 6).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
