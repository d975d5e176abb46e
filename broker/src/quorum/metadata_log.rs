//! The metadata log: the controller's records on disk, in the order in which they were committed.
//!
//! ```text
//! ottla-metadata/00000000000000000000.log    "OTMD" version u32, then one entry per proposal:
//! ┌───────────┬──────────────┬───────────────────────────────┐
//! │ length    │ CRC-32 of    │ postcard of the records       │
//! │ u32 LE    │ the body u32 │ (Vec<MetadataRecord>)         │
//! └───────────┴──────────────┴───────────────────────────────┘
//! ```
//! An entry is atomic. What may be left behind by a crash is a cut or unwritten last entry, which was never answered: it
//! is cut off. An entry that is bad with sound ones behind it is not a torn tail, and refuses to open. After a failed
//! write or fsync the log takes no more entries until the next start: what the disk holds then is unknown.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_cluster::controller::MetadataRecord;
use ottla_log::storage::{Access, Storage, StorageFile};

const FILE_NAME: &str = "00000000000000000000.log";
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
    /// An earlier write failed.
    #[error("the metadata log {} takes no entries since a write failed", .0.display())]
    Poisoned(PathBuf),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct MetadataLog {
    path: PathBuf,
    file: Arc<dyn StorageFile>,
    end: u64,
    pending: Vec<u8>,
    poisoned: bool,
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
        let file = storage.open(&path, Access::Create).map_err(failed("open"))?;
        let contents = read_all(&*file).map_err(failed("read"))?;
        let mut log = MetadataLog { path: path.clone(), file, end: 0, pending: Vec::new(), poisoned: false };
        if contents.len() < MAGIC.len() {
            // New, or killed before its first entry: nothing was ever committed.
            log.file.truncate(0).map_err(failed("create"))?;
            log.pending.extend_from_slice(&MAGIC);
            log.commit()?;
            storage.sync_directory(directory).map_err(failed("create"))?;
            if let Some(parent) = directory.parent() {
                storage.sync_directory(parent).map_err(failed("create"))?;
            }
            return Ok(log);
        }
        let end = replay(&contents, &mut apply)
            .map_err(|position| MetadataLogError::Corrupt { path: path.clone(), position })?;
        if end < contents.len() {
            log.file.truncate(end as u64).map_err(failed("cut"))?;
            log.file.sync_data().map_err(failed("sync"))?;
        }
        log.end = end as u64;
        Ok(log)
    }

    /// Adds an entry to the next commit.
    pub(crate) fn push(&mut self, records: &[MetadataRecord]) {
        if records.is_empty() {
            return;
        }
        let body = postcard::to_allocvec(records).expect("records are plain data, which always has a form");
        let length = u32::try_from(body.len()).expect("one proposal stays far below 4 GiB");
        self.pending.extend_from_slice(&length.to_le_bytes());
        self.pending.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        self.pending.extend_from_slice(&body);
    }

    /// Writes and syncs what was added.
    ///
    /// # Errors
    /// None of it is committed, and the log takes no more.
    pub(crate) fn commit(&mut self) -> Result<(), MetadataLogError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.poisoned {
            return Err(MetadataLogError::Poisoned(self.path.clone()));
        }
        let pending = std::mem::take(&mut self.pending);
        // Until it has succeeded, nobody knows what is on the disk.
        self.poisoned = true;
        let failed = |action| {
            let path = self.path.clone();
            move |source| MetadataLogError::Io { action, path, source }
        };
        let mut written = 0;
        while written < pending.len() {
            let part = [IoSlice::new(&pending[written..])];
            match self.file.write_vectored_at(&part, self.end + written as u64).map_err(failed("write"))? {
                0 => return Err(failed("write")(io::ErrorKind::WriteZero.into())),
                count => written += count,
            }
        }
        self.file.sync_data().map_err(failed("sync"))?;
        self.end += written as u64;
        self.poisoned = false;
        Ok(())
    }
}

fn read_all(file: &dyn StorageFile) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut contents = vec![0; len];
    let mut done = 0;
    while done < len {
        match file.read_at(&mut contents[done..], done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
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
    use ottla_log::storage::MemoryStorage;
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
        log.push(&[next(1)]);
        log.push(&[next(2)]);
        log.commit().unwrap();
        let flipped = MAGIC.len() as u64 + ENTRY_HEADER_BYTES as u64;
        log.file.write_vectored_at(&[IoSlice::new(&[0xff])], flipped).unwrap();
        assert!(matches!(open(&storage), Err(MetadataLogError::Corrupt { position: 8, .. })));
    }
}
