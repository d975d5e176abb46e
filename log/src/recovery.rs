//! Opening: from the files of a directory to segments whose every index agrees with its log.
//!
//! The steps are numbered in docs/internals/log.md §6. A clean log is opened without reading records; after a crash only
//! what lies above the recovery point is read, and only there is anything cut. Nothing is guessed: damage below the
//! recovery point is an error that leaves every byte as it is. Invariant: opening twice gives the same log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_protocol::Offset;
use ottla_protocol::records::{BatchHeader, NO_TIMESTAMP};

use crate::config::LogConfig;
use crate::epoch_cache::EpochCache;
use crate::error::LogError;
use crate::home::Home;
use crate::log::LEADER_EPOCHS;
use crate::maintenance::write_whole;
use crate::offset_index::{self, OFFSET_INDEX_ENTRY_BYTES, can_be_indexed};
use crate::partition_files::PartitionFiles;
use crate::scan::{BatchScan, HeaderScan, end_of_data};
use crate::segment::{LogFile, Segment, segment_path, suffix};
use crate::storage::{Access, Storage, StorageFile, read_file, remove_if_present};
use crate::time_index::{self, TIME_INDEX_ENTRY_BYTES, TimestampOffset};
use crate::truncation::Rewalked;
use crate::walked::{Walked, note_epoch, note_epochs};

/// What opening a log has found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of log that were read and checked.
    pub scanned_bytes: u64,
    /// Bytes that were cut off or removed as a torn tail.
    pub truncated_bytes: u64,
    /// What was wrong with the first of them.
    pub truncated_because: Option<String>,
    /// Bytes of room made ahead that were cut off: zeros behind the last record, which nothing was written to.
    pub room_bytes: u64,
    /// Segments whose indexes were built anew.
    pub rebuilt_indexes: usize,
}

/// Where and how a log is opened.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) shared: &'a Arc<Home>,
    pub(crate) directory: &'a Path,
    pub(crate) config: &'a LogConfig,
    /// The last stop was clean: everything was synced and every index written.
    pub(crate) is_clean: bool,
    pub(crate) recovery_point: Offset,
    pub(crate) log_start: Offset,
    /// Below it compaction may have left gaps, whatever the settings say now.
    pub(crate) cleaned: Offset,
    pub(crate) now_ms: i64,
}

/// Segments in order, and what the writer goes on from.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) largest: TimestampOffset,
    pub(crate) bytes_since_index_entry: u64,
    pub(crate) epochs: EpochCache,
    pub(crate) log_end: Offset,
    /// Snapshots of the producer state that are not above the log end, in order.
    pub(crate) snapshots: Vec<Offset>,
    /// Segments that have a transaction index.
    pub(crate) txn_indexes: Vec<Offset>,
    pub(crate) recovery: Recovery,
}

