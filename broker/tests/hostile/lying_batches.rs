//! Record batches that lie: each is refused with its own error before anything is appended.

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::produce::{PartitionProduceData, PartitionProduceResponse};
use ottla_protocol::records::Compression;

use crate::support::batches::{at, batch, batch_at, compressed, idempotent, now_ms, patched, signed, values};
use crate::support::requests::produce;
use crate::support::{Client, TestBroker};

/// Sends each batch to a topic; each must be refused with its code and leave the topic as it was.
fn expect_refused(broker: &TestBroker, topic_configs: &[(&str, &str)], cases: &[(&str, Bytes, ErrorCode)]) {
    let mut client = broker.connect();
    let topic = client.new_topic(1, topic_configs);
    let mut wrong = Vec::new();
    for (what, bytes, code) in cases {
        let row = client.produce(&topic, -1, bytes.clone());
        if (row.error_code, row.base_offset) != (*code, -1) {
            wrong.push(format!("{what}: {:?} at {}", row.error_code, row.base_offset));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let row = client.fetch(&topic, 0);
    assert_eq!((row.high_watermark, values(&row).len()), (0, 0), "nothing was appended");
    assert_eq!(client.append(&topic, batch(&["an honest one"])), 0);
}

fn two_records() -> Bytes {
    batch(&["a", "b"])
}

#[test]
fn a_checksum_that_does_not_fit_is_a_corrupt_message() {
    let mut flipped = two_records().to_vec();
    flipped[at::RECORDS + 8] ^= 1;
    let mut unsigned = two_records().to_vec();
    unsigned[at::CRC] ^= 0x80;
    let mut packed = compressed(Compression::Zstd, &["a", "b"]).to_vec();
    *packed.last_mut().unwrap() ^= 0x10;
    expect_refused(
        &TestBroker::any(),
        &[],
        &[
            ("a flipped bit in a record", flipped.into(), ErrorCode::CORRUPT_MESSAGE),
            ("a flipped bit in the checksum", unsigned.into(), ErrorCode::CORRUPT_MESSAGE),
            ("a flipped bit in a packed record", packed.into(), ErrorCode::CORRUPT_MESSAGE),
        ],
    );
}

#[test]
fn a_count_that_is_not_the_last_offset_delta_plus_1_is_an_invalid_record() {
    let honest = two_records();
    let count = |count: i32| patched(&honest, at::COUNT, &count.to_be_bytes());
    let delta = |delta: i32| patched(&honest, at::LAST_OFFSET_DELTA, &delta.to_be_bytes());
    let invalid = ErrorCode::INVALID_RECORD;
    expect_refused(
        &TestBroker::any(),
        &[],
        &[
            ("a count of 0", count(0), invalid),
            ("a count of -1", count(-1), invalid),
            ("a count of 1", count(1), invalid),
            ("a count of 3", count(3), invalid),
            ("a count of two billion", count(i32::MAX), invalid),
            ("a last offset delta of 0", delta(0), invalid),
            ("a last offset delta of -1", delta(-1), invalid),
            ("a last offset delta of two billion", delta(i32::MAX), invalid),
        ],
    );
}

#[test]
fn a_count_that_agrees_with_its_delta_but_not_with_the_records_is_an_invalid_record() {
    let both = |count: i32| {
        let delta = patched(&two_records(), at::LAST_OFFSET_DELTA, &(count - 1).to_be_bytes());
        patched(&delta, at::COUNT, &count.to_be_bytes())
    };
    let invalid = ErrorCode::INVALID_RECORD;
    expect_refused(
        &TestBroker::any(),
        &[],
        &[
            ("more than there are", both(3), invalid),
            ("fewer than there are", both(1), invalid),
            ("a million", both(1_000_000), invalid),
        ],
    );
}

#[test]
fn records_that_reach_past_their_ends_are_invalid() {
    let honest = two_records();
    let record = |place: usize, byte: u8| patched(&honest, at::RECORDS + place, &[byte]);
    let invalid = ErrorCode::INVALID_RECORD;
    expect_refused(
        &TestBroker::any(),
        &[],
        &[
            ("a record longer than the batch", record(0, 0x7e), invalid),
            ("a record of negative length", record(0, 0x01), invalid),
            ("a record of length 0", record(0, 0x00), invalid),
            ("a record one byte short", record(0, honest[at::RECORDS] - 2), invalid),
            ("a key longer than its record", record(4, 0x7e), invalid),
        ],
    );
}

#[test]
fn a_batch_of_another_format_is_refused() {
    let magic = |magic: u8| patched(&two_records(), at::MAGIC, &[magic]);
    expect_refused(
        &TestBroker::any(),
        &[],
        &[
            ("format 0", magic(0), ErrorCode::INVALID_RECORD),
            ("format 1", magic(1), ErrorCode::INVALID_RECORD),
            ("format 3", magic(3), ErrorCode::CORRUPT_MESSAGE),
            ("format -1", magic(0xff), ErrorCode::CORRUPT_MESSAGE),
        ],
    );
}

#[test]
fn a_batch_length_that_lies_is_refused() {
    let length = |length: i32| {
        let mut batch = two_records().to_vec();
        batch[at::LENGTH..at::LENGTH + 4].copy_from_slice(&length.to_be_bytes());
        Bytes::from(batch)
    };
    let honest = two_records().len() as i32 - 12;
    expect_refused(
        &TestBroker::any(),
        &[],
        &[
            ("-1", length(-1), ErrorCode::CORRUPT_MESSAGE),
            ("0", length(0), ErrorCode::CORRUPT_MESSAGE),
            ("one more than there is", length(honest + 1), ErrorCode::INVALID_RECORD),
            ("half a billion", length(1 << 29), ErrorCode::INVALID_RECORD),
        ],
    );
}

/// Apache Kafka answers UNKNOWN_SERVER_ERROR to these, or not at all.
#[test]
fn what_apache_kafka_stumbles_over_is_an_invalid_record() {
    let honest = two_records();
    let mut longest = honest.to_vec();
    longest[at::LENGTH..at::LENGTH + 4].copy_from_slice(&i32::MAX.to_be_bytes());
    let invalid = ErrorCode::INVALID_RECORD;
    expect_refused(
        &TestBroker::start(&[]),
        &[],
        &[
            ("a batch length of two billion", longest.into(), invalid),
            ("a record length that does not end", patched(&honest, at::RECORDS, &[0xff; 10]), invalid),
        ],
    );
}

/// Apache Kafka takes the first and asks an authorizer about the second.
#[test]
fn attributes_without_a_meaning_for_a_client_are_refused() {
    let attributes = |bits: i16| patched(&two_records(), at::ATTRIBUTES, &bits.to_be_bytes());
    expect_refused(
        &TestBroker::start(&[]),
        &[],
        &[
            ("an append time", attributes(0x08), ErrorCode::INVALID_TIMESTAMP),
            ("a transaction without a producer", attributes(0x10), ErrorCode::INVALID_RECORD),
            ("a control batch of a transaction", attributes(0x30), ErrorCode::INVALID_RECORD),
        ],
    );
}

#[test]
fn bytes_that_are_not_exactly_one_batch_are_refused() {
    let honest = two_records();
    let mut cases: Vec<(&str, Bytes, ErrorCode)> = [0, 1, 11, 12, 16, 60, 61, honest.len() - 1]
        .into_iter()
        .map(|cut| ("a batch that is cut", honest.slice(..cut), ErrorCode::INVALID_RECORD))
        .collect();
    let two = Bytes::from([&honest[..], &honest].concat());
    cases.push(("two batches", two, ErrorCode::INVALID_RECORD));
    expect_refused(&TestBroker::any(), &[], &cases);
}

/// Apache Kafka never answers this.
#[test]
fn no_records_at_all_are_an_invalid_record() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let mut request = produce(&topic, 0, -1, Bytes::new());
    request.topic_data[0].partition_data[0] = PartitionProduceData { index: 0, records: None };
    let response = client.call(9, request);
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::INVALID_RECORD);
}

