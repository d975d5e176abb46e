//! A raw, blocking connection: whole frames out, whole frames in.
//!
//! It knows the four requests that a load needs, in versions that every broker of the last years serves, and no retry.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_protocol::codec::{Request, Str, decode_response};
use ottla_protocol::frame;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;

use crate::error::{LoadError, Result};

/// A broker that says nothing for so long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// No response is longer: Kafka's own bound on a request.
const FRAME_BYTES_MAX: usize = 100 << 20;
/// How we call ourselves.
const CLIENT_ID: &str = "ottla-bench";

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    address: String,
    stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    /// Connects, once.
    pub(crate) fn open(address: &str) -> Result<Wire> {
        let connect = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            stream.set_write_timeout(Some(SILENCE_MAX))?;
            Ok(stream)
        };
        let stream = connect().map_err(|error| LoadError::Connect { address: address.to_owned(), error })?;
        Ok(Wire { address: address.to_owned(), stream, buffer: BytesMut::new() })
    }

    /// A second handle, for the thread that only reads.
    pub(crate) fn reader(&self) -> Result<Wire> {
        let stream = self.stream.try_clone().map_err(|error| self.broken(error))?;
        Ok(Wire { address: self.address.clone(), stream, buffer: BytesMut::new() })
    }

    fn broken(&self, error: io::Error) -> LoadError {
        let error = match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::other("it closed the connection"),
            io::ErrorKind::WouldBlock => io::Error::other(format!("no answer for {SILENCE_MAX:?}")),
            _ => error,
        };
        LoadError::Broken { address: self.address.clone(), error }
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.stream.write_all(frame).map_err(|error| self.broken(error))
    }

    /// Reads one frame, without its length. Its memory is used again once the bytes are dropped.
    pub(crate) fn receive(&mut self) -> Result<Bytes> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix).map_err(|error| self.broken(error))?;
        let length = frame::length(prefix, FRAME_BYTES_MAX)?;
        self.buffer.resize(length, 0);
        let read = self.stream.read_exact(&mut self.buffer);
        read.map_err(|error| self.broken(error))?;
        Ok(self.buffer.split().freeze())
    }

    /// Reads the response to a request of this kind and version.
    pub(crate) fn answer<R: Request>(&mut self, version: i16) -> Result<R::Response> {
        let (_, body) = frame::decode_response_header(self.receive()?, R::KEY, version)?;
        Ok(decode_response::<R>(body, version)?)
    }

    /// Hangs up, which also wakes the thread that reads.
    pub(crate) fn hang_up(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
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
pub fn idle_connections(address: &str, count: usize) -> Result<Vec<impl Drop + use<>>> {
    let hello = request(0, ApiVersionsRequest::default())?;
    let open = |_| {
        let mut wire = Wire::open(address)?;
        wire.send(&hello)?;
        wire.answer::<ApiVersionsRequest>(0)?;
        Ok(Idle(wire))
    };
    (0..count).map(open).collect()
}

/// A connection that is open and nothing else.
struct Idle(Wire);

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.hang_up();
    }
}
