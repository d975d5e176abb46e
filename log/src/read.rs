//! Reading: slices of the segments' files, and the offsets that belong to timestamps.
//!
//! No lock is taken: the log end is read first, then the list of segments, which is at least as new. A slice never holds a
//! batch that reaches to the ceiling, which is the caller's: high watermark, last stable offset, or log end.

use ottla_protocol::records::{OutputLimit, Rules, ValidBatch};
use ottla_protocol::{LeaderEpoch, Offset};

use crate::error::{LogError, ReadError};
use crate::file_slice::FileSlice;
use crate::log::Log;
use crate::scan::FoundBatch;
use crate::segment::{ReadRequest, Segment};
use crate::time_index::TimestampOffset;

/// What a read found.
#[derive(Clone, Debug)]
pub struct LogRead {
    /// Whole batches, the first of which holds the offset asked for (or is the next behind a gap); `None` if there are
    /// none below the ceiling, or the first is larger than asked.
    pub slice: Option<FileSlice>,
    /// The offset of the first record in the slice, which may be below the one asked for.
    pub base_offset: Option<Offset>,
    /// The first readable offset at that time.
    pub log_start_offset: Offset,
    /// The log end at that time.
    pub log_end_offset: Offset,
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: i64,
    /// The epoch of the leader that appended it.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Log {
    /// Whole batches from the one that holds `from` on, none of which reaches to `ceiling`, in at most `bytes_max` bytes;
    /// with `at_least_one` the first batch comes even if it is larger.
    ///
    /// # Errors
    /// `OffsetOutOfRange` if `from` is not in `[log_start, log_end]`.
    pub fn read(
        &self,
        from: Offset,
        ceiling: Offset,
        bytes_max: u32,
        at_least_one: bool,
    ) -> Result<LogRead, ReadError> {
        let (log_start_offset, log_end_offset) = (self.log_start_offset(), self.log_end_offset());
        let out_of_range =
            |log_start_offset| ReadError::OffsetOutOfRange { offset: from, log_start_offset, log_end_offset };
        if from < log_start_offset || from > log_end_offset {
            return Err(out_of_range(log_start_offset));
        }
        let mut read = LogRead { slice: None, base_offset: None, log_start_offset, log_end_offset };
        let request = ReadRequest { from, ceiling: ceiling.min(log_end_offset), bytes_max, at_least_one };
        if from >= request.ceiling {
            return Ok(read);
        }
        let segments = self.segments.load();
        let candidates = segments.from(from);
        if candidates[0].base_offset() > from {
            // Retention came in between.
            return Err(out_of_range(self.log_start_offset()));
        }
        for segment in candidates.iter().take_while(|segment| segment.base_offset() < request.ceiling) {
            // A segment that retention has taken out meanwhile may have no file any more.
            let found = segment.read(&request).map_err(|error| match self.log_start_offset() {
                start if start > from => out_of_range(start),
                _ => ReadError::Log(error),
            })?;
            if let Some(found) = found {
                read.base_offset = Some(found.base_offset);
                read.slice = Some(found.slice).filter(|slice| !slice.is_empty());
                break;
            }
        }
        Ok(read)
    }

    /// What [`Log::read`] from this offset looks at first, so that a caller who must not wait for a disk can have it read
    /// elsewhere before; at most `len` bytes. `None` where the log ends soon: what was written last is in memory.
    pub fn start_of_read(&self, from: Offset, len: u32) -> Result<Option<FileSlice>, LogError> {
        if from < self.log_start_offset() || from >= self.log_end_offset() {
            return Ok(None);
        }
        let segments = self.segments.load();
        match segments.from(from) {
            [only] => only.start_of_read(from, len, RECENT_BYTES),
            [first, ..] => first.start_of_read(from, len, 0),
            [] => Ok(None),
        }
    }

