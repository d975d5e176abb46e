//! The metadata log: the controller's records on disk, in the order in which they were committed.
//!
//! ```text
//! __cluster_metadata/00000000000000000000.log    "OTMD" version u32, then one entry per commit:
//! ┌───────────┬──────────────┬───────────────────────────────┐
//! │ length    │ CRC-32 of    │ postcard of the records       │
//! │ u32 LE    │ the body u32 │ (Vec<MetadataRecord>)         │
//! └───────────┴──────────────┴───────────────────────────────┘
//! ```
//! All that shares an fsync is one entry, so a crash can leave no more than one bad entry, the last, which was never
//! answered: it is cut off. An entry that is bad with a sound one behind it is not a torn tail, and refuses to open.
//! After a failed fsync the log takes no more entries until the next start: what the disk holds is unknown. A full disk
//! is not that: the piece that was written is cut off, and the log goes on as soon as there is room.
//!
//! A snapshot replaces the log by one whose first entry makes the whole image. Crash states: 1. the new file is being
//! written as `snapshot.tmp`: the old log counts, the next start removes the new one; 2. renamed, the directory not
//! synced: either file counts, and both say the same; 3. synced: the new one counts, and only now takes entries.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_cluster::controller::MetadataRecord;
use ottla_log::storage::{Access, Storage, StorageFile, StorageLock, read_exact_at, read_file, write_all_at};

const FILE_NAME: &str = "00000000000000000000.log";
const LOCK_NAME: &str = ".lock";
const SNAPSHOT_NAME: &str = "snapshot.tmp";
const MAGIC: [u8; 8] = *b"OTMD\x01\0\0\0";
const ENTRY_HEADER_BYTES: usize = 8;

/// Why the metadata log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum MetadataLogError {
    /// The file system refused.
    #[error("cannot {action} the metadata log {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not one of ours, or broken in the middle.
    #[error("the metadata log {} is corrupt at byte {position}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        position: usize,
    },
    /// Another broker uses it; with a `metadata.log.dir` the locks of the log directories do not tell.
    #[error("the metadata log in {} is in use by another broker", .0.display())]
    Locked(PathBuf),
    /// An earlier write failed.
    #[error("the metadata log {} takes no entries since a write failed", .0.display())]
    Poisoned(PathBuf),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct MetadataLog {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    file: Arc<dyn StorageFile>,
    end: u64,
    /// Bytes that the last snapshot left; what came after is what the next one saves.
    snapshot_end: u64,
    pending: Vec<MetadataRecord>,
    poisoned: bool,
    _lock: Option<Box<dyn StorageLock>>,
}

/// Takes the lock of the log in `directory`.
pub(super) fn lock(
    storage: &dyn Storage,
    directory: &Path,
) -> Result<Box<dyn StorageLock>, MetadataLogError> {
    let path = directory.join(LOCK_NAME);
    let created = storage.create_directory(directory).and_then(|()| storage.lock(&path));
    let lock = created.map_err(|source| MetadataLogError::Io { action: "lock", path, source })?;
    lock.ok_or_else(|| MetadataLogError::Locked(directory.to_owned()))
}

impl MetadataLog {
    /// Opens or creates the log in `directory` and hands every committed record to `apply`.
    ///
    /// # Errors
    /// The file cannot be read, or is corrupt before its last entry.
    pub(crate) fn open(
        storage: &Arc<dyn Storage>,
        directory: &Path,
        mut apply: impl FnMut(MetadataRecord),
    ) -> Result<MetadataLog, MetadataLogError> {
        let path = directory.join(FILE_NAME);
        let failed = |action| {
            let path = path.clone();
            move |source| MetadataLogError::Io { action, path, source }
        };
        storage.create_directory(directory).map_err(failed("create the directory of"))?;
        match storage.remove(&directory.join(SNAPSHOT_NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove the unfinished snapshot of")(error));
            }
            _removed => {}
        }
        let file = storage.open(&path, Access::Create).map_err(failed("open"))?;
        let contents = read_all(&*file).map_err(failed("read"))?;
        let (storage, end) = (Arc::clone(storage), contents.len());
        let mut log = MetadataLog {
            storage,
            path: path.clone(),
            file,
            end: 0,
            snapshot_end: 0,
            pending: Vec::new(),
            poisoned: false,
            _lock: None,
        };
        if end < MAGIC.len() {
            // New, or killed before its first entry: nothing was ever committed.
            log.file.truncate(0).map_err(failed("create"))?;
            log.write(&MAGIC)?;
            log.storage.sync_directory(directory).map_err(failed("create"))?;
            if let Some(parent) = directory.parent() {
                log.storage.sync_directory(parent).map_err(failed("create"))?;
            }
            return Ok(log);
        }
        let sound = replay(&contents, &mut apply)
            .map_err(|position| MetadataLogError::Corrupt { path: path.clone(), position })?;
        if sound < end {
            log.file.truncate(sound as u64).map_err(failed("cut"))?;
            log.file.sync_data().map_err(failed("sync"))?;
        }
        log.end = sound as u64;
        Ok(log)
    }

