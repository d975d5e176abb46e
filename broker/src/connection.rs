//! One client connection, as one hand-written future: it reads, starts requests, collects replies and writes them, all
//! on the task that the socket woke.
//!
//! ```text
//!  socket ─▶ FrameReader ─▶ handlers::begin ─┬─ done at once ───────────────▶ ResponseWriter ─▶ socket
//!                                            └─ PendingReplies (in order) ──▶
//! ```
//!
//! Requests begin in the order in which they arrive and are answered in that order. There is no channel and no second
//! task on this way, so a request that can be answered at once costs one wake-up. Everything is bounded: the frame, the
//! requests in flight, the bytes queued for a client that does not read, and how long one poll may hold its worker.
//! It is *not* where an API is understood; that is [`crate::handlers`].

mod creation_rate;
mod frame_reader;
mod handle;
mod pending_replies;
mod registry;
mod response_writer;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

pub(crate) use self::creation_rate::{CreationRate, RateWindow, UNLIMITED};
pub(crate) use self::frame_reader::FrameError;
use self::frame_reader::FrameReader;
pub(crate) use self::handle::{ConnectionHandle, Signal};
use self::pending_replies::PendingReplies;
pub(crate) use self::pending_replies::{Handled, Order, ReplySlot};
pub(crate) use self::registry::ConnectionRegistry;
use self::response_writer::ResponseWriter;
use crate::core::Core;
use crate::handlers;
use crate::response::{CloseReason, Reply};
use crate::rt::net::TcpStream;

/// How many bytes one poll may move before other connections get their turn.
const BYTES_PER_POLL: usize = 1024 * 1024;

/// How many bytes of requests begin before what they append is written and their replies leave. More to a write saves
/// little beyond this, and a client that keeps five requests in flight would have nothing to do meanwhile.
const GATHERED_BYTES: usize = 40 * 1024;

/// One connection; see the module. The output is why it ended.
pub(crate) struct Connection {
    core: Arc<Core>,
    handle: Arc<ConnectionHandle>,
    stream: TcpStream,
    reader: FrameReader,
    /// A whole frame that may not begin yet.
    parked: Option<Bytes>,
    pending: PendingReplies,
    writer: ResponseWriter,
    /// When the frame that is arriving began, by the coarse clock.
    frame_began_at_ms: Option<u64>,
    draining: bool,
}

impl Connection {
    /// Takes over an accepted socket.
    pub(crate) fn new(core: Arc<Core>, handle: Arc<ConnectionHandle>, stream: TcpStream) -> Connection {
        let reader = FrameReader::new(&core.request_memory, core.limits.request_bytes_max);
        let writer = ResponseWriter::new(&core.cold_reads);
        Connection {
            core,
            handle,
            stream,
            reader,
            parked: None,
            pending: PendingReplies::default(),
            writer,
            frame_began_at_ms: None,
            draining: false,
        }
    }

    fn handle_signals(&mut self) -> Result<(), CloseReason> {
        let signals = self.handle.take_signals();
        if signals.has(Signal::Drain) && !self.draining {
            self.draining = true;
            self.pending.abandon_fetch();
        }
        let now_ms = self.core.clock.coarse_ms();
        if signals.has(Signal::Idle) {
            // A client that does not take its replies is idle too; one that waits for us is not.
            let waits_for_us = !self.pending.is_empty() && self.writer.queued_bytes() == 0;
            if !waits_for_us {
                return Err(CloseReason::Idle);
            }
            self.handle.moved(now_ms);
        }
        if signals.has(Signal::Tick) {
            let arrived = self.reader.partial_bytes();
            if self
                .frame_began_at_ms
                .is_some_and(|began| self.core.limits.is_too_slow(now_ms - began, arrived))
            {
                return Err(CloseReason::Slow(arrived));
            }
            if now_ms.saturating_sub(self.handle.moved_at_ms()) >= self.core.limits.buffer_idle_ms {
                self.reader.release();
            }
        }
        Ok(())
    }

