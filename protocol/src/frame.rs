//! Frames: a length, a header, and the body of one request or response.
//!
//! ```text
//! request   length i32 │ key i16 │ version i16 │ correlation id i32 │ client id │ tags │ body
//! response  length i32 │ correlation id i32 │ tags │ body
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::codec::{FetchRecords, Hole, decode_request};
    use crate::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
    use crate::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};

    #[test]
    fn a_client_id_has_a_two_byte_length_also_in_a_flexible_header() {
        let client_id = Some(Str::from_static("me"));
        let frame = encode_request(7, client_id, 3, ApiVersionsRequest::default()).unwrap();
        assert_eq!(&frame[..], b"\0\0\0\x10\0\x12\0\x03\0\0\0\x07\0\x02me\0\x01\x01\0");
        let (header, body) = decode_request_header(frame.slice(4..)).unwrap();
        assert_eq!((header.correlation_id, header.client_id.as_deref()), (7, Some("me")));
        assert!(decode_request::<ApiVersionsRequest>(body, 3).is_ok());
    }

    #[test]
    fn a_client_id_may_be_null_or_empty() {
        for (client_id, text) in [(&b"\xff\xff"[..], None), (b"\0\0", Some(""))] {
            let frame = [b"\0\x12\0\0\0\0\0\x07", client_id].concat();
            let (header, body) = decode_request_header(Bytes::from(frame)).unwrap();
            assert_eq!((header.client_id.as_deref(), body.len()), (text, 0));
        }
    }

    #[test]
    fn the_header_of_a_version_or_an_api_from_the_future_is_still_read() {
        // ApiVersions 99 with one tagged header field, then a body that nobody can read.
        let frame = Bytes::from_static(b"\0\x12\0\x63\0\0\0\x07\xff\xff\x01\x05\x01\xaabody");
        let (header, body) = decode_request_header(frame).unwrap();
        assert_eq!(
            (header.api(), header.api_version, &body[..]),
            (Some(ApiKey::ApiVersions), 99, &b"body"[..])
        );
        let frame = Bytes::from_static(b"\x7f\xff\0\x01\0\0\0\x07\xff\xffbody");
        let (header, body) = decode_request_header(frame).unwrap();
        assert_eq!((header.api(), &body[..]), (None, &b"body"[..]));
    }

    #[test]
    fn an_api_versions_response_has_no_tags_in_its_header() {
        let response =
            ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..Default::default() };
        let frame = encode_response(7, ApiKey::ApiVersions, 3, response).unwrap().bytes;
        assert_eq!(&frame[..], b"\0\0\0\x0c\0\0\0\x07\0\x23\x01\0\0\0\0\0");
    }

    #[test]
    fn a_frame_counts_the_regions_that_are_sent_straight_from_a_file() {
        let partitions = [100, 0, 5]
            .map(|len| PartitionData { records: FetchRecords::Region { len }, ..Default::default() });
        let topic =
            FetchableTopicResponse { topic: "t".into(), partitions: partitions.into(), ..Default::default() };
        let response = FetchResponse { responses: vec![topic], ..Default::default() };
        let frame = encode_response(7, ApiKey::Fetch, 12, response).unwrap();
        let prefix = i32::from_be_bytes(frame.bytes[..4].try_into().unwrap());
        assert_eq!(prefix as usize + 4, frame.bytes.len() + 105);
        assert_eq!(frame.wire_bytes(), frame.bytes.len() + 105);
        let [first, second, third] = frame.holes[..] else { panic!("{:?}", frame.holes) };
        assert_eq!([first.len, second.len, third.len], [100, 0, 5]);
        assert!(first.position < second.position && second.position < third.position);
        // Before the first hole stands its compact length, one more than it is.
        assert_eq!(frame.bytes[first.position - 1], 101);
        assert_eq!(third, Hole { position: frame.bytes.len() - 3, len: 5 });
    }
}
