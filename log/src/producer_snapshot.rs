//! The producer state as a file: Kafka's `.snapshot`, with the rest of our window behind Kafka's last entry.
//!
//! The layout is drawn in docs/internals/log.md §1. It is a cache: a damaged one is skipped for an older one and the
//! batches since are replayed.

use ottla_protocol::records::crc32c;
use ottla_protocol::{Offset, ProducerEpoch, ProducerId, Sequence};

use crate::producer_state::{ProducerBatch, ProducerEntry};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const COUNT_AT: usize = 6;
const ENTRIES_AT: usize = 10;
const ENTRY_BYTES: usize = 46;
const BATCH_BYTES: usize = 24;
const WINDOW_MAGIC: &[u8; 4] = b"OTLW";

/// Encodes the state of all producers.
pub(crate) fn encode<'a>(entries: impl ExactSizeIterator<Item = (ProducerId, &'a ProducerEntry)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRIES_AT + entries.len() * (ENTRY_BYTES + 1 + 4 * BATCH_BYTES) + 4);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    let mut window = WINDOW_MAGIC.to_vec();
    for (id, entry) in entries {
        let last = entry.last_batch();
        bytes.extend_from_slice(&id.get().to_be_bytes());
        bytes.extend_from_slice(&entry.epoch.get().to_be_bytes());
        bytes.extend_from_slice(&last.map_or(-1, |batch| batch.last_sequence.get()).to_be_bytes());
        bytes.extend_from_slice(&last.map_or(-1, |batch| batch.last_offset.get()).to_be_bytes());
        bytes.extend_from_slice(&last.map_or(0, |batch| batch.offset_delta).to_be_bytes());
        bytes.extend_from_slice(&entry.last_timestamp.to_be_bytes());
        bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&entry.current_txn_first_offset.map_or(-1, Offset::get).to_be_bytes());
        let older = entry.batches().count().saturating_sub(1);
        window.push(older as u8);
        for batch in entry.batches().take(older) {
            window.extend_from_slice(&batch.last_sequence.get().to_be_bytes());
            window.extend_from_slice(&batch.last_offset.get().to_be_bytes());
            window.extend_from_slice(&batch.offset_delta.to_be_bytes());
            window.extend_from_slice(&batch.timestamp.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&window);
    let crc = crc32c(&bytes[COUNT_AT..]);
    bytes[CRC_AT..COUNT_AT].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Decodes a snapshot of ours or of Kafka's; the reason if it is neither.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<(ProducerId, ProducerEntry)>, &'static str> {
    let mut reader = Reader(bytes);
    if reader.i16()? != VERSION {
        return Err("its version is not 1");
    }
    if reader.i32()? as u32 != crc32c(&bytes[COUNT_AT..]) {
        return Err("its CRC does not match");
    }
    let count = usize::try_from(reader.i32()?).map_err(|_| "its count is negative")?;
    if count > reader.0.len() / ENTRY_BYTES {
        return Err("its count is larger than the file");
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(reader.entry()?);
    }
    let has_window = reader.0.strip_prefix(WINDOW_MAGIC);
    let mut window = Reader(has_window.unwrap_or_default());
    entries
        .into_iter()
        .map(|(id, mut entry, last)| {
            let older = if has_window.is_some() { window.take(1)?[0] } else { 0 };
            for _ in 0..older {
                entry.remember(window.batch()?);
            }
            if let Some(last) = last {
                entry.remember(last);
            }
            Ok((id, entry))
        })
        .collect()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("it ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn i16(&mut self) -> Result<i16, &'static str> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, &'static str> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, &'static str> {
        self.array().map(i64::from_be_bytes)
    }

    fn entry(&mut self) -> Result<(ProducerId, ProducerEntry, Option<ProducerBatch>), &'static str> {
        let id = ProducerId::new(self.i64()?);
        let mut entry = ProducerEntry::new(ProducerEpoch::new(self.i16()?));
        let (last_sequence, last_offset, offset_delta) = (self.i32()?, self.i64()?, self.i32()?);
        entry.last_timestamp = self.i64()?;
        entry.coordinator_epoch = self.i32()?;
        entry.current_txn_first_offset = Offset::known(self.i64()?);
        let last = Offset::known(last_offset).map(|last_offset| ProducerBatch {
            last_sequence: Sequence::new(last_sequence),
            last_offset,
            offset_delta,
            timestamp: entry.last_timestamp,
        });
        Ok((id, entry, last))
    }

    fn batch(&mut self) -> Result<ProducerBatch, &'static str> {
        Ok(ProducerBatch {
            last_sequence: Sequence::new(self.i32()?),
            last_offset: Offset::new(self.i64()?),
            offset_delta: self.i32()?,
            timestamp: self.i64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(batches: i32) -> ProducerEntry {
        let mut entry = ProducerEntry::new(ProducerEpoch::new(2));
        entry.last_timestamp = 1000;
        for batch in 0..batches {
            entry.remember(ProducerBatch {
                last_sequence: Sequence::new(batch * 10 + 9),
                last_offset: Offset::new(i64::from(batch) * 10 + 9),
                offset_delta: 9,
                timestamp: 1000,
            });
        }
        entry
    }

    #[test]
    fn the_whole_window_reads_back() {
        let mut open = entry(2);
        open.current_txn_first_offset = Some(Offset::new(10));
        let entries =
            [(ProducerId::new(7), entry(5)), (ProducerId::new(8), open), (ProducerId::new(9), entry(0))];
        let bytes = encode(entries.iter().map(|(id, entry)| (*id, entry)));
        assert_eq!(decode(&bytes).unwrap(), entries);
    }

    #[test]
    fn kafkas_snapshot_is_a_window_of_one() {
        let entries = [(ProducerId::new(7), entry(1))];
        let ours = encode(entries.iter().map(|(id, entry)| (*id, entry)));
        let mut kafkas = ours[..ENTRIES_AT + ENTRY_BYTES].to_vec();
        let crc = crc32c(&kafkas[COUNT_AT..]);
        kafkas[CRC_AT..COUNT_AT].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(decode(&kafkas).unwrap(), entries);
    }

    #[test]
    fn a_snapshot_that_kafka_4_3_wrote_is_read() {
        let kafkas = [
            0x00, 0x01, 0x87, 0xbf, 0x0d, 0x5e, 0, 0, 0, 1, // version, CRC, one entry
            0, 0, 0, 0, 0, 0, 0, 1, 0, 0, // producer 1, epoch 0
            0x00, 0x00, 0x0c, 0x44, 0, 0, 0, 0, 0, 0, 0x0c, 0x44, 0x00, 0x00, 0x0c,
            0x44, // 3140 three times
            0x00, 0x00, 0x01, 0x3c, 0x2d, 0x20, 0x0a, 0x20, // its time
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, // no coordinator, no transaction
        ];
        let entries = decode(&kafkas).unwrap();
        let batch = entries[0].1.last_batch().copied().unwrap();
        assert_eq!(entries[0].0, ProducerId::new(1));
        assert_eq!((batch.last_sequence, batch.last_offset), (Sequence::new(3140), Offset::new(3140)));
        assert_eq!(batch.timestamp, 1_357_966_740_000);
    }

    #[test]
    fn a_damaged_snapshot_is_refused_whatever_byte_is_hit() {
        let entries = [(ProducerId::new(7), entry(3))];
        let bytes = encode(entries.iter().map(|(id, entry)| (*id, entry)));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x40;
            assert!(decode(&damaged).is_err(), "byte {place}");
            assert!(decode(&bytes[..place]).is_err(), "cut at {place}");
        }
    }
}
