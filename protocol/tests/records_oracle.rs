//! Record batches against a second implementation: what `kafka-protocol` writes (with the C libraries of LZ4 and
//! Zstandard, and linked LZ4 blocks under a content checksum) we read, and what we write it reads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as oracle;
use ottla_protocol::records::{BatchBuilder, Codec, Compression, OutputLimit, Rules, ValidBatch};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Row {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    header: Option<(String, Option<Vec<u8>>)>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..30_000usize).prop_map(|(byte, count)| vec![byte; count]),
        vec(prop::sample::select(&b"abc"[..]), 0..20_000),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        0..2_000_000_000_000i64,
        option::of(bytes()),
        option::of(bytes()),
        option::of((".{0,9}", option::of(bytes()))),
    )
        .prop_map(|(timestamp, key, value, header)| Row { timestamp, key, value, header });
    vec(row, 1..20)
}

fn of(compression: Compression) -> oracle::Compression {
    match compression {
        Compression::None => oracle::Compression::None,
        Compression::Gzip => oracle::Compression::Gzip,
        Compression::Snappy => oracle::Compression::Snappy,
        Compression::Lz4 => oracle::Compression::Lz4,
        Compression::Zstd => oracle::Compression::Zstd,
    }
}

fn ours(codec: impl Into<Codec>, rows: &[Row]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for row in rows {
        let headers: Vec<_> =
            row.header.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        builder.push(row.timestamp, row.key.as_deref(), row.value.as_deref(), &headers).unwrap();
    }
    builder.build()
}

fn theirs(compression: Compression, rows: &[Row]) -> Bytes {
    let records: Vec<_> = rows.iter().enumerate().map(|(index, row)| oracle_record(index, row)).collect();
    let mut encoded = BytesMut::new();
    let options = oracle::RecordEncodeOptions { version: 2, compression: of(compression) };
    oracle::RecordBatchEncoder::encode(&mut encoded, &records, &options).unwrap();
    encoded.freeze()
}

fn oracle_record(index: usize, row: &Row) -> oracle::Record {
    oracle::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: oracle::TimestampType::Creation,
        offset: index as i64,
        sequence: index as i32 - 1,
        timestamp: row.timestamp,
        key: row.key.clone().map(Bytes::from),
        value: row.value.clone().map(Bytes::from),
        headers: row
            .header
            .iter()
            .map(|(key, value)| (StrBytes::from_string(key.clone()), value.clone().map(Bytes::from)))
            .collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_the_oracle_writes_is_read_here(
        compression in prop::sample::select(&Compression::ALL[..]), rows in rows(),
    ) {
        let rules = Rules { walk_compressed: true, ..Rules::client(1 << 24) };
        let batch = ValidBatch::check(theirs(compression, &rows), &rules).unwrap();
        let records: Vec<_> = batch.records(OutputLimit::new(1 << 24)).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(records.len(), rows.len());
        for (index, (record, row)) in records.iter().zip(&rows).enumerate() {
            prop_assert_eq!(record.offset.get(), index as i64);
            prop_assert_eq!(record.timestamp, row.timestamp);
            prop_assert_eq!(record.key.as_deref(), row.key.as_deref());
            prop_assert_eq!(record.value.as_deref(), row.value.as_deref());
            let headers: Vec<_> = record.headers.iter().collect();
            prop_assert_eq!(headers.len(), usize::from(row.header.is_some()));
            for (header, (key, value)) in headers.iter().zip(&row.header) {
                prop_assert_eq!(&header.key[..], key.as_bytes());
                prop_assert_eq!(header.value.as_deref(), value.as_deref());
            }
        }
    }

    #[test]
    fn what_we_write_the_oracle_reads(
        compression in prop::sample::select(&Compression::ALL[..]),
        level in prop::option::of(1..=17i32),
        rows in rows(),
    ) {
        let mut encoded = ours(Codec { compression, level }, &rows);
        let read = oracle::RecordBatchDecoder::decode(&mut encoded).unwrap();
        prop_assert_eq!(read.records.len(), rows.len());
        for (record, row) in read.records.iter().zip(&rows) {
            prop_assert_eq!(record.timestamp, row.timestamp);
            prop_assert_eq!(record.key.as_deref(), row.key.as_deref());
            prop_assert_eq!(record.value.as_deref(), row.value.as_deref());
            prop_assert_eq!(record.headers.len(), usize::from(row.header.is_some()));
        }
    }

    #[test]
    fn uncompressed_batches_are_the_same_bytes(rows in rows()) {
        let (ours, theirs) = (ours(Compression::None, &rows), theirs(Compression::None, &rows));
        // The oracle takes the smallest timestamp for the base; Java and we take the first record's.
        if rows.iter().all(|row| row.timestamp >= rows[0].timestamp) {
            prop_assert_eq!(ours, theirs);
        }
    }
}
