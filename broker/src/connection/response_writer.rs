//! Sends the responses of one connection, strictly in the order in which they were queued.
//!
//! Bytes of several responses leave in one call; a head and the region that follows it leave as one, because the kernel
//! is told that more comes. A region that is not in the page cache is pulled in elsewhere first ([`crate::cold_reads`]), so
//! that no other connection waits for its disk. A failure in the middle of a response cannot be told to the client, so it ends the
//! connection. This file does not decide what is answered, and it holds no more than it was given.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use crate::cold_reads::{self, CHUNK_BYTES, ColdRead, ColdReads};
use crate::response::{Part, Response};
use crate::rt::net::{SendFile, TcpStream};

/// Most parts one gathering write takes.
const SLICES_MAX: usize = 16;

/// How much of a region is read at a time where the runtime has no `sendfile`.
const COPY_BYTES_MAX: usize = 64 * 1024;

/// The write side of one connection; see the module.
#[derive(Debug)]
pub(crate) struct ResponseWriter {
    parts: VecDeque<Part>,
    queued_bytes: usize,
    cold_reads: Arc<ColdReads>,
    /// The chunk at the head that is being pulled into the cache.
    cold: Option<Arc<ColdRead>>,
    /// How much of the region at the head is known to be cached.
    warm_bytes: u32,
}

impl ResponseWriter {
    /// A writer with nothing to write.
    pub(crate) fn new(cold_reads: &Arc<ColdReads>) -> ResponseWriter {
        let cold_reads = Arc::clone(cold_reads);
        ResponseWriter { parts: VecDeque::new(), queued_bytes: 0, cold_reads, cold: None, warm_bytes: 0 }
    }

    /// Queues a response behind those queued before.
    pub(crate) fn push(&mut self, response: Response) {
        for part in response.into_parts() {
            // An empty part would look like a socket that takes nothing.
            if part.len() > 0 {
                self.queued_bytes += part.len();
                self.parts.push_back(part);
            }
        }
    }

    /// Bytes that are queued and not sent.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Sends some of what is queued, by one system call. Ready with the bytes sent; 0 when nothing is queued.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut TcpStream,
    ) -> Poll<io::Result<usize>> {
        let sent = match self.parts.front() {
            None => return Poll::Ready(Ok(0)),
            Some(Part::Bytes(_)) => ready!(self.poll_send_bytes(cx, stream))?,
            Some(Part::Region(_)) => ready!(self.poll_send_region(cx, stream))?,
        };
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(sent);
        Poll::Ready(Ok(sent))
    }

    fn poll_send_bytes(&mut self, cx: &mut Context<'_>, stream: &mut TcpStream) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut region_follows = false;
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) if count < SLICES_MAX => {
                    slices[count] = IoSlice::new(bytes);
                    count += 1;
                }
                Part::Bytes(_) => break,
                Part::Region(_) => {
                    region_follows = true;
                    break;
                }
            }
        }
        stream.poll_write(cx, &slices[..count], region_follows)
    }

    fn poll_send_region(&mut self, cx: &mut Context<'_>, stream: &mut TcpStream) -> Poll<io::Result<usize>> {
        let Some(Part::Region(slice)) = self.parts.front_mut() else { return Poll::Ready(Ok(0)) };
        if let Some(file) = slice.as_fd() {
            if self.warm_bytes == 0 {
                let chunk = slice.first(slice.len().min(CHUNK_BYTES));
                // A socket that takes nothing now would only let the chunk grow cold again.
                ready!(stream.poll_write_ready(cx))?;
                if self.cold.is_none() && !cold_reads::is_cached(&chunk) {
                    self.cold = Some(self.cold_reads.pull(chunk.clone()));
                }
                if let Some(cold) = &self.cold {
                    ready!(cold.poll_done(cx));
                    self.cold = None;
                }
                self.warm_bytes = chunk.len();
            }
            let len = self.warm_bytes.min(slice.len()) as usize;
            match ready!(stream.poll_send_file(cx, file, slice.position(), len))? {
                // The file ended inside a region that the log had vouched for.
                SendFile::Sent(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                SendFile::Sent(sent) => {
                    self.warm_bytes -= sent as u32;
                    return Poll::Ready(Ok(sent));
                }
                SendFile::Unsupported => self.warm_bytes = 0,
            }
        }
        let mut copy = vec![0; (slice.len() as usize).min(COPY_BYTES_MAX)];
        slice.read(&mut copy)?;
        slice.advance(copy.len() as u32);
        if slice.is_empty() {
            self.parts.pop_front();
        }
        self.parts.push_front(Part::Bytes(Bytes::from(copy)));
        self.poll_send_bytes(cx, stream)
    }

    fn advance(&mut self, mut sent: usize) {
        self.queued_bytes -= sent;
        while sent > 0 {
            let Some(front) = self.parts.front_mut() else {
                unreachable!("the kernel took more than it was given");
            };
            let taken = sent.min(front.len());
            match front {
                Part::Bytes(bytes) => bytes.advance(taken),
                Part::Region(slice) => slice.advance(taken as u32),
            }
            sent -= taken;
            if front.len() == 0 {
                self.parts.pop_front();
            }
        }
    }
}
