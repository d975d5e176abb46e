//! Cutting the end of a log off, as a follower does whose leader disagrees (KIP-101).
//!
//! The recovery point on disk is lowered first, so that a crash in between leaves a log that is too long, never one that
//! seems damaged. Records that a reader still holds a slice of are not touched: the segment is then copied up to the cut
//! and the old file unlinked. It does not decide where to cut. Invariant: epochs, producers, transactions and both
//! indexes are afterwards what they would be had the records never been appended.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_protocol::Offset;
use ottla_protocol::records::NO_TIMESTAMP;

use crate::error::LogError;
use crate::log::Log;
use crate::maintenance::Background;
use crate::open::Replay;
use crate::recovery::Opening;
use crate::segment::{LogFile, Segment, segment_path, suffix};
use crate::segments::Segments;
use crate::storage::{Access, StorageFile, read_exact_at, remove_if_present, write_all_at};
use crate::time_index::TimestampOffset;
use crate::writer::Writer;

const COPY_BYTES: usize = 1 << 20;

impl Log {
    /// Removes every batch that reaches to `offset` or beyond, and returns the new log end: `offset`, or less if it lay
    /// within a batch or in a gap. An offset at or behind the log end changes nothing; one below the log start empties the log.
    pub fn truncate_to(&self, offset: Offset) -> Result<Offset, LogError> {
        self.truncate(|background, writer| {
            let (start, end) = (self.log_start_offset(), self.log_end_offset());
            if offset >= end {
                return Ok(end);
            }
            let old = self.segments.load_full();
            let cut = old.from(offset)[0].clone();
            let position = cut.find(offset)?.map_or(cut.size(), |found| found.position);
            self.write_indexes(&cut)?;
            let kept = self.rewalk(&cut, cut.log(), position)?;
            // Behind the last batch that stays: further below if compaction has left a gap there.
            match kept.segment.end().1 {
                to if to <= start => self.begin_anew(background, writer, start).map(|()| start),
                to => self.cut_segments(background, writer, old, (cut, position), kept).map(|()| to),
            }
        })
    }

    /// Removes every record and begins again at `offset`, as a follower does that is too far behind its leader.
    pub fn truncate_fully(&self, offset: Offset) -> Result<(), LogError> {
        self.truncate(|background, writer| self.begin_anew(background, writer, offset))
    }

    /// Keeps every other job away meanwhile. A truncation that fails half-way leaves a log that is only read.
    fn truncate<T>(
        &self,
        act: impl FnOnce(&mut Background, &mut Writer) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut background = self.background.lock();
        self.check_open()?;
        self.seal_rolled(&mut background)?;
        let mut writer = self.writer.lock();
        let _no_sync_meanwhile = self.syncing.lock();
        act(&mut background, &mut writer)
            .inspect_err(|error| writer.refusal = Some(LogError::Poisoned(Arc::new(error.clone()))))
    }

    /// Cuts the segment `cut` at `position`, where a batch begins, and leaves `kept` of it.
    fn cut_segments(
        &self,
        background: &mut Background,
        writer: &mut Writer,
        old: Arc<Segments>,
        (cut, position): (Arc<Segment>, u64),
        kept: Rewalked,
    ) -> Result<(), LogError> {
        let end = kept.segment.end().1;
        let place = old.len() - old.from(cut.base_offset()).len();
        self.lower_to(end)?;
        // What lies above the cut is unreachable from here on, then its files go, the highest first.
        self.log_end.store(end.get(), Ordering::Release);
        self.install(writer, &old, place, kept);
        for segment in old.iter().skip(place + 1).rev() {
            self.remove_files(segment.base_offset())?;
        }
        drop(old);
        self.cut_file(writer, cut, position)?;
        // The index files still reach beyond the cut.
        self.write_indexes(&writer.active)?;
        self.sync_directory()?;
        self.forget_behind(background, writer, end)
    }

    fn begin_anew(
        &self,
        background: &mut Background,
        writer: &mut Writer,
        start: Offset,
    ) -> Result<(), LogError> {
        // A log that ends below its log start is begun anew there: whatever a crash leaves of the old one is no harm.
        self.shared.write_log_start(&self.partition, start)?;
        self.lower_to(start)?;
        let old = self.segments.load_full();
        for segment in old.iter().rev() {
            self.remove_files(segment.base_offset())?;
        }
        let path = segment_path(&self.directory, start, suffix::LOG);
        let file =
            self.storage().open(&path, Access::Create).map_err(|error| self.io("create", &path, error))?;
        let log = LogFile::created(self.shared.clone(), path, file);
        let active = Arc::new(Segment::empty(start, log, writer.active.created_ms()));
        self.segments.store(Arc::new(Segments::new(vec![active.clone()])));
        writer.active = active;
        writer.largest = TimestampOffset { timestamp: NO_TIMESTAMP, offset: start };
        writer.bytes_since_index_entry = 0;
        self.log_start.store(start.get(), Ordering::Release);
        self.log_end.store(start.get(), Ordering::Release);
        self.durable_end.store(start.get(), Ordering::Release);
        self.recovery_point.store(start.get(), Ordering::Release);
        self.sync_directory()?;
        self.shared.set_recovery_point(&self.partition, start);
        self.forget_behind(background, writer, start)
    }

    /// Lowers what is said to be durable, on disk before in memory.
    fn lower_to(&self, offset: Offset) -> Result<(), LogError> {
        self.shared.lower_cleaned(&self.partition, offset)?;
        self.shared.lower_recovery_point(&self.partition, offset)?;
        self.recovery_point.fetch_min(offset.get(), Ordering::AcqRel);
        self.durable_end.fetch_min(offset.get(), Ordering::AcqRel);
        Ok(())
    }