#[test]
fn a_base_offset_of_a_client_s_own_is_an_invalid_record() {
    let own = |offset: i64| {
        let mut batch = two_records().to_vec();
        batch[at::BASE_OFFSET..8].copy_from_slice(&offset.to_be_bytes());
        Bytes::from(batch)
    };
    expect_refused(
        &TestBroker::any(),
        &[],
        &[
            ("5", own(5), ErrorCode::INVALID_RECORD),
            ("-1", own(-1), ErrorCode::INVALID_RECORD),
            ("the last of all", own(i64::MAX), ErrorCode::INVALID_RECORD),
        ],
    );
}

#[test]
fn a_control_batch_from_a_client_is_refused() {
    let control = |batch: &[u8]| patched(batch, at::ATTRIBUTES, &0x20_i16.to_be_bytes());
    expect_refused(
        &TestBroker::any(),
        &[],
        &[
            ("of nobody", control(&two_records()), ErrorCode::INVALID_RECORD),
            ("of a producer", control(&idempotent(7, 0, 0, &["a"])), ErrorCode::INVALID_RECORD),
        ],
    );
}

#[test]
fn producer_fields_that_do_not_fit_each_other_are_an_invalid_record() {
    let own = idempotent(7, 0, 0, &["a"]);
    expect_refused(
        &TestBroker::any(),
        &[],
        &[(
            "a producer without a sequence",
            patched(&own, at::BASE_SEQUENCE, &(-1_i32).to_be_bytes()),
            ErrorCode::INVALID_RECORD,
        )],
    );
}

