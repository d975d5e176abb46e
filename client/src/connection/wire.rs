//! One byte stream to one broker, pipelined: frames go out in the order they are handed over, answers come back in the
//! same order.
//!
//! Kafka answers the requests of a connection strictly in order, so what is in flight is a queue and the correlation id
//! a check. Two tasks serve the stream: a writer that gathers small frames into one write, and a reader that hands each
//! response to its waiter. Invariants: what is in flight is bounded; when either task ends, every waiter gets the one
//! reason; a waiter that was dropped only loses its answer. Not here: API versions and messages.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::frames::FrameReader;
use crate::error::{ClientError, ErrorKind, Result};
use crate::transport::ByteStream;

/// Small frames are gathered into one write up to this size.
const GATHER_BYTES: usize = 32 << 10;

/// The limits of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WireLimits {
    pub(crate) in_flight_max: usize,
    pub(crate) response_bytes_max: usize,
}

/// A frame on its way out; the permit bounds what is in flight until the answer arrives.
struct Outgoing {
    frame: Bytes,
    awaited: Awaited,
}

enum Awaited {
    Answer(Waiter),
    Nothing { _permit: OwnedSemaphorePermit },
}

struct Waiter {
    correlation_id: i32,
    answer: oneshot::Sender<Result<Bytes>>,
    _permit: OwnedSemaphorePermit,
}

/// What is in flight, oldest first, or why nothing can be any more.
enum InFlight {
    Open(VecDeque<Waiter>),
    Closed(ErrorKind),
}

/// Told once why the stream ended.
type OnClose = Box<dyn FnOnce(&ErrorKind) + Send>;

struct Shared {
    in_flight: Mutex<InFlight>,
    closing: CancellationToken,
    on_close: Mutex<Option<OnClose>>,
}

impl Shared {
    /// Fails everybody who waits; the first reason stays.
    fn close(&self, reason: ErrorKind) {
        let before = {
            let mut in_flight = self.in_flight.lock();
            if matches!(*in_flight, InFlight::Closed(_)) {
                return;
            }
            std::mem::replace(&mut *in_flight, InFlight::Closed(reason.clone()))
        };
        self.closing.cancel();
        if let Some(on_close) = self.on_close.lock().take() {
            on_close(&reason);
        }
        if let InFlight::Open(waiters) = before {
            for waiter in waiters {
                let _ = waiter.answer.send(Err(ClientError::new("request", reason.clone())));
            }
        }
    }
}

/// A handle on the stream; the stream closes when the last handle is dropped.
pub(crate) struct Wire {
    shared: Arc<Shared>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    permits: Arc<Semaphore>,
    next_correlation_id: AtomicI32,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.close(ErrorKind::Closed);
    }
}

/// An answer that has not arrived yet.
pub(crate) type Pending = oneshot::Receiver<Result<Bytes>>;

impl Wire {
    /// Takes over `stream`; `on_close` is told why it ended.
    pub(crate) fn start(
        stream: Box<dyn ByteStream>,
        limits: WireLimits,
        on_close: impl FnOnce(&ErrorKind) + Send + 'static,
    ) -> Wire {
        let shared = Arc::new(Shared {
            in_flight: Mutex::new(InFlight::Open(VecDeque::new())),
            closing: CancellationToken::new(),
            on_close: Mutex::new(Some(Box::new(on_close))),
        });
        let (read_half, write_half) = tokio::io::split(stream);
        // Unbounded as a type, bounded in fact: every item holds one of `in_flight_max` permits.
        let (outgoing, queue) = mpsc::unbounded_channel();
        tokio::spawn(read_loop(Arc::clone(&shared), read_half, limits.response_bytes_max));
        tokio::spawn(write_loop(Arc::clone(&shared), write_half, queue));
        let permits = Arc::new(Semaphore::new(limits.in_flight_max));
        Wire { shared, outgoing, permits, next_correlation_id: AtomicI32::new(0) }
    }

    /// Whether the stream is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closing.is_cancelled()
    }

    /// Closes the stream; everybody who waits gets `reason`.
    pub(crate) fn close(&self, reason: ErrorKind) {
        self.shared.close(reason);
    }

    /// A number for the next request.
    pub(crate) fn next_correlation_id(&self) -> i32 {
        self.next_correlation_id.fetch_add(1, Ordering::Relaxed) & i32::MAX
    }

    /// Waits for room among the requests in flight.
    pub(crate) async fn permit(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.permits).acquire_owned().await {
            Ok(permit) => permit,
            Err(_) => unreachable!("the semaphore is never closed"),
        }
    }

    /// Room among the requests in flight, if there is any now.
    pub(crate) fn try_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Hands over a frame that gets an answer. Frames leave in the order of these calls.
    pub(crate) fn send(&self, correlation_id: i32, frame: Bytes, permit: OwnedSemaphorePermit) -> Pending {
        let (answer, pending) = oneshot::channel();
        let waiter = Waiter { correlation_id, answer, _permit: permit };
        self.hand_over(Outgoing { frame, awaited: Awaited::Answer(waiter) });
        pending
    }

    /// Hands over a frame that gets no answer (Produce with acks=0).
    pub(crate) fn send_unanswered(&self, frame: Bytes, permit: OwnedSemaphorePermit) {
        self.hand_over(Outgoing { frame, awaited: Awaited::Nothing { _permit: permit } });
    }

    fn hand_over(&self, outgoing: Outgoing) {
        if let Err(mpsc::error::SendError(refused)) = self.outgoing.send(outgoing) {
            let reason = match &*self.shared.in_flight.lock() {
                InFlight::Closed(reason) => reason.clone(),
                InFlight::Open(_) => ErrorKind::Closed,
            };
            if let Awaited::Answer(waiter) = refused.awaited {
                let _ = waiter.answer.send(Err(ClientError::new("request", reason)));
            }
        }
    }
}

