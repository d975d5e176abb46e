//! Bytes that lie: every claim is refused with the right error, and no bytes at all make the decoder panic.

mod dice;

use bytes::{BufMut, Bytes, BytesMut};
use ottla_protocol::codec::{Message, Request, WireErrorKind, decode_request, decode_response, encode};
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use ottla_protocol::messages::create_topics::CreateTopicsRequest;
use ottla_protocol::messages::delete_topics::DeleteTopicsRequest;
use ottla_protocol::messages::describe_topic_partitions::DescribeTopicPartitionsRequest;
use ottla_protocol::messages::fetch::FetchRequest;
use ottla_protocol::messages::metadata::MetadataRequest;
use ottla_protocol::messages::produce::ProduceRequest;
use ottla_protocol::messages::{self, RequestVisitor};
use ottla_protocol::{API_TABLE, ApiRange, frame};

fn refusal<R: Request>(body: &[u8], version: i16) -> (WireErrorKind, &'static str) {
    let error = decode_request::<R>(Bytes::copy_from_slice(body), version).expect_err("the body lies");
    (error.kind, error.field)
}

#[test]
fn four_bytes_that_claim_two_billion_topics_are_refused() {
    let refused = refusal::<MetadataRequest>(&i32::MAX.to_be_bytes(), 1);
    assert_eq!(refused, (WireErrorKind::ArrayTooLong { claimed: i32::MAX as usize, possible: 0 }, "topics"));
}

#[test]
fn twelve_bytes_that_claim_two_hundred_gigabytes_of_topic_data_are_refused() {
    let mut body = BytesMut::new();
    body.put_i16(-1);
    body.put_i16(-1);
    body.put_i32(30_000);
    body.put_i32(i32::MAX);
    assert_eq!(body.len(), 12);
    let refused = refusal::<ProduceRequest>(&body, 3);
    assert_eq!(
        refused,
        (WireErrorKind::ArrayTooLong { claimed: i32::MAX as usize, possible: 0 }, "topic_data")
    );
}

#[test]
fn a_compact_count_of_four_billion_is_refused() {
    let refused = refusal::<MetadataRequest>(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 1], 9);
    assert_eq!(
        refused,
        (WireErrorKind::ArrayTooLong { claimed: u32::MAX as usize - 1, possible: 3 }, "topics")
    );
}

#[test]
fn an_array_of_more_than_a_million_elements_is_refused_even_if_they_are_there() {
    let mut body = BytesMut::new();
    body.put_i32(1_000_001);
    body.put_bytes(0, 2 * 1_000_001 + 4);
    let refused = refusal::<DeleteTopicsRequest>(&body, 1);
    assert_eq!(
        refused,
        (WireErrorKind::ArrayTooLong { claimed: 1_000_001, possible: 1_000_000 }, "topic_names")
    );
}

#[test]
fn a_flood_of_empty_names_is_refused_before_it_takes_memory() {
    // Half a million one-byte strings would take 32 bytes each.
    let mut body = BytesMut::new();
    body.put_slice(&[0xa1, 0xc2, 0x1e]);
    body.put_bytes(1, 500_000);
    body.put_slice(&[0, 0, 0, 0, 0]);
    assert_eq!(refusal::<DeleteTopicsRequest>(&body, 4), (WireErrorKind::Expansion, "topic_names"));
}

#[test]
fn a_negative_length_is_refused_and_null_only_where_it_is_allowed() {
    let refused = refusal::<MetadataRequest>(&[0xff, 0xff, 0xff, 0xfe], 1);
    assert_eq!(refused, (WireErrorKind::NegativeLength(-2), "topics"));
    let refused = refusal::<MetadataRequest>(&[0xff, 0xff, 0xff, 0xff], 0);
    assert_eq!(refused, (WireErrorKind::Null, "topics"));
    assert_eq!(decode_request::<MetadataRequest>(Bytes::from_static(&[0xff; 4]), 1).unwrap().topics, None);
    let refused = refusal::<ApiVersionsRequest>(&[0, 1, 0], 3);
    assert_eq!(refused, (WireErrorKind::Null, "client_software_name"));
}

