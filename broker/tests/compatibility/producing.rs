//! Rules 7 and 8: what a topic refuses, and which bytes of a batch the broker touches.

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::init_producer_id::InitProducerIdRequest;
use ottla_protocol::messages::produce::ProduceResponse;
use ottla_protocol::records::{BatchBuilder, BatchHeader, Compression, OutputLimit, TimestampType, batches};

use crate::support::TestBroker;
use crate::support::batches::{
    at, batch, batch_at, bytes_of, checksum_fits, compressed, idempotent, keyless, now_ms, values,
};
use crate::support::requests::{init_producer_id, produce};

const STAMPED_BYTES: usize = 16;

#[test]
fn rule_07_a_batch_of_max_message_bytes_is_taken_and_one_byte_more_is_too_large() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let (fits, above) = (batch(&[&"x".repeat(200)]), batch(&[&"x".repeat(201)]));
    assert_eq!(fits.len() + 1, above.len());
    let topic = client.new_topic(1, &[("max.message.bytes", &fits.len().to_string())]);
    let row = client.produce(&topic, -1, above);
    assert_eq!((row.error_code, row.base_offset), (ErrorCode::MESSAGE_TOO_LARGE, -1));
    assert_eq!(client.append(&topic, fits), 0);
}

#[test]
fn rule_07_the_default_of_max_message_bytes_is_kafka_s() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let sized = |bytes: usize| {
        let bare = batch(&[&"x".repeat(1_000_000)]).len() - 1_000_000;
        let sized = batch(&[&"x".repeat(bytes - bare)]);
        assert_eq!(sized.len(), bytes);
        sized
    };
    assert_eq!(client.append(&topic, sized(1_048_588)), 0);
    assert_eq!(client.produce(&topic, -1, sized(1_048_589)).error_code, ErrorCode::MESSAGE_TOO_LARGE);
}

#[test]
fn rule_07_a_record_without_a_key_is_invalid_on_a_compacted_topic() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("cleanup.policy", "compact")]);
    let row = client.produce(&topic, -1, keyless("v"));
    assert_eq!((row.error_code, row.base_offset), (ErrorCode::INVALID_RECORD, -1));
    let indexes: Vec<i32> = row.record_errors.iter().map(|record| record.batch_index).collect();
    assert_eq!(indexes, [0], "the record that is to blame is named");
    assert_eq!(client.append(&topic, batch(&["v"])), 0);
}

#[test]
fn rule_07_a_record_without_a_key_is_found_inside_of_a_compressed_batch() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("cleanup.policy", "compact,delete")]);
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut builder = BatchBuilder::new(compression);
        builder.push(now_ms(), Some(b"k"), Some(b"v"), &[]).unwrap();
        builder.push(now_ms(), None, Some(b"v"), &[]).unwrap();
        let row = client.produce(&topic, -1, builder.build());
        assert_eq!(row.error_code, ErrorCode::INVALID_RECORD, "{compression:?}");
        assert_eq!(row.record_errors[0].batch_index, 1);
    }
    // A key may be empty, and a value may be missing.
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(now_ms(), Some(b""), None, &[]).unwrap();
    assert_eq!(client.append(&topic, builder.build()), 0);
}

#[test]
fn rule_07_a_timestamp_too_far_ahead_is_invalid() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("message.timestamp.before.max.ms", "600000")]);
    for timestamp in [now_ms() + 2 * 3_600_000, now_ms() - 3_600_000] {
        let row = client.produce(&topic, -1, batch_at(timestamp, &["v"]));
        assert_eq!(row.error_code, ErrorCode::INVALID_TIMESTAMP);
    }
    assert_eq!(client.append(&topic, batch(&["v"])), 0);
}

#[test]
fn rule_07_a_transaction_may_not_last_longer_than_the_broker_allows() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let request = InitProducerIdRequest {
        transactional_id: Some(Str::from("patient")),
        transaction_timeout_ms: 900_001,
        ..init_producer_id()
    };
    let response = client.call(4, request);
    assert_eq!(response.error_code, ErrorCode::INVALID_TRANSACTION_TIMEOUT);
}

#[test]
fn rule_07_an_empty_transactional_id_is_an_invalid_request() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let request = InitProducerIdRequest { transactional_id: Some(Str::from("")), ..init_producer_id() };
    assert_eq!(client.call(4, request).error_code, ErrorCode::INVALID_REQUEST);
}

