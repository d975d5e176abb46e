//! Frames that real clients and Apache Kafka exchanged: each is decoded, encoded again, and must be the same bytes.
//!
//! `tests/golden/README.md` says how they were recorded. Frames of versions that the codec does not speak yet wait
//! there until it does.

use std::path::Path;

use bytes::Bytes;
use ottla_protocol::codec::{Request, WireError, decode_request, decode_response};
use ottla_protocol::messages::{self, RequestVisitor};
use ottla_protocol::{ApiKey, api, frame};

/// A recorded frame without its length; the output is the same frame, decoded and encoded again.
struct Again {
    bytes: Bytes,
    version: i16,
    is_request: bool,
}

impl RequestVisitor for Again {
    type Output = Result<Bytes, WireError>;

    fn visit<R: Request>(self) -> Result<Bytes, WireError> {
        let version = self.version;
        let framed = if self.is_request {
            let (header, body) = frame::decode_request_header(self.bytes)?;
            assert_eq!((header.api(), header.api_version), (Some(R::KEY), version));
            let request: R = decode_request(body, version)?;
            frame::encode_request(header.correlation_id, header.client_id, version, request)?
        } else {
            let (correlation_id, body) = frame::decode_response_header(self.bytes, R::KEY, version)?;
            let response = decode_response::<R>(body, version)?;
            frame::encode_response(correlation_id, R::KEY, version, response)?.bytes
        };
        assert_eq!(
            frame::length([framed[0], framed[1], framed[2], framed[3]], usize::MAX)?,
            framed.len() - 4
        );
        Ok(framed.slice(4..))
    }
}

/// `offset_fetch-v8-req.bin` is a request of OffsetFetch in version 8.
fn parse_name(name: &str) -> Option<(ApiKey, i16, bool)> {
    let (api, rest) = name.strip_suffix(".bin")?.split_once("-v")?;
    let (version, direction) = rest.split_once('-')?;
    let key = ApiKey::ALL.iter().find(|key| key.name().to_lowercase() == api.replace('_', ""))?;
    Some((*key, version.parse().ok()?, direction == "req"))
}

#[test]
fn frames_of_real_clients_and_kafka_are_decoded_and_encoded_to_the_same_bytes() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let (mut same, mut waiting) = (0, 0);
    for client in ["java", "librdkafka", "kcat"] {
        for entry in std::fs::read_dir(golden.join(client)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let (key, version, is_request) =
                parse_name(name).unwrap_or_else(|| panic!("{name} is not a frame's name"));
            if !api::served(key).is_some_and(|api| api.serves(version)) {
                waiting += 1;
                continue;
            }
            let bytes = Bytes::from(std::fs::read(&path).unwrap());
            let again = Again { bytes: bytes.clone(), version, is_request };
            let again = messages::visit(key, again).unwrap();
            assert_eq!(
                again.unwrap_or_else(|error| panic!("{client} {name}: {error}")),
                bytes,
                "{client} {name}"
            );
            same += 1;
        }
    }
    println!("{same} recorded frames come out the same; {waiting} are of versions that are not spoken yet");
    assert!(same >= 100, "only {same} frames were checked");
}
