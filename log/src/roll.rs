//! When the active segment ends, and the swap to the next one.
//!
//! By size, by the time between the first and the new batch, by a full index, or when an offset would not fit the indexes
//! any more: Kafka's rules. The next file was created ahead of need, so that a roll is one rename and one pointer; what
//! the old segment still needs is left to [`Log::prepare_next`]. Nothing is synced here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_protocol::Offset;
use ottla_protocol::records::BatchHeader;

use crate::config::LogConfig;
use crate::error::LogError;
use crate::log::Log;
use crate::maintenance::{NEXT_PREPARED, Sealing};
use crate::producer_snapshot;
use crate::segment::{LogFile, Segment, segment_path, suffix};
use crate::storage::Access;
use crate::time_index::TimestampOffset;
use crate::writer::Writer;

impl Log {
    /// Ends the active segment and begins one at the log end. The files of the old one are completed by
    /// [`Log::prepare_next`].
    pub fn roll(&self, now_ms: i64) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        self.check_writable(&writer)?;
        let (size, end) = writer.active.end();
        if size == 0 {
            return Ok(());
        }
        let config = self.config.load();
        self.roll_to(&mut writer, &config, end, now_ms)
    }

    pub(crate) fn roll_to(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        base_offset: Offset,
        now_ms: i64,
    ) -> Result<(), LogError> {
        let path = segment_path(&self.directory, base_offset, suffix::LOG);
        let file = match writer.prepared.take() {
            Some(file) => {
                let renamed = self.storage().rename(&self.directory.join(NEXT_PREPARED), &path);
                renamed.map_err(|error| self.io("name", &path, error))?;
                file
            }
            None => {
                let file = self.storage().open(&path, Access::Create);
                let file = file.map_err(|error| self.io("create", &path, error))?;
                if config.preallocate {
                    // An empty file that is no segment would stand between two that are.
                    file.preallocate(segment_bytes_max(config)).map_err(|error| {
                        let removed = self.storage().remove(&path);
                        self.io("preallocate", &path, removed.err().unwrap_or(error))
                    })?;
                }
                file
            }
        };
        let old = writer.active.clone();
        old.time_index().append_if_later(writer.largest);
        let snapshot = producer_snapshot::encode(writer.producers.entries());
        writer.sealing.push(Sealing { segment: old, snapshot, snapshot_offset: base_offset });
        let log = LogFile::created(self.shared.clone(), path, file);
        let active = Arc::new(Segment::empty(base_offset, log, now_ms));
        self.segments.store(Arc::new(self.segments.load().with_appended(active.clone())));
        writer.largest = TimestampOffset { timestamp: -1, offset: base_offset };
        writer.bytes_since_index_entry = 0;
        writer.active = active;
        // A leader's log end is where it was; a replica may jump over a gap that compaction left.
        self.log_end.fetch_max(base_offset.get(), Ordering::AcqRel);
        self.wants_preparation.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Kafka's positions are 31 bits wide, and the last batch must begin and end below them.
pub(crate) fn segment_bytes_max(config: &LogConfig) -> u64 {
    config.segment_bytes.min(i32::MAX as u64)
}

/// Whether a batch that would begin at `base_offset` in the segment of `size` bytes belongs into the next one.
pub(crate) fn should_roll(
    active: &Segment,
    config: &LogConfig,
    (size, base_offset): (u64, Offset),
    header: &BatchHeader,
    now_ms: i64,
) -> bool {
    let last_offset = base_offset + header.last_offset_delta;
    if (last_offset - active.base_offset()).get() > i64::from(i32::MAX) {
        return true;
    }
    if size == 0 {
        return false;
    }
    size + header.size_in_bytes() as u64 > segment_bytes_max(config)
        || active.offset_index().is_full(config.segment_index_bytes)
        || active.time_index().is_full(config.segment_index_bytes)
        || waited_ms(active, header.max_timestamp, now_ms) > segment_ms(config, active.base_offset())
}

/// How old the segment is: by the timestamps of its first and of the new batch, or by the clock if it has none.
fn waited_ms(active: &Segment, timestamp: i64, now_ms: i64) -> i64 {
    match active.first_timestamp() {
        Ok(Some(first)) if first >= 0 => timestamp.saturating_sub(first),
        _ => now_ms.saturating_sub(active.created_ms()),
    }
}

/// `segment.ms` less a jitter that differs from segment to segment and is the same after a restart.
fn segment_ms(config: &LogConfig, base_offset: Offset) -> i64 {
    let scattered = (base_offset.get() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let jitter = scattered.checked_rem(config.segment_jitter_ms).unwrap_or(0);
    // A record that must be compacted in time must leave the active segment in time (KIP-354).
    let age_max = match config.cleanup_compact && config.max_compaction_lag_ms > 0 {
        true => config.segment_ms.min(config.max_compaction_lag_ms),
        false => config.segment_ms,
    };
    i64::try_from(age_max.saturating_sub(jitter)).unwrap_or(i64::MAX)
}
