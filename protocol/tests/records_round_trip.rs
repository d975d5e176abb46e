//! What goes into a batch comes out of it, for every codec and every shape of record.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use bytes::Bytes;
use ottla_protocol::records::{
    BatchBuilder, BatchProducer, Codec, Compression, OutputLimit, Rules, TimestampType, ValidBatch, batches,
};
use ottla_protocol::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Row {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Bytes that compress (runs) and bytes that do not.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        (any::<u8>(), 0..3000usize).prop_map(|(byte, count)| vec![byte; count])
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let timestamp = prop_oneof![Just(-1), 0..2_000_000_000_000i64, any::<i64>()];
    let headers = vec((".{0,12}", option::of(bytes())), 0..4);
    (timestamp, option::of(bytes()), option::of(bytes()), headers)
        .prop_map(|(timestamp, key, value, headers)| Row { timestamp, key, value, headers })
}

fn codec() -> impl Strategy<Value = Codec> {
    (prop::sample::select(&Compression::ALL[..]), option::of(-5..25))
        .prop_map(|(compression, level)| Codec { compression, level })
}

fn producer() -> impl Strategy<Value = Option<BatchProducer>> {
    let fields =
        (0..i64::MAX, 0..i16::MAX, 0..i32::MAX).prop_map(|(id, epoch, base_sequence)| BatchProducer {
            id: ProducerId::new(id),
            epoch: ProducerEpoch::new(epoch),
            base_sequence: Some(Sequence::new(base_sequence)),
        });
    option::of(fields)
}

fn build(codec: Codec, producer: Option<BatchProducer>, rows: &[Row]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    if let Some(producer) = producer {
        builder = builder.with_producer(producer).transactional();
    }
    for row in rows {
        let headers: Vec<_> =
            row.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        builder.push(row.timestamp, row.key.as_deref(), row.value.as_deref(), &headers).unwrap();
    }
    builder.build()
}

fn assert_rows(batch: &ValidBatch, base_offset: i64, timestamp: impl Fn(&Row) -> i64, rows: &[Row]) {
    let records: Vec<_> = batch.records(OutputLimit::new(1 << 24)).unwrap().map(Result::unwrap).collect();
    assert_eq!(records.len(), rows.len());
    for (index, (record, row)) in records.iter().zip(rows).enumerate() {
        assert_eq!(record.offset.get(), base_offset + index as i64);
        assert_eq!(record.timestamp, timestamp(row));
        assert_eq!(record.key.as_deref(), row.key.as_deref());
        assert_eq!(record.value.as_deref(), row.value.as_deref());
        assert_eq!(record.headers.len(), row.headers.len());
        for (header, (key, value)) in record.headers.iter().zip(&row.headers) {
            assert_eq!(header.key, key.as_bytes());
            assert_eq!(header.value.as_deref(), value.as_deref());
        }
    }
}

