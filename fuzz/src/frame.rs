//! A stream of frames as a connection reads it: the length, the request header, the body.
//!
//! Property: a body is a part of its frame, and a header that decodes is one that a client could have encoded.

use bytes::Bytes;
use ottla_protocol::codec::{Request, decode_request};
use ottla_protocol::frame::{self, RequestHeader};
use ottla_protocol::messages::{self, RequestVisitor};

const FRAME_BYTES_MAX: usize = 1 << 20;

/// Reads frames until the input ends or breaks a rule.
pub fn run(input: &[u8]) {
    let mut stream = Bytes::copy_from_slice(input);
    while let Some(prefix) = stream.first_chunk::<4>().copied() {
        let Ok(length) = frame::length(prefix, FRAME_BYTES_MAX) else { return };
        let mut rest = stream.slice(4..);
        if rest.len() < length {
            return;
        }
        let one = rest.split_to(length);
        if let Ok((header, body)) = frame::decode_request_header(one.clone()) {
            assert!(one.ends_with(&body), "the body is the end of the frame");
            if let Some(key) = header.api() {
                messages::visit(key, Decode { header, body });
            }
        }
        stream = rest;
    }
}

struct Decode {
    header: RequestHeader,
    body: Bytes,
}

impl RequestVisitor for Decode {
    type Output = ();

    fn visit<R: Request>(self) {
        let version = self.header.api_version;
        let Ok(request) = decode_request::<R>(self.body, version) else { return };
        let (correlation_id, client_id) = (self.header.correlation_id, self.header.client_id.clone());
        let Ok(encoded) = frame::encode_request(correlation_id, client_id, version, request.clone()) else {
            return;
        };
        let (header, body) = frame::decode_request_header(encoded.slice(4..)).expect("our own frame");
        assert_eq!(header, self.header);
        assert_eq!(decode_request::<R>(body, version).expect("our own request"), request);
    }
}
