//! Appending: many callers, one writer at a time, one `pwritev` for what has gathered meanwhile.
//!
//! ```text
//! 1 a caller puts its batch into the queue; if somebody is draining it, that is all: the callback answers later
//! 2 otherwise the caller drains: it takes the whole queue and, under the partition's lock,
//!      checks producers → rolls if it must → stamps → writes the group → indexes it → publishes the log end
//! 3 outside of the lock it runs the callbacks, then looks at the queue again, until it finds it empty
//! ```
//!
//! A batch's bytes are not copied: its first sixteen are stamped on the side and the rest is written from where it came.
//! Nothing here verifies a checksum (that is `ValidBatch`'s word) or decides who may append. Invariant: a callback that
//! hears of success runs after the log end was published; after a failure no byte of the group is left in the log.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ottla_protocol::records::{ControlRecord, OutputLimit, STAMPED_PREFIX_BYTES, ValidBatch};
use ottla_protocol::{LeaderEpoch, Offset, OffsetDelta};
use parking_lot::RwLock;

use crate::config::{LogConfig, MessageTimestampType};
use crate::epoch_cache::EpochCache;
use crate::error::{AppendError, LogError, is_disk_full};
use crate::log::Log;
use crate::maintenance::{NEXT_PREPARED, Sealing};
use crate::producer_snapshot;
use crate::producer_state::{AppendOrigin, CompletedTransaction, ProducerState, Undo, Verdict};
use crate::segment::{LogFile, Segment, segment_path, suffix};
use crate::storage::{Access, StorageFile, write_all_at};
use crate::time_index::TimestampOffset;
use crate::txn_index::AbortedTransaction;

/// Batches of one write; each is two of the kernel's at most 1024 parts.
const BATCHES_PER_WRITE: usize = 128;
/// A group is written once it is this large, so that the callbacks of its first batches need not wait for its last.
const BYTES_PER_WRITE: u64 = 4 << 20;

/// What the leader adds to a batch.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The time of day, in milliseconds since the epoch.
    pub now_ms: i64,
    /// Who sent the batch.
    pub origin: AppendOrigin,
}

/// What became of an appended batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// The broker's time in its records, for topics with `LogAppendTime`.
    pub log_append_time: Option<i64>,
    /// The first readable offset.
    pub log_start_offset: Offset,
    /// It was in the log already: its producer sent it again. Nothing was appended.
    pub duplicate: bool,
}

type Done = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;

struct Pending {
    batch: ValidBatch,
    stamping: Stamping,
    now_ms: i64,
    outcome: Option<Result<Appended, AppendError>>,
    done: Option<Done>,
}

#[derive(Clone, Copy)]
enum Stamping {
    /// The leader assigns the next offset.
    Assign { leader_epoch: LeaderEpoch, origin: AppendOrigin },
    /// The leader has assigned it.
    Keep,
}

/// Batches that wait for the writer. Its length is bounded by the memory that the broker grants to requests.
#[derive(Default)]
pub(crate) struct Queue {
    pending: Vec<Pending>,
    /// The emptied vector of the last round, to be filled next.
    spare: Vec<Pending>,
    is_drained: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.pending.len())
    }
}

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
    members: Vec<Member>,
    undos: Vec<Undo>,
}

/// A batch of the group that is about to be written.
#[derive(Debug)]
struct Member {
    pending: usize,
    prefix: [u8; STAMPED_PREFIX_BYTES],
    base_offset: Offset,
    position: u64,
    aborted_or_committed: Option<(CompletedTransaction, bool)>,
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

impl Log {
    /// Appends a batch as leader. `done` is called exactly once, by this thread or by another that is appending to this
    /// log at the moment, after the log end was published or the batch refused; it must not block.
    pub fn append(
        &self,
        batch: ValidBatch,
        stamp: Stamp,
        done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) {
        let batch = match self.config.load().message_timestamp_type {
            MessageTimestampType::CreateTime => batch,
            MessageTimestampType::LogAppendTime => batch.with_log_append_time(stamp.now_ms),
        };
        let stamping = Stamping::Assign { leader_epoch: stamp.leader_epoch, origin: stamp.origin };
        let pending =
            Pending { batch, stamping, now_ms: stamp.now_ms, outcome: None, done: Some(Box::new(done)) };
        let mut queue = self.queue.lock();
        queue.pending.push(pending);
        if std::mem::replace(&mut queue.is_drained, true) {
            return;
        }
        drop(queue);
        self.drain();
    }

    /// Appends the leader's batches as they are, as follower. All or, after an error, none of a run of them.
    pub fn append_replica(&self, batches: Vec<ValidBatch>, now_ms: i64) -> Result<(), AppendError> {
        let keep = |batch| Pending { batch, stamping: Stamping::Keep, now_ms, outcome: None, done: None };
        let mut round: Vec<Pending> = batches.into_iter().map(keep).collect();
        self.append_round(&mut round);
        round
            .into_iter()
            .try_for_each(|pending| pending.outcome.expect("every batch has an outcome").map(|_| ()))
    }

