//! Listeners: where clients connect, and what address they are told to connect to.
//!
//! A listener accepts, not faster than its rate allows, counts the connection in, and hands the socket to a [`Connection`]
//! task of its own. It never reads a byte. When nothing is advertised, a client is told the address that it dialled: whatever way it found to us works
//! for it, through every port mapping that leads here with the same port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::config::listener::HostPort;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::connection::{Connection, ConnectionHandle, CreationRate};
use crate::core::Core;
use crate::rt::net::{TcpListener, TcpStream};
use crate::rt::time;

/// How long a listener rests after the system refused it a socket (no file descriptor left, say).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// One configured listener, bound.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Its name in `listeners`, such as `PLAINTEXT`.
    pub(crate) name: String,
    /// Where it is bound, with the real port.
    pub(crate) bound: SocketAddr,
    /// What `advertised.listeners` says for it.
    pub(crate) advertised: Option<HostPort>,
}

impl Listener {
    /// What a client that dialled `dialled` is to be told.
    pub(crate) fn endpoint_for(&self, dialled: SocketAddr) -> HostPort {
        self.advertised.clone().unwrap_or_else(|| HostPort {
            host: dialled.ip().to_canonical().to_string(),
            port: dialled.port(),
        })
    }
}

/// Accepts until the broker drains; ends at the first `.await` after that.
pub(crate) async fn accept_connections(
    core: Arc<Core>,
    listener: Arc<Listener>,
    socket: TcpListener,
    tasks: TaskTracker,
) {
    let mut rate = CreationRate::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = core.stopping.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer_addr)) => {
                let delay = creation_delay(&core, &listener, &mut rate);
                if !delay.is_zero() {
                    tokio::select! {
                        biased;
                        () = core.stopping.cancelled() => return,
                        () = time::sleep(delay) => {}
                    }
                }
                open_connection(&core, &listener, stream, peer_addr, &tasks);
            }
            // A client that left the queue again is its own affair.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(listener = listener.name, %error, "cannot accept connections");
                // Not a poll: the system says when it has a descriptor again only by not failing.
                time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// How long a connection that has just come waits for its turn.
fn creation_delay(core: &Core, listener: &Listener, rate: &mut CreationRate) -> Duration {
    let (now, limits) = (core.clock.now(), core.connection_limits());
    let of_listener = limits.of_listener(&listener.name).connection_creation_rate;
    let delay = rate.take(now, of_listener, limits.creation_window);
    core.connections.creation_delay(now, &limits).max(delay)
}

fn open_connection(
    core: &Arc<Core>,
    listener: &Arc<Listener>,
    stream: TcpStream,
    peer_addr: SocketAddr,
    tasks: &TaskTracker,
) {
    let Ok(local_addr) = stream.local_addr() else { return };
    let now_ms = core.clock.coarse_ms();
    let handle = Arc::new(ConnectionHandle::new(Arc::clone(listener), peer_addr, local_addr, now_ms));
    let registration = match core.connections.register(&handle, &core.connection_limits()) {
        Ok(registration) => registration,
        Err(refused) => {
            debug!(%peer_addr, %refused, "connection refused");
            return;
        }
    };
    let connection = Connection::new(Arc::clone(core), handle, stream);
    tasks.spawn(async move {
        let reason = connection.await;
        debug!(%peer_addr, %reason, "connection closed");
        drop(registration);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(advertised: Option<HostPort>) -> Listener {
        let bound = "0.0.0.0:9092".parse().unwrap();
        Listener { name: "PLAINTEXT".to_owned(), bound, advertised }
    }

    #[test]
    fn without_an_advertised_address_a_client_is_told_what_it_dialled() {
        let told = listener(None).endpoint_for("[::ffff:10.1.2.3]:9092".parse().unwrap());
        assert_eq!(told, HostPort { host: "10.1.2.3".to_owned(), port: 9092 });
    }

    #[test]
    fn an_advertised_address_is_told_to_everybody() {
        let public = HostPort { host: "kafka.example".to_owned(), port: 19092 };
        let told = listener(Some(public.clone())).endpoint_for("10.1.2.3:9092".parse().unwrap());
        assert_eq!(told, public);
    }
}
