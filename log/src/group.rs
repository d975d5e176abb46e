//! Writing what has gathered: check, stamp, one `pwritev`, index, publish, all under the partition's lock.
//!
//! A batch's bytes are not copied: its first sixteen are stamped on the side and the rest is written from where it came.
//! Nothing here verifies a checksum (that is `ValidBatch`'s word) or decides who may append. Invariant: the log end is
//! published after the bytes were written and indexed; after a failure no byte of the group is left in the log.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_protocol::records::{ControlRecord, OutputLimit, STAMPED_PREFIX_BYTES, ValidBatch};
use ottla_protocol::{LeaderEpoch, Offset, OffsetDelta};

use crate::append::{Appended, Pending, Stamping};
use crate::config::{LogConfig, MessageTimestampType};
use crate::error::{AppendError, LogError, is_disk_full};
use crate::log::Log;
use crate::offset_index::can_be_indexed;
use crate::producer_state::{CompletedTransaction, Verdict};
use crate::roll::{segment_bytes_max, should_roll};
use crate::room;
use crate::storage::{StorageFile, write_all_at};
use crate::txn_index::AbortedTransaction;
use crate::writer::{Member, Writer};

/// Batches of one write; each is two of the kernel's at most 1024 parts.
const BATCHES_PER_WRITE: usize = 128;
/// A group is written once it is this large, so that the callbacks of its first batches need not wait for its last.
const BYTES_PER_WRITE: u64 = 4 << 20;

