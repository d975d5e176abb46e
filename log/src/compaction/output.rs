//! The segment that a compaction writes: its file, and its indexes on the heap.
//!
//! Batches are gathered and written in large pieces. The file carries the name of a `.cleaned` one; what opens it by its
//! final name comes after the swap. It decides nothing about records. Invariant: what [`Output::finish`] returns is on the
//! disk, indexes aside.

use std::io::IoSlice;
use std::sync::Arc;

use ottla_protocol::Offset;
use ottla_protocol::records::{BatchHeader, NO_TIMESTAMP, ValidBatch};

use crate::error::LogError;
use crate::log::Log;
use crate::maintenance::write_whole;
use crate::segment::{LogFile, Segment, segment_path, suffix};
use crate::storage::{StorageFile, write_all_at};
use crate::time_index::TimestampOffset;

/// See the module.
pub(crate) struct Output<'a> {
    log: &'a Log,
    file: Arc<dyn StorageFile>,
    segment: Segment,
    largest: TimestampOffset,
    bytes_since_index_entry: u64,
    index_interval_bytes: u32,
    buffer: Vec<u8>,
    buffer_bytes: usize,
    written: u64,
    next_offset: Offset,
}

/// A segment that is complete and durable but for its indexes and its name.
pub(crate) struct Finished {
    pub(crate) segment: Segment,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) size: u64,
}

impl<'a> Output<'a> {
    /// An empty file for the segment at `base`. The caller holds the background lock, so that the directory is ours.
    pub(crate) fn create(
        log: &'a Log,
        base: Offset,
        created_ms: i64,
        buffer_bytes: usize,
    ) -> Result<Output<'a>, LogError> {
        let path = segment_path(&log.directory, base, suffix::LOG);
        let cleaned = suffix::with(&path, suffix::CLEANED);
        let file = write_whole(log.storage(), &cleaned, &[]);
        let file = file.map_err(|error| log.io("create", &cleaned, error))?;
        let log_file = LogFile::existing(log.shared.clone(), path, None);
        Ok(Output {
            log,
            file,
            segment: Segment::empty(base, log_file, created_ms),
            largest: TimestampOffset { timestamp: NO_TIMESTAMP, offset: base },
            bytes_since_index_entry: 0,
            index_interval_bytes: log.config.load().index_interval_bytes,
            buffer: Vec::with_capacity(buffer_bytes),
            buffer_bytes,
            written: 0,
            next_offset: base,
        })
    }

    /// Adds a batch. False if the segment would become larger than a segment may be, which ends it.
    pub(crate) fn push(&mut self, batch: &ValidBatch) -> Result<bool, LogError> {
        let header: &BatchHeader = batch.header();
        let position = self.written + self.buffer.len() as u64;
        let is_too_large = position + batch.size_in_bytes() as u64 > i32::MAX as u64
            || self.segment.offset_index().is_full(u32::MAX)
            || self.segment.time_index().is_full(u32::MAX);
        if is_too_large {
            return Ok(false);
        }
        self.segment.index_batch(
            header,
            (position, header.last_offset()),
            &mut self.largest,
            &mut self.bytes_since_index_entry,
            self.index_interval_bytes,
        );
        self.next_offset = header.next_offset();
        self.buffer.extend_from_slice(batch.bytes());
        if self.buffer.len() >= self.buffer_bytes {
            self.flush()?;
        }
        Ok(true)
    }

    /// Bytes that were pushed.
    pub(crate) fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let written = write_all_at(&*self.file, &mut [IoSlice::new(&self.buffer)], self.written);
        written.map_err(|error| self.log.io("write", self.segment.log().path(), error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        // One batch may have been larger than the buffer.
        self.buffer.shrink_to(self.buffer_bytes);
        Ok(())
    }

    /// Writes what is left and makes the file durable.
    pub(crate) fn finish(mut self) -> Result<Finished, LogError> {
        self.flush()?;
        let synced = self.file.sync_data();
        self.log
            .shared
            .durable(synced.map_err(|error| self.log.io("sync", self.segment.log().path(), error)))?;
        self.segment.time_index().append_if_later(self.largest);
        self.segment.publish(self.written, self.next_offset);
        Ok(Finished { segment: self.segment, file: self.file, size: self.written })
    }
}