#[test]
fn rule_07_one_bad_partition_does_not_spoil_the_others() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(2, &[]);
    let mut request = produce(&topic, 0, -1, batch(&["a"]));
    request.topic_data[0]
        .partition_data
        .extend(produce(&topic, 9, -1, batch(&["b"])).topic_data[0].partition_data.clone());
    request.topic_data[0]
        .partition_data
        .extend(produce(&topic, 1, -1, batch(&["c"])).topic_data[0].partition_data.clone());
    request.topic_data.extend(produce("a-topic-that-nobody-created", 0, -1, batch(&["d"])).topic_data);
    let response: ProduceResponse = client.call(9, request);
    let mut rows: Vec<(&str, i32, ErrorCode)> = Vec::new();
    for topic in &response.responses {
        rows.extend(
            topic.partition_responses.iter().map(|row| (topic.name.as_str(), row.index, row.error_code)),
        );
    }
    rows.sort_by_key(|row| (row.0 != topic, row.1));
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let expected = [
        (topic.as_str(), 0, ErrorCode::NONE),
        (&topic, 1, ErrorCode::NONE),
        (&topic, 9, unknown),
        ("a-topic-that-nobody-created", 0, unknown),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn rule_07_every_version_appends() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    for (offset, version) in (3..=9).enumerate() {
        let response: ProduceResponse = client.call(version, produce(&topic, 0, 1, batch(&["a"])));
        let row = &response.responses[0].partition_responses[0];
        assert_eq!((row.error_code, row.base_offset), (ErrorCode::NONE, offset as i64), "version {version}");
        assert_eq!(row.log_append_time_ms, -1);
        assert!(version < 5 || row.log_start_offset == 0);
    }
}

#[test]
fn rule_07_zstd_is_refused_below_version_7() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    for (version, code) in [(6, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE), (7, ErrorCode::NONE)] {
        let request = produce(&topic, 0, -1, compressed(Compression::Zstd, &["a"]));
        let response: ProduceResponse = client.call(version, request);
        assert_eq!(response.responses[0].partition_responses[0].error_code, code, "version {version}");
    }
}

#[test]
fn rule_08_an_appended_batch_differs_from_the_sent_one_in_base_offset_and_epoch_only() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for compression in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let topic = client.new_topic(1, &[]);
        client.append(&topic, batch(&["a"]));
        let sent = compressed(compression, &["b", "c"]);
        assert_eq!(client.append(&topic, sent.clone()), 1);
        let stored = bytes_of(&client.fetch(&topic, 1));
        assert_eq!(stored[STAMPED_BYTES..], sent[STAMPED_BYTES..], "{compression:?}");
        let header = BatchHeader::parse(&stored).unwrap();
        let epoch = header.partition_leader_epoch.map(|epoch| epoch.get());
        assert_eq!((header.base_offset.get(), epoch), (1, Some(0)));
    }
}

#[test]
fn rule_08_log_append_time_is_written_with_a_new_checksum() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for compression in [Compression::None, Compression::Gzip] {
        let topic = client.new_topic(1, &[("message.timestamp.type", "LogAppendTime")]);
        // A client's own time does not matter then, however wrong.
        let mut sent = compressed(compression, &["a", "b"]);
        if compression == Compression::None {
            sent = batch_at(5, &["a", "b"]);
        }
        let before = now_ms();
        let row = client.produce(&topic, -1, sent);
        let after = now_ms();
        assert!((before - 1_000..=after + 1_000).contains(&row.log_append_time_ms), "{row:?}");
        let fetched = client.fetch(&topic, 0);
        let stored = bytes_of(&fetched);
        assert!(checksum_fits(&stored));
        let header = BatchHeader::parse(&stored).unwrap();
        assert_eq!(header.attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(header.max_timestamp, row.log_append_time_ms);
        assert_eq!(values(&fetched), ["a", "b"]);
    }
}

