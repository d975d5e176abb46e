//! Why a broker cannot start: one clear line for each reason, fit to be shown to whoever started it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use ottla_log::LogError;
use ottla_protocol::DirectoryId;

use crate::quorum::MetadataLogError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's host name has no address.
    #[error("listener {listener}: cannot resolve {host}: {source}")]
    Resolve {
        /// The listener's name.
        listener: String,
        /// Its host and port.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// A listener's address cannot be bound: in use, as a rule, or not of this machine.
    #[error("listener {listener}: cannot listen on {address}: {}", .source.kind())]
    Bind {
        /// The listener's name.
        listener: String,
        /// The address it stands for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A log directory is locked, not ours, or unreadable.
    #[error("log directory: {0}")]
    Log(#[from] LogError),
    /// The metadata log cannot be read.
    #[error(transparent)]
    Metadata(#[from] MetadataLogError),
    /// The metadata log is not there, and a log directory says that there was one.
    #[error(
        "the metadata log {} is missing, but {evidence}; put it back, or empty every log directory to begin anew",
        path.display()
    )]
    MetadataLogMissing {
        /// Where it should be.
        path: PathBuf,
        /// How it is known that there was one.
        evidence: String,
    },
    /// Two log directories have the same id.
    #[error("the log directories {} and {} have the same directory.id {id}: one is a copy", .paths[0].display(), .paths[1].display())]
    DuplicateDirectory {
        /// The id.
        id: DirectoryId,
        /// Where they are.
        paths: [PathBuf; 2],
    },
    /// The system has no thread to give.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// Something was asked of the configuration that cannot be had.
    #[error("configuration: {0}")]
    Config(String),
    /// The runtime is shutting down.
    #[error("the start was interrupted")]
    Interrupted,
}