impl Log {
    /// Appends a round of batches in as few writes as their sizes and the rolls between them allow, and gives each its
    /// outcome.
    pub(crate) fn append_round(&self, round: &mut [Pending]) {
        /// A contradiction found half-way leaves a state that nothing may be appended to.
        struct Contradiction<'a>(&'a Log);
        impl Drop for Contradiction<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.is_contradictory.store(true, Ordering::Release);
                }
            }
        }
        let mut writer = self.writer.lock();
        let _contradiction = Contradiction(self);
        let config = self.config.load();
        self.check_invariants();
        let mut next = 0;
        while next < round.len() {
            next = self.append_group(&mut writer, &config, round, next);
        }
        self.check_invariants();
        assert_eq!(
            writer.active.end().1,
            self.log_end_offset(),
            "the active segment ends where the log ends"
        );
        if writer.prepared.is_none() && writer.active.size() > config.segment_bytes / 2 {
            self.wants_preparation.store(true, Ordering::Relaxed);
        }
        if room::is_wanted(&writer.active, &config) {
            self.wants_room.store(true, Ordering::Relaxed);
        }
    }

    /// Appends batches of the round from `from` on with one write; the first that it left over.
    fn append_group(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        round: &mut [Pending],
        from: usize,
    ) -> usize {
        if let Err(refusal) = self.check_writable(writer) {
            for pending in &mut round[from..] {
                pending.outcome = Some(Err(refusal.clone().into()));
            }
            return round.len();
        }
        writer.members.clear();
        writer.undos.clear();
        let (mut position, mut end) = writer.active.end();
        let mut latest_epoch = writer.latest_epoch;
        let group_position = position;
        let mut next = from;
        while next < round.len()
            && writer.members.len() < BATCHES_PER_WRITE
            && position - group_position < BYTES_PER_WRITE
        {
            let pending = &mut round[next];
            match self.admit(writer, config, pending, (end, latest_epoch)) {
                Ok(Some(appended)) => pending.outcome = Some(Ok(appended)),
                Err(error) => pending.outcome = Some(Err(error)),
                Ok(None) => {
                    let base_offset = match pending.stamping {
                        Stamping::Assign { .. } => end,
                        Stamping::Keep => pending.batch.header().base_offset,
                    };
                    let header = pending.batch.header();
                    if should_roll(&writer.active, config, (position, base_offset), header, pending.now_ms) {
                        if !writer.members.is_empty() {
                            break;
                        }
                        // Where the log ends, although a replica's batch may begin further on; unless that is too far.
                        let is_near = can_be_indexed(end, base_offset + header.last_offset_delta);
                        let segment_base = if is_near { end } else { base_offset };
                        if let Err(error) = self.roll_to(writer, config, segment_base, pending.now_ms) {
                            pending.outcome = Some(Err(error.into()));
                            next += 1;
                            continue;
                        }
                        return next;
                    }
                    let size = pending.batch.size_in_bytes() as u64;
                    self.enlist(writer, pending, next, (position, base_offset));
                    latest_epoch = latest_epoch.max(pending.leader_epoch());
                    position += size;
                    end = base_offset + pending.batch.header().last_offset_delta + OffsetDelta::new(1);
                }
            }
            next += 1;
        }
        if !writer.members.is_empty() {
            self.write_group(writer, config, &mut round[from..next], (from, group_position), (position, end));
        }
        next
    }

    pub(crate) fn check_writable(&self, writer: &Writer) -> Result<(), LogError> {
        self.shared.check_alive()?;
        if self.is_contradictory.load(Ordering::Acquire) {
            let (position, offset) = writer.active.end();
            let path = writer.active.log().path().to_owned();
            let reason = "an assertion about the log's own state failed".to_owned();
            return Err(LogError::Poisoned(Arc::new(LogError::Corrupt { path, position, offset, reason })));
        }
        writer.refusal.clone().map_or(Ok(()), Err)
    }

    /// `None` if the batch is to be appended, what to answer if it is a duplicate.
    fn admit(
        &self,
        writer: &Writer,
        config: &LogConfig,
        pending: &Pending,
        (end, latest_epoch): (Offset, Option<LeaderEpoch>),
    ) -> Result<Option<Appended>, AppendError> {
        let header = pending.batch.header();
        if let (Some(epoch), Some(current)) = (pending.leader_epoch(), latest_epoch)
            && epoch < current
        {
            return Err(AppendError::StaleLeaderEpoch { epoch, current });
        }
        let Stamping::Assign { origin, .. } = pending.stamping else {
            if header.base_offset < end {
                let log_end_offset = end;
                return Err(AppendError::OffsetsOutOfOrder {
                    base_offset: header.base_offset,
                    log_end_offset,
                });
            }
            return Ok(None);
        };
        let (bytes, segment_bytes) = (pending.batch.size_in_bytes(), segment_bytes_max(config));
        if bytes as u64 > segment_bytes {
            return Err(AppendError::LargerThanSegment { bytes, segment_bytes });
        }
        if let (Some(producer), Some((_, coordinator_epoch))) = (header.producer, end_marker(&pending.batch))
        {
            writer.producers.check_marker(producer.id, coordinator_epoch)?;
        }
        match writer.producers.check(header, origin)? {
            Verdict::Append => Ok(None),
            Verdict::Duplicate(batch) => Ok(Some(Appended {
                base_offset: batch.base_offset(),
                last_offset: batch.last_offset,
                log_append_time: log_append_time(config, batch.timestamp),
                log_start_offset: self.log_start_offset(),
                duplicate: true,
            })),
        }
    }

    /// Makes the batch a member of the group, and its producer's newest.
    fn enlist(
        &self,
        writer: &mut Writer,
        pending: &Pending,
        index: usize,
        (position, base_offset): (u64, Offset),
    ) {
        let header = pending.batch.header();
        let prefix = match pending.stamping {
            Stamping::Assign { leader_epoch, .. } => pending.batch.stamped_prefix(base_offset, leader_epoch),
            Stamping::Keep => {
                *pending.batch.bytes().first_chunk().expect("a batch is longer than its prefix")
            }
        };
        let mut ended = None;
        let undo = match (header.producer, end_marker(&pending.batch)) {
            (Some(producer), Some((committed, coordinator_epoch))) => {
                let (undo, completed) = writer.producers.note_marker(
                    producer,
                    coordinator_epoch,
                    header.max_timestamp,
                    base_offset,
                );
                ended = completed.map(|completed| (completed, committed));
                Some(undo)
            }
            _ => writer.producers.note_batch(header, base_offset),
        };
        writer.undos.extend(undo);
        writer.members.push(Member { pending: index, prefix, base_offset, position, ended });
    }

    /// Writes the members and publishes them, or undoes them all.
    fn write_group(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        round: &mut [Pending],
        (from, group_position): (usize, u64),
        (position, end): (u64, Offset),
    ) {
        let active = writer.active.clone();
        let written = active.log().file().and_then(|file| {
            let mut parts = [IoSlice::new(&[]); 2 * BATCHES_PER_WRITE];
            for (member, parts) in writer.members.iter().zip(parts.chunks_exact_mut(2)) {
                let bytes = round[member.pending - from].batch.bytes();
                parts[0] = IoSlice::new(&member.prefix);
                parts[1] = IoSlice::new(&bytes[STAMPED_PREFIX_BYTES..]);
            }
            write_all_at(&*file, &mut parts[..2 * writer.members.len()], group_position)
                .map_err(|error| self.cut_failed_write(&*file, group_position, writer, error))
        });
        if let Err(error) = written {
            while let Some(undo) = writer.undos.pop() {
                writer.producers.undo(undo);
            }
            let group_offset = self.log_end_offset();
            for pending in round {
                // A duplicate of a batch that was not written is not written either.
                if !matches!(&pending.outcome, Some(Ok(found)) if found.base_offset < group_offset)
                    && !matches!(&pending.outcome, Some(Err(_)))
                {
                    pending.outcome = Some(Err(error.clone().into()));
                }
            }
            return;
        }
        let members = std::mem::take(&mut writer.members);
        for member in &members {
            let pending = &mut round[member.pending - from];
            let header = pending.batch.header();
            let last_offset = member.base_offset + header.last_offset_delta;
            let mut largest = writer.largest;
            active.index_batch(
                header,
                (member.position, last_offset),
                &mut largest,
                &mut writer.bytes_since_index_entry,
                config.index_interval_bytes,
            );
            writer.largest = largest;
            if let Some(epoch) = pending.leader_epoch() {
                writer.note_epoch(&self.epochs, epoch, member.base_offset);
            }
            pending.outcome = Some(Ok(Appended {
                base_offset: member.base_offset,
                last_offset,
                log_append_time: log_append_time(config, header.max_timestamp),
                log_start_offset: self.log_start_offset(),
                duplicate: false,
            }));
        }
        self.publish(writer, &members, round[0].now_ms, (position, end));
        writer.members = members;
    }

    /// Tells the readers: transactions that began first, then the segment, then the log end, then transactions that ended.
    fn publish(&self, writer: &mut Writer, members: &[Member], now_ms: i64, (position, end): (u64, Offset)) {
        for (completed, committed) in members.iter().filter_map(|member| member.ended) {
            self.last_stable.complete(completed.first_offset, completed.last_offset);
            if !committed {
                self.note_aborted(writer, completed);
            }
        }
        self.last_stable.publish_undecided(writer.producers.first_undecided_offset());
        if self.durable_end_offset() == self.log_end_offset() {
            self.dirty_since_ms.store(now_ms, Ordering::Relaxed);
        }
        writer.active.publish_largest(writer.largest);
        writer.active.publish(position, end);
        self.log_end.store(end.get(), Ordering::Release);
    }

    fn note_aborted(&self, writer: &mut Writer, completed: CompletedTransaction) {
        let aborted = AbortedTransaction {
            producer_id: completed.producer_id,
            first_offset: completed.first_offset,
            last_offset: completed.last_offset,
            last_stable_offset: completed.last_stable_offset,
        };
        let base = writer.active.base_offset();
        let written = self.transactions.append_to_file(self.storage(), &self.directory, base, &aborted);
        self.transactions.insert(aborted);
        if let Err(error) = written {
            // The marker is in the log and recovery finds it there; appending on would leave a hole in the file.
            writer.refusal = Some(LogError::Poisoned(Arc::new(error)));
        }
    }

    /// Takes a failed write back. A full disk is survived; anything else ends the log.
    fn cut_failed_write(
        &self,
        file: &dyn StorageFile,
        position: u64,
        writer: &mut Writer,
        error: std::io::Error,
    ) -> LogError {
        let is_full = is_disk_full(&error);
        let failure = LogError::io("append to", writer.active.log().path(), error);
        let cut = file.truncate(position);
        writer.active.log().room().note_cut();
        if cut.is_err() || !is_full {
            writer.refusal = Some(LogError::Poisoned(Arc::new(failure.clone())));
        }
        failure
    }
}

