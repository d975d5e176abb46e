//! Starting and stopping a broker in this process.
//!
//! Order of a start: configuration → log directories (locked, ours) → metadata log → partitions → listeners; whatever fails
//! is told in one line and leaves nothing running. Order of a stop: no new connections and requests → replies to what has
//! begun → metadata log → logs synced, checkpoints, clean marker. Several brokers may run in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::config::BrokerConfig;
use ottla_cluster::config::listener::Advertised;
use ottla_log::storage::Storage;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::core::Core;
use crate::listener::{Listener, accept_connections};
use crate::log_levels::LogLevels;
use crate::rt::net::{self, SocketOptions, TcpListener};
use crate::rt::time::WallClock;
use crate::rt::{storage, time};
use crate::start_error::StartError;
use crate::{background, cleaner, coordinators};

/// How long a stopping broker waits for clients to take their replies.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// The broker; see [`Broker::start`].
#[derive(Debug)]
pub struct Broker;

/// A running broker. Dropping it stops the broker as a kill would: at once, and with no clean-shutdown marker, so that
/// the next start recovers. [`BrokerHandle::shutdown`] is the clean way.
#[derive(Debug)]
pub struct BrokerHandle {
    core: Arc<Core>,
    listeners: Vec<Arc<Listener>>,
    tasks: TaskTracker,
}

impl Broker {
    /// Starts a broker and returns once it can be connected to.
    ///
    /// It runs on the tokio runtime of the caller, which needs the I/O and time drivers and more than one thread to use
    /// more than one core. A listener on port 0 gets a free port: [`BrokerHandle::address`].
    ///
    /// # Errors
    /// One line that says what stands in the way; nothing is left running and no directory stays locked.
    pub async fn start(config: BrokerConfig) -> Result<BrokerHandle, StartError> {
        Broker::start_on(config, storage::storage()).await
    }

    /// [`Broker::start`] on another file system than that of this process: one in memory, or one that fails when told to.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub async fn start_on(
        config: BrokerConfig,
        storage: Arc<dyn Storage>,
    ) -> Result<BrokerHandle, StartError> {
        Broker::start_with(config, storage, WallClock::default()).await
    }

    /// [`Broker::start_on`] with a wall clock that can be set.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub async fn start_with(
        config: BrokerConfig,
        storage: Arc<dyn Storage>,
        wall_clock: WallClock,
    ) -> Result<BrokerHandle, StartError> {
        let sockets = bind(&config)?;
        // Opening thousands of logs reads many files: not on a worker that others of this process may need.
        let opened = tokio::task::spawn_blocking(move || Core::open(config, &storage, wall_clock)).await;
        let core = opened.map_err(|_| StartError::Interrupted)??;
        let tasks = TaskTracker::new();
        let mut listeners = Vec::with_capacity(sockets.len());
        for (listener, socket) in sockets {
            let listener = Arc::new(listener);
            listeners.push(Arc::clone(&listener));
            tasks.spawn(accept_connections(Arc::clone(&core), listener, socket, tasks.clone()));
        }
        tasks.spawn(background::watch_deadlines(Arc::clone(&core)));
        tasks.spawn(background::keep_house(Arc::clone(&core)));
        tasks.spawn(cleaner::run(Arc::clone(&core)));
        tasks.spawn(coordinators::run(Arc::clone(&core)));
        let handle = BrokerHandle { core, listeners, tasks };
        info!(address = %handle.address(), node_id = %handle.core.node_id, "broker started");
        Ok(handle)
    }
}

/// Binds every listener before anything else: a port in use is the commonest failure, and should cost nothing.
fn bind(config: &BrokerConfig) -> Result<Vec<(Listener, TcpListener)>, StartError> {
    let options = SocketOptions {
        backlog: config.socket_listen_backlog_size,
        send_buffer_bytes: config.socket_send_buffer_bytes,
        receive_buffer_bytes: config.socket_receive_buffer_bytes,
    };
    let mut bound = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        let name = &listener.name;
        let address = net::resolve(&listener.bind.host, listener.bind.port).map_err(|source| {
            StartError::Resolve { listener: name.clone(), host: listener.bind.to_string(), source }
        })?;
        let failed = |source| StartError::Bind { listener: name.clone(), address, source };
        let socket = TcpListener::bind(address, options).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        let advertised = match &listener.advertised {
            Advertised::AsDialled => None,
            Advertised::Address(address) => Some(address.clone()),
        };
        bound.push((Listener { name: name.clone(), bound: local, advertised }, socket));
    }
    Ok(bound)
}

impl BrokerHandle {
    /// Where the first listener is bound; see [`BrokerHandle::addresses`].
    pub fn address(&self) -> SocketAddr {
        reachable(self.listeners[0].bound)
    }

    /// The name of each listener and where it is bound, with the real port. For a wildcard address the loopback address
    /// of its kind, which is where a program on this machine can connect.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.listeners.iter().map(|listener| (listener.name.as_str(), reachable(listener.bound)))
    }

    /// How many clients are connected.
    pub fn connection_count(&self) -> usize {
        self.core.connections.connection_count()
    }

    /// Lets admin clients see and change the log of this process, once; without it the broker shows no loggers.
    pub fn set_log_levels(&self, levels: LogLevels) {
        // Whoever comes second changes nothing.
        let _second = self.core.log_levels.set(levels);
    }

    /// Stops the broker: finishes the requests that have begun, syncs every log and leaves the clean-shutdown marker.
    ///
    /// # Errors
    /// Something could not be written. Nothing acknowledged is lost by that, but the next start has to recover.
    pub async fn shutdown(self) -> Result<(), ShutdownError> {
        let core = Arc::clone(&self.core);
        core.stopping.cancel();
        core.connections.drain();
        self.tasks.close();
        if time::timeout(DRAIN_MAX, self.tasks.wait()).await.is_err() {
            warn!("clients did not take their last replies; closing anyway");
        }
        let closed = tokio::task::spawn_blocking(move || core.close()).await;
        Ok(closed.map_err(|_| ShutdownError::Interrupted)??)
    }
}

/// An address of this machine that leads to a socket bound to `bound`.
fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound.ip() {
        ip if !ip.is_unspecified() => bound,
        std::net::IpAddr::V4(_) => (std::net::Ipv4Addr::LOCALHOST, bound.port()).into(),
        std::net::IpAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, bound.port()).into(),
    }
}

impl Drop for BrokerHandle {
    fn drop(&mut self) {
        self.core.stopping.cancel();
        self.core.connections.drain();
    }
}

/// Why a broker did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownError {
    /// A log, a checkpoint or the marker could not be written.
    #[error("the broker stopped, but not cleanly: {0}")]
    Log(#[from] ottla_log::LogError),
    /// The runtime is shutting down too.
    #[error("the broker was stopped before its logs were closed")]
    Interrupted,
}
