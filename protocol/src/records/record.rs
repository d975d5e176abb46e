//! One record: its fields, its headers, and the bounded iterator over the records of a batch.
//!
//! ```text
//! length  attributes  timestamp delta  offset delta  key length  key  value length  value  headers  { key length  key  value length  value } …
//! varint  1 byte      varlong          varint        varint           varint               varint
//! ```
//! A length below zero is null. [`RecordRef`] borrows; [`Record`] shares the batch's buffer. Neither copies.

use bytes::Bytes;

use super::varint::Cursor;
use super::{Attributes, BatchError, BatchHeader, RecordFault, TimestampType};
use crate::{Offset, OffsetDelta};

/// A record as it stands in its batch, borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Milliseconds after the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Records after the batch's base offset.
    pub offset_delta: i32,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// How many headers.
    pub headers_count: u32,
    /// The headers, checked, still encoded.
    headers: &'a [u8],
}

impl<'a> RecordRef<'a> {
    /// Reads the record at the front of `cursor`.
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<RecordRef<'a>, RecordFault> {
        let length = cursor.varint().ok_or(RecordFault::Length)?;
        let length = usize::try_from(length).map_err(|_| RecordFault::Length)?;
        let mut body = Cursor::new(cursor.take(length).ok_or(RecordFault::Length)?);
        // The attributes of a record are unused in format 2.
        body.byte().ok_or(RecordFault::Field)?;
        let timestamp_delta = body.varlong().ok_or(RecordFault::Field)?;
        let offset_delta = body.varint().ok_or(RecordFault::Field)?;
        let key = nullable(&mut body)?;
        let value = nullable(&mut body)?;
        let headers_count = body.varint().ok_or(RecordFault::Field)?;
        let headers = body.rest();
        if headers_count != 0 {
            check_headers(&mut body, headers_count)?;
        }
        if body.remaining() != 0 {
            return Err(RecordFault::LeftOver);
        }
        Ok(RecordRef {
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers_count: headers_count as u32,
            headers,
        })
    }

    /// The headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        HeaderRefs { cursor: Cursor::new(self.headers) }
    }
}

/// What the walk over a client's batch needs to know of a record that is sound.
pub(super) struct Skimmed {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) has_key: bool,
    /// Where the next record begins.
    pub(super) end: usize,
}

/// Reads the record at `start`, if it is sound and of the usual kind: no headers, numbers of at most three bytes.
///
/// `None` says nothing: [`RecordRef::read`] then tells what is there. This is the loop that a produce request of many
/// small records spends its time in, so it checks bounds twice per record instead of once per field.
#[inline]
pub(super) fn skim(records: &[u8], start: usize) -> Option<Skimmed> {
    /// Three bytes for each of four numbers, and one of attributes.
    const HEAD_BYTES: usize = 16;
    let head = records.get(start..)?.first_chunk::<HEAD_BYTES>()?;
    let mut at = 0;
    let length = usize::try_from(short_varint(head, &mut at)?).ok()?;
    let end = start + at + length;
    at += 1;
    let timestamp_delta = i64::from(short_varint(head, &mut at)?);
    let offset_delta = short_varint(head, &mut at)?;
    let key_length = short_varint(head, &mut at)?;
    let value_at = start + at + key_length.max(0) as usize;
    let tail = records.get(value_at..)?.first_chunk::<4>()?;
    let mut at = 0;
    let value_length = short_varint(tail, &mut at)?;
    let headers_at = value_at + at + value_length.max(0) as usize;
    // The count of headers is the last byte of the record, and it is none.
    let sound = headers_at + 1 == end && *records.get(headers_at)? == 0;
    sound.then_some(Skimmed { timestamp_delta, offset_delta, has_key: key_length >= 0, end })
}

/// A varint of at most three bytes, at `at`, which the caller has kept low enough.
#[inline(always)]
fn short_varint<const N: usize>(bytes: &[u8; N], at: &mut usize) -> Option<i32> {
    let byte = |index: usize| u32::from(bytes[index % N]);
    let mut raw = byte(*at);
    *at += 1;
    if raw >= 0x80 {
        let second = byte(*at);
        *at += 1;
        raw = raw & 0x7f | second << 7;
        if second >= 0x80 {
            let third = byte(*at);
            *at += 1;
            raw = raw & 0x3fff | third << 14;
            if third >= 0x80 {
                return None;
            }
        }
    }
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

#[inline]
fn nullable<'a>(body: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, RecordFault> {
    let length = body.varint().ok_or(RecordFault::Field)?;
    // Kafka takes every negative length for null.
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    body.take(length).map(Some).ok_or(RecordFault::Field)
}

