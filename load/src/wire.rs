//! A raw, blocking connection: whole frames out, whole frames in.
//!
//! It knows the four requests that a load needs, in versions that every broker of the last years serves, and no retry.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_protocol::codec::{Request, Str, decode_response};
use ottla_protocol::frame;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;

use crate::error::{LoadError, Result};
use crate::run::Run;

/// No response is longer: a fetch carries 100 MiB at most, and perhaps one batch more.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// How we call ourselves.
const CLIENT_ID: &str = "ottla-bench";

/// One connection. A second handle reads while this one sends.
#[derive(Debug)]
pub(crate) struct Wire {
    address: String,
    stream: Arc<TcpStream>,
    patience: Duration,
    buffer: BytesMut,
}

impl Wire {
    /// Connects, once. A broker that says nothing for longer than `patience` is dead.
    pub(crate) fn open(address: &str, patience: Duration) -> Result<Wire> {
        let connect = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            Ok(stream)
        };
        let stream = connect().map_err(|error| LoadError::Connect { address: address.to_owned(), error })?;
        Ok(Wire { address: address.to_owned(), stream: Arc::new(stream), patience, buffer: BytesMut::new() })
    }

    /// Connects and says hello, so that the broker has accepted this connection before the next is made: a full backlog
    /// (50 by Kafka's default) costs each of those that follow a second.
    fn open_and_greet(address: &str, patience: Duration) -> Result<Wire> {
        let mut wire = Wire::open(address, patience)?;
        wire.send(&request(0, ApiVersionsRequest::default())?)?;
        wire.answer::<ApiVersionsRequest>(0)?;
        Ok(wire)
    }

    /// Connects for a run, which may hang up.
    pub(crate) fn open_for(run: &Run, address: &str, patience: Duration) -> Result<Wire> {
        let wire = Wire::open_and_greet(address, patience)?;
        run.watches(&wire.stream);
        Ok(wire)
    }

    /// A second handle, for the thread that only reads.
    pub(crate) fn reader(&self) -> Wire {
        Wire {
            address: self.address.clone(),
            stream: Arc::clone(&self.stream),
            patience: self.patience,
            buffer: BytesMut::new(),
        }
    }

    fn broken(&self, error: io::Error) -> LoadError {
        let error = match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::other("it closed the connection"),
            io::ErrorKind::WouldBlock => {
                io::Error::other(format!("it was silent for {} s", self.patience.as_secs_f64()))
            }
            _ => error,
        };
        LoadError::Broken { address: self.address.clone(), error }
    }

    /// Sends a frame.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<()> {
        (&*self.stream).write_all(frame).map_err(|error| self.broken(error))
    }

    /// Sends a frame that lies in two pieces.
    pub(crate) fn send_both(&self, head: &[u8], rest: &[u8]) -> Result<()> {
        let mut written = 0;
        while written < head.len() {
            let pieces = [IoSlice::new(&head[written..]), IoSlice::new(rest)];
            match (&*self.stream).write_vectored(&pieces) {
                Ok(0) => return Err(self.broken(io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        self.send(&rest[written - head.len()..])
    }

    /// Reads one frame, without its length. Its memory is used again once the bytes are dropped.
    pub(crate) fn receive(&mut self) -> Result<Bytes> {
        let mut prefix = [0; 4];
        (&*self.stream).read_exact(&mut prefix).map_err(|error| self.broken(error))?;
        let length = frame::length(prefix, FRAME_BYTES_MAX)?;
        self.buffer.resize(length, 0);
        let read = (&*self.stream).read_exact(&mut self.buffer);
        read.map_err(|error| self.broken(error))?;
        Ok(self.buffer.split().freeze())
    }

    /// Reads the response to a request of this kind and version.
    pub(crate) fn answer<R: Request>(&mut self, version: i16) -> Result<R::Response> {
        let (_, body) = frame::decode_response_header(self.receive()?, R::KEY, version)?;
        Ok(decode_response::<R>(body, version)?)
    }

    /// Hangs up, which also wakes the thread that reads or writes.
    pub(crate) fn hang_up(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Lays out a request.
pub(crate) fn request<R: Request>(version: i16, request: R) -> Result<Bytes> {
    Ok(frame::encode_request(0, Some(Str::from(CLIENT_ID)), version, request)?)
}

/// Connections that have said who they are and nothing since; they are closed when this is dropped.
///
/// # Errors
/// When one of them cannot be made.
pub fn idle_connections(
    address: &str,
    count: usize,
    patience: Duration,
) -> Result<Vec<impl Drop + Send + use<>>> {
    (0..count).map(|_| Wire::open_and_greet(address, patience).map(Idle)).collect()
}

/// A connection that is open and nothing else.
struct Idle(Wire);

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}
