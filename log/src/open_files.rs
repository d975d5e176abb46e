//! A bound on the descriptors that the log files of one directory keep open.
//!
//! Files are opened when first needed and stay open; once there are [`OPEN_FILES_MAX`], the one that was not used for a
//! while is let go (second chance, as page replacement does it). A slice or an append in flight holds its own reference,
//! so a file may live on after it was let go. It does not know what the files hold. Invariant: at most the bound are kept.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::storage::StorageFile;

/// Unless the process may have fewer: RLIMIT_NOFILE is often 20,000 or more; connections and mapped indexes need their share.
pub(crate) const OPEN_FILES_MAX: usize = 8192;

/// The open files of a directory.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    kept: Mutex<VecDeque<Weak<OpenFile>>>,
    kept_max: AtomicUsize,
}

/// The place in which a log file keeps its descriptor.
#[derive(Debug, Default)]
pub(crate) struct OpenFile {
    file: ArcSwapOption<Arc<dyn StorageFile>>,
    is_used: AtomicBool,
}

impl OpenFile {
    pub(crate) fn get(&self) -> Option<Arc<dyn StorageFile>> {
        let file = self.file.load().as_ref().map(|file| Arc::clone(&**file));
        if file.is_some() && !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        file
    }
}

impl OpenFiles {
    pub(crate) fn new(kept_max: usize) -> Self {
        Self { kept: Mutex::default(), kept_max: AtomicUsize::new(kept_max) }
    }

    /// Keeps at most so many from the next one on; at least one.
    pub(crate) fn bound(&self, kept_max: usize) {
        self.kept_max.store(kept_max.clamp(1, OPEN_FILES_MAX), Ordering::Relaxed);
    }

    /// Keeps a file that was just opened in its place, and lets go of another if there are too many.
    pub(crate) fn keep(&self, place: &Arc<OpenFile>, file: Arc<dyn StorageFile>) {
        let mut kept = self.kept.lock();
        if place.file.swap(Some(Arc::new(file))).is_none() {
            kept.push_back(Arc::downgrade(place));
        }
        // Each place is passed at most once as used and once as unused.
        for _ in 0..2 * kept.len() {
            if kept.len() <= self.kept_max.load(Ordering::Relaxed) {
                return;
            }
            let Some(oldest) = kept.pop_front() else {
                return;
            };
            match oldest.upgrade() {
                None => {}
                Some(place) if place.is_used.swap(false, Ordering::Relaxed) => kept.push_back(oldest),
                Some(place) => place.file.store(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::storage::{Access, MemoryStorage, Storage};

    #[test]
    fn the_files_that_were_not_used_for_longest_are_let_go() {
        let storage = MemoryStorage::new();
        storage.create_directory(Path::new("/d")).unwrap();
        let files = OpenFiles::new(3);
        let places: Vec<_> = (0..5).map(|_| Arc::new(OpenFile::default())).collect();
        for place in &places {
            files.keep(place, storage.open(Path::new("/d/a"), Access::Create).unwrap());
            // The first stays in use all the time.
            places[0].get();
        }
        let is_open: Vec<bool> = places.iter().map(|place| place.get().is_some()).collect();
        assert_eq!(is_open, [true, false, false, true, true]);
        files.bound(1);
        files.keep(&places[1], storage.open(Path::new("/d/a"), Access::Write).unwrap());
        assert_eq!(places.iter().filter(|place| place.get().is_some()).count(), 1);
        files.bound(3);
        drop(places);
        let place = Arc::new(OpenFile::default());
        (0..9).for_each(|_| files.keep(&place, storage.open(Path::new("/d/a"), Access::Write).unwrap()));
        assert!(files.kept.lock().len() <= 3, "places that are gone are forgotten");
    }
}
