//! One view of a cluster: the settings and the metadata that everything made from one client shares.
//!
//! It holds no connection and asks nobody; whoever learned something hands it in. Invariant: its locks are never held
//! while waiting for a broker, except that only one question for metadata is under way at a time.

use parking_lot::{Mutex, MutexGuard};

use crate::config::ClientConfig;
use crate::metadata::Metadata;

/// See the file's header.
#[derive(Debug)]
pub(crate) struct ClusterView {
    config: ClientConfig,
    metadata: Mutex<Metadata>,
    /// Held by whoever asks for metadata.
    pub(crate) refreshing: tokio::sync::Mutex<()>,
}

impl ClusterView {
    pub(crate) fn new(config: ClientConfig) -> ClusterView {
        ClusterView { config, metadata: Mutex::default(), refreshing: tokio::sync::Mutex::default() }
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    pub(crate) fn metadata(&self) -> MutexGuard<'_, Metadata> {
        self.metadata.lock()
    }
}
