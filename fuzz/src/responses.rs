//! Every response in every version that the codec speaks: a client must survive a broker that lies, too.
//!
//! Input and property are those of [`requests`](crate::requests).

use bytes::Bytes;
use ottla_protocol::codec::Request;
use ottla_protocol::messages::{self, RequestVisitor};

use crate::requests::{choose, round_trip};

/// Decodes the body that the input holds.
pub fn run(input: &[u8]) {
    if let Some((api, version, body)) = choose(input) {
        messages::visit(api.key, Responses { version, flexible: api.is_flexible(version), body });
    }
}

struct Responses {
    version: i16,
    flexible: bool,
    body: Bytes,
}

impl RequestVisitor for Responses {
    type Output = ();

    fn visit<R: Request>(self) {
        round_trip::<R::Response>(self.body, self.version, self.flexible);
    }
}
