//! Why a broker cannot start: one clear line for each reason, fit to be shown to whoever started it.

use std::io;
use std::net::SocketAddr;

use ottla_log::LogError;

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
