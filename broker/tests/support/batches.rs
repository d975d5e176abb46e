//! Record batches to send, and what was fetched, read record by record.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ottla_protocol::codec::FetchRecords;
use ottla_protocol::messages::fetch::PartitionData;
use ottla_protocol::records::{
    BatchBuilder, BatchHeader, BatchProducer, Compression, OutputLimit, batches, crc32c,
};
use ottla_protocol::{ProducerEpoch, ProducerId, Sequence};

/// Where the fields of a batch lie that tests lie about.
pub mod at {
    pub const BASE_OFFSET: usize = 0;
    pub const LENGTH: usize = 8;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const BASE_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const PRODUCER_ID: usize = 43;
    pub const PRODUCER_EPOCH: usize = 51;
    pub const BASE_SEQUENCE: usize = 53;
    pub const COUNT: usize = 57;
    pub const RECORDS: usize = 61;
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A batch of records with the keys `k0`, `k1`, … and these values.
pub fn batch(values: &[&str]) -> Bytes {
    batch_at(now_ms(), values)
}

/// The same with a timestamp.
pub fn batch_at(timestamp: i64, values: &[&str]) -> Bytes {
    build(BatchBuilder::new(Compression::None), timestamp, values)
}

pub fn compressed(compression: Compression, values: &[&str]) -> Bytes {
    build(BatchBuilder::new(compression), now_ms(), values)
}

/// A batch of an idempotent producer.
pub fn idempotent(producer_id: i64, epoch: i16, base_sequence: i32, values: &[&str]) -> Bytes {
    let producer = BatchProducer {
        id: ProducerId::new(producer_id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Some(Sequence::new(base_sequence)),
    };
    build(BatchBuilder::new(Compression::None).with_producer(producer), now_ms(), values)
}

/// A batch of one record without a key.
pub fn keyless(value: &str) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(now_ms(), None, Some(value.as_bytes()), &[]).unwrap();
    builder.build()
}

fn build(mut builder: BatchBuilder, timestamp: i64, values: &[&str]) -> Bytes {
    for (index, value) in values.iter().enumerate() {
        builder.push(timestamp, Some(format!("k{index}").as_bytes()), Some(value.as_bytes()), &[]).unwrap();
    }
    builder.build()
}

/// The batch with other bytes at a place, and with the checksum that fits them: a lie that only a check of the fields
/// finds.
pub fn patched(batch: &[u8], place: usize, bytes: &[u8]) -> Bytes {
    let mut batch = batch.to_vec();
    batch[place..place + bytes.len()].copy_from_slice(bytes);
    signed(batch)
}

/// The batch with the checksum that fits its bytes.
pub fn signed(mut batch: Vec<u8>) -> Bytes {
    let crc = crc32c(&batch[at::ATTRIBUTES..]);
    batch[at::CRC..at::CRC + 4].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(batch)
}

/// Whether the checksum of the first batch fits its bytes.
pub fn checksum_fits(bytes: &[u8]) -> bool {
    let header = BatchHeader::parse(bytes).unwrap();
    crc32c(&bytes[at::ATTRIBUTES..header.size_in_bytes()]) == header.crc
}

/// The record bytes of a row, whole batches or not.
pub fn bytes_of(row: &PartitionData) -> Bytes {
    match &row.records {
        FetchRecords::Bytes(bytes) => bytes.clone(),
        FetchRecords::Null => Bytes::new(),
        FetchRecords::Region { .. } => unreachable!("decoding yields bytes"),
    }
}

/// Offset and value of every record in a row.
pub fn records(row: &PartitionData) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for batch in batches(bytes_of(row)) {
        // The last batch may be cut off by a limit.
        let Ok(batch) = batch else { break };
        for record in batch.records(OutputLimit::new(100 << 20)).unwrap() {
            let record = record.unwrap();
            let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
            found.push((record.offset.get(), value));
        }
    }
    found
}

/// The values of every record in a row.
pub fn values(row: &PartitionData) -> Vec<String> {
    records(row).into_iter().map(|(_, value)| value).collect()
}

/// The offsets of every record in a row.
pub fn offsets(row: &PartitionData) -> Vec<i64> {
    records(row).into_iter().map(|(offset, _)| offset).collect()
}