fn lost(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::InvalidData => ErrorKind::Malformed { reason: error.to_string() },
        _ => ErrorKind::Disconnected { reason: error.to_string() },
    }
}

async fn write_loop(
    shared: Arc<Shared>,
    mut stream: WriteHalf<Box<dyn ByteStream>>,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
) {
    let mut gathered = Vec::new();
    let closing = shared.closing.clone();
    let reason = loop {
        let first = tokio::select! {
            biased;
            () = closing.cancelled() => break ErrorKind::Closed,
            first = queue.recv() => first,
        };
        let Some(first) = first else { break ErrorKind::Closed };
        let written = tokio::select! {
            biased;
            () = closing.cancelled() => break ErrorKind::Closed,
            written = write_burst(&shared, &mut stream, first, &mut queue, &mut gathered) => written,
        };
        if let Err(error) = written {
            break lost(&error);
        }
    };
    shared.close(reason);
    // Whatever was handed over but not written fails with the reason the stream closed for.
    queue.close();
    while let Ok(refused) = queue.try_recv() {
        expect_answer(&shared, refused.awaited);
    }
    let _ = stream.shutdown().await;
}

/// Writes `first` and what else is queued by now, small frames together.
async fn write_burst(
    shared: &Shared,
    stream: &mut (impl AsyncWrite + Unpin),
    first: Outgoing,
    queue: &mut mpsc::UnboundedReceiver<Outgoing>,
    gathered: &mut Vec<u8>,
) -> io::Result<()> {
    let mut next = Some(first);
    while let Some(Outgoing { frame, awaited }) = next {
        // In flight before it is on the wire: the answer may be there before the write returns.
        expect_answer(shared, awaited);
        if gathered.len() + frame.len() <= GATHER_BYTES {
            gathered.extend_from_slice(&frame);
        } else {
            stream.write_all(gathered).await?;
            gathered.clear();
            stream.write_all(&frame).await?;
        }
        next = queue.try_recv().ok();
    }
    stream.write_all(gathered).await?;
    gathered.clear();
    stream.flush().await
}

fn expect_answer(shared: &Shared, awaited: Awaited) {
    let Awaited::Answer(waiter) = awaited else { return };
    match &mut *shared.in_flight.lock() {
        InFlight::Open(waiters) => waiters.push_back(waiter),
        InFlight::Closed(reason) => {
            let _ = waiter.answer.send(Err(ClientError::new("request", reason.clone())));
        }
    }
}

async fn read_loop(
    shared: Arc<Shared>,
    mut stream: ReadHalf<Box<dyn ByteStream>>,
    response_bytes_max: usize,
) {
    let mut frames = FrameReader::new(response_bytes_max);
    let closing = shared.closing.clone();
    let reason = loop {
        let frame = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            frame = frames.next(&mut stream) => frame,
        };
        match frame {
            Ok(Some(frame)) => {
                if let Err(reason) = answer(&shared, frame) {
                    break reason;
                }
            }
            Ok(None) => break ErrorKind::Disconnected { reason: "the broker closed it".to_owned() },
            Err(error) => break lost(&error),
        }
    };
    shared.close(reason);
}

/// Gives a response to the oldest waiter, whose correlation id it must carry.
fn answer(shared: &Shared, frame: Bytes) -> std::result::Result<(), ErrorKind> {
    let malformed = |reason: String| ErrorKind::Malformed { reason };
    let Some(prefix) = frame.first_chunk::<4>() else {
        return Err(malformed(format!("a response of {} bytes", frame.len())));
    };
    let correlation_id = i32::from_be_bytes(*prefix);
    let waiter = match &mut *shared.in_flight.lock() {
        InFlight::Open(waiters) => waiters.pop_front(),
        InFlight::Closed(_) => return Ok(()),
    };
    let Some(waiter) = waiter else { return Err(malformed("a response nobody asked for".to_owned())) };
    if waiter.correlation_id != correlation_id {
        let reason =
            malformed(format!("correlation id {correlation_id} instead of {}", waiter.correlation_id));
        let _ = waiter.answer.send(Err(ClientError::new("request", reason.clone())));
        return Err(reason);
    }
    let _ = waiter.answer.send(Ok(frame));
    Ok(())
}