#[test]
fn a_claimed_codec_that_is_not_there_is_refused() {
    let codec = |bits: i16| patched(&two_records(), at::ATTRIBUTES, &bits.to_be_bytes());
    let cases: Vec<(&str, Bytes, ErrorCode)> =
        [5, 6, 7].map(|bits| ("no codec", codec(bits), ErrorCode::UNSUPPORTED_COMPRESSION_TYPE)).into();
    expect_refused(&TestBroker::start(&[]), &[], &cases);
}

#[test]
fn records_that_do_not_unpack_are_refused_where_they_must_be_unpacked() {
    let codec = |bits: i16| patched(&two_records(), at::ATTRIBUTES, &bits.to_be_bytes());
    let cases: Vec<(&str, Bytes, ErrorCode)> =
        [1, 2, 3, 4].map(|bits| ("not packed", codec(bits), ErrorCode::INVALID_RECORD)).into();
    expect_refused(&TestBroker::start(&[]), &[("compression.type", "uncompressed")], &cases);
}

#[test]
fn a_timestamp_outside_of_what_the_topic_takes_is_invalid() {
    let far = now_ms() + 7_200_000;
    let lie = patched(&batch_at(far, &["a"]), at::MAX_TIMESTAMP, &now_ms().to_be_bytes());
    expect_refused(
        &TestBroker::start(&[]),
        &[],
        &[
            ("two hours ahead", batch_at(far, &["a"]), ErrorCode::INVALID_TIMESTAMP),
            ("two hours ahead, with a header that denies it", lie, ErrorCode::INVALID_TIMESTAMP),
        ],
    );
}

#[test]
fn a_decompression_bomb_is_refused_where_it_would_go_off() {
    let broker = TestBroker::start(&[]);
    let bomb = bomb();
    assert!(bomb.len() < 1_000_000, "it fits max.message.bytes: {}", bomb.len());
    let cases = [("a bomb", bomb, ErrorCode::MESSAGE_TOO_LARGE)];
    expect_refused(&broker, &[("compression.type", "uncompressed")], &cases);
    broker.connect().expect_service();
}

#[test]
fn a_batch_that_is_too_large_only_when_the_topic_unpacks_it_is_refused() {
    let two_mebibytes = compressed(Compression::Zstd, &[&"v".repeat(2 << 20)]);
    expect_refused(
        &TestBroker::start(&[]),
        &[("compression.type", "uncompressed")],
        &[("two mebibytes", two_mebibytes, ErrorCode::MESSAGE_TOO_LARGE)],
    );
}

/// Three records of 64 MiB of zeros, packed by zstd: above what a batch may unpack to, in some ten kilobytes.
fn bomb() -> Bytes {
    let zeros = "\0".repeat(64 << 20);
    compressed(Compression::Zstd, &[&zeros, &zeros, &zeros])
}

#[test]
fn a_lie_in_one_partition_leaves_the_others_alone() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(2, &[]);
    let mut lie = two_records().to_vec();
    lie[at::CRC] ^= 1;
    let mut request = produce(&topic, 0, -1, lie.into());
    request.topic_data[0]
        .partition_data
        .push(PartitionProduceData { index: 1, records: Some(two_records()) });
    let response = client.call(9, request);
    let row = |index: i32| -> &PartitionProduceResponse {
        response.responses[0].partition_responses.iter().find(|row| row.index == index).unwrap()
    };
    assert_eq!((row(0).error_code, row(0).base_offset), (ErrorCode::CORRUPT_MESSAGE, -1));
    assert_eq!((row(1).error_code, row(1).base_offset), (ErrorCode::NONE, 0));
}

#[test]
fn an_honest_batch_that_was_only_signed_again_is_taken() {
    let broker = TestBroker::any();
    let mut client: Client = broker.connect();
    let topic = client.new_topic(1, &[]);
    assert_eq!(client.append(&topic, signed(two_records().to_vec())), 0);
}