impl Opening<'_> {
    pub(crate) fn open(&self) -> Result<Opened, LogError> {
        let files = PartitionFiles::list(self.storage(), self.directory)?;
        // What was deleted by request needs not be there, durable or not.
        let recovery_point = Some(self.recovery_point).filter(|point| *point > self.log_start);
        let recovery_point = recovery_point.unwrap_or(Offset::ZERO);
        let epochs_path = self.directory.join(LEADER_EPOCHS);
        let (mut epochs, epochs_are_lost) = match EpochCache::read(self.storage(), &epochs_path) {
            Ok(epochs) => {
                let are_lost = epochs.latest().is_none();
                (epochs, are_lost)
            }
            Err(LogError::Malformed { .. }) => (EpochCache::default(), true),
            Err(error) => return Err(error),
        };
        if files.logs.is_empty() {
            return self.create_first_segment(recovery_point, epochs, Recovery::default());
        }
        let mut recovery = Recovery::default();
        let mut segments = Vec::with_capacity(files.logs.len());
        let (mut last, mut previous_epoch) = (None, None);
        let bases: Vec<(Offset, u64)> = files.logs.iter().map(|(base, size)| (*base, *size)).collect();
        for (place, &(base, size)) in bases.iter().enumerate() {
            let next_base = bases.get(place + 1).map(|(next, _)| *next);
            if let Some(end) = next_base.filter(|end| self.is_clean || *end <= recovery_point) {
                let sealed = self.trusted(&files, base, size, end, &mut recovery)?;
                if epochs_are_lost {
                    note_epochs(&mut epochs, &sealed)?;
                }
                segments.push(sealed);
                continue;
            }
            let log =
                LogFile::existing(self.shared.clone(), self.log_path(base), self.is_clean.then_some(size));
            let mut walked = Walked::new(Segment::empty(base, log, self.now_ms));
            walked.latest_epoch = previous_epoch;
            self.walk(&mut walked, size, recovery_point, &mut epochs, &mut recovery)?;
            if epochs_are_lost {
                walked.segment.publish(walked.size, walked.next_offset);
                note_epochs(&mut epochs, &walked.segment)?;
            }
            previous_epoch = walked.latest_epoch;
            if walked.damage.is_none()
                && next_base.is_some_and(|next| !self.may_begin_behind(walked.next_offset, next))
            {
                walked.damage = Some(format!("offsets {}.. are missing", walked.next_offset));
                walked.room_bytes = 0;
            }
            recovery.room_bytes += walked.room_bytes;
            if let Some(damage) = walked.damage.take() {
                recovery.truncated_bytes += size - walked.size - walked.room_bytes;
                recovery.truncated_because = Some(damage);
                for &(later, bytes) in &bases[place + 1..] {
                    recovery.truncated_bytes += bytes;
                    self.remove_segment(later)?;
                }
                last = Some(walked);
                break;
            }
            if next_base.is_none() {
                last = Some(walked);
                break;
            }
            if walked.room_bytes > 0 {
                cut_off(&*walked.segment.log().file()?, walked.segment.log().path(), walked.size)?;
            }
            segments.push(Arc::new(self.seal(walked)?));
        }
        let last = last.expect("the last segment is walked in every case");
        if last.next_offset < self.log_start {
            recovery.truncated_bytes = files.logs.values().sum();
            recovery.truncated_because =
                Some(format!("all that is left lies below the log start {}", self.log_start));
            files.logs.keys().rev().try_for_each(|base| self.remove_segment(*base))?;
            return self.create_first_segment(recovery_point, epochs, recovery);
        }
        self.finish(segments, last, recovery, epochs, files)
    }

    fn finish(
        &self,
        mut segments: Vec<Arc<Segment>>,
        last: Walked,
        recovery: Recovery,
        mut epochs: EpochCache,
        files: PartitionFiles,
    ) -> Result<Opened, LogError> {
        let Walked { segment, largest, bytes_since_index_entry, size, next_offset, .. } = last;
        let file = segment.log().file()?;
        let path = segment.log().path();
        if file.len().map_err(|error| LogError::io("measure", path, error))? > size {
            cut_off(&*file, path, size)?;
        }
        segment.publish(size, next_offset);
        segment.publish_largest(largest);
        segments.push(Arc::new(segment));
        epochs.truncate_from_end(next_offset);
        let (kept, beyond): (Vec<_>, Vec<_>) =
            files.snapshots.into_iter().partition(|offset| *offset <= next_offset);
        for offset in beyond {
            self.remove(&segment_path(self.directory, offset, suffix::SNAPSHOT))?;
        }
        Ok(Opened {
            segments,
            largest,
            bytes_since_index_entry,
            epochs,
            log_end: next_offset,
            snapshots: kept,
            txn_indexes: files.txn_indexes,
            recovery,
        })
    }

    fn create_first_segment(
        &self,
        recovery_point: Offset,
        mut epochs: EpochCache,
        recovery: Recovery,
    ) -> Result<Opened, LogError> {
        let start = self.log_start;
        let path = segment_path(self.directory, start, suffix::LOG);
        if recovery_point > start {
            let reason = format!("no segment is there, but offsets up to {recovery_point} were durable");
            return Err(LogError::Corrupt { path, position: 0, offset: self.log_start, reason });
        }
        let file = self.storage().open(&path, Access::Create);
        let file = file.map_err(|error| LogError::io("create", &path, error))?;
        let log = LogFile::created(self.shared.clone(), path, file);
        epochs.truncate_from_end(start);
        Ok(Opened {
            segments: vec![Arc::new(Segment::empty(start, log, self.now_ms))],
            largest: TimestampOffset { timestamp: NO_TIMESTAMP, offset: start },
            bytes_since_index_entry: 0,
            epochs,
            log_end: start,
            snapshots: Vec::new(),
            txn_indexes: Vec::new(),
            recovery,
        })
    }

    /// Step 2: a segment that lies below the recovery point; no record of it is read unless an index is missing.
    fn trusted(
        &self,
        files: &PartitionFiles,
        base: Offset,
        size: u64,
        end: Offset,
        recovery: &mut Recovery,
    ) -> Result<Arc<Segment>, LogError> {
        let path = segment_path(self.directory, base, suffix::LOG);
        let log = LogFile::existing(self.shared.clone(), path, Some(size));
        let whole = |sizes: &BTreeMap<Offset, u64>, entry_bytes: usize| {
            sizes.get(&base).copied().filter(|bytes| bytes.is_multiple_of(entry_bytes as u64))
        };
        let offsets = whole(&files.offset_indexes, OFFSET_INDEX_ENTRY_BYTES);
        let times = whole(&files.time_indexes, TIME_INDEX_ENTRY_BYTES);
        if let (Some(offsets), Some(times)) = (offsets, times) {
            let sealed = Segment::sealed(base, log.clone(), (size, end), (offsets, times), self.now_ms);
            if self.ends_soundly(&sealed)? {
                return Ok(Arc::new(sealed));
            }
        }
        recovery.rebuilt_indexes += 1;
        let mut walked = self.walk_headers(Segment::empty(base, log, self.now_ms), size)?;
        walked.next_offset = end;
        let sealed = self.seal(walked)?;
        // The recovery point says that these are durable.
        for suffix in [suffix::OFFSET_INDEX, suffix::TIME_INDEX] {
            let path = segment_path(self.directory, base, suffix);
            let synced = self.storage().open(&path, Access::Write).and_then(|file| file.sync_data());
            synced.map_err(|error| LogError::io("sync", &path, error))?;
        }
        let synced = self.storage().sync_directory(self.directory);
        synced.map_err(|error| LogError::io("sync", self.directory, error))?;
        Ok(Arc::new(sealed))
    }

    /// Whether the last entry of the offset index points into the log and lies within the segment.
    fn ends_soundly(&self, sealed: &Segment) -> Result<bool, LogError> {
        let (size, end) = sealed.end();
        let in_log = sealed.offset_index().last()?.is_none_or(|last| {
            u64::from(last.position) < size && (sealed.base_offset()..end).contains(&last.offset)
        });
        let in_time =
            sealed.time_index().last()?.is_none_or(|last| (sealed.base_offset()..end).contains(&last.offset));
        Ok(in_log && in_time)
    }

    /// The segment of an open log that was cut to `size`: its index files as far as they reach, then its headers.
    pub(crate) fn rewalk(&self, log: Arc<LogFile>, base: Offset, size: u64) -> Result<Rewalked, LogError> {
        let mut walked = Walked::new(Segment::empty(base, log, self.now_ms));
        let start = self.load_indexes(&mut walked, size, Offset::MAX)?;
        let log = walked.segment.log().clone();
        let mut headers = HeaderScan::new(log.file()?, log.path(), start, size, base);
        while let Some(found) = headers.next()? {
            walked.take(&found.header, found.position, self.config);
        }
        let Walked { segment, largest, bytes_since_index_entry, size, next_offset, .. } = walked;
        segment.publish(size, next_offset);
        segment.publish_largest(largest);
        Ok(Rewalked { segment, largest, bytes_since_index_entry })
    }

    /// Builds the indexes of a whole segment from its headers.
    fn walk_headers(&self, segment: Segment, size: u64) -> Result<Walked, LogError> {
        let base = segment.base_offset();
        let mut walked = Walked::new(segment);
        let file = walked.segment.log().file()?;
        let path = walked.segment.log().path().to_owned();
        let mut scan = HeaderScan::new(file.clone(), &path, 0, size, base);
        while let Some(found) = scan.next()? {
            walked.take(&found.header, found.position, self.config);
        }
        Ok(walked)
    }

    /// Steps 3 and 4: the indexes as far as they can be trusted, headers up to the recovery point, whole batches beyond.
    fn walk(
        &self,
        walked: &mut Walked,
        size: u64,
        recovery_point: Offset,
        epochs: &mut EpochCache,
        recovery: &mut Recovery,
    ) -> Result<(), LogError> {
        let base = walked.segment.base_offset();
        let path = self.log_path(base);
        if size > u64::from(u32::MAX) {
            let reason = format!("{size} bytes are more than a segment can have");
            return Err(LogError::Corrupt { path, position: 0, offset: base, reason });
        }
        let trusted_end = if self.is_clean { Offset::MAX } else { recovery_point };
        if size == 0 && base >= recovery_point {
            return Ok(());
        }
        let file = walked.segment.log().file()?;
        let start = self.load_indexes(walked, size, trusted_end)?;
        let mut headers = HeaderScan::new(file.clone(), &path, start, size, base);
        while walked.next_offset < trusted_end {
            match headers.next()? {
                Some(found) => {
                    walked.take(&found.header, found.position, self.config);
                }
                None => break,
            }
        }
        if walked.next_offset < recovery_point {
            let reason = format!("the log ends here, but offsets up to {recovery_point} were durable");
            return Err(LogError::Corrupt {
                path,
                position: walked.size,
                offset: walked.next_offset,
                reason,
            });
        }
        if self.is_clean {
            return Ok(());
        }
        let scanned_from = walked.size;
        let mut batches = BatchScan::new(file.clone(), &path, scanned_from, size);
        while let Some(batch) = batches.next()? {
            match batch.and_then(|batch| self.follows(walked, batch.header()).map(|()| *batch.header())) {
                Ok(header) => {
                    note_epoch(epochs, &header);
                    walked.take(&header, walked.size, self.config);
                }
                Err(damage) => {
                    let data_end = end_of_data(&*file, walked.size, size);
                    let data_end = data_end.map_err(|error| LogError::io("read", &path, error))?;
                    walked.room_bytes = size - data_end;
                    // Nothing but zeros is room that nothing was appended to.
                    walked.damage = Some(damage).filter(|_| data_end > walked.size);
                    break;
                }
            }
        }
        recovery.scanned_bytes += walked.size - scanned_from;
        recovery.rebuilt_indexes += 1;
        Ok(())
    }

    /// Whether a sound batch is also the next of this log, and not one that stood here before.
    fn follows(&self, walked: &Walked, header: &BatchHeader) -> Result<(), String> {
        if !self.may_follow(walked.next_offset, header.base_offset) {
            return Err(format!(
                "offset {} follows where {} is next",
                header.base_offset, walked.next_offset
            ));
        }
        if !can_be_indexed(walked.segment.base_offset(), header.last_offset()) {
            return Err(format!("offset {} is too far from the segment's first", header.last_offset()));
        }
        match (walked.latest_epoch, header.partition_leader_epoch) {
            (Some(before), Some(epoch)) if epoch < before => {
                Err(format!("leader epoch {epoch} follows {before} at offset {}", header.base_offset))
            }
            _ => Ok(()),
        }
    }

    /// Takes over the index entries below `trusted_end` if the last of them meets its batch; where to walk from.
    fn load_indexes(&self, walked: &mut Walked, size: u64, trusted_end: Offset) -> Result<u64, LogError> {
        let base = walked.segment.base_offset();
        let read = |suffix| {
            let path = segment_path(self.directory, base, suffix);
            let bytes =
                read_file(self.storage(), &path).map_err(|error| LogError::io("read", &path, error))?;
            Ok::<_, LogError>(bytes.unwrap_or_default())
        };
        let mut offsets = offset_index::sound_entries(base, &read(suffix::OFFSET_INDEX)?, size);
        offsets.retain(|entry| entry.offset < trusted_end);
        let Some(last) = offsets.last().copied() else {
            return Ok(0);
        };
        let log = walked.segment.log();
        let mut scan = HeaderScan::new(log.file()?, log.path(), u64::from(last.position), size, base);
        match scan.next() {
            Ok(Some(found)) if found.header.last_offset() == last.offset => {}
            // The index lies; the log is asked instead.
            Ok(_) | Err(LogError::Corrupt { .. }) => return Ok(0),
            Err(error) => return Err(error),
        }
        for entry in offsets {
            walked.segment.offset_index().append(entry);
        }
        for entry in time_index::sound_entries(base, &read(suffix::TIME_INDEX)?, last.offset.next()) {
            walked.segment.time_index().append_if_later(entry);
            walked.largest = entry;
        }
        walked.size = u64::from(last.position);
        Ok(walked.size)
    }

    /// Writes the indexes of a segment that will not be appended to.
    fn seal(&self, walked: Walked) -> Result<Segment, LogError> {
        let Walked { segment, largest, size, next_offset, .. } = walked;
        segment.time_index().append_if_later(largest);
        segment.publish(size, next_offset);
        let base = segment.base_offset();
        let write = |suffix, bytes: Vec<u8>| {
            let path = segment_path(self.directory, base, suffix);
            write_whole(self.storage(), &path, &bytes).map_err(|error| LogError::io("write", &path, error))
        };
        write(suffix::OFFSET_INDEX, segment.offset_index().bytes_from(0)?)?;
        write(suffix::TIME_INDEX, segment.time_index().bytes_from(0)?)?;
        Ok(segment.to_sealed())
    }

    /// Whether a segment at `base` may come behind one that ends at `end`. Compaction leaves the last batch of a segment
    /// where it is, and a roll begins where the log ends: a gap there is the end of a file that was lost, unless it is of
    /// another program's compaction.
    fn may_begin_behind(&self, end: Offset, base: Offset) -> bool {
        base == end || (base > end && base <= self.cleaned)
    }

    /// Whether a batch at `base` may come where `expected` is next: only compaction leaves gaps.
    fn may_follow(&self, expected: Offset, base: Offset) -> bool {
        base == expected || (base > expected && (self.config.cleanup_compact || base <= self.cleaned))
    }

    fn log_path(&self, base: Offset) -> PathBuf {
        segment_path(self.directory, base, suffix::LOG)
    }

    fn storage(&self) -> &dyn Storage {
        &**self.shared.storage()
    }

    fn remove_segment(&self, base: Offset) -> Result<(), LogError> {
        for suffix in [suffix::OFFSET_INDEX, suffix::TIME_INDEX, suffix::TXN_INDEX, suffix::LOG] {
            self.remove(&segment_path(self.directory, base, suffix))?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), LogError> {
        remove_if_present(self.storage(), path).map_err(|error| LogError::io("remove", path, error))
    }
}

/// Cuts a file for good: what was cut off must not come back behind what is appended in its place.
fn cut_off(file: &dyn StorageFile, path: &Path, size: u64) -> Result<(), LogError> {
    let cut = file.truncate(size).and_then(|()| file.sync_data());
    cut.map_err(|error| LogError::io("cut", path, error))
}
