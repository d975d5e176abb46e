//! One blocking connection that speaks raw frames.
//!
//! On purpose not `ottla-client`: the client retries and hides, and what is checked here is exactly what the broker said
//! and when. Every read has a deadline, so a broker that hangs is a finding and not a hang.

use crate::finding::Finding;
use bytes::Bytes;
use ottla_protocol::codec::{Request, Str, decode_response};
use ottla_protocol::frame;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// More than any response that is asked for here.
const FRAME_BYTES_MAX: usize = 128 << 20;
/// Nothing on one machine takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// A connection to the broker.
pub(crate) struct Wire {
    stream: TcpStream,
    correlation_id: i32,
}

impl Wire {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Finding> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { stream, correlation_id: 0 })
    }

    /// Sends a request and does not wait.
    pub(crate) fn send<R: Request>(&mut self, version: i16, request: R) -> Result<(), Finding> {
        self.correlation_id += 1;
        let client = Some(Str::from_static("ottla-chaos"));
        let bytes = frame::encode_request(self.correlation_id, client, version, request)?;
        Ok(self.stream.write_all(&bytes)?)
    }

    /// Waits for the next response, which must be to a request of this kind.
    pub(crate) fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response, Finding> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let mut body = vec![0; frame::length(prefix, FRAME_BYTES_MAX)?];
        self.stream.read_exact(&mut body)?;
        let (_, body) = frame::decode_response_header(Bytes::from(body), R::KEY, version)?;
        Ok(decode_response::<R>(body, version)?)
    }

    /// Sends a request and waits for its response.
    pub(crate) fn call<R: Request>(&mut self, version: i16, request: R) -> Result<R::Response, Finding> {
        self.send(version, request)?;
        self.receive::<R>(version)
    }

    /// Asks what the broker speaks: the smallest sign of life.
    pub(crate) fn ask(&mut self) -> Result<(), Finding> {
        self.send_ask()?;
        self.receive_answer()
    }

    /// The question of [`Wire::ask`] alone.
    pub(crate) fn send_ask(&mut self) -> Result<(), Finding> {
        let request = ApiVersionsRequest {
            client_software_name: "ottla-chaos".into(),
            client_software_version: "1".into(),
        };
        self.send(3, request)
    }

    /// The answer to [`Wire::send_ask`].
    pub(crate) fn receive_answer(&mut self) -> Result<(), Finding> {
        let response = self.receive::<ApiVersionsRequest>(3)?;
        if response.error_code.is_error() {
            return Err(Finding::Refused { operation: "ApiVersions".to_owned(), code: response.error_code });
        }
        Ok(())
    }
}