    /// The same log with the lock that it was opened under, which it keeps.
    pub(super) fn holding(self, lock: Box<dyn StorageLock>) -> MetadataLog {
        MetadataLog { _lock: Some(lock), ..self }
    }

    /// Hands every committed record to `apply`, if there is a log, and changes nothing.
    ///
    /// # Errors
    /// As [`MetadataLog::open`].
    pub(crate) fn read(
        storage: &dyn Storage,
        directory: &Path,
        mut apply: impl FnMut(MetadataRecord),
    ) -> Result<(), MetadataLogError> {
        let path = directory.join(FILE_NAME);
        let contents = read_file(storage, &path).map_err(|source| MetadataLogError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        match contents {
            Some(contents) if contents.len() >= MAGIC.len() => replay(&contents, &mut apply)
                .map(drop)
                .map_err(|position| MetadataLogError::Corrupt { path, position }),
            _ => Ok(()),
        }
    }

    /// Adds records to the next commit.
    pub(crate) fn push(&mut self, records: &[MetadataRecord]) {
        self.pending.extend_from_slice(records);
    }

    /// Writes and syncs what was added, as one entry.
    ///
    /// # Errors
    /// None of it is committed; unless the disk was full, the log takes no more.
    pub(crate) fn commit(&mut self) -> Result<(), MetadataLogError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.pending);
        self.write(&entry(&records))
    }

    /// How many bytes a snapshot would save.
    pub(crate) fn bytes_since_snapshot(&self) -> u64 {
        self.end - self.snapshot_end
    }

    /// Replaces the log by one that begins with `records`, which make the image of everything committed.
    ///
    /// # Errors
    /// The log is as it was; unless the directory could not be synced, then it takes no more.
    pub(crate) fn take_snapshot(&mut self, records: &[MetadataRecord]) -> Result<(), MetadataLogError> {
        if self.poisoned {
            return Err(MetadataLogError::Poisoned(self.path.clone()));
        }
        let directory = self.path.parent().expect("the log is a file in its directory").to_owned();
        let temporary = directory.join(SNAPSHOT_NAME);
        let failed = |action| {
            let path = temporary.clone();
            move |source| MetadataLogError::Io { action, path, source }
        };
        let mut contents = MAGIC.to_vec();
        contents.extend(entry(records));
        let written = write_snapshot(&*self.storage, &temporary, &contents);
        let file = written.map_err(|error| {
            // It may be the disk that is full: leave it the room. What cannot be removed now goes at the next start.
            let _left_behind = self.storage.remove(&temporary);
            failed("write the snapshot of")(error)
        })?;
        // From here on nobody knows which of the two files a power loss would leave, until the directory is synced.
        self.poisoned = true;
        self.storage.rename(&temporary, &self.path).map_err(failed("put the snapshot in the place of"))?;
        self.storage.sync_directory(&directory).map_err(failed("sync the directory of"))?;
        self.file = file;
        self.end = contents.len() as u64;
        self.snapshot_end = self.end;
        self.poisoned = false;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), MetadataLogError> {
        if self.poisoned {
            return Err(MetadataLogError::Poisoned(self.path.clone()));
        }
        // Until it has succeeded, nobody knows what is on the disk.
        self.poisoned = true;
        let failed = |action| {
            let path = self.path.clone();
            move |source| MetadataLogError::Io { action, path, source }
        };
        if let Err(error) = write_all_at(&*self.file, &mut [IoSlice::new(bytes)], self.end) {
            // A full disk is no doubt about what is on it: cut the piece off, and go on when there is room again. Topics
            // have to be deletable then.
            if error.kind() == io::ErrorKind::StorageFull && self.file.truncate(self.end).is_ok() {
                self.poisoned = false;
            }
            return Err(failed("write")(error));
        }
        self.file.sync_data().map_err(failed("sync"))?;
        self.end += bytes.len() as u64;
        self.poisoned = false;
        Ok(())
    }
}