    fn drain(&self) {
        /// If a callback panics, the next append drains what is left.
        struct Leave<'a>(&'a Log);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.queue.lock().is_drained = false;
                }
            }
        }
        let _leave = Leave(self);
        let mut round = Vec::new();
        loop {
            {
                let mut queue = self.queue.lock();
                if queue.pending.is_empty() {
                    queue.is_drained = false;
                    queue.spare = round;
                    return;
                }
                if round.capacity() == 0 {
                    round = std::mem::take(&mut queue.spare);
                }
                std::mem::swap(&mut queue.pending, &mut round);
            }
            self.append_round(&mut round);
            for pending in round.drain(..) {
                if let (Some(done), Some(outcome)) = (pending.done, pending.outcome) {
                    done(outcome);
                }
            }
        }
    }

    fn append_round(&self, round: &mut [Pending]) {
        let mut writer = self.writer.lock();
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
        let group_position = position;
        let mut next = from;
        while next < round.len()
            && writer.members.len() < BATCHES_PER_WRITE
            && position - group_position < BYTES_PER_WRITE
        {
            let pending = &mut round[next];
            match self.admit(writer, config, pending, end) {
                Ok(Some(appended)) => pending.outcome = Some(Ok(appended)),
                Err(error) => pending.outcome = Some(Err(error)),
                Ok(None) => {
                    let base_offset = match pending.stamping {
                        Stamping::Assign { .. } => end,
                        Stamping::Keep => pending.batch.header().base_offset,
                    };
                    if should_roll(&writer.active, config, position, base_offset, pending) {
                        if !writer.members.is_empty() {
                            break;
                        }
                        if let Err(error) = self.roll_to(writer, config, base_offset, pending.now_ms) {
                            pending.outcome = Some(Err(error.into()));
                            next += 1;
                            continue;
                        }
                        return next;
                    }
                    let size = pending.batch.size_in_bytes() as u64;
                    self.enlist(writer, pending, next, (position, base_offset));
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

    fn check_writable(&self, writer: &Writer) -> Result<(), LogError> {
        self.shared.check_alive()?;
        writer.refusal.clone().map_or(Ok(()), Err)
    }

    /// `None` if the batch is to be appended, what to answer if it is a duplicate.
    fn admit(
        &self,
        writer: &Writer,
        config: &LogConfig,
        pending: &Pending,
        end: Offset,
    ) -> Result<Option<Appended>, AppendError> {
        let header = pending.batch.header();
        let Stamping::Assign { leader_epoch, origin } = pending.stamping else {
            if header.base_offset < end {
                let log_end_offset = end;
                return Err(AppendError::OffsetsOutOfOrder {
                    base_offset: header.base_offset,
                    log_end_offset,
                });
            }
            return Ok(None);
        };
        if let Some(current) = writer.latest_epoch.filter(|current| *current > leader_epoch) {
            return Err(AppendError::StaleLeaderEpoch { epoch: leader_epoch, current });
        }
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
        writer.members.push(Member {
            pending: index,
            prefix,
            base_offset,
            position,
            aborted_or_committed: ended,
        });
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
            write_all_at(&**file, &mut parts[..2 * writer.members.len()], group_position)
                .map_err(|error| (file, error))
                .or_else(|(file, error)| Err(self.cut_failed_write(file, group_position, writer, error)))
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
            let epoch = match pending.stamping {
                Stamping::Assign { leader_epoch, .. } => Some(leader_epoch),
                Stamping::Keep => header.partition_leader_epoch,
            };
            if let Some(epoch) = epoch {
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
        for (completed, committed) in members.iter().filter_map(|member| member.aborted_or_committed) {
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
        file: &Arc<dyn StorageFile>,
        position: u64,
        writer: &mut Writer,
        error: std::io::Error,
    ) -> LogError {
        let is_full = is_disk_full(&error);
        let failure = LogError::io("append to", writer.active.log().path(), error);
        let cut = file.truncate(position);
        if cut.is_err() || !is_full {
            writer.refusal = Some(LogError::Poisoned(Arc::new(failure.clone())));
        }
        failure
    }

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
                    let reserved = file.preallocate(segment_bytes_max(config));
                    reserved.map_err(|error| self.io("preallocate", &path, error))?;
                }
                file
            }
        };
        let old = writer.active.clone();
        old.time_index().append_if_later(writer.largest);
        let snapshot = producer_snapshot::encode(writer.producers.entries());
        writer.sealing.push(Sealing { segment: old, snapshot, snapshot_offset: base_offset });
        let log = LogFile::created(self.shared.storage().clone(), path, file);
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

fn should_roll(
    active: &Segment,
    config: &LogConfig,
    size: u64,
    base_offset: Offset,
    pending: &Pending,
) -> bool {
    let header = pending.batch.header();
    let last_offset = base_offset + header.last_offset_delta;
    if (last_offset - active.base_offset()).get() > i64::from(i32::MAX) {
        return true;
    }
    if size == 0 {
        return false;
    }
    size + pending.batch.size_in_bytes() as u64 > segment_bytes_max(config)
        || active.offset_index().is_full(config.segment_index_bytes)
        || active.time_index().is_full(config.segment_index_bytes)
        || waited_ms(active, header.max_timestamp, pending.now_ms) > segment_ms(config, active.base_offset())
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
    i64::try_from(config.segment_ms.saturating_sub(jitter)).unwrap_or(i64::MAX)
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