#[inline(never)]
fn check_headers(body: &mut Cursor<'_>, count: i32) -> Result<(), RecordFault> {
    // A header takes two bytes at least: the lengths of an empty key and of no value.
    let possible = usize::try_from(count).is_ok_and(|count| count <= body.remaining() / 2);
    if !possible {
        return Err(RecordFault::HeadersCount);
    }
    for _ in 0..count {
        nullable(body)?.ok_or(RecordFault::HeaderKey)?;
        nullable(body)?;
    }
    Ok(())
}

/// Walks over headers that [`check_headers`] has been through.
struct HeaderRefs<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for HeaderRefs<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = nullable(&mut self.cursor).ok()??;
        let value = nullable(&mut self.cursor).ok()?;
        Some((key, value))
    }
}

/// A record with its absolute offset and timestamp, sharing the buffer of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Milliseconds since 1970, [`NO_TIMESTAMP`](super::NO_TIMESTAMP) when it has none.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; none is a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
}

/// The headers of a record, decoded as they are walked over.
#[derive(Debug, Clone)]
pub struct Headers {
    count: u32,
    encoded: Bytes,
}

/// One header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its key: UTF-8 by convention, which no broker checks.
    pub key: Bytes,
    /// Its value.
    pub value: Option<Bytes>,
}

impl Headers {
    /// How many.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers, in order; a key may come more than once.
    pub fn iter(&self) -> impl Iterator<Item = Header> + '_ {
        let share = |piece: &[u8]| self.encoded.slice_ref(piece);
        HeaderRefs { cursor: Cursor::new(&self.encoded) }
            .map(move |(key, value)| Header { key: share(key), value: value.map(share) })
    }
}

/// By what they say: a null value and a length may each be encoded in more than one way.
impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded || self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

/// The records of one batch, in order.
///
/// It is bounded: it ends after the count that the header claims, it never reads past the batch, and after the first
/// error it ends for good.
#[derive(Debug, Clone)]
pub struct RecordIter {
    base_offset: Offset,
    base_timestamp: i64,
    log_append_time: Option<i64>,
    records: Bytes,
    position: usize,
    read_count: i32,
    records_count: i32,
}

impl RecordIter {
    /// Over the uncompressed `records` behind `header`.
    pub(super) fn new(header: &BatchHeader, records: Bytes) -> Self {
        RecordIter {
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            log_append_time: append_time(header.attributes, header.max_timestamp),
            records,
            position: 0,
            read_count: 0,
            records_count: header.records_count,
        }
    }

    #[inline]
    fn read(&mut self) -> Result<Record, RecordFault> {
        let mut cursor = Cursor::new(&self.records[self.position..]);
        let record = RecordRef::read(&mut cursor)?;
        let offset = self.base_offset.checked_add(OffsetDelta::new(i64::from(record.offset_delta)));
        let offset = offset.ok_or(RecordFault::OffsetDelta)?;
        let share = |piece: &[u8]| self.records.slice_ref(piece);
        let owned = Record {
            offset,
            timestamp: match self.log_append_time {
                Some(append_time) => append_time,
                None => self.base_timestamp.wrapping_add(record.timestamp_delta),
            },
            key: record.key.map(share),
            value: record.value.map(share),
            headers: Headers { count: record.headers_count, encoded: share(record.headers) },
        };
        self.position = self.records.len() - cursor.remaining();
        Ok(owned)
    }

    /// After the last record: an error, once, if there are bytes behind it.
    #[cold]
    fn left_over(&mut self) -> Option<Result<Record, BatchError>> {
        let left_over = self.records.len() - self.position;
        self.position = self.records.len();
        (left_over > 0).then_some(Err(BatchError::BytesAfterRecords(left_over)))
    }
}

/// With LogAppendTime, every record of a batch has the batch's max timestamp.
pub(super) fn append_time(attributes: Attributes, max_timestamp: i64) -> Option<i64> {
    (attributes.timestamp_type() == TimestampType::LogAppendTime).then_some(max_timestamp)
}

impl Iterator for RecordIter {
    type Item = Result<Record, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.read_count >= self.records_count {
            return self.left_over();
        }
        let index = self.read_count;
        self.read_count += 1;
        match self.read() {
            Ok(record) => Some(Ok(record)),
            Err(fault) => {
                self.position = self.records.len();
                self.read_count = self.records_count;
                Some(Err(BatchError::Record { record: index, fault }))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let claimed = (self.records_count - self.read_count).max(0) as usize;
        (0, Some(claimed.saturating_add(1)))
    }
}