    /// The first record at or behind the log start whose timestamp is at least `timestamp`.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampedOffset>, LogError> {
        let start = self.log_start_offset();
        let segments = self.segments.load();
        for segment in segments.from(start) {
            if segment.largest_timestamp()?.is_none_or(|largest| largest.timestamp < timestamp) {
                continue;
            }
            let from = segment.time_index().lookup(timestamp)?.max(start);
            let mut scan = segment.scan_from(u64::from(segment.offset_index().lookup(from)?))?;
            let mut believed_in_vain = 0;
            while let Some(found) = scan.next()? {
                if found.header.last_offset() < start || found.header.max_timestamp < timestamp {
                    continue;
                }
                if believed_in_vain == LIES_MAX {
                    return Ok(Some(claimed(&found, start)));
                }
                let wanted =
                    |record: &TimestampedOffset| record.timestamp >= timestamp && record.offset >= start;
                if let Some(record) = find_record(segment, &found, wanted)? {
                    return Ok(Some(record));
                }
                believed_in_vain += 1;
            }
        }
        Ok(None)
    }

    /// The readable record with the largest timestamp, the first if there are several (KIP-734).
    pub fn max_timestamp(&self) -> Result<Option<TimestampedOffset>, LogError> {
        let start = self.log_start_offset();
        let segments = self.segments.load();
        let mut best: Option<(TimestampOffset, &Segment)> = None;
        for segment in segments.from(start) {
            let Some(mut largest) = segment.largest_timestamp()? else { continue };
            if segment.base_offset() < start {
                // What the segment remembers may be of a record that was deleted.
                match largest_from(segment, start)? {
                    Some(readable) => largest = readable,
                    None => continue,
                }
            }
            if best.is_none_or(|(best, _)| largest.timestamp > best.timestamp) {
                best = Some((largest, segment));
            }
        }
        let Some((largest, segment)) = best else { return Ok(None) };
        let Some(found) = segment.find(largest.offset)? else { return Ok(None) };
        find_record(segment, &found, |record| record.timestamp >= largest.timestamp && record.offset >= start)
    }
}

/// The end of the active segment that is taken to be in the page cache.
const RECENT_BYTES: u64 = 1 << 20;

/// How many batches are unpacked whose header claims a timestamp that none of their records has. A packed batch is stored
/// as it came, so a producer can lie; it is the search of its own log that then ends a little early.
const LIES_MAX: u32 = 4;

/// What the header of a batch says, without a look at its records.
fn claimed(found: &FoundBatch, start: Offset) -> TimestampedOffset {
    TimestampedOffset {
        offset: found.header.base_offset.max(start),
        timestamp: found.header.max_timestamp,
        leader_epoch: found.header.partition_leader_epoch,
    }
}

/// The largest timestamp at or behind `start` in a segment whose front was deleted, with an offset of its batch.
fn largest_from(segment: &Segment, start: Offset) -> Result<Option<TimestampOffset>, LogError> {
    let mut largest: Option<TimestampOffset> = None;
    let mut take = |timestamp: i64, offset: Offset| {
        if timestamp >= 0 && largest.is_none_or(|largest| timestamp > largest.timestamp) {
            largest = Some(TimestampOffset { timestamp, offset });
        }
    };
    let mut scan = segment.scan_from(u64::from(segment.offset_index().lookup(start)?))?;
    while let Some(found) = scan.next()? {
        let header = &found.header;
        if header.base_offset >= start {
            take(header.max_timestamp, header.last_offset());
        } else if header.last_offset() >= start {
            // Some of its records are gone, so each of the others has to be asked.
            find_record(segment, &found, |record| {
                if record.offset >= start {
                    take(record.timestamp, record.offset);
                }
                false
            })?;
        }
    }
    Ok(largest)
}

/// The first record of a batch that is wanted.
fn find_record(
    segment: &Segment,
    found: &FoundBatch,
    mut wanted: impl FnMut(&TimestampedOffset) -> bool,
) -> Result<Option<TimestampedOffset>, LogError> {
    let corrupt = |reason: String| LogError::Corrupt {
        path: segment.log().path().to_owned(),
        position: found.position,
        offset: found.header.base_offset,
        reason,
    };
    let len = u32::try_from(found.header.size_in_bytes()).expect("a batch lies within a segment");
    let bytes = FileSlice::new(segment.log(), found.position, len)?.to_bytes();
    let bytes = bytes.map_err(|error| LogError::io("read", segment.log().path(), error))?;
    let batch = ValidBatch::check(bytes, &Rules::stored()).map_err(|error| corrupt(error.to_string()))?;
    let limit = OutputLimit::new(Rules::OUTPUT_BYTES_MAX);
    for record in batch.records(limit).map_err(|error| corrupt(error.to_string()))? {
        let record = record.map_err(|error| corrupt(error.to_string()))?;
        let record = TimestampedOffset {
            offset: record.offset,
            timestamp: record.timestamp,
            leader_epoch: found.header.partition_leader_epoch,
        };
        if wanted(&record) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}