#[test]
fn rule_08_recompression_writes_a_new_checksum_and_keeps_the_records() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for (name, wanted) in [
        ("zstd", Compression::Zstd),
        ("gzip", Compression::Gzip),
        ("lz4", Compression::Lz4),
        ("snappy", Compression::Snappy),
        ("uncompressed", Compression::None),
    ] {
        let topic = client.new_topic(1, &[("compression.type", name)]);
        client.append(&topic, batch(&["a", "b"]));
        client.append(&topic, compressed(Compression::Lz4, &["c"]));
        let fetched = client.fetch(&topic, 0);
        let mut rest = bytes_of(&fetched);
        while !rest.is_empty() {
            assert!(checksum_fits(&rest), "{name}");
            let header = BatchHeader::parse(&rest).unwrap();
            assert_eq!(header.attributes.compression().unwrap(), wanted);
            rest = rest.split_off(header.size_in_bytes());
        }
        assert_eq!(values(&fetched), ["a", "b", "c"], "{name}");
    }
}

#[test]
fn rule_08_a_codec_packs_as_well_as_the_topic_s_level_says() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let words = ["flight", "departs", "from", "Newark", "at", "noon", "delayed", "minutes", "by", "weather"];
    let text: String = (0..20_000u64)
        .map(|number| words[(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % words.len()])
        .collect();
    for (codec, loose, tight) in [("gzip", "1", "9"), ("lz4", "9", "12"), ("zstd", "-7", "19")] {
        let mut stored_bytes = |level: &str| {
            let level_key = format!("compression.{codec}.level");
            let topic = client.new_topic(1, &[("compression.type", codec), (&level_key, level)]);
            client.append(&topic, batch(&[&text]));
            let fetched = client.fetch(&topic, 0);
            assert_eq!(values(&fetched), [text.as_str()]);
            bytes_of(&fetched).len()
        };
        let (loose, tight) = (stored_bytes(loose), stored_bytes(tight));
        assert!(tight < loose, "{codec}: {tight} bytes where the looser level has {loose}");
    }
}

#[test]
fn rule_08_recompression_keeps_the_producer_and_finds_its_retries() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic =
        client.new_topic(1, &[("compression.type", "gzip"), ("message.timestamp.type", "LogAppendTime")]);
    for (sequence, offset) in [(0, 0), (1, 1), (0, 0), (1, 1)] {
        assert_eq!(client.append(&topic, idempotent(4711, 3, sequence, &["a"])), offset);
    }
    let stored = bytes_of(&client.fetch(&topic, 1));
    let producer = BatchHeader::parse(&stored).unwrap().producer.unwrap();
    assert_eq!((producer.id.get(), producer.epoch.get()), (4711, 3));
    assert_eq!(client.list_offset(&topic, -1), 2);
}

#[test]
fn rule_08_headers_and_empty_and_missing_fields_come_back_as_they_were() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("compression.type", "lz4")]);
    let mut builder = BatchBuilder::new(Compression::Gzip);
    let headers: [(&str, Option<&[u8]>); 4] =
        [("a", Some(b"1")), ("a", Some(b"2")), ("", Some(b"")), ("gone", None)];
    builder.push(now_ms(), None, None, &headers).unwrap();
    builder.push(now_ms(), Some(b""), Some(b""), &[]).unwrap();
    client.append(&topic, builder.build());
    let batch = batches(bytes_of(&client.fetch(&topic, 0))).next().unwrap().unwrap();
    let records: Vec<_> = batch.records(OutputLimit::new(1 << 20)).unwrap().map(Result::unwrap).collect();
    assert_eq!((&records[0].key, &records[0].value), (&None, &None));
    let found: Vec<_> = records[0].headers.iter().map(|header| (header.key, header.value)).collect();
    let sent: Vec<_> = headers
        .iter()
        .map(|(key, value)| (Bytes::copy_from_slice(key.as_bytes()), value.map(Bytes::copy_from_slice)))
        .collect();
    assert_eq!(found, sent, "duplicates stay, and so does their order");
    assert_eq!(records[1].key.as_deref(), Some(&b""[..]));
    assert_eq!(records[1].value.as_deref(), Some(&b""[..]));
}

#[test]
fn rule_08_the_claimed_leader_epoch_of_a_producer_does_not_matter() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let mut sent = batch(&["a"]).to_vec();
    sent[at::LENGTH + 4..at::MAGIC].copy_from_slice(&77_i32.to_be_bytes());
    assert_eq!(client.append(&topic, sent.into()), 0);
    let stored = bytes_of(&client.fetch(&topic, 0));
    let epoch = BatchHeader::parse(&stored).unwrap().partition_leader_epoch;
    assert_eq!(epoch.map(|epoch| epoch.get()), Some(0));
}
