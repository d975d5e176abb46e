//! A segment as far as opening could read it: what was taken in, and what was wrong with the next batch.
//!
//! It reads nothing itself; `recovery` hands it one batch after another. Invariant: size, offsets, epoch and indexes are
//! those of the batches that were taken.

use ottla_protocol::records::{BatchHeader, NO_TIMESTAMP};
use ottla_protocol::{LeaderEpoch, Offset};

use crate::config::LogConfig;
use crate::epoch_cache::EpochCache;
use crate::error::LogError;
use crate::segment::Segment;
use crate::time_index::TimestampOffset;

/// A segment as far as it could be read, its indexes on the heap.
pub(crate) struct Walked {
    pub(crate) segment: Segment,
    pub(crate) largest: TimestampOffset,
    pub(crate) bytes_since_index_entry: u64,
    pub(crate) size: u64,
    pub(crate) next_offset: Offset,
    /// The epoch of the last batch that was walked, here or in the segment before.
    pub(crate) latest_epoch: Option<LeaderEpoch>,
    pub(crate) damage: Option<String>,
    /// Zeros up to the end of the file, behind the last batch and what is damaged.
    pub(crate) room_bytes: u64,
}

impl Walked {
    pub(crate) fn new(segment: Segment) -> Self {
        let base = segment.base_offset();
        Self {
            segment,
            largest: TimestampOffset { timestamp: NO_TIMESTAMP, offset: base },
            bytes_since_index_entry: 0,
            size: 0,
            next_offset: base,
            latest_epoch: None,
            damage: None,
            room_bytes: 0,
        }
    }

    pub(crate) fn take(&mut self, header: &BatchHeader, position: u64, config: &LogConfig) {
        self.segment.index_batch(
            header,
            (position, header.last_offset()),
            &mut self.largest,
            &mut self.bytes_since_index_entry,
            config.index_interval_bytes,
        );
        self.size = position + header.size_in_bytes() as u64;
        self.next_offset = header.next_offset();
        self.latest_epoch = header.partition_leader_epoch.or(self.latest_epoch);
    }
}

pub(crate) fn note_epoch(epochs: &mut EpochCache, header: &BatchHeader) {
    if let Some(epoch) = header.partition_leader_epoch {
        epochs.assign(epoch, header.base_offset);
    }
}

pub(crate) fn note_epochs(epochs: &mut EpochCache, segment: &Segment) -> Result<(), LogError> {
    let mut scan = segment.scan_from(0)?;
    while let Some(found) = scan.next()? {
        note_epoch(epochs, &found.header);
    }
    Ok(())
}