fn log_append_time(config: &LogConfig, timestamp: i64) -> Option<i64> {
    (config.message_timestamp_type == MessageTimestampType::LogAppendTime).then_some(timestamp)
}

/// Whether a transaction was committed, and its coordinator's epoch, if the batch is a transaction marker.
pub(crate) fn end_marker(batch: &ValidBatch) -> Option<(bool, i32)> {
    if !batch.header().attributes.is_control() {
        return None;
    }
    // A marker is a record of a few bytes; a control batch that unpacks to more is none.
    let record = batch.records(OutputLimit::new(1 << 10)).ok()?.next()?.ok()?;
    match ControlRecord::parse(&record)? {
        ControlRecord::EndTransaction { committed, coordinator_epoch } => {
            Some((committed, coordinator_epoch))
        }
        ControlRecord::Other { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ottla_protocol::records::{BatchBuilder, Compression, Rules};
    use ottla_protocol::{PartitionIndex, TopicName, TopicPartition};

    use super::*;
    use crate::directory_state::DirectoryState;
    use crate::storage::{MemoryStorage, Storage};

    #[test]
    fn a_log_that_contradicts_itself_takes_no_more_appends_and_is_not_closed_cleanly() {
        let storage = Arc::new(MemoryStorage::new());
        storage.create_directory(Path::new("/d/t-0")).unwrap();
        let shared = DirectoryState::new(
            storage,
            Path::new("/d"),
            Default::default(),
            Default::default(),
            Default::default(),
        );
        let partition = TopicPartition::new(TopicName::new("t").unwrap(), PartitionIndex::new(0));
        let (log, _) =
            Log::open(partition, "/d/t-0".into(), Arc::new(shared), Arc::default(), false, 0).unwrap();
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(0, None, Some(b"v"), &[]).unwrap();
        let batch = ValidBatch::check(builder.build(), &Rules::stored()).unwrap();

        log.durable_end.store(7, Ordering::Release);
        let appended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            log.append_replica(vec![batch.clone()], 0)
        }));
        assert!(appended.is_err(), "a durable end beyond the log end is a contradiction");
        log.durable_end.store(0, Ordering::Release);
        let refused = log.append_replica(vec![batch], 0);
        assert!(matches!(refused, Err(AppendError::Log(LogError::Poisoned(_)))), "{refused:?}");
        assert!(matches!(log.close(), Err(LogError::Poisoned(_))));
        assert_eq!(log.log_end_offset(), Offset::ZERO);
    }
}
