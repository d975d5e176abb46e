//! One response on its way out: a list of parts, where record bytes stay regions of their segment files.
//!
//! A response is complete when it is built: nothing here waits. Regions too short to be worth a `sendfile` of their own
//! are read into the head bytes at once (from the page cache, as a rule); the others reach the socket without passing
//! through our memory, in [`crate::connection`]'s writer.

use std::io;

use bytes::{Bytes, BytesMut};
use ottla_log::FileSlice;
use ottla_protocol::codec::Encoded;

use crate::rt::storage;

/// Below this length, copying a region costs less than a `sendfile` call for it.
const COPIED_BYTES_MAX: usize = 16 * 1024;

/// A piece of a response.
#[derive(Debug)]
pub(crate) enum Part {
    /// Bytes from memory.
    Bytes(Bytes),
    /// A region of a segment file.
    Region(FileSlice),
}

impl Part {
    /// How many bytes it puts on the wire.
    pub(crate) fn len(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::Region(slice) => slice.len() as usize,
        }
    }
}

/// One framed response.
#[derive(Debug)]
pub(crate) struct Response {
    parts: Vec<Part>,
}

impl Response {
    /// A response without regions.
    pub(crate) fn from_bytes(bytes: Bytes) -> Response {
        Response { parts: vec![Part::Bytes(bytes)] }
    }

    /// Fills the holes of an encoded response, in order, with `slices`.
    ///
    /// # Errors
    /// A region could not be read; nothing has been sent, but the caller has no answer left except to close.
    ///
    /// # Panics
    /// The slices are not the ones that the holes were left for: a contradiction in our own state.
    pub(crate) fn fill(encoded: Encoded, slices: Vec<FileSlice>) -> io::Result<Response> {
        assert_eq!(encoded.holes.len(), slices.len(), "every hole has its slice");
        let mut head = encoded.bytes;
        if slices.is_empty() {
            return Ok(Response::from_bytes(head));
        }
        let mut parts = Vec::with_capacity(slices.len() * 2 + 1);
        let short = slices.iter().map(|slice| slice.len() as usize).filter(|len| *len <= COPIED_BYTES_MAX);
        let mut copied = BytesMut::with_capacity(head.len() + short.sum::<usize>());
        let mut head_position = 0;
        for (hole, slice) in encoded.holes.iter().zip(slices) {
            assert_eq!(hole.len, slice.len(), "a hole and its slice agree");
            copied.extend_from_slice(&head.split_to(hole.position - head_position));
            head_position = hole.position;
            let len = slice.len() as usize;
            let start = copied.len();
            if len <= COPIED_BYTES_MAX && copy_cached(&slice, &mut copied)? {
                debug_assert_eq!(copied.len(), start + len);
            } else {
                copied.truncate(start);
                parts.push(Part::Bytes(copied.split().freeze()));
                parts.push(Part::Region(slice));
            }
        }
        copied.extend_from_slice(&head);
        if !copied.is_empty() {
            parts.push(Part::Bytes(copied.freeze()));
        }
        Ok(Response { parts })
    }

    /// The parts, in the order in which they are sent.
    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.parts
    }
}

/// Appends the bytes of a slice, unless that would wait for a disk.
fn copy_cached(slice: &FileSlice, copied: &mut BytesMut) -> io::Result<bool> {
    let start = copied.len();
    copied.resize(start + slice.len() as usize, 0);
    match slice.as_fd() {
        Some(file) => Ok(storage::read_cached(file, &mut copied[start..], slice.position())),
        None => slice.read(&mut copied[start..]).map(|_all| true),
    }
}

/// What becomes of a request in its place in the connection's order.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It is answered.
    Send(Response),
    /// It is not answered: a produce request with `acks=0` that succeeded.
    Silent,
    /// The connection is closed instead, for the reason given.
    Close(CloseReason),
}

/// Why a connection ended. The text is for the log: the client only sees the end of the stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CloseReason {
    /// The client closed it.
    #[error("the client closed the connection")]
    ClosedByClient,
    /// Reading or writing failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The size of a frame is not acceptable.
    #[error(transparent)]
    Frame(#[from] crate::connection::FrameError),
    /// The header or body of a request cannot be understood.
    #[error("a malformed request: {0}")]
    Malformed(#[from] ottla_protocol::codec::WireError),
    /// An API key or version that this broker does not serve.
    #[error("API key {api_key} version {api_version} is not served")]
    UnsupportedVersion {
        /// The key.
        api_key: i16,
        /// The version.
        api_version: i16,
    },
    /// A produce request with `acks=0` failed, which only the end of the connection can tell.
    #[error("a produce request with acks=0 failed: {0}")]
    UnacknowledgedFailure(ottla_protocol::ErrorCode),
    /// Nothing moved for `connections.max.idle.ms`.
    #[error("the connection was idle for longer than connections.max.idle.ms")]
    Idle,
    /// A frame arrived too slowly.
    #[error("a request of which {0} bytes have arrived is too slow")]
    Slow(usize),
    /// The broker is shutting down.
    #[error("the broker is shutting down")]
    ShuttingDown,
}
