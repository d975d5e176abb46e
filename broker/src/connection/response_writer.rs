//! Sends the responses of one connection, strictly in the order in which they were queued.
//!
//! Bytes of several responses leave in one call; a head and the region that follows it leave as one, because the kernel
//! is told that more comes. A failure in the middle of a response cannot be told to the client, so it ends the
//! connection. This file does not decide what is answered, and it holds no more than it was given.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use crate::response::{Part, Response};
use crate::rt::net::{SendFile, TcpStream};

/// Most parts one gathering write takes.
const SLICES_MAX: usize = 16;

/// How much of a region is read at a time where the runtime has no `sendfile`.
const COPY_BYTES_MAX: usize = 64 * 1024;

/// The write side of one connection; see the module.
#[derive(Debug, Default)]
pub(crate) struct ResponseWriter {
    parts: VecDeque<Part>,
    queued_bytes: usize,
}

impl ResponseWriter {
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
            match ready!(stream.poll_send_file(cx, file, slice.position(), slice.len() as usize))? {
                // The file ended inside a region that the log had vouched for.
                SendFile::Sent(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                SendFile::Sent(sent) => return Poll::Ready(Ok(sent)),
                SendFile::Unsupported => {}
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
