//! A connection to one broker that speaks messages: negotiated versions, typed calls, deadlines.
//!
//! Opening one connects, asks for the broker's API versions and remembers the highest version both sides speak of each
//! API (KIP-35, KIP-511). A call encodes, sends, waits at most its deadline, decodes. A request that misses its deadline
//! costs the whole connection: answers come in order, so nothing behind it would arrive either. Every future here may be
//! dropped at any time; only its own answer is lost. Not here: which broker to ask, and retries.

mod frames;
mod wire;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::codec::{Request, Str, WireError, decode_response};
use ottla_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_protocol::{API_TABLE, ApiKey, ApiRange, ErrorCode, api, frame};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::config::ClientConfig;
use crate::error::{ClientError, ErrorKind, Result};
use crate::metrics::{Observation, Observer};
use crate::transport::BrokerAddress;
use wire::{Pending, Wire, WireLimits};

/// The name and version this client gives in ApiVersions.
const SOFTWARE_NAME: &str = "ottla-client";

/// The version of each API that both sides speak, by [`API_TABLE`] row.
#[derive(Debug, Default)]
struct Versions(Vec<Option<i16>>);

impl Versions {
    fn agree(theirs: &ApiVersionsResponse) -> Versions {
        let highest_common = |ours: &ApiRange| {
            let row = theirs.api_keys.iter().find(|row| row.api_key == ours.key.key())?;
            let version = ours.max.min(row.max_version);
            (version >= ours.min.max(row.min_version)).then_some(version)
        };
        Versions(API_TABLE.iter().map(highest_common).collect())
    }

    fn of(&self, key: ApiKey) -> Option<i16> {
        let place = API_TABLE.binary_search_by_key(&key, |row| row.key).ok()?;
        self.0.get(place).copied().flatten()
    }
}

/// An open connection.
pub(crate) struct Connection {
    address: BrokerAddress,
    client_id: Str,
    wire: Wire,
    versions: Versions,
    observer: Option<Arc<dyn Observer>>,
}

/// An answer under way.
pub(crate) struct Answer<R> {
    pending: Pending,
    version: i16,
    started: Instant,
    request_bytes: usize,
    request: PhantomData<fn() -> R>,
}

/// Room for one more request on a connection.
pub(crate) type Permit = OwnedSemaphorePermit;

impl Connection {
    /// Connects to `address` and agrees on versions.
    pub(crate) async fn open(address: &BrokerAddress, config: &ClientConfig) -> Result<Connection> {
        let failed =
            |reason: String| ClientError::new("connect", ErrorKind::Connect { reason }).at_broker(address);
        let started = Instant::now();
        let connecting = config.connector.connect(&address.host, address.port);
        let stream = match timeout(config.connect_timeout, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(failed(plain(&error))),
            Err(_) => {
                return Err(failed(format!("no answer within {} ms", config.connect_timeout.as_millis())));
            }
        };
        let limits =
            WireLimits { in_flight_max: config.in_flight_max, response_bytes_max: config.response_bytes_max };
        let mut connection = Connection {
            address: address.clone(),
            client_id: Str::from(config.client_id.as_str()),
            wire: Wire::start(stream, limits, on_close(address, config)),
            versions: Versions::default(),
            observer: config.observer.clone(),
        };
        let theirs = connection.ask_versions(config.request_timeout).await?;
        connection.versions = Versions::agree(&theirs);
        connection.observe(|broker| Observation::Connected { broker, latency: started.elapsed() });
        Ok(connection)
    }

