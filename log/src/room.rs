//! Room made ahead: zeros behind the last batch of a log that is synced after every few records.
//!
//! An fsync of a file that has grown commits the file system's journal; one of a file whose bytes were overwritten writes
//! those bytes and nothing else. So the active segment is filled with zeros before it is appended to, in the background and
//! never as a condition: an append that has caught up makes its file longer as ever. Nobody else is to know: what is read,
//! sent, retained and reported goes by the published size, a file that is not appended to any more is cut back to it, and
//! recovery tells zeros from records. It is not `preallocate`, whose extents are unwritten: their first write is a change
//! of the journal, too. Invariant: zeros are written behind the published size only, with the partition's lock held.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::MutexGuard;

use crate::config::LogConfig;
use crate::error::LogError;
use crate::log::Log;
use crate::roll::segment_bytes_max;
use crate::segment::Segment;
use crate::storage::{StorageFile, write_all_at};

/// Logs that may leave more records than this to be synced later have no room made for them.
const FLUSH_MESSAGES_MAX: u64 = 16;
/// Behind a sync of more bytes than this the journal's commit hardly counts, and the zeros would.
const SYNC_BYTES_MAX: u64 = 64 << 10;
/// A segment that is smaller has not shown yet that room pays.
const SIZE_MIN: u64 = 16 << 10;
/// Room grows with the segment, between these: a commit for every 4 MiB is rare enough, and no disk is filled by it.
const ROOM_BYTES_MIN: u64 = 64 << 10;
const ROOM_BYTES_MAX: u64 = 4 << 20;
/// What an append may have to wait for: one write of this many bytes to the page cache.
const PIECE_BYTES: u64 = 64 << 10;
/// On a disk with less space than so many times the room none is made.
const FREE_SHARE: u64 = 64;

static ZEROS: [u8; PIECE_BYTES as usize] = [0; PIECE_BYTES as usize];

/// What is known of the zeros behind a file's last batch.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// The file may reach up to here, or up to its last batch if that is further. Changed with the partition's lock held.
    end: AtomicU64,
    /// Below this size no room is asked for: there was no space on the disk.
    refused_below: AtomicU64,
    /// What the last sync found to write; 0 before the first.
    last_sync_bytes: AtomicU64,
}

impl Room {
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn note_sync_of(&self, bytes: u64) {
        self.last_sync_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The file was cut where its last batch ends.
    pub(crate) fn note_cut(&self) {
        self.end.store(0, Ordering::Release);
    }
}

/// Whether room should be made for the next appends to this segment.
pub(crate) fn is_wanted(active: &Segment, config: &LogConfig) -> bool {
    config.flush_messages <= FLUSH_MESSAGES_MAX && wanted(active, config).is_some()
}

/// The bytes of room that the segment should have and where they end, if half of them is used up.
fn wanted(active: &Segment, config: &LogConfig) -> Option<(u64, u64)> {
    let (size, room, limit) = (active.size(), active.log().room(), segment_bytes_max(config));
    let is_worth_it = size >= SIZE_MIN.min(limit / 8)
        && (1..=SYNC_BYTES_MAX).contains(&room.last_sync_bytes.load(Ordering::Relaxed))
        && size >= room.refused_below.load(Ordering::Relaxed);
    let bytes = size.clamp(ROOM_BYTES_MIN, ROOM_BYTES_MAX);
    let end = room.end().max(size);
    let is_used_up = end - size < bytes / 2 && end < limit;
    (is_worth_it && is_used_up).then(|| (bytes, (size + bytes).next_multiple_of(PIECE_BYTES).min(limit)))
}

impl Log {
    /// Fills the active segment with zeros ahead of its appends. That there is no space for it is no failure.
    pub(crate) fn make_room(&self) -> Result<(), LogError> {
        // Nobody seals, cuts or closes a segment meanwhile; it may be rolled.
        let _background = self.background.lock();
        self.check_open()?;
        let active = self.writer.lock().active.clone();
        let Some((bytes, end)) = wanted(&active, &self.config.load()) else {
            return Ok(());
        };
        let refuse = || active.log().room().refused_below.store(active.size() + bytes, Ordering::Relaxed);
        let has_space =
            self.storage().free_bytes(&self.directory).is_ok_and(|free| free / FREE_SHARE >= bytes);
        let (true, Ok(file)) = (has_space, active.log().file()) else {
            refuse();
            return Ok(());
        };
        loop {
            match self.fill_piece(&active, &*file, end) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::debug!(log = %self.partition, %error, "no room was made ahead");
                    refuse();
                    break;
                }
            }
        }
        let synced = file.sync_data().map_err(|error| self.io("sync", active.log().path(), error));
        self.shared.durable(synced)
    }

    /// Writes the next zeros below `end`; false if there is nothing to fill any more.
    fn fill_piece(&self, active: &Arc<Segment>, file: &dyn StorageFile, end: u64) -> std::io::Result<bool> {
        // An append meanwhile would be overwritten.
        let writer = self.writer.lock();
        let room = active.log().room();
        let from = room.end().max(active.size());
        if from >= end || writer.refusal.is_some() || !Arc::ptr_eq(&writer.active, active) {
            return Ok(false);
        }
        let to = (from + 1).next_multiple_of(PIECE_BYTES).min(end);
        // First, so that what a failed write has left is cut off with the rest.
        room.end.store(to, Ordering::Release);
        let written = write_all_at(file, &mut [IoSlice::new(&ZEROS[..(to - from) as usize])], from);
        if written.is_err() && file.truncate(from).is_ok() {
            room.end.store(from, Ordering::Release);
        }
        // An append that waits is next, not we again.
        MutexGuard::unlock_fair(writer);
        written.map(|()| true)
    }
}
