//! Record batches that Apache Kafka wrote (tests/golden/batches, made by interop/java/Batches.java): we read what it
//! wrote, and where bytes are determined we write the same ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use bytes::Bytes;
use ottla_protocol::codec::decode_request;
use ottla_protocol::frame::decode_request_header;
use ottla_protocol::messages::produce::ProduceRequest;
use ottla_protocol::records::{
    BatchBuilder, BatchProducer, Codec, Compression, ControlRecord, OutputLimit, Record, Rules, ValidBatch,
    batches, end_transaction_marker,
};
use ottla_protocol::{ProducerEpoch, ProducerId, Sequence};

const LIMIT: usize = 1 << 20;

struct Row {
    timestamp: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(&'static str, Option<String>)>,
}

/// The records of Batches.java.
fn rows(count: usize) -> Vec<Row> {
    let mut random = 1u64;
    let mut row = |i: usize| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let filler = "abcdefghij".repeat(8);
        Row {
            timestamp: 1_700_000_000_000 + (i as i64 * 37) % 1000 - 500,
            key: (!i.is_multiple_of(3)).then(|| format!("key-{}", i % 17)),
            value: (!i.is_multiple_of(7)).then(|| format!("value {i} {filler} {random:x}")),
            headers: if i.is_multiple_of(5) {
                vec![("größe", Some(format!("x{i}"))), ("", None)]
            } else {
                vec![]
            },
        }
    };
    (0..count).map(&mut row).collect()
}

fn producer() -> BatchProducer {
    BatchProducer {
        id: ProducerId::new(4711),
        epoch: ProducerEpoch::new(3),
        base_sequence: Some(Sequence::new(42)),
    }
}

fn built(codec: impl Into<Codec>, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(codec).with_producer(producer()).transactional();
    for row in rows(count) {
        let headers: Vec<_> = row
            .headers
            .iter()
            .map(|(key, value)| (*key, value.as_ref().map(|value| value.as_bytes())))
            .collect();
        let (key, value) = (row.key.as_ref().map(String::as_bytes), row.value.as_ref().map(String::as_bytes));
        builder.push(row.timestamp, key, value, &headers).unwrap();
    }
    builder.build()
}

fn golden(name: &str) -> Bytes {
    let path = format!("{}/tests/golden/batches/java-{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap().into()
}

fn assert_rows(records: &[Record], count: usize) {
    assert_eq!(records.len(), count);
    for (index, (record, row)) in records.iter().zip(rows(count)).enumerate() {
        assert_eq!(record.offset.get(), index as i64);
        assert_eq!(record.timestamp, row.timestamp, "record {index}");
        assert_eq!(record.key.as_deref(), row.key.as_ref().map(String::as_bytes), "record {index}");
        assert_eq!(record.value.as_deref(), row.value.as_ref().map(String::as_bytes), "record {index}");
        let headers: Vec<_> = record.headers.iter().map(|header| (header.key, header.value)).collect();
        let expected: Vec<_> =
            row.headers.into_iter().map(|(key, value)| (Bytes::from(key), value.map(Bytes::from))).collect();
        assert_eq!(headers, expected, "record {index}");
    }
}

#[test]
fn an_uncompressed_batch_is_byte_for_byte_the_one_that_java_builds() {
    assert_eq!(built(Compression::None, 40), golden("none"));
}

#[test]
fn every_codec_of_java_is_read() {
    for compression in Compression::ALL {
        let count = if compression == Compression::None { 40 } else { 800 };
        let rules = Rules { walk_compressed: true, ..Rules::client(LIMIT) };
        let batch = ValidBatch::check(golden(compression.name()), &rules).unwrap();
        assert_eq!(batch.compression(), compression);
        assert_eq!(batch.header().producer, Some(producer()));
        assert!(batch.header().attributes.is_transactional());
        let records: Vec<_> = batch.records(OutputLimit::new(LIMIT)).unwrap().map(Result::unwrap).collect();
        assert_rows(&records, count);
    }
}

#[test]
fn java_s_batches_become_ours_when_they_are_recompressed() {
    for from in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let batch = ValidBatch::check(golden(from.name()), &Rules::client(LIMIT)).unwrap();
        for to in Compression::ALL {
            let repacked = batch.recompressed(to.into(), OutputLimit::new(LIMIT)).unwrap();
            assert_eq!(*repacked.bytes(), built(to, 800), "{from} to {to}");
        }
    }
}

#[test]
fn java_s_framing_of_lz4_and_snappy_is_ours() {
    // Headers and block boundaries are determined even though the packed bytes are the compressor's choice.
    let (ours, java) = (built(Compression::Lz4, 800), golden("lz4"));
    assert_eq!(ours[61..68], java[61..68], "LZ4 magic, flags, block size, header checksum");
    assert_eq!(ours[ours.len() - 4..], [0; 4], "end mark");
    let (ours, java) = (built(Compression::Snappy, 800), golden("snappy"));
    assert_eq!(ours[61..77], java[61..77], "xerial header");
}

#[test]
fn transaction_markers_are_byte_for_byte_those_of_java() {
    for (name, committed) in [("commit", true), ("abort", false)] {
        let marker = end_transaction_marker(producer(), committed, 9, 1_700_000_000_123);
        let mut stamped = marker.to_vec();
        // Java stamps leader epoch 0 at once.
        stamped[12..16].copy_from_slice(&[0; 4]);
        assert_eq!(Bytes::from(stamped), golden(name));

        let batch = batches(marker).next().unwrap().unwrap();
        assert!(batch.header().attributes.is_control());
        assert_eq!(batch.header().producer.unwrap().base_sequence, None);
        let record = batch.records(OutputLimit::new(LIMIT)).unwrap().next().unwrap().unwrap();
        let expected = ControlRecord::EndTransaction { committed, coordinator_epoch: 9 };
        assert_eq!(ControlRecord::parse(&record), Some(expected));
    }
}

/// The requests that real producers sent (tests/golden/<client>/produce-*): every batch in them keeps the rules.
#[test]
fn the_batches_of_real_producers_are_accepted() {
    let mut batch_count = 0;
    for client in ["java", "kcat", "librdkafka"] {
        let directory = format!("{}/tests/golden/{client}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if !(name.starts_with("produce-") && name.ends_with("-req.bin")) {
                continue;
            }
            let (header, body) = decode_request_header(std::fs::read(&path).unwrap().into()).unwrap();
            let Ok(request) = decode_request::<ProduceRequest>(body, header.api_version) else { continue };
            for data in request.topic_data.into_iter().flat_map(|topic| topic.partition_data) {
                let rules = Rules { walk_compressed: true, ..Rules::client(LIMIT) };
                let batch = ValidBatch::check(data.records.unwrap(), &rules).unwrap();
                assert!(
                    batch.records(OutputLimit::new(LIMIT)).unwrap().all(|record| record.is_ok()),
                    "{name}"
                );
                batch_count += 1;
            }
        }
    }
    assert!(batch_count >= 3, "{batch_count} batches in the golden frames");
}
