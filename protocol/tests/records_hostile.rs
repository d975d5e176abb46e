//! Batches that lie. Each field's lie has its own error, every flipped bit and every cut is noticed, and nothing that
//! is claimed is believed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use bytes::Bytes;
use ottla_protocol::records::{
    BatchBuilder, BatchError, BatchHeader, BatchProducer, Compression, OutputLimit, RecordFault, Rules,
    TimestampBounds, UnpackBudget, ValidBatch, batches, crc32c, end_transaction_marker,
};
use ottla_protocol::{ErrorCode, ProducerEpoch, ProducerId, Sequence};
use proptest::prelude::*;

const BATCH_LENGTH: usize = 8;
const LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORDS_COUNT: usize = 57;
const RECORDS: usize = 61;

fn rules() -> Rules {
    Rules::client(1 << 20)
}

fn honest(compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression);
    for n in 0..5 {
        builder.push(1000 + n, Some(b"key"), Some(b"a value of some length"), &[("h", Some(b"v"))]).unwrap();
    }
    builder.build().to_vec()
}

fn resign(batch: &mut [u8]) {
    let crc = crc32c(&batch[ATTRIBUTES..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// An honest batch with some bytes overwritten and a checksum to match.
fn forged(compression: Compression, lies: &[(usize, &[u8])]) -> Bytes {
    let mut batch = honest(compression);
    for (position, lie) in lies {
        batch[*position..position + lie.len()].copy_from_slice(lie);
    }
    resign(&mut batch);
    batch.into()
}

/// A batch whose records are these raw bytes.
fn with_records(count: i32, compression: Compression, records: &[u8]) -> Bytes {
    let mut batch = honest(Compression::None)[..RECORDS].to_vec();
    batch.extend_from_slice(records);
    let length = (batch.len() - 12) as i32;
    batch[BATCH_LENGTH..LEADER_EPOCH].copy_from_slice(&length.to_be_bytes());
    batch[ATTRIBUTES + 1] = compression.id();
    batch[LAST_OFFSET_DELTA..BASE_TIMESTAMP].copy_from_slice(&(count - 1).to_be_bytes());
    batch[RECORDS_COUNT..RECORDS].copy_from_slice(&count.to_be_bytes());
    resign(&mut batch);
    batch.into()
}

fn refused(batch: Bytes) -> BatchError {
    ValidBatch::check(batch, &rules()).unwrap_err()
}

#[test]
fn every_lie_in_the_header_has_its_own_error() {
    use BatchError as E;
    let none = |lies: &[(usize, &[u8])]| refused(forged(Compression::None, lies));
    let table = [
        (none(&[(0, &1i64.to_be_bytes())]), E::BaseOffset(1), ErrorCode::INVALID_RECORD),
        (none(&[(0, &(-1i64).to_be_bytes())]), E::BaseOffset(-1), ErrorCode::INVALID_RECORD),
        (none(&[(MAGIC, &[0])]), E::LegacyMagic(0), ErrorCode::INVALID_RECORD),
        (none(&[(MAGIC, &[1])]), E::LegacyMagic(1), ErrorCode::INVALID_RECORD),
        (none(&[(MAGIC, &[3])]), E::UnknownMagic(3), ErrorCode::CORRUPT_MESSAGE),
        (none(&[(BATCH_LENGTH, &48i32.to_be_bytes())]), E::LengthTooSmall(48), ErrorCode::CORRUPT_MESSAGE),
        (none(&[(BATCH_LENGTH, &[0xff; 4])]), E::LengthTooSmall(-1), ErrorCode::CORRUPT_MESSAGE),
        (none(&[(ATTRIBUTES + 1, &[5])]), E::UnknownCompression(5), ErrorCode::UNSUPPORTED_COMPRESSION_TYPE),
        (none(&[(ATTRIBUTES + 1, &[1 << 3])]), E::AppendTimeFromClient, ErrorCode::INVALID_TIMESTAMP),
        (none(&[(ATTRIBUTES + 1, &[1 << 4])]), E::TransactionalWithoutProducer, ErrorCode::INVALID_RECORD),
        (none(&[(ATTRIBUTES + 1, &[1 << 5])]), E::ControlBatch, ErrorCode::INVALID_RECORD),
        (
            none(&[(LAST_OFFSET_DELTA, &(-1i32).to_be_bytes())]),
            E::OffsetRange { base_offset: 0, last_offset_delta: -1 },
            ErrorCode::INVALID_RECORD,
        ),
        (
            none(&[(LAST_OFFSET_DELTA, &5i32.to_be_bytes())]),
            E::RecordsCount { records_count: 5, last_offset_delta: 5 },
            ErrorCode::INVALID_RECORD,
        ),
        (
            none(&[(RECORDS_COUNT, &i32::MAX.to_be_bytes())]),
            E::RecordsCount { records_count: i32::MAX, last_offset_delta: 4 },
            ErrorCode::INVALID_RECORD,
        ),
        (
            none(&[(RECORDS_COUNT, &i32::MIN.to_be_bytes())]),
            E::RecordsCount { records_count: i32::MIN, last_offset_delta: 4 },
            ErrorCode::INVALID_RECORD,
        ),
        (
            none(&[(PRODUCER_ID, &7i64.to_be_bytes()), (PRODUCER_EPOCH, &[0, 0])]),
            E::ProducerFields { producer_id: 7, producer_epoch: 0, base_sequence: -1 },
            ErrorCode::INVALID_RECORD,
        ),
        (
            none(&[(PRODUCER_ID, &7i64.to_be_bytes()), (BASE_SEQUENCE, &[0; 4])]),
            E::ProducerFields { producer_id: 7, producer_epoch: -1, base_sequence: 0 },
            ErrorCode::INVALID_RECORD,
        ),
    ];
    for (error, expected, code) in table {
        assert_eq!(error, expected);
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn all_two_billion_records_are_not_believed_to_fit_into_a_few_bytes() {
    let count = i32::MAX;
    let lies: &[(usize, &[u8])] =
        &[(LAST_OFFSET_DELTA, &(count - 1).to_be_bytes()), (RECORDS_COUNT, &count.to_be_bytes())];
    let fault = BatchError::Record { record: 5, fault: RecordFault::Length };
    assert_eq!(refused(forged(Compression::None, lies)), fault);
}

#[test]
fn every_lie_in_a_record_has_its_own_error() {
    let record = |bytes: &[u8]| refused(with_records(1, Compression::None, bytes));
    let fault = |fault| BatchError::Record { record: 0, fault };
    // Length, attributes, timestamp delta, offset delta, key length, value length, headers; all zigzag.
    assert!(ValidBatch::check(with_records(1, Compression::None, &[12, 0, 0, 0, 1, 1, 0]), &rules()).is_ok());
    assert_eq!(record(&[]), fault(RecordFault::Length));
    assert_eq!(record(&[1, 0, 0, 0, 1, 1, 0]), fault(RecordFault::Length));
    assert_eq!(record(&[14, 0, 0, 0, 1, 1, 0]), fault(RecordFault::Length));
    assert_eq!(record(&[0x80, 0x80, 0x80, 0x80, 0x80, 0, 0]), fault(RecordFault::Length));
    assert_eq!(record(&[0]), fault(RecordFault::Field));
    assert_eq!(record(&[10, 0, 0, 0, 1, 1]), fault(RecordFault::Field));
    assert_eq!(record(&[12, 0, 0, 0, 8, 1, 0]), fault(RecordFault::Field));
    assert_eq!(record(&[12, 0, 0, 0, 1, 0x7e, 0]), fault(RecordFault::Field));
    assert_eq!(record(&[14, 0, 0, 0, 1, 1, 0, 0]), fault(RecordFault::LeftOver));
    assert_eq!(record(&[12, 0, 0, 2, 1, 1, 0]), fault(RecordFault::OffsetDelta));
    assert_eq!(record(&[12, 0, 0, 1, 1, 1, 0]), fault(RecordFault::OffsetDelta));
    assert_eq!(record(&[12, 0, 0, 0, 1, 1, 1]), fault(RecordFault::HeadersCount));
    assert_eq!(record(&[12, 0, 0, 0, 1, 1, 2]), fault(RecordFault::HeadersCount));
    assert_eq!(record(&[20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f]), fault(RecordFault::HeadersCount));
    assert_eq!(record(&[16, 0, 0, 0, 1, 1, 2, 1, 1]), fault(RecordFault::HeaderKey));
    assert_eq!(record(&[16, 0, 0, 0, 1, 1, 2, 8, 1]), fault(RecordFault::Field));
    assert_eq!(record(&[12, 0, 0, 0, 1, 1, 0, 9, 9, 9]), BatchError::BytesAfterRecords(3));
}

/// Found by fuzzing: Kafka takes every negative length for null, so equal records may differ in their bytes.
#[test]
fn records_are_equal_by_what_they_say_not_by_how_it_is_encoded() {
    let record = |encoded: &[u8]| {
        let batch = ValidBatch::check(with_records(1, Compression::None, encoded), &rules()).unwrap();
        batch.records(OutputLimit::new(100)).unwrap().next().unwrap().unwrap()
    };
    // One header with an empty key and no value; the value's length is -1 and then -27.
    let with_header = record(&[16, 0, 0, 0, 1, 1, 2, 0, 0x01]);
    assert_eq!(with_header, record(&[16, 0, 0, 0, 1, 1, 2, 0, 0x35]));
    assert_ne!(with_header, record(&[12, 0, 0, 0, 1, 1, 0]));
}

#[test]
fn a_flipped_bit_is_always_noticed() {
    for compression in Compression::ALL {
        let batch = honest(compression);
        for bit in 0..batch.len() * 8 {
            // The leader epoch is outside of the checksum and a producer's means nothing.
            if (LEADER_EPOCH * 8..MAGIC * 8).contains(&bit) {
                continue;
            }
            let mut flipped = batch.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(ValidBatch::check(flipped.into(), &rules()).is_err(), "{compression}, bit {bit}");
        }
    }
}

#[test]
fn a_cut_is_noticed_at_every_byte_and_so_is_a_byte_too_many() {
    for compression in Compression::ALL {
        let batch = Bytes::from(honest(compression));
        for end in 0..batch.len() {
            let error = refused(batch.slice(..end));
            assert!(matches!(error, BatchError::Truncated { .. }), "{compression}, {end} bytes: {error}");
            assert!(BatchHeader::parse(&batch[..end]).is_ok() == (end >= RECORDS));
        }
        let longer = [&batch[..], &[0]].concat();
        assert_eq!(refused(longer.into()), BatchError::TrailingBytes(1));
        let twice = [&batch[..], &batch[..]].concat();
        assert_eq!(refused(twice.into()), BatchError::TrailingBytes(batch.len()));
    }
}

#[test]
fn packed_records_that_were_cut_before_they_were_signed_never_pass_for_whole_ones() {
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let batch = honest(compression);
        for end in RECORDS..batch.len() {
            let mut cut = batch[..end].to_vec();
            cut[BATCH_LENGTH..LEADER_EPOCH].copy_from_slice(&((end - 12) as i32).to_be_bytes());
            resign(&mut cut);
            let walked = Rules { walk_compressed: true, ..rules() };
            let error = ValidBatch::check(Bytes::from(cut), &walked).unwrap_err();
            assert_eq!(error.code(), ErrorCode::INVALID_RECORD, "{compression}, {end} bytes: {error}");
        }
    }
}

#[test]
fn a_lie_inside_of_a_packed_batch_is_found_when_it_is_packed_again() {
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let lies: &[(usize, &[u8])] =
            &[(LAST_OFFSET_DELTA, &5i32.to_be_bytes()), (RECORDS_COUNT, &6i32.to_be_bytes())];
        let batch = ValidBatch::check(forged(compression, lies), &rules()).unwrap();
        for codec in [Compression::None, Compression::Zstd] {
            let error = batch.recompressed(codec.into(), OutputLimit::new(1 << 20)).unwrap_err();
            assert_eq!(error, BatchError::Record { record: 5, fault: RecordFault::Length });
        }
    }
}

#[test]
fn a_batch_above_the_limit_of_the_topic_is_too_large() {
    let batch = honest(Compression::None);
    let size = batch.len();
    assert!(ValidBatch::check(batch.clone().into(), &Rules::client(size)).is_ok());
    let error = ValidBatch::check(batch.into(), &Rules::client(size - 1)).unwrap_err();
    assert_eq!(error, BatchError::TooLarge { bytes: size, bytes_max: size - 1 });
    assert_eq!(error.code(), ErrorCode::MESSAGE_TOO_LARGE);
}

#[test]
fn zstd_is_refused_where_the_request_is_too_old_for_it() {
    let old = Rules { zstd_allowed: false, ..rules() };
    let error = ValidBatch::check(honest(Compression::Zstd).into(), &old).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    assert!(ValidBatch::check(honest(Compression::Lz4).into(), &old).is_ok());
}

#[test]
fn a_compacted_topic_takes_no_record_without_a_key_packed_or_not() {
    let compacted = Rules { keys_required: true, ..rules() };
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        builder.push(1, Some(b"key"), Some(b"value"), &[]).unwrap();
        builder.push(2, None, Some(b"value"), &[]).unwrap();
        let error = ValidBatch::check(builder.build(), &compacted).unwrap_err();
        assert_eq!(error, BatchError::Record { record: 1, fault: RecordFault::MissingKey });
        assert_eq!((error.code(), error.record_index()), (ErrorCode::INVALID_RECORD, Some(1)));
        assert!(ValidBatch::check(honest(compression).into(), &compacted).is_ok());
    }
}

#[test]
fn timestamps_outside_of_what_the_topic_accepts_are_refused() {
    let build = |compression, timestamps: &[i64]| {
        let mut builder = BatchBuilder::new(compression);
        timestamps.iter().for_each(|timestamp| assert!(builder.push(*timestamp, None, None, &[]).is_ok()));
        builder.build()
    };
    let bounds = TimestampBounds::around(10_000, 1_000, 500);
    let rules = Rules { timestamps: bounds, ..rules() };
    for compression in Compression::ALL {
        assert!(ValidBatch::check(build(compression, &[9_000, -1, 10_500]), &rules).is_ok());
        for (timestamps, record) in [([9_500, 8_999], 1), ([10_501, 9_500], 0)] {
            let error = ValidBatch::check(build(compression, &timestamps), &rules).unwrap_err();
            assert_eq!((error.code(), error.record_index()), (ErrorCode::INVALID_TIMESTAMP, Some(record)));
        }
    }
    // Without a lower bound a packed batch stays packed, and its claimed maximum is what is checked.
    let upper = Rules { timestamps: TimestampBounds::around(10_000, i64::MAX, 500), ..rules };
    let error = ValidBatch::check(build(Compression::Zstd, &[10_501]), &upper).unwrap_err();
    assert_eq!((error.code(), error.record_index()), (ErrorCode::INVALID_TIMESTAMP, None));
}

#[test]
fn a_wrong_max_timestamp_is_corrected_as_kafka_corrects_it() {
    for compression in Compression::ALL {
        for lie in [i64::MIN, -1, 999] {
            let lying = forged(compression, &[(MAX_TIMESTAMP, &lie.to_be_bytes())]);
            let batch = ValidBatch::check(lying, &rules()).unwrap();
            assert_eq!(batch.header().max_timestamp, 1004);
            assert_eq!(*batch.bytes(), honest(compression), "the checksum is right again");
        }
    }
    let lying = forged(Compression::None, &[(MAX_TIMESTAMP, &i64::MAX.to_be_bytes())]);
    assert_eq!(ValidBatch::check(lying, &rules()).unwrap().header().max_timestamp, 1004);
}

#[test]
fn producers_that_are_not_idempotent_may_leave_zeros_beside_the_missing_id() {
    // kafkajs and sarama do.
    let batch = forged(Compression::None, &[(PRODUCER_EPOCH, &[0, 0]), (BASE_SEQUENCE, &[0; 4])]);
    assert_eq!(ValidBatch::check(batch, &rules()).unwrap().header().producer, None);
}

#[test]
fn a_marker_is_refused_from_a_client_and_accepted_from_a_broker() {
    let producer = BatchProducer {
        id: ProducerId::new(1),
        epoch: ProducerEpoch::new(0),
        base_sequence: Some(Sequence::new(9)),
    };
    let marker = end_transaction_marker(producer, true, 0, 5);
    assert_eq!(refused(marker.clone()), BatchError::ControlBatch);
    assert!(ValidBatch::check(marker, &Rules::stored()).is_ok());
}

#[test]
fn what_compaction_leaves_behind_is_stored_but_not_sent() {
    // No record at all, but the offset range of nine.
    let empty = with_records(1, Compression::None, &[]).to_vec();
    let mut compacted = empty;
    compacted[LAST_OFFSET_DELTA..BASE_TIMESTAMP].copy_from_slice(&8i32.to_be_bytes());
    compacted[RECORDS_COUNT..RECORDS].copy_from_slice(&0i32.to_be_bytes());
    resign(&mut compacted);
    let stored = batches(compacted.clone().into()).next().unwrap().unwrap();
    assert_eq!(stored.header().next_offset().get(), 9);
    assert_eq!(stored.records(OutputLimit::new(1000)).unwrap().count(), 0);
    assert!(matches!(refused(compacted.into()), BatchError::RecordsCount { .. }));
}

#[test]
fn an_offset_range_past_the_last_offset_is_refused_on_disk_too() {
    let mut batch = honest(Compression::None);
    batch[..8].copy_from_slice(&(i64::MAX - 4).to_be_bytes());
    let error = ValidBatch::check(batch.clone().into(), &Rules::stored()).unwrap_err();
    assert_eq!(error, BatchError::OffsetRange { base_offset: i64::MAX - 4, last_offset_delta: 4 });
    batch[..8].copy_from_slice(&(i64::MAX - 5).to_be_bytes());
    let last = ValidBatch::check(batch.into(), &Rules::stored()).unwrap();
    assert_eq!(last.header().next_offset().get(), i64::MAX);
}

#[test]
fn a_snappy_block_that_claims_four_gigabytes_is_refused_at_once() {
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    let framed =
        [&[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 6][..], &claim];
    let walked = Rules { walk_compressed: true, ..rules() };
    for records in [claim.to_vec(), framed.concat()] {
        let error = ValidBatch::check(with_records(1, Compression::Snappy, &records), &walked).unwrap_err();
        assert_eq!(error, BatchError::Decompression(Compression::Snappy));
    }
}

proptest! {
    #[test]
    fn noise_behind_an_honest_header_is_refused_without_a_panic(
        compression in prop::sample::select(&Compression::ALL[..]),
        noise in prop::collection::vec(any::<u8>(), 0..300),
        count in 1..50i32,
    ) {
        let walked = Rules { walk_compressed: true, ..rules() };
        let noisy = with_records(count, compression, &noise);
        let _ = ValidBatch::check(noisy.clone(), &walked);
        // Stored batches are not walked, so their iterator meets the noise itself.
        let stored = ValidBatch::check(noisy, &Rules::stored()).unwrap();
        if let Ok(records) = stored.records(OutputLimit::new(1 << 20)) {
            prop_assert!(records.count() <= count as usize + 1);
        }
    }

    #[test]
    fn a_damaged_packed_stream_is_refused_or_still_bounded(
        compression in prop::sample::select(&Compression::ALL[1..]),
        damage in prop::collection::vec((0..1000usize, any::<u8>()), 1..4),
    ) {
        let mut batch = honest(compression);
        for (position, byte) in damage {
            let position = RECORDS + position % (batch.len() - RECORDS);
            batch[position] = byte;
        }
        resign(&mut batch);
        let _ = ValidBatch::check(batch.into(), &Rules { walk_compressed: true, ..rules() });
    }
}

/// Batches that each keep their own limit, sent by the dozen.
#[test]
fn what_all_batches_of_a_request_unpack_to_is_bounded_and_a_refused_one_is_charged_too() {
    const BATCH_BYTES: usize = 100_000;
    let rules = Rules { walk_compressed: true, ..Rules::client(1 << 20) };
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut builder = BatchBuilder::new(compression);
        builder.push(0, None, Some(&vec![0; BATCH_BYTES]), &[]).unwrap();
        let bytes = builder.build();
        let mut budget = UnpackBudget::new(10 * BATCH_BYTES);
        let outcomes: Vec<bool> =
            (0..20).map(|_| ValidBatch::check_within(bytes.clone(), &rules, &mut budget).is_ok()).collect();
        let (kept, refused) = outcomes.split_at(9);
        assert!(kept.iter().all(|ok| *ok), "{compression}: {outcomes:?}");
        assert!(refused.iter().all(|ok| !*ok), "{compression}: {outcomes:?}");
        assert_eq!(budget.left(), 0, "{compression}");
        let error = ValidBatch::check_within(bytes.clone(), &rules, &mut budget).unwrap_err();
        assert_eq!(error, BatchError::UnpackBudget { bytes_max: 10 * BATCH_BYTES });
        assert_eq!(error.code(), ErrorCode::MESSAGE_TOO_LARGE);
        // What need not be unpacked costs nothing.
        assert!(ValidBatch::check_within(bytes, &Rules::client(1 << 20), &mut budget).is_ok());
    }
}

#[test]
fn tiny_batches_are_charged_for_the_work_that_each_makes() {
    let mut builder = BatchBuilder::new(Compression::Gzip);
    builder.push(0, None, Some(b"x"), &[]).unwrap();
    let bytes = builder.build();
    let rules = Rules { walk_compressed: true, ..Rules::client(1 << 20) };
    let mut budget = UnpackBudget::new(3 * UnpackBudget::BATCH_BYTES_MIN);
    let outcomes = [(); 4].map(|()| ValidBatch::check_within(bytes.clone(), &rules, &mut budget).is_ok());
    assert_eq!(outcomes, [true, true, true, false]);
}
