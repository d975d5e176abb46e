//! Frames: a length, a header, and the body of one request or response.
//!
//! ```text
//! ┌──────────┬──────────────────────────────────────────────────────┬──────┐
//! │ i32      │ request header                                       │ body │
//! │ length   │ i16 key, i16 version, i32 correlation, client id, 〈tags〉│      │
//! ├──────────┼──────────────────────────────────────────────────────┼──────┤
//! │ i32      │ response header                                      │ body │
//! │ length   │ i32 correlation, 〈tags〉                               │      │
//! └──────────┴──────────────────────────────────────────────────────┴──────┘
//! ```
//!
//! The length counts everything after itself. The tags are there in flexible versions only, and never in the header of
//! an ApiVersions response. The client id is a string with a two-byte length in *every* version, also the flexible ones
//! (KIP-482), so that a broker can read the header before it knows the version.

use bytes::Bytes;

use crate::api::{self, ApiKey};
use crate::codec::{
    Decoder, Encoded, Encoder, Follower, Message, Request, Str, Wire, WireError, WireErrorKind,
};

/// The fewest bytes that a request can have after its length: key, version, correlation id, null client id.
pub const REQUEST_BYTES_MIN: usize = 10;

/// What stands before the body of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// The key of the API, known or not.
    pub api_key: i16,
    /// The version of the body, spoken or not.
    pub api_version: i16,
    /// A number that the response repeats.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<Str>,
}

impl RequestHeader {
    /// The API, if its key is one of Kafka's.
    pub fn api(&self) -> Option<ApiKey> {
        ApiKey::from_key(self.api_key)
    }

    fn walk<F: Follower>(&mut self, rigid: &mut F) -> Result<(), WireError> {
        self.api_key.walk(rigid, false)?;
        self.api_version.walk(rigid, false)?;
        self.correlation_id.walk(rigid, false)?;
        self.client_id.walk(rigid, true).map_err(|error| error.within("client_id"))
    }
}

/// The number of bytes that follow a frame's four-byte prefix.
pub fn length(prefix: [u8; 4], frame_bytes_max: usize) -> Result<usize, WireError> {
    let claimed = i32::from_be_bytes(prefix);
    usize::try_from(claimed)
        .ok()
        .filter(|length| *length <= frame_bytes_max)
        .ok_or(WireErrorKind::FrameLength(claimed).into())
}

/// Splits a request (without its length) into header and body.
///
/// The body of an API or version that the codec does not speak is returned as it stands. The tags of its header are
/// then read as far as the version is known to be flexible, because a broker answers an ApiVersions request of any
/// version.
pub fn decode_request_header(frame: Bytes) -> Result<(RequestHeader, Bytes), WireError> {
    let mut header = RequestHeader::default();
    let mut rigid = Decoder::new(frame, 0, false);
    header.walk(&mut rigid)?;
    let rest = rigid.into_rest();
    let api = header.api().and_then(api::served);
    if !api.is_some_and(|api| api.is_flexible(header.api_version)) {
        return Ok((header, rest));
    }
    skip_tags(rest).map(|body| (header, body))
}

/// Splits a response (without its length) to a request of this API and version into correlation id and body.
pub fn decode_response_header(frame: Bytes, key: ApiKey, version: i16) -> Result<(i32, Bytes), WireError> {
    let mut correlation_id = 0i32;
    let mut rigid = Decoder::new(frame, 0, false);
    correlation_id.walk(&mut rigid, false)?;
    let rest = rigid.into_rest();
    if api::spoken(key, version)?.response_header_version(version) == 0 {
        return Ok((correlation_id, rest));
    }
    skip_tags(rest).map(|body| (correlation_id, body))
}

/// Encodes a request with its length and header.
pub fn encode_request<R: Request>(
    correlation_id: i32,
    client_id: Option<Str>,
    version: i16,
    mut request: R,
) -> Result<Bytes, WireError> {
    let flexible = api::spoken(R::KEY, version)?.is_flexible(version);
    let mut header = RequestHeader { api_key: R::KEY.key(), api_version: version, correlation_id, client_id };
    let mut encoder = Encoder::new(version, false);
    encoder.fixed(&mut [0; 4])?;
    header.walk(&mut encoder)?;
    let mut encoder = encoder.then(version, flexible);
    no_tags(&mut encoder)?;
    request.walk(&mut encoder, false)?;
    Ok(encoder.finish_frame()?.bytes)
}

/// Encodes a response with its length, which counts the holes, and its header.
pub fn encode_response<M: Message>(
    correlation_id: i32,
    key: ApiKey,
    version: i16,
    mut response: M,
) -> Result<Encoded, WireError> {
    let api = api::spoken(key, version)?;
    let mut encoder = Encoder::new(version, api.response_header_version(version) > 0);
    encoder.fixed(&mut [0; 4])?;
    encoder.fixed(&mut correlation_id.to_be_bytes())?;
    no_tags(&mut encoder)?;
    let mut encoder = encoder.then(version, api.is_flexible(version));
    response.walk(&mut encoder, false)?;
    encoder.finish_frame()
}

/// We send no tagged header fields; in a rigid header this writes nothing.
fn no_tags(encoder: &mut Encoder) -> Result<(), WireError> {
    let tags = encoder.tags_begin()?;
    encoder.tags_end(tags)
}

/// Kafka has no tagged header fields that matter to us, so any are skipped.
fn skip_tags(bytes: Bytes) -> Result<Bytes, WireError> {
    let mut flexible = Decoder::new(bytes, 0, true);
    let tags = flexible.tags_begin()?;
    flexible.tags_end(tags)?;
    Ok(flexible.into_rest())
}