#[test]
fn a_string_of_more_than_32767_bytes_is_refused() {
    let mut body = BytesMut::new();
    body.put_slice(&[0x81, 0x80, 0x02]);
    body.put_bytes(b'x', 40_000);
    let refused = refusal::<ApiVersionsRequest>(&body, 3);
    assert_eq!(refused, (WireErrorKind::TooLong(32_768), "client_software_name"));
}

#[test]
fn a_variable_length_number_of_more_than_32_bits_is_refused() {
    for number in [[0xff, 0xff, 0xff, 0xff, 0x10], [0x80, 0x80, 0x80, 0x80, 0x80]] {
        assert_eq!(refusal::<MetadataRequest>(&number, 9), (WireErrorKind::Varint, "topics"));
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let refused = refusal::<MetadataRequest>(&[0, 0, 0, 1, 0, 2, 0xc3, 0x28], 1);
    assert_eq!(refused, (WireErrorKind::NotUtf8, "name"));
}

#[test]
fn left_over_bytes_are_refused() {
    assert_eq!(refusal::<ApiVersionsRequest>(&[0], 0), (WireErrorKind::LeftOver(1), ""));
    let null_topics_and_more = [0xff, 0xff, 0xff, 0xff, 7, 7];
    assert_eq!(refusal::<MetadataRequest>(&null_topics_and_more, 1), (WireErrorKind::LeftOver(2), ""));
}

#[test]
fn a_struct_is_there_or_not_and_nothing_between() {
    // No topics, a limit, and a cursor whose presence byte is 3.
    let refused = refusal::<DescribeTopicPartitionsRequest>(&[1, 0, 0, 0, 9, 3, 0], 0);
    assert_eq!(refused, (WireErrorKind::Presence(3), "cursor"));
}

/// An ApiVersions request of version 3 with these bytes for its tagged fields.
fn with_tags(tags: &[u8]) -> Vec<u8> {
    [&[2, b'a', 2, b'1'], tags].concat()
}

#[test]
fn unknown_tags_are_skipped() {
    let body = with_tags(&[2, 5, 3, 1, 2, 3, 9, 0]);
    let request = decode_request::<ApiVersionsRequest>(Bytes::from(body), 3).unwrap();
    assert_eq!(request.client_software_name, "a");
}

#[test]
fn a_flood_of_tags_is_refused() {
    let refused = refusal::<ApiVersionsRequest>(&with_tags(&[0x91, 0x4e]), 3);
    assert_eq!(refused.0, WireErrorKind::TooManyTags(10_001));
    let refused = refusal::<ApiVersionsRequest>(&with_tags(&[0x90, 0x4e, 0, 0]), 3);
    assert_eq!(refused.0, WireErrorKind::Truncated { needed: 1, left: 0 });
}

#[test]
fn tags_that_do_not_ascend_or_overrun_are_refused() {
    for (tags, kind) in [
        (&[2, 5, 0, 5, 0][..], WireErrorKind::TagOutOfOrder(5)),
        (&[2, 5, 0, 4, 0], WireErrorKind::TagOutOfOrder(4)),
        (&[1, 5, 200, 1], WireErrorKind::Truncated { needed: 200, left: 0 }),
    ] {
        assert_eq!(refusal::<ApiVersionsRequest>(&with_tags(tags), 3).0, kind);
    }
}

#[test]
fn a_known_tag_whose_value_does_not_fill_its_length_is_refused() {
    // The cluster id (tag 0) of a fetch request: the text "ab" in a value of four bytes, then one of two.
    let plain = encode(FetchRequest::default(), 12, true).unwrap().bytes;
    let with_cluster_id = |value: &[u8]| [&plain[..plain.len() - 1], &[1, 0], value].concat();
    let fits = with_cluster_id(&[3, 3, b'a', b'b']);
    let request = decode_request::<FetchRequest>(Bytes::from(fits), 12).unwrap();
    assert_eq!(request.cluster_id.as_deref(), Some("ab"));
    let refused = refusal::<FetchRequest>(&with_cluster_id(&[4, 3, b'a', b'b', b'c']), 12);
    assert_eq!(refused.0, WireErrorKind::LeftOver(1));
    let refused = refusal::<FetchRequest>(&with_cluster_id(&[2, 3, b'a', b'b']), 12);
    assert_eq!(refused.0, WireErrorKind::Truncated { needed: 2, left: 1 });
}

#[test]
fn a_value_that_a_version_cannot_carry_is_an_error_unless_kafka_may_drop_it() {
    let request = MetadataRequest { allow_auto_topic_creation: false, ..Default::default() };
    let error = encode(request, 3, false).unwrap_err();
    assert_eq!((error.kind, error.field), (WireErrorKind::NotInVersion(3), "allow_auto_topic_creation"));
    let request = FetchRequest { rack_id: "eu".into(), ..Default::default() };
    assert!(encode(request, 10, false).is_ok());
    let error = encode(MetadataRequest::default(), 0, false).unwrap_err();
    assert_eq!((error.kind, error.field), (WireErrorKind::Null, "topics"));
}

#[test]
fn a_frame_length_is_negative_or_above_the_limit_only_in_vain() {
    assert_eq!(frame::length(100i32.to_be_bytes(), 100), Ok(100));
    for claimed in [-1, i32::MIN, 101, i32::MAX] {
        let refused = frame::length(claimed.to_be_bytes(), 100).unwrap_err();
        assert_eq!(refused.kind, WireErrorKind::FrameLength(claimed));
    }
}

#[test]
fn a_version_that_is_not_spoken_is_an_error_of_its_own() {
    let refused = refusal::<CreateTopicsRequest>(&[], 1);
    assert_eq!(refused.0, WireErrorKind::UnsupportedVersion { key: 19, version: 1 });
}

fn random_bytes<M: Message>(version: i16, flexible: bool, seed: u64) -> Bytes {
    let message: M = dice::random(version, seed);
    encode(message, version, flexible).expect("what the dice make can be encoded").bytes
}

/// Cuts and bends random messages of one API; the output counts the bodies that were decoded.
struct Torment(&'static ApiRange);

impl RequestVisitor for Torment {
    type Output = u64;

    fn visit<R: Request>(self) -> u64 {
        let mut bodies = 0;
        for version in self.0.versions() {
            let flexible = self.0.is_flexible(version);
            for seed in 0..6 {
                let request = random_bytes::<R>(version, flexible, seed);
                let response = random_bytes::<R::Response>(version, flexible, seed);
                for cut in 0..request.len() {
                    let refused = decode_request::<R>(request.slice(..cut), version);
                    assert!(refused.is_err(), "{} v{version} seed {seed} cut to {cut} bytes", R::KEY);
                }
                for cut in 0..response.len() {
                    let refused = decode_response::<R>(response.slice(..cut), version);
                    assert!(refused.is_err(), "{} v{version} seed {seed} cut to {cut} bytes", R::KEY);
                }
                // A bent body may still be a message; what it may not do is panic.
                for place in 0..request.len() {
                    for bits in [0x01, 0x80, 0xff] {
                        let mut bent = BytesMut::from(&request[..]);
                        bent[place] ^= bits;
                        let _ = decode_request::<R>(bent.freeze(), version);
                    }
                }
                bodies += 4 * request.len() as u64 + response.len() as u64;
            }
        }
        bodies
    }
}

#[test]
fn a_message_that_is_cut_short_is_refused_and_one_that_is_bent_never_panics() {
    let bodies: u64 = API_TABLE.iter().map(|api| messages::visit(api.key, Torment(api)).unwrap()).sum();
    println!("{bodies} cut or bent bodies were decoded without a panic");
}