    /// Whether the connection is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.wire.is_closed()
    }

    /// The version of `R` that both sides speak.
    pub(crate) fn version<R: Request>(&self) -> Result<i16> {
        self.versions.of(R::KEY).ok_or_else(|| {
            let api = R::KEY.name().to_owned();
            ClientError::new("negotiate", ErrorKind::UnsupportedApi { api }).at_broker(&self.address)
        })
    }

    /// Sends `request` and waits at most `deadline` for its answer.
    pub(crate) async fn call<R: Request>(&self, request: R, deadline: Duration) -> Result<R::Response> {
        let version = self.version::<R>()?;
        let permit = self.permit().await;
        let answer = self.start(request, version, permit)?;
        self.finish(answer, deadline).await
    }

    /// As [`call`](Connection::call), with a request that depends on the version; `version_max` at most is spoken.
    pub(crate) async fn call_versioned<R: Request>(
        &self,
        version_max: i16,
        request: impl FnOnce(i16) -> R,
        deadline: Duration,
    ) -> Result<R::Response> {
        let version = self.version::<R>()?.min(version_max);
        let permit = self.permit().await;
        let answer = self.start(request(version), version, permit)?;
        self.finish(answer, deadline).await
    }

    /// Waits for room for one more request.
    pub(crate) async fn permit(&self) -> Permit {
        self.wire.permit().await
    }

    /// Room for one more request, if there is any.
    pub(crate) fn try_permit(&self) -> Option<Permit> {
        self.wire.try_permit()
    }

    /// Puts `request` on the way; requests leave in the order of these calls.
    pub(crate) fn start<R: Request>(&self, request: R, version: i16, permit: Permit) -> Result<Answer<R>> {
        let (correlation_id, bytes) = self.encode(request, version)?;
        let (started, request_bytes) = (Instant::now(), bytes.len());
        let pending = self.wire.send(correlation_id, bytes, permit);
        Ok(Answer { pending, version, started, request_bytes, request: PhantomData })
    }

    /// Puts a request on the way that the broker does not answer.
    pub(crate) fn start_unanswered<R: Request>(
        &self,
        request: R,
        version: i16,
        permit: Permit,
    ) -> Result<()> {
        let (_, bytes) = self.encode(request, version)?;
        let request_bytes = bytes.len();
        self.wire.send_unanswered(bytes, permit);
        self.observe(|broker| Observation::Answered {
            broker,
            api: R::KEY.name(),
            request_bytes,
            response_bytes: 0,
            latency: Duration::ZERO,
        });
        Ok(())
    }

    /// Waits for the answer to a started request.
    pub(crate) async fn finish<R: Request>(
        &self,
        answer: Answer<R>,
        deadline: Duration,
    ) -> Result<R::Response> {
        let Answer { pending, version, started, request_bytes, .. } = answer;
        let api = R::KEY.name();
        let body = self.body(pending, deadline).await.inspect_err(|error| {
            self.observe(|broker| Observation::Unanswered { broker, api, error });
        })?;
        self.observe(|broker| {
            let (response_bytes, latency) = (body.len() + 4, started.elapsed());
            Observation::Answered { broker, api, request_bytes, response_bytes, latency }
        });
        decode_frame::<R>(body, version).map_err(|error| self.malformed(error))
    }

    fn observe<'a>(&'a self, observation: impl FnOnce(&'a BrokerAddress) -> Observation<'a>) {
        if let Some(observer) = &self.observer {
            observer.observe(&observation(&self.address));
        }
    }

    fn encode<R: Request>(&self, request: R, version: i16) -> Result<(i32, Bytes)> {
        let correlation_id = self.wire.next_correlation_id();
        let encoded = frame::encode_request(correlation_id, Some(self.client_id.clone()), version, request);
        encoded.map(|bytes| (correlation_id, bytes)).map_err(|error| {
            ClientError::invalid("encode", format!("{}: {error}", R::KEY.name())).at_broker(&self.address)
        })
    }

    /// The bytes of an answer. A missed deadline closes the connection.
    async fn body(&self, pending: Pending, deadline: Duration) -> Result<Bytes> {
        let answer = match timeout(deadline, pending).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ClientError::new("request", ErrorKind::Closed)),
            Err(_) => {
                let kind = ErrorKind::Timeout { after: deadline };
                self.wire.close(kind.clone());
                Err(ClientError::new("request", kind))
            }
        };
        answer.map_err(|error| error.at_broker(&self.address))
    }

    fn malformed(&self, error: impl std::fmt::Display) -> ClientError {
        let kind = ErrorKind::Malformed { reason: error.to_string() };
        self.wire.close(kind.clone());
        ClientError::new("decode", kind).at_broker(&self.address)
    }

    /// Asks which versions the broker speaks; a broker that does not know our version says so in version 0.
    async fn ask_versions(&self, deadline: Duration) -> Result<ApiVersionsResponse> {
        let mut version = api::served(ApiKey::ApiVersions).map_or(0, |row| row.max);
        loop {
            let request = ApiVersionsRequest {
                client_software_name: SOFTWARE_NAME.into(),
                client_software_version: env!("CARGO_PKG_VERSION").into(),
            };
            let permit = self.permit().await;
            let answer = self.start(request, version, permit)?;
            let body = self.body(answer.pending, deadline).await?;
            let code = body.get(4..6).map_or(0, |code| i16::from_be_bytes([code[0], code[1]]));
            let refused = code == ErrorCode::UNSUPPORTED_VERSION.get() && version > 0;
            let body_version = if refused { 0 } else { version };
            let response = decode_frame::<ApiVersionsRequest>(body, body_version)
                .map_err(|error| self.malformed(error))?;
            if refused {
                let row = response.api_keys.iter().find(|row| row.api_key == ApiKey::ApiVersions.key());
                version = row.map_or(0, |row| row.max_version.clamp(0, version - 1));
            } else if response.error_code.is_error() {
                return Err(
                    ClientError::broker("negotiate", response.error_code, None).at_broker(&self.address)
                );
            } else {
                return Ok(response);
            }
        }
    }
}

/// Tells the observer of the end of a connection.
fn on_close(address: &BrokerAddress, config: &ClientConfig) -> impl FnOnce(&ErrorKind) + Send + 'static {
    let (broker, observer) = (address.clone(), config.observer.clone());
    move |reason| {
        if let Some(observer) = observer {
            observer.observe(&Observation::Disconnected { broker: &broker, reason });
        }
    }
}

/// A response without its length: header, then body.
fn decode_frame<R: Request>(frame: Bytes, version: i16) -> std::result::Result<R::Response, WireError> {
    let (_, body) = frame::decode_response_header(frame, R::KEY, version)?;
    decode_response::<R>(body, version)
}

/// An I/O error without the number that the operating system gives it.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.find(" (os error").map_or(text.clone(), |end| text[..end].to_owned())
}

#[cfg(test)]
mod tests;
