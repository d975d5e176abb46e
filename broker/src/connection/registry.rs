//! All open connections: how many there are, how many from one address or at one listener, which of them have not moved
//! for long.
//!
//! It enforces `max.connections` (the broker's and each listener's), `max.connections.per.ip` (with its overrides) and
//! `connections.max.idle.ms`, and it carries the broker's word to drain. One sweep a second serves every connection's deadlines, so none needs a timer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::time::Monotonic;
use parking_lot::Mutex;

use super::creation_rate::CreationRate;
use super::handle::{ConnectionHandle, Signal};
use crate::clock::Clock;
use crate::limits::Limits;
use crate::listener::Listener;

/// Why a connection was closed before its first byte was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefusedConnection {
    /// `max.connections`.
    #[error("the broker has max.connections={0} connections")]
    BrokerFull(usize),
    /// `listener.name.NAME.max.connections`.
    #[error("the listener has its max.connections={0} connections")]
    ListenerFull(usize),
    /// `max.connections.per.ip` or its override.
    #[error("{address} has its maximum of {max} connections")]
    AddressFull {
        /// The client's address.
        address: IpAddr,
        /// How many it may have.
        max: usize,
    },
    /// The broker is shutting down.
    #[error("the broker is shutting down")]
    ShuttingDown,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Arc<ConnectionHandle>, foldhash::fast::RandomState>,
    per_address: HashMap<IpAddr, usize, foldhash::fast::RandomState>,
    per_listener: HashMap<String, usize, foldhash::fast::RandomState>,
    next_id: u64,
    draining: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct ConnectionRegistry {
    open: Mutex<Open>,
    creation: Mutex<CreationRate>,
}

/// Keeps a connection counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<ConnectionRegistry>,
    id: u64,
    address: IpAddr,
    listener: Arc<Listener>,
}

impl ConnectionRegistry {
    /// Counts a new connection in, unless a limit is reached.
    pub(crate) fn register(
        self: &Arc<Self>,
        connection: &Arc<ConnectionHandle>,
        limits: &Limits,
    ) -> Result<Registration, RefusedConnection> {
        let address = connection.peer_addr.ip().to_canonical();
        let mut open = self.open.lock();
        if open.draining {
            return Err(RefusedConnection::ShuttingDown);
        }
        if open.connections.len() >= limits.connections_max {
            return Err(RefusedConnection::BrokerFull(limits.connections_max));
        }
        let listener = &connection.listener;
        let at_listener = open.per_listener.get(&listener.name).copied().unwrap_or(0);
        let max = limits.of_listener(&listener.name).connections_max;
        if at_listener >= max {
            return Err(RefusedConnection::ListenerFull(max));
        }
        let max = limits.connections_max_of(address);
        let count = open.per_address.entry(address).or_insert(0);
        if *count >= max {
            return Err(RefusedConnection::AddressFull { address, max });
        }
        *count += 1;
        open.per_listener.insert(listener.name.clone(), at_listener + 1);
        let id = open.next_id;
        open.next_id += 1;
        open.connections.insert(id, Arc::clone(connection));
        Ok(Registration { registry: Arc::clone(self), id, address, listener: Arc::clone(listener) })
    }

    /// How long a connection that comes `now` has to wait for the rate of the broker. That of its listener is the
    /// listener's business.
    pub(crate) fn creation_delay(&self, now: Monotonic, limits: &Limits) -> Duration {
        self.creation.lock().take(now, limits.connection_creation_rate, limits.creation_window)
    }

    /// How many connections are open.
    pub(crate) fn connection_count(&self) -> usize {
        self.open.lock().connections.len()
    }

    /// Tells each connection whose deadline may have come to look at it.
    pub(crate) fn sweep(&self, clock: &Clock, limits: &Limits) {
        let now_ms = clock.coarse_ms();
        let open = self.open.lock();
        for connection in open.connections.values() {
            if now_ms.saturating_sub(connection.moved_at_ms()) >= limits.connections_max_idle_ms {
                connection.signal(Signal::Idle);
            } else if connection.wants_ticks() {
                connection.signal(Signal::Tick);
            }
        }
    }

    /// Refuses new connections from now on, and tells the open ones to finish what they have begun.
    pub(crate) fn drain(&self) {
        let mut open = self.open.lock();
        open.draining = true;
        for connection in open.connections.values() {
            connection.signal(Signal::Drain);
        }
    }

    fn deregister(&self, id: u64, address: IpAddr, listener: &str) {
        let mut open = self.open.lock();
        open.connections.remove(&id);
        if let Some(count) = open.per_listener.get_mut(listener) {
            *count -= 1;
        }
        if let Some(count) = open.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.per_address.remove(&address);
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.deregister(self.id, self.address, &self.listener.name);
    }
}
