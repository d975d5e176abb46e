//! A record batch: check, iterate, unpack, rebuild, repack.
//!
//! The first byte chooses: with bit 0 the batch is signed before it is looked at (length, magic and checksum are made
//! right), so that the fuzzer gets past them; with bit 1 packed records are walked; with bit 2 the input is a piece of a
//! log instead of one batch. Properties: unpacking stays within its limit; a batch that was walked yields exactly its
//! count of records, without an error; rebuilding those records and checking the result yields the same records.

use bytes::Bytes;
use ottla_protocol::records::{
    BatchBuilder, BatchError, Compression, ControlRecord, OutputLimit, Record, Rules, ValidBatch, batches,
    crc32c,
};
use ottla_protocol::{LeaderEpoch, Offset};

const LIMIT: OutputLimit = OutputLimit { bytes_max: 1 << 20, ratio_max: 100 };

const SIGN: u8 = 1;
const WALK: u8 = 2;
const STORED: u8 = 4;

/// Checks the batch, or batches, that the input holds.
pub fn run(input: &[u8]) {
    let Some((&mode, batch)) = input.split_first() else { return };
    let mut batch = batch.to_vec();
    if mode & SIGN != 0 {
        sign(&mut batch);
    }
    if mode & STORED != 0 {
        for batch in batches(batch.into()).flatten() {
            read_stored(&batch);
        }
        return;
    }
    let rules = Rules { walk_compressed: mode & WALK != 0, output: LIMIT, ..Rules::client(1 << 20) };
    if let Ok(batch) = ValidBatch::check(batch.into(), &rules) {
        read_walked(&batch, rules.walk_compressed || batch.compression() == Compression::None);
    }
}

/// Makes length, magic and checksum right, if there is a whole header.
pub fn sign(batch: &mut [u8]) {
    if batch.len() < 61 {
        return;
    }
    let length = (batch.len() - 12) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// A stored batch was not walked: its records may be broken, but never beyond their bounds.
fn read_stored(batch: &ValidBatch) {
    let Ok(records) = batch.records(LIMIT) else { return };
    let mut read = 0;
    for record in records {
        read += 1;
        let Ok(record) = record else { break };
        record.headers.iter().for_each(drop);
        if batch.header().attributes.is_control() {
            ControlRecord::parse(&record);
        }
    }
    assert!(read <= batch.header().records_count + 1);
}

fn read_walked(batch: &ValidBatch, walked: bool) {
    let stamped = batch.stamped(Offset::new(1 << 40), LeaderEpoch::new(7));
    assert!(ValidBatch::check(stamped.into_bytes(), &Rules::stored()).is_ok(), "stamping breaks nothing");
    let timed = batch.with_log_append_time(1);
    assert!(ValidBatch::check(timed.into_bytes(), &Rules::stored()).is_ok(), "nor does the append time");

    let records = match batch.records(LIMIT) {
        Ok(records) => records.collect::<Result<Vec<_>, _>>(),
        Err(error) => Err(error),
    };
    if !walked {
        return;
    }
    let records = records.expect("a walked batch can be read");
    assert_eq!(records.len(), batch.header().records_count as usize);
    assert!(rebuilt(&records) == records, "rebuilding changes nothing");
    for compression in Compression::ALL {
        let repacked = batch.recompressed(compression.into(), LIMIT).expect("it was unpacked before");
        match repacked.records(LIMIT) {
            Ok(again) => assert!(again.map(|record| record.expect("as before")).eq(records.iter().cloned())),
            // What packs better now may hit the limit on the ratio.
            Err(error) => assert!(matches!(error, BatchError::DecompressedTooLarge { .. }), "{error}"),
        }
    }
}

fn rebuilt(records: &[Record]) -> Vec<Record> {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in records {
        let headers: Vec<_> = record.headers.iter().collect();
        let Ok(headers) = headers
            .iter()
            .map(|header| std::str::from_utf8(&header.key).map(|key| (key, header.value.as_deref())))
            .collect::<Result<Vec<_>, _>>()
        else {
            // The builder takes text for the keys of headers; such a batch cannot be rebuilt by it.
            return records.to_vec();
        };
        builder
            .push(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers)
            .expect("it fits, it came from a batch");
    }
    let rules = Rules::client(usize::MAX);
    let batch = ValidBatch::check(builder.build(), &rules).expect("our own batch");
    let records = batch.records(OutputLimit::new(usize::MAX)).expect("not packed");
    records.collect::<Result<Vec<_>, _>>().expect("our own records")
}

/// A seed: the batch behind the byte that chooses.
pub fn seed(batch: &Bytes, stored: bool) -> Vec<u8> {
    let mode = SIGN | if stored { STORED } else { WALK };
    [&[mode], &batch[..]].concat()
}