fn write_snapshot(storage: &dyn Storage, path: &Path, contents: &[u8]) -> io::Result<Arc<dyn StorageFile>> {
    let file = storage.open(path, Access::Create)?;
    file.truncate(0)?;
    write_all_at(&*file, &mut [IoSlice::new(contents)], 0)?;
    file.sync_data()?;
    Ok(file)
}

fn entry(records: &[MetadataRecord]) -> Vec<u8> {
    let body = postcard::to_allocvec(records).expect("records are plain data, which always has a form");
    let length = u32::try_from(body.len()).expect("the metadata of one cluster stays far below 4 GiB");
    let mut entry = Vec::with_capacity(ENTRY_HEADER_BYTES + body.len());
    entry.extend_from_slice(&length.to_le_bytes());
    entry.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    entry.extend_from_slice(&body);
    entry
}

fn read_all(file: &dyn StorageFile) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut contents = vec![0; len];
    read_exact_at(file, &mut contents, 0)?;
    Ok(contents)
}

/// Hands out the records and tells where the sound entries end, or where the log is corrupt.
fn replay(contents: &[u8], apply: &mut impl FnMut(MetadataRecord)) -> Result<usize, usize> {
    if contents[..MAGIC.len()] != MAGIC {
        return Err(0);
    }
    let mut position = MAGIC.len();
    while let Some((records, entry_bytes)) = entry_at(contents, position) {
        records.into_iter().for_each(&mut *apply);
        position += entry_bytes;
    }
    let rest = contents.len() - position;
    if rest > ENTRY_HEADER_BYTES {
        // A torn entry is the last: only if a sound one stands where this one claims to end is it not a tail.
        let claimed = u32::from_le_bytes([
            contents[position],
            contents[position + 1],
            contents[position + 2],
            contents[position + 3],
        ]);
        let next = position.saturating_add(ENTRY_HEADER_BYTES).saturating_add(claimed as usize);
        if entry_at(contents, next).is_some() {
            return Err(position);
        }
    }
    Ok(position)
}

fn entry_at(contents: &[u8], position: usize) -> Option<(Vec<MetadataRecord>, usize)> {
    let rest = contents.get(position..)?;
    let length = u32::from_le_bytes(*rest.first_chunk::<4>()?) as usize;
    let crc = u32::from_le_bytes(*rest.get(4..)?.first_chunk::<4>()?);
    let body = rest.get(ENTRY_HEADER_BYTES..)?.get(..length)?;
    if length == 0 || crc32fast::hash(body) != crc {
        return None;
    }
    let records = postcard::from_bytes(body).ok()?;
    Some((records, ENTRY_HEADER_BYTES + length))
}

#[cfg(test)]
mod tests {
    use ottla_log::storage::{FaultyStorage, MemoryStorage, Operation};
    use ottla_protocol::ProducerId;

    use super::*;

    fn next(id: i64) -> MetadataRecord {
        MetadataRecord::ProducerIds { next: ProducerId::new(id) }
    }

    fn storage() -> Arc<dyn Storage> {
        let storage = MemoryStorage::new();
        storage.create_directory(Path::new("/data")).unwrap();
        Arc::new(storage)
    }

    fn open(storage: &Arc<dyn Storage>) -> Result<(MetadataLog, Vec<MetadataRecord>), MetadataLogError> {
        let mut records = Vec::new();
        let log = MetadataLog::open(storage, Path::new("/data/m"), |record| records.push(record))?;
        Ok((log, records))
    }

    #[test]
    fn committed_records_come_back_in_order_and_a_torn_tail_is_cut() {
        let storage = storage();
        let (mut log, _) = open(&storage).unwrap();
        log.push(&[next(1), next(2)]);
        log.push(&[next(3)]);
        log.commit().unwrap();
        let end = log.end;
        log.file.write_vectored_at(&[IoSlice::new(&[9, 0, 0, 0, 1, 2, 3, 4, 5])], end).unwrap();
        let (mut log, records) = open(&storage).unwrap();
        assert_eq!(records, [next(1), next(2), next(3)]);
        log.push(&[next(4)]);
        log.commit().unwrap();
        assert_eq!(open(&storage).unwrap().1, [next(1), next(2), next(3), next(4)]);
    }

