//! The side of a log that only the holder of the partition's lock touches.
//!
//! Readers see none of it; what they may know is published through the segment and the log's atomics. It does no I/O.

use std::sync::Arc;

use ottla_protocol::records::STAMPED_PREFIX_BYTES;
use ottla_protocol::{LeaderEpoch, Offset};
use parking_lot::RwLock;

use crate::epoch_cache::EpochCache;
use crate::error::LogError;
use crate::maintenance::Sealing;
use crate::producer_state::{CompletedTransaction, ProducerState, Undo};
use crate::segment::Segment;
use crate::storage::StorageFile;
use crate::time_index::TimestampOffset;

/// What only the holder of the partition's lock touches.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) active: Arc<Segment>,
    pub(crate) largest: TimestampOffset,
    pub(crate) bytes_since_index_entry: u64,
    pub(crate) latest_epoch: Option<LeaderEpoch>,
    pub(crate) producers: ProducerState,
    /// The next segment's file, not named yet.
    pub(crate) prepared: Option<Arc<dyn StorageFile>>,
    pub(crate) sealing: Vec<Sealing>,
    /// Why nothing can be appended any more.
    pub(crate) refusal: Option<LogError>,
    pub(crate) members: Vec<Member>,
    pub(crate) undos: Vec<Undo>,
}

/// A batch of the group that is about to be written.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its place in the round.
    pub(crate) pending: usize,
    /// The sixteen bytes that are written in place of its first.
    pub(crate) prefix: [u8; STAMPED_PREFIX_BYTES],
    pub(crate) base_offset: Offset,
    pub(crate) position: u64,
    /// The transaction that it ends, and whether by a commit.
    pub(crate) ended: Option<(CompletedTransaction, bool)>,
}

impl Writer {
    pub(crate) fn new(
        active: Arc<Segment>,
        largest: TimestampOffset,
        bytes_since_index_entry: u64,
        latest_epoch: Option<LeaderEpoch>,
        producers: ProducerState,
    ) -> Self {
        Self {
            active,
            largest,
            bytes_since_index_entry,
            latest_epoch,
            producers,
            prepared: None,
            sealing: Vec::new(),
            refusal: None,
            members: Vec::new(),
            undos: Vec::new(),
        }
    }

    pub(crate) fn note_epoch(
        &mut self,
        epochs: &RwLock<EpochCache>,
        epoch: LeaderEpoch,
        start: Offset,
    ) -> bool {
        if self.latest_epoch.is_some_and(|latest| latest >= epoch) {
            return false;
        }
        self.latest_epoch = Some(epoch);
        epochs.write().assign(epoch, start)
    }
}
