//! Frames whose sizes, headers and bodies lie.

use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::messages::metadata::MetadataRequest;

use crate::support::TestBroker;
use crate::support::client::frame;

const METADATA: i16 = 3;

/// A null client id.
const NO_CLIENT: [u8; 2] = [0xff, 0xff];

/// Each frame must end its connection, silently, and harm nobody else.
fn expect_each_closes(broker: &TestBroker, cases: &[(&str, Bytes)]) {
    let mut bystander = broker.connect();
    for (what, bytes) in cases {
        let mut client = broker.connect();
        // The broker may close before it has read everything.
        let _ = client.try_send_bytes(bytes);
        client.expect_close_after(what);
        bystander.expect_service();
    }
}

/// A frame of an API with a null client id and this body.
fn request(api_key: i16, api_version: i16, body: &[u8]) -> Bytes {
    frame(api_key, api_version, &[&NO_CLIENT[..], body].concat())
}

#[test]
fn a_size_that_is_negative_or_above_the_limit_closes_the_connection() {
    let sizes = [-1, i32::MIN, 100 * 1024 * 1024 + 1, i32::MAX];
    expect_each_closes(
        &TestBroker::any(),
        &sizes.map(|size| ("a size alone", Bytes::copy_from_slice(&size.to_be_bytes()))),
    );
}

#[test]
fn the_limit_of_a_frame_is_a_setting() {
    let broker = TestBroker::start(&[("socket.request.max.bytes", "1000")]);
    let mut client = broker.connect();
    client.send_bytes(&1001_u32.to_be_bytes());
    client.expect_close();
    let mut client = broker.connect();
    client.send_bytes(&1000_u32.to_be_bytes());
    assert!(client.stays_open(Duration::from_millis(50)));
}

#[test]
fn a_frame_too_short_for_a_header_closes_the_connection() {
    let cases: Vec<_> = (0..10_u32)
        .map(|size| {
            ("a short frame", Bytes::from([&size.to_be_bytes()[..], &vec![0; size as usize]].concat()))
        })
        .collect();
    expect_each_closes(&TestBroker::any(), &cases);
}

#[test]
fn an_unknown_api_or_version_closes_the_connection() {
    let cases = [
        (-1, 0),
        (9999, 0),
        (94, 0),
        (3, 99),
        (3, -1),
        (0, 0),
        (0, 2),
        (0, 99),
        (1, 3),
        (4, 0),
        (5, 0),
        (7, 0),
    ];
    expect_each_closes(
        &TestBroker::any(),
        &cases.map(|(key, version)| ("an unknown pair", request(key, version, &[0; 8]))),
    );
}

#[test]
fn a_client_id_that_reaches_past_its_frame_closes_the_connection() {
    expect_each_closes(
        &TestBroker::any(),
        &[
            ("longer than the frame", frame(METADATA, 1, &[0x7f, 0xff, b'a'])),
            ("a length cut in two", frame(METADATA, 1, &[0])),
        ],
    );
}

#[test]
fn a_body_that_ends_early_closes_the_connection() {
    expect_each_closes(
        &TestBroker::any(),
        &[
            ("no body", request(METADATA, 1, &[])),
            ("a cut array", request(METADATA, 1, &[0xff, 0xff, 0xff])),
            ("a cut name", request(METADATA, 1, &[0, 0, 0, 1, 0, 9, b'a'])),
            ("a missing flag", request(METADATA, 4, &[0, 0, 0, 0])),
            ("missing tags", request(METADATA, 12, &[0, 1, 0, 0])),
        ],
    );
}

#[test]
fn a_count_of_two_billion_closes_the_connection() {
    const MANY: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];
    const MANY_COMPACT: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x07];
    expect_each_closes(
        &TestBroker::any(),
        &[
            ("metadata", request(METADATA, 1, &MANY)),
            ("flexible metadata", request(METADATA, 12, &[&[0][..], &MANY_COMPACT, &[0; 8]].concat())),
            ("produce", request(0, 3, &[&[0xff, 0xff, 0, 1, 0, 0, 0, 9][..], &MANY].concat())),
            ("fetch", request(1, 4, &[&[0; 17][..], &MANY].concat())),
            ("list offsets", request(2, 1, &[&[0xff; 4][..], &MANY].concat())),
            ("create topics", request(19, 2, &MANY)),
        ],
    );
}

#[test]
fn a_negative_count_where_there_is_no_null_closes_the_connection() {
    expect_each_closes(
        &TestBroker::any(),
        &[
            ("fetch", request(1, 4, &[&[0; 17][..], &[0xff; 4]].concat())),
            ("a compact null", request(1, 12, &[&[0; 26][..], &[0, 1, 1, 0]].concat())),
        ],
    );
}

#[test]
fn a_varint_that_does_not_end_closes_the_connection() {
    expect_each_closes(
        &TestBroker::any(),
        &[
            ("in the tags of the header", frame(METADATA, 12, &[&[0, 0][..], &[0xff; 16]].concat())),
            ("as a count", request(METADATA, 12, &[&[0][..], &[0xff; 16]].concat())),
            (
                "as the length of a name",
                request(METADATA, 12, &[&[0, 2][..], &[0; 16], &[0x80; 16]].concat()),
            ),
        ],
    );
}

/// Apache Kafka reads all of these: it takes any negative length for null, puts a sign of its own in place of bytes that
/// are no text, and ignores what is left over. Here a request is understood whole or not at all.
#[test]
fn what_is_only_nearly_a_request_closes_the_connection() {
    expect_each_closes(
        &TestBroker::start(&[]),
        &[
            ("a client id of length -2", frame(METADATA, 1, &[0xff, 0xfe, 0, 0, 0, 0])),
            ("a count of -2", request(METADATA, 1, &[0xff, 0xff, 0xff, 0xfe])),
            (
                "a compact count of 2^32 - 2",
                request(METADATA, 12, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]),
            ),
            ("a name that is not UTF-8", request(METADATA, 1, &[0, 0, 0, 1, 0, 2, 0xff, 0xfe])),
            ("a client id that is not UTF-8", frame(METADATA, 1, &[0, 1, 0xff, 0, 0, 0, 0])),
            ("a byte left over", request(METADATA, 1, &[0, 0, 0, 0, 1])),
            ("a body left over", request(METADATA, 1, &[0; 64])),
        ],
    );
}

#[test]
fn other_protocols_are_not_answered() {
    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 64]].concat();
    expect_each_closes(
        &TestBroker::any(),
        &[
            ("http", Bytes::from_static(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")),
            ("tls", Bytes::from(hello)),
        ],
    );
}

#[test]
fn a_good_request_behind_a_bad_one_is_not_answered() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let good = request(METADATA, 1, &[0, 0, 0, 0]);
    client.send_bytes(&[&request(METADATA, 99, &[])[..], &good].concat());
    client.expect_close();
}

#[test]
fn a_good_request_before_a_bad_one_is_answered() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let good = request(METADATA, 1, &[0, 0, 0, 0]);
    client.send_bytes(&good);
    assert_eq!(client.receive::<MetadataRequest>(1).0, 7);
    client.send_bytes(&request(METADATA, 99, &[]));
    client.expect_close();
}

#[test]
fn a_request_in_pieces_of_one_byte_is_a_request() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for byte in request(METADATA, 12, &[0, 1, 0, 0, 0]) {
        client.send_bytes(&[byte]);
    }
    assert_eq!(client.receive::<MetadataRequest>(12).0, 7);
}
