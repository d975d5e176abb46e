//! A partition's directory as its log knows it: part of a log directory, and for how long the names in it are its own.
//!
//! A topic that is deleted gives its directory's name back, and a topic of the same name may take it at once. A file that
//! is open stays what it is; a name is only good until then. It does not rename or remove anything itself. Invariant:
//! once [`Home::leave`] has returned, no file is opened by a name that may be another log's.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::directory_state::DirectoryState;
use crate::error::LogError;
use crate::storage::{Access, StorageFile};

/// See the module. What the logs of a log directory share is reached through it.
#[derive(Debug)]
pub(crate) struct Home {
    shared: Arc<DirectoryState>,
    /// Read while a file is opened, so that nobody takes its name away meanwhile.
    is_left: RwLock<bool>,
}

impl Home {
    pub(crate) fn new(shared: Arc<DirectoryState>) -> Arc<Home> {
        Arc::new(Home { shared, is_left: RwLock::new(false) })
    }

    /// Opens a file of this log by its name.
    ///
    /// # Errors
    /// `Closed` if the names are this log's no longer.
    pub(crate) fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn StorageFile>, LogError> {
        let is_left = self.is_left.read();
        if *is_left {
            return Err(LogError::Closed);
        }
        let file = self.shared.storage().open(path, access);
        file.map_err(|error| LogError::io("open", path, error))
    }

    /// The names are about to be another's. What is just being opened by one is open when this returns.
    pub(crate) fn leave(&self) {
        *self.is_left.write() = true;
    }

    pub(crate) fn is_left(&self) -> bool {
        *self.is_left.read()
    }
}

impl Deref for Home {
    type Target = DirectoryState;

    fn deref(&self) -> &DirectoryState {
        &self.shared
    }
}
