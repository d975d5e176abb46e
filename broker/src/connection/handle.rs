//! What the rest of the broker holds of a connection: who it is, when it last moved, and a way to wake it.
//!
//! The connection itself is one future that owns its socket and its buffers; nobody else touches those. Others leave a
//! signal here and wake it. It holds no request and no reply.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::Waker;

use crate::listener::Listener;
use crate::wake_cell::WakeCell;

/// Something a connection is told; several may be pending at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Signal {
    /// Look at your deadlines: time has passed.
    Tick = 1,
    /// Nothing has moved for `connections.max.idle.ms`: close, unless a request is being worked on.
    Idle = 2,
    /// Finish the requests that have been started, send their replies, close.
    Drain = 4,
}

/// The signals that were pending when they were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signals(u8);

impl Signals {
    /// Whether `signal` is among them.
    pub(crate) fn has(self, signal: Signal) -> bool {
        self.0 & signal as u8 != 0
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ConnectionHandle {
    /// The listener that accepted it.
    pub(crate) listener: Arc<Listener>,
    /// The client's address.
    pub(crate) peer_addr: SocketAddr,
    /// The address that the client dialled.
    pub(crate) local_addr: SocketAddr,
    wake: WakeCell,
    signals: AtomicU8,
    moved_at_ms: AtomicU64,
    wants_ticks: AtomicBool,
}

impl ConnectionHandle {
    /// The handle of a connection that was accepted at `now_ms` of the broker's coarse clock.
    pub(crate) fn new(
        listener: Arc<Listener>,
        peer_addr: SocketAddr,
        local_addr: SocketAddr,
        now_ms: u64,
    ) -> ConnectionHandle {
        ConnectionHandle {
            listener,
            peer_addr,
            local_addr,
            wake: WakeCell::default(),
            signals: AtomicU8::new(0),
            moved_at_ms: AtomicU64::new(now_ms),
            wants_ticks: AtomicBool::new(false),
        }
    }

    /// Leaves the waker of the connection's task. It does so before it looks at signals and replies.
    pub(crate) fn register(&self, waker: &Waker) {
        self.wake.register(waker);
    }

    /// Wakes the connection: a reply that it waits for is there.
    pub(crate) fn wake(&self) {
        self.wake.wake();
    }

    /// Leaves a signal and wakes the connection.
    pub(crate) fn signal(&self, signal: Signal) {
        self.signals.fetch_or(signal as u8, Ordering::AcqRel);
        self.wake();
    }

    /// Takes the pending signals.
    pub(crate) fn take_signals(&self) -> Signals {
        if self.signals.load(Ordering::Acquire) == 0 {
            return Signals(0);
        }
        Signals(self.signals.swap(0, Ordering::AcqRel))
    }

    /// Bytes moved at `now_ms` of the broker's coarse clock.
    pub(crate) fn moved(&self, now_ms: u64) {
        self.moved_at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When bytes last moved.
    pub(crate) fn moved_at_ms(&self) -> u64 {
        self.moved_at_ms.load(Ordering::Relaxed)
    }

    /// Says whether the connection has a deadline or a buffer that the passing of time matters to.
    pub(crate) fn want_ticks(&self, wants: bool) {
        if self.wants_ticks.load(Ordering::Relaxed) != wants {
            self.wants_ticks.store(wants, Ordering::Relaxed);
        }
    }

    /// Whether [`Signal::Tick`] matters to it.
    pub(crate) fn wants_ticks(&self) -> bool {
        self.wants_ticks.load(Ordering::Relaxed)
    }
}