    #[test]
    fn an_entry_that_is_bad_in_the_middle_refuses_to_open() {
        let storage = storage();
        let (mut log, _) = open(&storage).unwrap();
        for id in [1, 2] {
            log.push(&[next(id)]);
            log.commit().unwrap();
        }
        let flipped = MAGIC.len() as u64 + ENTRY_HEADER_BYTES as u64;
        log.file.write_vectored_at(&[IoSlice::new(&[0xff])], flipped).unwrap();
        assert!(matches!(open(&storage), Err(MetadataLogError::Corrupt { position: 8, .. })));
    }

    #[test]
    fn what_shares_an_fsync_is_there_whole_or_not_at_all() {
        let storage = storage();
        let (mut log, _) = open(&storage).unwrap();
        log.push(&[next(1)]);
        log.commit().unwrap();
        let committed = log.end;
        log.push(&[next(2)]);
        log.push(&[next(3)]);
        log.commit().unwrap();
        // A power loss before the fsync may keep the end of what was written and lose its beginning.
        log.file.write_vectored_at(&[IoSlice::new(&[0; 9])], committed).unwrap();
        assert_eq!(open(&storage).unwrap().1, [next(1)]);
    }

    #[test]
    fn a_snapshot_replaces_what_came_before_and_the_log_goes_on_behind_it() {
        let storage = storage();
        let (mut log, _) = open(&storage).unwrap();
        for id in 1..=50 {
            log.push(&[next(id)]);
            log.commit().unwrap();
        }
        let before = log.bytes_since_snapshot();
        log.take_snapshot(&[next(50)]).unwrap();
        assert_eq!((log.bytes_since_snapshot(), log.end < before), (0, true));
        log.push(&[next(51)]);
        log.commit().unwrap();
        assert_eq!(open(&storage).unwrap().1, [next(50), next(51)]);
    }

    #[test]
    fn a_full_disk_refuses_entries_until_there_is_room_again() {
        let faulty = FaultyStorage::new();
        let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
        storage.create_directory(Path::new("/data")).unwrap();
        let (mut log, _) = open(&storage).unwrap();
        log.push(&[next(1)]);
        log.commit().unwrap();
        faulty.set_capacity(Some(log.end + 3));
        log.push(&[next(2)]);
        log.commit().unwrap_err();
        log.take_snapshot(&[next(1)]).unwrap_err();
        faulty.set_capacity(None);
        log.push(&[next(3)]);
        log.commit().unwrap();
        assert_eq!(open(&storage).unwrap().1, [next(1), next(3)]);
        assert!(!storage.list(Path::new("/data/m")).unwrap().iter().any(|entry| entry.name == SNAPSHOT_NAME));
    }

    #[test]
    fn after_a_failed_fsync_nothing_is_committed_any_more() {
        let faulty = FaultyStorage::new();
        let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
        storage.create_directory(Path::new("/data")).unwrap();
        let (mut log, _) = open(&storage).unwrap();
        faulty.fail_next(Operation::SyncData, io::ErrorKind::Other);
        log.push(&[next(1)]);
        log.commit().unwrap_err();
        log.push(&[next(2)]);
        assert!(matches!(log.commit(), Err(MetadataLogError::Poisoned(_))));
        assert!(matches!(log.take_snapshot(&[]), Err(MetadataLogError::Poisoned(_))));
    }

    /// Each write, sync and rename of a snapshot in turn is where the process dies or the machine loses power.
    #[test]
    fn a_crash_during_a_snapshot_leaves_all_that_was_committed() {
        for crash_at in 1.. {
            let faulty = FaultyStorage::new();
            let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
            storage.create_directory(Path::new("/data")).unwrap();
            storage.sync_directory(Path::new("/")).unwrap();
            let (mut log, _) = open(&storage).unwrap();
            log.push(&[next(1)]);
            log.push(&[next(2)]);
            log.commit().unwrap();
            faulty.crash_at(crash_at);
            let taken = log.take_snapshot(&[next(2)]);
            for survivor in
                [faulty.after_kill(), faulty.after_power_loss(|| 0), faulty.after_power_loss(|| u8::MAX)]
            {
                let survivor: Arc<dyn Storage> = Arc::new(survivor);
                let records = open(&survivor).unwrap().1;
                assert!(
                    records == [next(1), next(2)] || records == [next(2)],
                    "crash at {crash_at}: {records:?}"
                );
                assert!(taken.is_err() || records == [next(2)], "a snapshot that was taken counts");
            }
            if taken.is_ok() {
                assert!(crash_at > 4, "there is a write, two syncs and a rename to crash at");
                return;
            }
        }
    }
}
