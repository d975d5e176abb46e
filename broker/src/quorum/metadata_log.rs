//! The metadata log of a one-voter quorum: entries that are on disk before anybody acts on them.
//!
//! ```text
//! metadata.log       ┌────────────┬────────────┬───────────┬──────────────┐
//!   entry by entry   │ length u32 │ crc32  u32 │ index u64 │ payload      │   little endian; length is the payload's,
//!                    └────────────┴────────────┴───────────┴──────────────┘   the crc covers index and payload
//! metadata.snapshot  one such entry: everything up to and with its index
//! ```
//!
//! An entry is a batch of records that apply together or not at all. A torn last entry was never acknowledged and is cut
//! off; damage before the last entry is an error, because what follows it was. When the log outgrows
//! [`LOG_BYTES_MAX`] the host hands in a snapshot and the log begins anew: snapshot first (temporary file, fsync, rename,
//! directory fsync), then the shorter log the same way; a crash between the two leaves entries that the snapshot already
//! holds, and their indexes say so.
//! This is *not* a consensus log: terms and votes come with the cluster. Invariant: indexes grow by one.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_log::storage::{Access, Storage, StorageFile, read_file, replace_file, write_all_at};

/// When the log has grown beyond so many bytes it is time for a snapshot.
pub(crate) const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

const HEADER_BYTES: usize = 16;
const LOG_NAME: &str = "metadata.log";
const SNAPSHOT_NAME: &str = "metadata.snapshot";

/// Why the metadata log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataLogError {
    /// The file system refused.
    #[error("{path}: {source}; the metadata log must be writable: check the disk and its permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file does not hold what was written to it.
    #[error("{path} is damaged at byte {position}: {reason}; restore it from a copy, nothing was changed")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The entries are whole but say nothing that this version understands.
    #[error("{path} was written by another version of ottla; start that version, nothing was changed")]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
}

/// What a log held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// The snapshot's payload.
    pub(crate) snapshot: Option<Vec<u8>>,
    /// The payloads after it, oldest first.
    pub(crate) entries: Vec<Vec<u8>>,
}

/// The open log.
#[derive(Debug)]
pub(crate) struct MetadataLog {
    storage: Arc<dyn Storage>,
    directory: PathBuf,
    file: Arc<dyn StorageFile>,
    end: u64,
    last_index: u64,
    poisoned: bool,
}

struct Entry {
    index: u64,
    payload: Vec<u8>,
}

impl MetadataLog {
    /// Opens or creates the log in `directory` and reads back what it holds.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        directory: &Path,
    ) -> Result<(MetadataLog, Replay), MetadataLogError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| MetadataLogError::Io { path, source }
        };
        storage.create_directory(directory).map_err(at(directory))?;
        let snapshot = read_snapshot(&*storage, &directory.join(SNAPSHOT_NAME))?;
        let path = directory.join(LOG_NAME);
        let bytes = read_file(&*storage, &path).map_err(at(&path))?.unwrap_or_default();
        let (entries, end) = read_entries(&path, &bytes)?;

        let file = storage.open(&path, Access::Create).map_err(at(&path))?;
        file.truncate(end).and_then(|()| file.sync_data()).map_err(at(&path))?;
        storage.sync_directory(directory).map_err(at(directory))?;

        let snapshot_index = snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        let last_index = entries.last().map_or(0, |entry| entry.index).max(snapshot_index);
        let fresh = entries.into_iter().filter(|entry| entry.index > snapshot_index);
        let replay = Replay {
            entries: fresh.map(|entry| entry.payload).collect(),
            snapshot: snapshot.map(|snapshot| snapshot.payload),
        };
        let directory = directory.to_owned();
        Ok((MetadataLog { storage, directory, file, end, last_index, poisoned: false }, replay))
    }

    /// Appends one entry; on success it is on disk. After a failure the log takes no more: what the disk holds is
    /// unknown until it is opened again.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<u64, MetadataLogError> {
        let index = self.last_index + 1;
        let header = header(index, payload);
        let appended = if self.poisoned {
            Err(io::Error::other("an earlier write failed; restart the broker to read back what is there"))
        } else {
            write_all_at(&*self.file, &mut [IoSlice::new(&header), IoSlice::new(payload)], self.end)
                .and_then(|()| self.file.sync_data())
        };
        if let Err(source) = appended {
            self.poisoned = true;
            return Err(MetadataLogError::Io { path: self.directory.join(LOG_NAME), source });
        }
        self.end += (HEADER_BYTES + payload.len()) as u64;
        self.last_index = index;
        Ok(index)
    }

    /// Whether a snapshot is due.
    pub(crate) fn wants_snapshot(&self) -> bool {
        self.end > LOG_BYTES_MAX
    }

    /// Replaces all that was appended so far by `payload`, which must say the same.
    pub(crate) fn install_snapshot(&mut self, payload: &[u8]) -> Result<(), MetadataLogError> {
        let mut contents = header(self.last_index, payload).to_vec();
        contents.extend_from_slice(payload);
        for (name, contents) in [(SNAPSHOT_NAME, contents.as_slice()), (LOG_NAME, &[])] {
            let path = self.directory.join(name);
            replace_file(&*self.storage, &path, contents)
                .map_err(|source| MetadataLogError::Io { path, source })?;
        }
        let path = self.directory.join(LOG_NAME);
        let reopened = self.storage.open(&path, Access::Write);
        self.file = reopened.map_err(|source| MetadataLogError::Io { path, source })?;
        self.end = 0;
        Ok(())
    }
}