    /// Starts every request that has arrived whole and may begin, and then writes what they append together.
    fn begin_requests(&mut self) -> Result<bool, CloseReason> {
        let mut begun_bytes = 0;
        while !self.draining && self.has_room() && begun_bytes < GATHERED_BYTES {
            let frame = match self.parked.take() {
                Some(frame) => frame,
                None => match self.reader.next_frame()? {
                    Some(frame) => frame,
                    None => break,
                },
            };
            self.frame_began_at_ms = None;
            let order = handlers::order_of(&frame);
            if !self.pending.may_begin(order) {
                self.parked = Some(frame);
                break;
            }
            begun_bytes += frame.len();
            let handled = handlers::begin(&self.core, &self.handle, frame)?;
            match handled {
                Handled::Done(reply) if self.pending.is_empty() => self.settle(reply)?,
                handled => self.pending.push(order, handled),
            }
        }
        self.pending.write_begun();
        Ok(begun_bytes > 0)
    }

    /// Whether another request may begin: the replies that are owed and the bytes that are queued are bounded.
    fn has_room(&self) -> bool {
        self.pending.len() < self.core.limits.in_flight_requests_max
            && self.writer.queued_bytes() < self.core.limits.queued_response_bytes_max
    }

    fn settle(&mut self, reply: Reply) -> Result<(), CloseReason> {
        match reply {
            Reply::Send(response) => self.writer.push(response),
            Reply::Silent => {}
            Reply::Close(reason) => return Err(reason),
        }
        Ok(())
    }

    /// Moves the replies that are there, in order, to the writer.
    fn collect_replies(&mut self, cx: &mut Context<'_>) -> Result<bool, CloseReason> {
        let mut progressed = false;
        while self.writer.queued_bytes() < self.core.limits.queued_response_bytes_max {
            let Poll::Ready(Some(reply)) = self.pending.poll_next(cx) else { break };
            self.settle(reply)?;
            progressed = true;
        }
        Ok(progressed)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        ready!(self.stream.poll_read_ready(cx))?;
        if !self.reader.make_room(cx.waker()) {
            return Poll::Pending;
        }
        match self.stream.poll_read(cx, self.reader.buffer_mut()) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(CloseReason::ClosedByClient)),
            Poll::Ready(Ok(read)) => Poll::Ready(Ok(read)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Goes on until nothing moves any more or the connection has had its turn.
    fn advance(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        self.handle_signals()?;
        let mut moved_bytes = 0;
        loop {
            let mut progressed = self.begin_requests()?;
            progressed |= self.collect_replies(cx)?;
            while let Poll::Ready(sent) = self.writer.poll_send(cx, &mut self.stream) {
                let sent = sent?;
                moved_bytes += sent;
                progressed |= sent > 0;
                if sent == 0 || moved_bytes >= BYTES_PER_POLL {
                    break;
                }
            }
            if self.draining && self.pending.is_empty() && self.writer.queued_bytes() == 0 {
                return Err(CloseReason::ShuttingDown);
            }
            // A request that waits for its turn stops the reading: the socket holds the client back.
            let may_read =
                !self.draining && self.parked.is_none() && self.has_room() && !self.pending.is_in_turns();
            if may_read && let Poll::Ready(read) = self.poll_read(cx) {
                moved_bytes += read?;
                progressed = true;
            }
            if moved_bytes > 0 {
                self.handle.moved(self.core.clock.coarse_ms());
            }
            if !progressed {
                return Ok(());
            }
            if moved_bytes >= BYTES_PER_POLL {
                cx.waker().wake_by_ref();
                return Ok(());
            }
        }
    }

    /// Notes, before the task waits, what the passing of time will mean to it.
    fn rest(&mut self) {
        self.reader.rest();
        let receives = self.reader.partial_bytes() > 0 && self.parked.is_none() && self.pending.is_empty();
        if !receives {
            self.frame_began_at_ms = None;
        } else if self.frame_began_at_ms.is_none() {
            self.frame_began_at_ms = Some(self.core.clock.coarse_ms());
        }
        self.handle.want_ticks(self.reader.holds_buffer());
    }
}

impl Future for Connection {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        // Before anything is looked at, so that a signal or a reply that comes meanwhile is not missed.
        self.handle.register(cx.waker());
        match self.advance(cx) {
            Err(reason) => {
                self.stream.shut_down_writes();
                Poll::Ready(reason)
            }
            Ok(()) => {
                self.rest();
                Poll::Pending
            }
        }
    }
}
