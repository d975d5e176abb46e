//! Our codec against `kafka-protocol`, which is generated from Kafka's own schemas: for every API, every version that
//! we speak and many random messages, what we encode is decoded by it, encoded again by it, equal byte for byte, and
//! decoded by us into the message that we began with. So both directions of both flavours agree with Kafka's.

mod dice;

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey as OracleKey, ConsumerProtocolAssignment as OracleAssignment,
    ConsumerProtocolSubscription as OracleSubscription, RequestKind, ResponseKind,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use ottla_protocol::codec::{Message, Request, decode, encode};
use ottla_protocol::error::ERROR_TABLE;
use ottla_protocol::messages::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use ottla_protocol::messages::{self, RequestVisitor};
use ottla_protocol::{API_TABLE, ApiKey, ApiRange, ErrorCode};

/// Random messages for each API, version and direction.
const SEEDS: u64 = 48;

/// Checks both messages of one API in all versions; the output counts the messages.
struct Agree(&'static ApiRange);

impl RequestVisitor for Agree {
    type Output = u64;

    fn visit<R: Request>(self) -> u64 {
        let api = self.0;
        let mut messages = 0;
        for version in api.versions().filter(|version| is_known_to_oracle(api.key, *version)) {
            for seed in 0..SEEDS {
                let what = format!("{} v{version} seed {seed}", api.key);
                check::<R>(api, version, seed, &format!("{what} request"), oracle_request);
                check::<R::Response>(api, version, seed, &format!("{what} response"), oracle_response);
                messages += 2;
            }
        }
        messages
    }
}

/// The oracle stops at the schemas of Kafka 4.1. What came later is judged by frames of Kafka itself, in `golden.rs`.
fn is_known_to_oracle(key: ApiKey, version: i16) -> bool {
    !matches!((key, version), (ApiKey::OffsetCommit | ApiKey::OffsetFetch, 10))
}

/// What the oracle encodes of the message that it decodes.
type Oracle = fn(OracleKey, Bytes, i16) -> Result<Bytes, Box<dyn std::error::Error>>;

fn oracle_request(
    key: OracleKey,
    mut bytes: Bytes,
    version: i16,
) -> Result<Bytes, Box<dyn std::error::Error>> {
    let request = RequestKind::decode(key, &mut bytes, version)?;
    assert!(bytes.is_empty(), "the oracle left {} bytes", bytes.len());
    let mut again = BytesMut::new();
    request.encode(&mut again, version)?;
    Ok(again.freeze())
}

fn oracle_response(
    key: OracleKey,
    mut bytes: Bytes,
    version: i16,
) -> Result<Bytes, Box<dyn std::error::Error>> {
    let response = ResponseKind::decode(key, &mut bytes, version)?;
    assert!(bytes.is_empty(), "the oracle left {} bytes", bytes.len());
    let mut again = BytesMut::new();
    response.encode(&mut again, version)?;
    Ok(again.freeze())
}

fn check<M: Message>(api: &ApiRange, version: i16, seed: u64, what: &str, oracle: Oracle) {
    let key = OracleKey::try_from(api.key.key()).expect("the oracle knows the API");
    let flexible = api.is_flexible(version);
    let message: M = dice::random(version, seed);
    let ours = encode(message.clone(), version, flexible).unwrap_or_else(|error| panic!("{what}: {error}"));
    let theirs = oracle(key, ours.bytes.clone(), version)
        .unwrap_or_else(|error| panic!("{what}: the oracle says {error} of {message:?}"));
    assert_eq!(theirs, ours.bytes, "{what}: the oracle encodes {message:?} differently");
    let back: M = decode(theirs, version, flexible).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(back, message, "{what}");
}

#[test]
fn every_message_in_every_version_is_encoded_and_decoded_as_kafka_does() {
    let mut versions = 0;
    let mut messages = 0;
    for api in API_TABLE {
        let count = messages::visit(api.key, Agree(api)).expect("every API of the table has its messages");
        versions += api.versions().count();
        messages += count;
        println!("{:<24} {:>2}–{:<2} {:>6} messages agree", api.key, api.min, api.max, count);
    }
    println!("{} APIs, {versions} versions, {messages} messages agree", API_TABLE.len());
}

#[test]
fn headers_are_flexible_where_kafka_says_so() {
    for api in API_TABLE {
        let key = OracleKey::try_from(api.key.key()).expect("the oracle knows the API");
        for version in api.versions() {
            let ours = (api.request_header_version(version), api.response_header_version(version));
            let theirs = (key.request_header_version(version), key.response_header_version(version));
            assert_eq!(ours, theirs, "{} v{version}", api.key);
        }
    }
}

#[test]
fn error_codes_are_named_and_retriable_as_in_kafka() {
    for row in ERROR_TABLE.iter().filter(|row| row.code.is_error()) {
        let theirs = ResponseError::try_from_code(row.code.get()).expect("it is an error");
        let name = row.name.replace('_', "").to_lowercase();
        assert_eq!(theirs.to_string().to_lowercase(), name, "{row:?}");
        // The oracle is older than the day when Kafka made this one retriable.
        if row.code != ErrorCode::CONCURRENT_TRANSACTIONS {
            assert_eq!(theirs.is_retriable(), row.retriable, "{row:?}");
        }
    }
}

/// Checks one kind of blob that consumers exchange, in all versions.
fn check_blob<M: Message, O: Encodable + Decodable>() {
    for version in 0..=consumer_protocol::VERSION_MAX {
        for seed in 0..SEEDS {
            let message: M = dice::random(version, seed);
            let ours = consumer_protocol::encode(message.clone(), version).expect("it can be encoded");
            let mut body = ours.slice(2..);
            let theirs = O::decode(&mut body, version).expect("the other reads it");
            assert!(body.is_empty(), "v{version} seed {seed}: the oracle left {} bytes", body.len());
            let mut again = BytesMut::from(&version.to_be_bytes()[..]);
            theirs.encode(&mut again, version).expect("the other writes it");
            assert_eq!(again, ours, "v{version} seed {seed}: the oracle encodes {message:?} differently");
            assert_eq!(
                consumer_protocol::decode(again.freeze()).expect("it can be read"),
                (version, message)
            );
        }
    }
}

#[test]
fn subscriptions_and_assignments_of_consumers_are_encoded_and_decoded_as_kafka_does() {
    check_blob::<ConsumerProtocolSubscription, OracleSubscription>();
    check_blob::<ConsumerProtocolAssignment, OracleAssignment>();
}