fn walked() -> Rules {
    Rules { walk_compressed: true, ..Rules::client(1 << 24) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_is_pushed_is_read_back(codec in codec(), producer in producer(), rows in vec(row(), 1..60)) {
        let batch = ValidBatch::check(build(codec, producer, &rows), &walked()).unwrap();
        let header = batch.header();
        prop_assert_eq!(header.producer, producer);
        prop_assert_eq!(header.records_count as usize, rows.len());
        prop_assert_eq!(header.base_timestamp, rows[0].timestamp);
        prop_assert_eq!(header.max_timestamp, rows.iter().map(|row| row.timestamp).max().unwrap().max(-1));
        prop_assert_eq!(header.partition_leader_epoch, None);
        assert_rows(&batch, 0, |row| row.timestamp, &rows);
    }

    #[test]
    fn the_size_is_known_while_an_uncompressed_batch_grows(rows in vec(row(), 0..30)) {
        let mut builder = BatchBuilder::new(Compression::None);
        for row in &rows {
            builder.push(row.timestamp, row.key.as_deref(), row.value.as_deref(), &[]).unwrap();
        }
        let estimate = builder.size_estimate();
        prop_assert_eq!(builder.build().len(), estimate);
    }

    #[test]
    fn stamping_an_offset_leaves_the_checksum_right(
        codec in codec(), rows in vec(row(), 1..10), base in 0..i64::MAX / 2, epoch in 0..i32::MAX,
    ) {
        let batch = ValidBatch::check(build(codec, None, &rows), &walked()).unwrap();
        let stamped = batch.stamped(Offset::new(base), LeaderEpoch::new(epoch));
        let prefix = batch.stamped_prefix(Offset::new(base), LeaderEpoch::new(epoch));
        prop_assert_eq!([&prefix[..], &batch.bytes()[16..]].concat(), &stamped.bytes()[..]);
        let stored = batches(stamped.bytes().clone()).collect::<Result<Vec<_>, _>>().unwrap();
        prop_assert_eq!(&stored, std::slice::from_ref(&stamped));
        prop_assert_eq!(stored[0].header().partition_leader_epoch, Some(LeaderEpoch::new(epoch)));
        prop_assert_eq!(stored[0].header().next_offset().get(), base + rows.len() as i64);
        assert_rows(&stored[0], base, |row| row.timestamp, &rows);
    }

    #[test]
    fn log_append_time_replaces_every_timestamp(codec in codec(), rows in vec(row(), 1..10), now in 0..i64::MAX) {
        let batch = ValidBatch::check(build(codec, None, &rows), &walked()).unwrap().with_log_append_time(now);
        let stored = batches(batch.bytes().clone()).next().unwrap().unwrap();
        prop_assert_eq!(&stored, &batch);
        prop_assert_eq!(stored.header().attributes.timestamp_type(), TimestampType::LogAppendTime);
        assert_rows(&stored, 0, |_| now, &rows);
    }

    #[test]
    fn recompression_changes_nothing_but_the_codec(
        from in codec(), to in codec(), producer in producer(), rows in vec(row(), 1..20),
    ) {
        let batch = ValidBatch::check(build(from, producer, &rows), &walked()).unwrap();
        let repacked = batch.recompressed(to, OutputLimit::new(1 << 24)).unwrap();
        prop_assert_eq!(repacked.bytes(), &build(to, producer, &rows));
        prop_assert_eq!(ValidBatch::check(repacked.bytes().clone(), &walked()).unwrap(), repacked);
    }

    #[test]
    fn batches_in_a_row_come_out_one_by_one_and_a_cut_one_says_so(
        sets in vec((codec(), vec(row(), 1..6)), 1..5), cut in 1..60usize,
    ) {
        let parts: Vec<_> = sets.iter().map(|(codec, rows)| build(*codec, None, rows)).collect();
        let mut joined: Vec<u8> = parts.concat();
        let whole: Vec<_> = batches(joined.clone().into()).map(|batch| batch.unwrap().into_bytes()).collect();
        prop_assert_eq!(&whole, &parts);
        joined.truncate(joined.len() - cut);
        let read: Vec<_> = batches(joined.into()).collect();
        prop_assert_eq!(read.len(), parts.len());
        prop_assert!(read[..parts.len() - 1].iter().all(Result::is_ok));
        prop_assert!(read[parts.len() - 1].is_err());
    }
}

#[test]
fn large_batches_cross_every_block_boundary() {
    for size in
        [0usize, 1, 32 * 1024 - 1, 32 * 1024, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200_000, 3_000_000]
    {
        let mut state = 88172645463325252u64;
        // Half noise, half runs.
        let value: Vec<u8> = (0..size)
            .map(|position| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                if position % 8192 < 4096 { state as u8 } else { b'=' }
            })
            .collect();
        let row = Row { timestamp: 5, key: None, value: Some(value), headers: vec![] };
        for compression in Compression::ALL {
            let batch =
                ValidBatch::check(build(compression.into(), None, std::slice::from_ref(&row)), &walked());
            assert_rows(&batch.unwrap(), 0, |row| row.timestamp, std::slice::from_ref(&row));
        }
    }
}
