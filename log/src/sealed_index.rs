//! The bytes of an index file that will not change any more: mapped when first asked for, unmapped with its segment.
//!
//! The only `unsafe` of this crate. Reading through a map is undefined if somebody shortens the file meanwhile (the
//! kernel sends SIGBUS); this crate only ever unlinks or renames an index file once it is sealed, and the directory lock
//! keeps other brokers out. At [`MAPS_MAX`] maps, or where there is no kernel behind the file, entries are read one by
//! one instead: slower, never wrong. See docs/decisions/0011 for why the active index is not mapped.
#![allow(unsafe_code)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use memmap2::Mmap;
use parking_lot::Mutex;

use crate::error::LogError;
use crate::home::Home;
use crate::storage::{Access, StorageFile, read_exact_at};

/// Far below `vm.max_map_count`, which is 65,530 and shared with allocator and threads.
const MAPS_MAX: usize = 16_384;
static MAPS: AtomicUsize = AtomicUsize::new(0);

/// An index file of entries of `N` bytes.
#[derive(Debug)]
pub(crate) struct SealedIndex<const N: usize> {
    home: Arc<Home>,
    path: PathBuf,
    len: usize,
    bytes: OnceLock<Bytes>,
    /// Held while the file is opened by its name, which it may lose to another.
    opening: Mutex<()>,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    File(Arc<dyn StorageFile>),
}

impl<const N: usize> SealedIndex<N> {
    /// The file at `path`, of which the first `file_bytes` are entries. It is not opened yet.
    pub(crate) fn new(home: Arc<Home>, path: PathBuf, file_bytes: u64) -> Self {
        let len = usize::try_from(file_bytes).unwrap_or(usize::MAX) / N;
        Self { home, path, len, bytes: OnceLock::new(), opening: Mutex::new(()) }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The entry at `index`, which must be below [`SealedIndex::len`].
    pub(crate) fn entry(&self, index: usize) -> Result<[u8; N], LogError> {
        assert!(index < self.len, "index entry {index} of {}", self.len);
        let mut entry = [0; N];
        match self.bytes()? {
            Bytes::Mapped(map) => entry.copy_from_slice(&map[index * N..(index + 1) * N]),
            Bytes::File(file) => read_exact_at(&**file, &mut entry, (index * N) as u64)
                .map_err(|error| LogError::io("read", &self.path, error))?,
        }
        Ok(entry)
    }

    fn bytes(&self) -> Result<&Bytes, LogError> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes);
        }
        let _one_at_a_time = self.opening.lock();
        match self.bytes.get() {
            Some(bytes) => Ok(bytes),
            None => {
                let opened = self.open()?;
                Ok(self.bytes.get_or_init(|| opened))
            }
        }
    }

    /// Opens the file, so that it can be read after another has taken its name.
    pub(crate) fn pin(&self) -> Result<(), LogError> {
        if self.len > 0 { self.bytes().map(|_| ()) } else { Ok(()) }
    }

    fn open(&self) -> Result<Bytes, LogError> {
        let io = |error| LogError::io("measure", &self.path, error);
        let file = self.home.open(&self.path, Access::Read)?;
        if file.len().map_err(io)? < (self.len * N) as u64 {
            return Err(LogError::Malformed {
                path: self.path.clone(),
                reason: "shorter than when the log was opened".to_owned(),
            });
        }
        let Some(descriptor) = file.as_fd().filter(|_| self.len > 0) else {
            return Ok(Bytes::File(file));
        };
        if MAPS.fetch_add(1, Ordering::Relaxed) >= MAPS_MAX {
            MAPS.fetch_sub(1, Ordering::Relaxed);
            return Ok(Bytes::File(file));
        }
        // SAFETY: the file is sealed: this process does not truncate or write it again, and the directory lock keeps
        // other brokers from it. The length was checked above, so all of the map lies within the file.
        let mapped = unsafe { memmap2::MmapOptions::new().len(self.len * N).map(&descriptor) };
        match mapped {
            Ok(map) => {
                // A look-up touches few pages, and a start one of each index: around a page the kernel would read 32 more.
                // One that does not take the advice does just that.
                let _more_is_read = map.advise(memmap2::Advice::Random);
                Ok(Bytes::Mapped(map))
            }
            Err(_) => {
                MAPS.fetch_sub(1, Ordering::Relaxed);
                Ok(Bytes::File(file))
            }
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if matches!(self, Bytes::Mapped(_)) {
            MAPS.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