    /// A segment in place of `old` over the file `log` that ends at `position`, with indexes to append to.
    fn rewalk(&self, old: &Segment, log: &Arc<LogFile>, position: u64) -> Result<Rewalked, LogError> {
        let config = self.config.load();
        let base = old.base_offset();
        let opening = Opening {
            shared: &self.shared,
            directory: &self.directory,
            config: &config,
            is_clean: true,
            recovery_point: base,
            log_start: base,
            cleaned: Offset::MAX,
            now_ms: old.created_ms(),
        };
        opening.rewalk(log.clone(), base, position)
    }

    fn install(&self, writer: &mut Writer, old: &Segments, place: usize, kept: Rewalked) {
        let active = Arc::new(kept.segment);
        let mut segments: Vec<_> = old.iter().take(place).cloned().collect();
        segments.push(active.clone());
        self.segments.store(Arc::new(Segments::new(segments)));
        writer.active = active;
        writer.largest = kept.largest;
        writer.bytes_since_index_entry = kept.bytes_since_index_entry;
    }

    /// Cuts the file in place, unless somebody may still read behind the cut: then a copy takes its place.
    fn cut_file(&self, writer: &mut Writer, old: Arc<Segment>, position: u64) -> Result<(), LogError> {
        let log = old.log().clone();
        // The old segment is held by this function alone, the log file by it, by the new segment and here: no reader is
        // left that could have seen the old end, and no slice is out.
        let is_unread = Arc::strong_count(&old) == 1 && Arc::strong_count(&log) == 3;
        if is_unread {
            return self.shared.durable(log.cut(position));
        }
        let copied = self.copy_to_new_file(&*log.file()?, &old, position)?;
        let segments = self.segments.load();
        let kept = self.rewalk(&old, &copied, position)?;
        self.install(writer, &segments, segments.len() - 1, kept);
        Ok(())
    }

    fn copy_to_new_file(
        &self,
        from: &dyn StorageFile,
        old: &Segment,
        len: u64,
    ) -> Result<Arc<LogFile>, LogError> {
        let path = old.log().path();
        let temporary = path.with_extension("log.tmp");
        let copy = || {
            let to = self.storage().open(&temporary, Access::Create)?;
            to.truncate(0)?;
            let mut position = 0;
            let mut buffer = vec![0; COPY_BYTES];
            while position < len {
                let part =
                    &mut buffer[..usize::try_from(len - position).unwrap_or(usize::MAX).min(COPY_BYTES)];
                read_exact_at(from, part, position)?;
                write_all_at(&*to, &mut [IoSlice::new(part)], position)?;
                position += part.len() as u64;
            }
            to.sync_data()?;
            self.storage().rename(&temporary, path)?;
            Ok(to)
        };
        let file = copy().map_err(|error| self.io("copy", path, error))?;
        Ok(LogFile::created(self.shared.clone(), path.to_owned(), file))
    }

    fn remove_files(&self, base: Offset) -> Result<(), LogError> {
        for suffix in [suffix::OFFSET_INDEX, suffix::TIME_INDEX, suffix::TXN_INDEX, suffix::LOG] {
            let path = segment_path(&self.directory, base, suffix);
            remove_if_present(self.storage(), &path).map_err(|error| self.io("remove", &path, error))?;
        }
        Ok(())
    }

    /// Epochs, transactions and producers as they were at `end`.
    fn forget_behind(
        &self,
        background: &mut Background,
        writer: &mut Writer,
        end: Offset,
    ) -> Result<(), LogError> {
        self.epochs.write().truncate_from_end(end);
        writer.latest_epoch = self.epochs.read().latest().map(|latest| latest.epoch);
        self.transactions.keep(self.log_start_offset(), end);
        let base = writer.active.base_offset();
        self.transactions.rewrite_file(self.storage(), &self.directory, (base, end))?;
        let snapshots = self.snapshots_up_to(end)?;
        let segments = self.segments.load();
        let replay = Replay {
            shared: &self.shared,
            directory: &self.directory,
            log_end: end,
            snapshots: &snapshots,
            txn_indexes: &[],
            segments: &segments,
        };
        writer.producers = replay.run(&self.transactions)?;
        replay.remove_stray_snapshots(background)?;
        self.last_stable.truncate_to(end, writer.producers.first_undecided_offset());
        Ok(())
    }

    /// The snapshots on disk that are not behind `end`; the others are removed.
    fn snapshots_up_to(&self, end: Offset) -> Result<Vec<Offset>, LogError> {
        let entries = self.storage().list(&self.directory);
        let entries = entries.map_err(|error| self.io("list", &self.directory, error))?;
        let named = |name: &str| crate::segment::base_offset_of(name, suffix::SNAPSHOT);
        let mut snapshots: Vec<Offset> = entries.iter().filter_map(|entry| named(&entry.name)).collect();
        snapshots.sort_unstable();
        let kept = snapshots.partition_point(|offset| *offset <= end);
        for offset in snapshots.split_off(kept) {
            let path = segment_path(&self.directory, offset, suffix::SNAPSHOT);
            remove_if_present(self.storage(), &path).map_err(|error| self.io("remove", &path, error))?;
        }
        Ok(snapshots)
    }
}

/// The last segment after a cut.
pub(crate) struct Rewalked {
    pub(crate) segment: Segment,
    pub(crate) largest: TimestampOffset,
    pub(crate) bytes_since_index_entry: u64,
}
