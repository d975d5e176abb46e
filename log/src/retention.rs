//! Letting go of the oldest segments: by age, by size, or because their records were deleted by request.
//!
//! A segment leaves the list first, then its files are renamed `.deleted`, then, after `file.delete.delay.ms`, unlinked;
//! slices that were read before keep their file open. Nothing at or above the high watermark is deleted, and the active
//! segment only after it was rolled. It does not compact. Invariant: the log start is raised before a segment leaves.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_protocol::Offset;

use crate::config::LogConfig;
use crate::error::LogError;
use crate::log::Log;
use crate::maintenance::Background;
use crate::segment::{Segment, segment_path, suffix};
use crate::storage::remove_if_present;

/// A file that waits for its removal.
#[derive(Debug)]
pub(crate) struct Retired {
    path: PathBuf,
    due_ms: i64,
}

/// What a retention run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Segments that left the log.
    pub deleted_segments: usize,
    /// Their size in bytes, without indexes.
    pub deleted_bytes: u64,
}

impl Log {
    /// Deletes what the settings do not retain, removes retired files whose delay is over, and forgets silent producers.
    pub fn retain(&self, now_ms: i64, high_watermark: Offset) -> Result<Retained, LogError> {
        let mut background = self.background.lock();
        self.check_open()?;
        self.seal_rolled(&mut background)?;
        self.unlink_retired(&mut background, now_ms)?;
        let config = self.config.load_full();
        self.writer.lock().producers.expire(now_ms, config.producer_id_expiration_ms);
        if self.whole_log_is_expired(&config, now_ms, high_watermark)? {
            self.roll(now_ms)?;
            self.seal_rolled(&mut background)?;
        }
        let count = self.deletable(&config, now_ms, high_watermark)?;
        self.drop_first(&mut background, count, now_ms)
    }

    /// Deletes all records before `before`, which must not be above the high watermark, and returns the log start. What
    /// shares a segment with later records stays on disk but is not readable any more, also after a crash.
    pub fn delete_records(&self, before: Offset, now_ms: i64) -> Result<Offset, LogError> {
        let mut background = self.background.lock();
        self.check_open()?;
        let before = before.min(self.log_end_offset());
        if before > self.log_start_offset() {
            self.shared.write_log_start(&self.partition, before)?;
            self.raise_log_start(before);
        }
        self.seal_rolled(&mut background)?;
        let start = self.log_start_offset();
        let segments = self.segments.load();
        let count = segments.iter().skip(1).take_while(|next| next.base_offset() <= start).count();
        drop(segments);
        self.drop_first(&mut background, count, now_ms)?;
        Ok(start)
    }

    fn raise_log_start(&self, start: Offset) {
        self.log_start.fetch_max(start.get(), Ordering::AcqRel);
        self.epochs.write().truncate_from_start(start);
        self.transactions.keep(start, Offset::MAX);
    }

    /// How many of the oldest segments may go. The active one never does.
    fn deletable(&self, config: &LogConfig, now_ms: i64, high_watermark: Offset) -> Result<usize, LogError> {
        let segments = self.segments.load();
        let start = self.log_start_offset();
        let mut size: u64 = segments.iter().map(|segment| segment.size()).sum();
        let mut count = 0;
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            let end = next.base_offset();
            let is_over_size = config.cleanup_delete
                && config.retention_bytes.is_some_and(|bytes_max| size - segment.size() >= bytes_max);
            if end > high_watermark || !(end <= start || is_over_size || is_expired(segment, config, now_ms)?)
            {
                break;
            }
            size -= segment.size();
            count += 1;
        }
        Ok(count)
    }

    fn whole_log_is_expired(
        &self,
        config: &LogConfig,
        now_ms: i64,
        high_watermark: Offset,
    ) -> Result<bool, LogError> {
        let segments = self.segments.load();
        let active = segments.active();
        let (size, end) = active.end();
        Ok(size > 0
            && end <= high_watermark
            && is_expired(active, config, now_ms)?
            && self.deletable(config, now_ms, high_watermark)? == segments.len() - 1)
    }

    fn drop_first(
        &self,
        background: &mut Background,
        count: usize,
        now_ms: i64,
    ) -> Result<Retained, LogError> {
        if count == 0 {
            return Ok(Retained::default());
        }
        let dropped: Vec<Arc<Segment>> = {
            let _writer = self.writer.lock();
            let segments = self.segments.load();
            let dropped = segments.iter().take(count).cloned().collect();
            let rest = segments.without_first(count);
            self.raise_log_start(rest.first().base_offset());
            self.segments.store(Arc::new(rest));
            dropped
        };
        let mut retained = Retained::default();
        let due_ms = now_ms.saturating_add_unsigned(self.config.load().file_delete_delay_ms);
        for segment in dropped {
            retained.deleted_segments += 1;
            retained.deleted_bytes += segment.size();
            self.retire(background, segment.base_offset(), due_ms)?;
        }
        Ok(retained)
    }

    /// Renames the files of a segment that has left the list.
    pub(crate) fn retire(
        &self,
        background: &mut Background,
        base: Offset,
        due_ms: i64,
    ) -> Result<(), LogError> {
        // The log file last: a crash in between leaves a segment whose indexes are rebuilt, not indexes without a log.
        let suffixes =
            [suffix::OFFSET_INDEX, suffix::TIME_INDEX, suffix::TXN_INDEX, suffix::SNAPSHOT, suffix::LOG];
        self.retire_files(background, base, &suffixes, due_ms)
    }

    /// Renames these files of a segment, in this order.
    pub(crate) fn retire_files(
        &self,
        background: &mut Background,
        base: Offset,
        suffixes: &[&str],
        due_ms: i64,
    ) -> Result<(), LogError> {
        for suffix in suffixes {
            let path = segment_path(&self.directory, base, suffix);
            let mut retired = path.clone().into_os_string();
            retired.push(suffix::DELETED);
            match self.storage().rename(&path, retired.as_ref()) {
                Ok(()) => background.retired.push(Retired { path: retired.into(), due_ms }),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.io("retire", &path, error)),
            }
        }
        Ok(())
    }

    /// Removes the retired files whose delay is over.
    pub(crate) fn unlink_retired(&self, background: &mut Background, now_ms: i64) -> Result<(), LogError> {
        let (due, waiting) =
            std::mem::take(&mut background.retired).into_iter().partition(|retired| retired.due_ms <= now_ms);
        background.retired = waiting;
        due.into_iter().try_for_each(|retired: Retired| {
            remove_if_present(self.storage(), &retired.path)
                .map_err(|error| self.io("remove", &retired.path, error))
        })
    }
}

/// Whether even the newest record is too old. A segment without timestamps is as old as its file.
fn is_expired(segment: &Segment, config: &LogConfig, now_ms: i64) -> Result<bool, LogError> {
    let Some(retention_ms) = config.retention_ms.filter(|_| config.cleanup_delete) else {
        return Ok(false);
    };
    let newest = segment.largest_timestamp()?.map_or(segment.created_ms(), |largest| largest.timestamp);
    Ok(u64::try_from(now_ms.saturating_sub(newest)).is_ok_and(|age| age > retention_ms))
}
