//! Every request in every version that the codec speaks.
//!
//! The first byte chooses the API, the second the version, the rest is the body. Property: what decodes can be encoded
//! and decodes to the same again, and the second encoding is equal to the first.

use bytes::Bytes;
use ottla_protocol::codec::{Message, Request, decode, encode};
use ottla_protocol::messages::{self, RequestVisitor};
use ottla_protocol::{API_TABLE, ApiRange};

/// Decodes the body that the input holds.
pub fn run(input: &[u8]) {
    if let Some((api, version, body)) = choose(input) {
        messages::visit(api.key, Requests { version, flexible: api.is_flexible(version), body });
    }
}

struct Requests {
    version: i16,
    flexible: bool,
    body: Bytes,
}

impl RequestVisitor for Requests {
    type Output = ();

    fn visit<R: Request>(self) {
        round_trip::<R>(self.body, self.version, self.flexible);
    }
}

/// The API, version and body that an input stands for.
pub(crate) fn choose(input: &[u8]) -> Option<(&'static ApiRange, i16, Bytes)> {
    let [api, version, body @ ..] = input else { return None };
    let api = &API_TABLE[usize::from(*api) % API_TABLE.len()];
    let version = api.min + i16::from(*version) % (api.max - api.min + 1);
    Some((api, version, Bytes::copy_from_slice(body)))
}

/// The two bytes that make [`choose`] choose this API and version.
pub fn chooser(api: &ApiRange, version: i16) -> [u8; 2] {
    let index = API_TABLE.iter().position(|row| row.key == api.key).expect("a row of the table");
    [index as u8, (version - api.min) as u8]
}

pub(crate) fn round_trip<M: Message>(body: Bytes, version: i16, flexible: bool) {
    let Ok(message) = decode::<M>(body, version, flexible) else { return };
    let encoded = encode(message.clone(), version, flexible).expect("what was decoded can be encoded");
    let again =
        decode::<M>(encoded.bytes.clone(), version, flexible).expect("what was encoded can be decoded");
    assert_eq!(message, again);
    assert_eq!(encoded.bytes, encode(again, version, flexible).expect("as before").bytes);
}