fn header(index: u64, payload: &[u8]) -> [u8; HEADER_BYTES] {
    let length = u32::try_from(payload.len()).expect("a metadata entry is far below 4 GiB");
    let mut header = [0; HEADER_BYTES];
    header[0..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&checksum(index, payload).to_le_bytes());
    header[8..16].copy_from_slice(&index.to_le_bytes());
    header
}

fn checksum(index: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&index.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// One whole entry and the bytes after it, or `None` where the bytes hold no whole, undamaged entry.
fn split_entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (index, rest) = rest.split_first_chunk::<8>()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let index = u64::from_le_bytes(*index);
    let entry = Entry { index, payload: payload.to_vec() };
    (checksum(index, payload) == u32::from_le_bytes(*crc)).then_some((entry, rest))
}

/// All entries and where they end. What follows that end is a torn entry, unless a whole one stands behind it.
fn read_entries(path: &Path, bytes: &[u8]) -> Result<(Vec<Entry>, u64), MetadataLogError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut rest = bytes;
    let damaged = |rest: &[u8], reason| MetadataLogError::Damaged {
        path: path.to_owned(),
        position: (bytes.len() - rest.len()) as u64,
        reason,
    };
    while let Some((entry, behind)) = split_entry(rest) {
        if entries.last().is_some_and(|last| last.index + 1 != entry.index) {
            return Err(damaged(rest, "its index does not follow the one before"));
        }
        entries.push(entry);
        rest = behind;
    }
    let expected = entries.last().map_or(0, |last| last.index);
    let follows = (1..rest.len()).filter_map(|skip| split_entry(&rest[skip..]));
    if follows.into_iter().any(|(entry, _)| entry.index > expected) {
        return Err(damaged(rest, "a whole entry stands behind a broken one"));
    }
    Ok((entries, (bytes.len() - rest.len()) as u64))
}

fn read_snapshot(storage: &dyn Storage, path: &Path) -> Result<Option<Entry>, MetadataLogError> {
    let bytes =
        read_file(storage, path).map_err(|source| MetadataLogError::Io { path: path.to_owned(), source })?;
    let Some(bytes) = bytes else { return Ok(None) };
    match split_entry(&bytes) {
        Some((entry, [])) => Ok(Some(entry)),
        _ => Err(MetadataLogError::Damaged {
            path: path.to_owned(),
            position: 0,
            reason: "its checksum does not match",
        }),
    }
}

#[cfg(test)]
mod tests {
    use ottla_log::storage::MemoryStorage;

    use super::*;

    const DIRECTORY: &str = "/metadata";

    fn open(storage: &Arc<dyn Storage>) -> Result<(MetadataLog, Replay), MetadataLogError> {
        MetadataLog::open(storage.clone(), Path::new(DIRECTORY))
    }

    fn log_bytes(storage: &Arc<dyn Storage>) -> Vec<u8> {
        read_file(&**storage, &Path::new(DIRECTORY).join(LOG_NAME)).unwrap().unwrap()
    }

    fn set_log(storage: &Arc<dyn Storage>, bytes: &[u8]) {
        replace_file(&**storage, &Path::new(DIRECTORY).join(LOG_NAME), bytes).unwrap();
    }

    fn three_entries() -> Arc<dyn Storage> {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
        let (mut log, _) = open(&storage).unwrap();
        for payload in [b"one".as_slice(), b"two", b"three"] {
            log.append(payload).unwrap();
        }
        storage
    }

    #[test]
    fn entries_come_back_in_order() {
        let (log, replay) = open(&three_entries()).unwrap();
        assert_eq!(replay.entries, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
        assert_eq!(log.last_index, 3);
    }

    #[test]
    fn a_log_torn_at_any_byte_keeps_every_whole_entry() {
        let storage = three_entries();
        let whole = log_bytes(&storage);
        let ends = [HEADER_BYTES + 3, 2 * HEADER_BYTES + 6, 3 * HEADER_BYTES + 11];
        assert_eq!(whole.len(), ends[2]);
        for cut in 0..whole.len() {
            set_log(&storage, &whole[..cut]);
            let (mut log, replay) = open(&storage).unwrap();
            assert_eq!(replay.entries.len(), ends.iter().filter(|end| **end <= cut).count());
            log.append(b"next").unwrap();
            assert_eq!(open(&storage).unwrap().1.entries.last().unwrap(), b"next");
        }
    }

    #[test]
    fn damage_before_the_last_entry_is_an_error() {
        let storage = three_entries();
        let mut bytes = log_bytes(&storage);
        bytes[HEADER_BYTES] ^= 1;
        set_log(&storage, &bytes);
        let error = open(&storage).unwrap_err();
        assert!(matches!(error, MetadataLogError::Damaged { position: 0, .. }), "{error}");
    }

    #[test]
    fn a_snapshot_stands_for_what_came_before_even_if_the_log_was_not_cut() {
        let storage = three_entries();
        let before = log_bytes(&storage);
        let (mut log, _) = open(&storage).unwrap();
        log.install_snapshot(b"all three").unwrap();
        log.append(b"four").unwrap();
        let (_, replay) = open(&storage).unwrap();
        assert_eq!(replay.snapshot.as_deref(), Some(b"all three".as_slice()));
        assert_eq!(replay.entries, [b"four".to_vec()]);

        set_log(&storage, &before);
        let (log, replay) = open(&storage).unwrap();
        assert_eq!(replay.entries.len(), 0, "the snapshot holds these already");
        assert_eq!(log.last_index, 3);
    }
}
