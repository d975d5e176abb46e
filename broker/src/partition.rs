//! One partition that this broker leads: the log on disk and the leader's decisions, introduced to each other.
//!
//! `cluster::partition` decides, this acts: it tells the leader machine what happened to the log and carries out what the
//! machine asks for. Reads take no lock: log end and high watermark are atomics. The one lock is held for a machine call,
//! never across an append, an fsync or an await. It has no task, timer or thread of its own.

mod fetch_waits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use ottla_cluster::partition::{
    Acknowledgement, Effect, Leader, LeaderStart, NotEnoughReplicas, WaitOutcome,
};
use ottla_cluster::time::Monotonic;
use ottla_log::{AppendError, AppendOrigin, Appended, Log, LogError, Retained, Stamp, WriteDuty};
use ottla_protocol::records::ValidBatch;
use ottla_protocol::{ErrorCode, LeaderEpoch, Offset, TopicPartition};
use parking_lot::{Mutex, MutexGuard};

pub(crate) use self::fetch_waits::{FetchWait, FetchWaits};
use crate::append_ticket::AppendTicket;
use crate::cleaner::CleaningMark;
use crate::error_code;
use crate::log_directory::LogDirectory;
use crate::partition_config::PartitionConfig;
use crate::produce_reply::Acks;

#[derive(Debug)]
struct Leading {
    machine: Leader<AppendTicket>,
    /// Bytes appended above the high watermark.
    unpublished_bytes: i64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Topic name and index.
    pub(crate) topic_partition: TopicPartition,
    log: Arc<Log>,
    directory: Arc<LogDirectory>,
    config: ArcSwap<PartitionConfig>,
    leader_epoch: LeaderEpoch,
    leading: Mutex<Leading>,
    waits: FetchWaits,
    sync_requested: AtomicBool,
    prepare_requested: AtomicBool,
    is_watched: AtomicBool,
    cleaning: CleaningMark,
}

/// Why a client's idea of the leader epoch does not fit ours (KIP-320).
pub(crate) fn check_leader_epoch(current: i32, ours: LeaderEpoch) -> Result<(), ErrorCode> {
    match LeaderEpoch::known(current) {
        None => Ok(()),
        Some(theirs) if theirs < ours => Err(ErrorCode::FENCED_LEADER_EPOCH),
        Some(theirs) if theirs > ours => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        Some(_) => Ok(()),
    }
}

impl Partition {
    /// Begins to lead `log`.
    pub(crate) fn lead(
        topic_partition: TopicPartition,
        log: Arc<Log>,
        directory: Arc<LogDirectory>,
        config: Arc<PartitionConfig>,
        now: Monotonic,
        start: LeaderStart,
    ) -> Arc<Partition> {
        let leader_epoch = start.leader_epoch;
        let machine = Leader::new(now, start);
        let waits = FetchWaits::new(machine.high_watermark());
        let partition = Arc::new(Partition {
            topic_partition,
            log,
            directory,
            config: ArcSwap::new(config),
            leader_epoch,
            leading: Mutex::new(Leading { machine, unpublished_bytes: 0 }),
            waits,
            sync_requested: AtomicBool::new(false),
            prepare_requested: AtomicBool::new(false),
            is_watched: AtomicBool::new(false),
            cleaning: CleaningMark::default(),
        });
        partition.consider_cleaning();
        partition
    }

    /// The log. Read it through [`Partition::high_watermark`] as the ceiling.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The directory that holds the log.
    pub(crate) fn directory(&self) -> &Arc<LogDirectory> {
        &self.directory
    }

    /// The epoch that this broker leads in.
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The settings in force.
    pub(crate) fn config(&self) -> arc_swap::Guard<Arc<PartitionConfig>> {
        self.config.load()
    }

    /// End of what is committed, exclusive.
    pub(crate) fn high_watermark(&self) -> Offset {
        self.waits.high_watermark()
    }

    /// End of what a consumer that reads committed may see, exclusive.
    pub(crate) fn last_stable_offset(&self) -> Offset {
        self.log.last_stable_offset(self.high_watermark())
    }

    /// Where `epoch`, or the greatest one below it that has records, ends. The current epoch ends at the log end.
    pub(crate) fn epoch_end_offset(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        match epoch.cmp(&self.leader_epoch) {
            std::cmp::Ordering::Less => self.log.epoch_end_offset(epoch),
            std::cmp::Ordering::Equal => Some((epoch, self.log.log_end_offset())),
            // Nobody has led in that epoch yet, so where it ends nobody can say.
            std::cmp::Ordering::Greater => None,
        }
    }

    /// The fetches that wait for this partition.
    pub(crate) fn fetch_waits(&self) -> &FetchWaits {
        &self.waits
    }

    /// Whether the log can be used at all.
    pub(crate) fn check_online(&self) -> Result<(), ErrorCode> {
        if self.directory.is_offline() { Err(ErrorCode::KAFKA_STORAGE_ERROR) } else { Ok(()) }
    }

    /// Whether acks=all can be promised now; asked before the append.
    pub(crate) fn check_in_sync(&self) -> Result<(), NotEnoughReplicas> {
        self.leading.lock().machine.check_in_sync()
    }

    /// Appends a batch; `ticket` is settled once the batch is acknowledged in the sense of `acks`, or cannot be.
    ///
    /// As a rule everything happens before the duty that this returns has been dropped. It is left to others when another
    /// task has the duty to write to the same log (it then writes ours too), or when the acknowledgement waits for the
    /// disk or for followers.
    pub(crate) fn append(
        self: &Arc<Self>,
        batch: ValidBatch,
        acks: Acks,
        now_ms: i64,
        deadline: Monotonic,
        ticket: impl Into<AppendTicket>,
    ) -> Option<WriteDuty> {
        let ticket = ticket.into();
        let partition = Arc::clone(self);
        let bytes = batch.size_in_bytes() as i64;
        let stamp = Stamp { leader_epoch: self.leader_epoch, now_ms, origin: AppendOrigin::Client };
        self.log.enqueue(batch, stamp, move |result| match result {
            Ok(appended) => partition.appended(&appended, bytes, acks, now_ms, deadline, ticket),
            Err(error) => partition.refused(&error, ticket),
        })
    }

    fn appended(
        self: &Arc<Self>,
        appended: &Appended,
        bytes: i64,
        acks: Acks,
        now_ms: i64,
        deadline: Monotonic,
        ticket: AppendTicket,
    ) {
        ticket.appended(appended);
        let end_offset = appended.last_offset.next();
        let synced = self.config.load().acknowledgement() == Acknowledgement::Synced;
        let mut unwaited = None;
        let mut leading = self.leading.lock();
        if !appended.duplicate {
            leading.unpublished_bytes += bytes;
            leading.machine.handle_appended(end_offset);
        }
        if acks == Acks::All || synced {
            leading.machine.wait_for(end_offset, deadline, ticket);
        } else {
            unwaited = Some(ticket);
        }
        let waits = leading.machine.next_deadline().is_some();
        self.carry_out(leading);
        if waits || self.flushes_by_time() {
            self.watch();
        }
        if let Some(ticket) = unwaited {
            ticket.acknowledge();
        }
        if self.log.needs_sync(now_ms) {
            self.request_sync();
        }
        if self.log.wants_preparation() && !self.prepare_requested.swap(true, Ordering::AcqRel) {
            self.directory.prepare_queue().push(Arc::clone(self));
        }
    }

    fn refused(&self, error: &AppendError, ticket: AppendTicket) {
        if let AppendError::Log(failure @ LogError::DirectoryDead(_)) = error {
            self.directory.note_failure(failure);
        }
        ticket.refuse(
            error_code::of_append_error(error),
            Some(self.log.log_start_offset()),
            Some(error.to_string()),
        );
    }

    /// Asks the directory's sync thread to sync this log, unless it was asked and has not begun.
    pub(crate) fn request_sync(self: &Arc<Self>) {
        if !self.sync_requested.swap(true, Ordering::AcqRel) {
            self.directory.sync_queue().push(Arc::clone(self));
        }
    }

    /// Makes ready what the next roll needs. Runs on the directory's prepare thread.
    pub(crate) fn prepare_next(self: &Arc<Self>) -> Result<(), LogError> {
        self.prepare_requested.store(false, Ordering::Release);
        self.log.prepare_next()?;
        self.consider_cleaning();
        Ok(())
    }

    /// What the cleaner has noted of this partition.
    pub(crate) fn cleaning_mark(&self) -> &CleaningMark {
        &self.cleaning
    }

    /// Has the cleaner look at the log, if it is compacted at all.
    fn consider_cleaning(self: &Arc<Self>) {
        if self.config.load().log.cleanup_compact {
            self.directory.cleaner_queue().push(self);
        }
    }

    /// The directory has failed an fsync: what waits for the disk will never be acknowledged.
    pub(crate) fn lose_log(&self) {
        self.resign();
    }

    /// A sync could not be tried at all; the next tick asks again.
    pub(crate) fn sync_later(self: &Arc<Self>) {
        self.watch();
    }

    /// Syncs the log and acknowledges what waited for it. Runs on the directory's sync thread.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        // First, so that an append after the fsync began asks again.
        self.sync_requested.store(false, Ordering::Release);
        let durable_end = self.log.sync()?;
        let mut leading = self.leading.lock();
        leading.machine.handle_synced(durable_end);
        self.carry_out(leading);
        Ok(())
    }

    /// Time has passed: records are synced by `flush.ms`, and appends that waited too long get REQUEST_TIMED_OUT.
    pub(crate) fn tick(self: &Arc<Self>, now: Monotonic, now_ms: i64) {
        // First, so that an append that comes meanwhile has the partition watched again.
        self.is_watched.store(false, Ordering::Release);
        if self.log.needs_sync(now_ms) {
            self.request_sync();
        }
        let mut leading = self.leading.lock();
        if leading.machine.next_deadline().is_some_and(|deadline| deadline <= now) {
            leading.machine.handle_tick(now);
        }
        let waits = leading.machine.next_deadline().is_some();
        self.carry_out(leading);
        let is_dirty = self.log.durable_end_offset() < self.log.log_end_offset();
        if waits || (is_dirty && self.flushes_by_time()) {
            self.watch();
        }
    }

    /// Has the partition ticked until nothing in it depends on time any more. Idle ones cost nothing.
    fn watch(self: &Arc<Self>) {
        if !self.is_watched.swap(true, Ordering::AcqRel) {
            self.directory.watch(Arc::clone(self));
        }
    }

    fn flushes_by_time(&self) -> bool {
        self.config.load().log.flush_ms < i64::MAX.cast_unsigned()
    }

    /// The topic's configuration changed.
    pub(crate) fn update_config(self: &Arc<Self>, config: Arc<PartitionConfig>) {
        self.log.update_config(config.log.clone());
        let mut leading = self.leading.lock();
        leading.machine.handle_config(config.min_insync_replicas, config.acknowledgement());
        self.config.store(config);
        self.carry_out(leading);
        if self.flushes_by_time() {
            self.watch();
        }
        self.consider_cleaning();
    }

    /// Applies retention. Runs in the background.
    pub(crate) fn retain(&self, now_ms: i64) -> Result<Retained, LogError> {
        let retained = self.log.retain(now_ms, self.high_watermark())?;
        self.log_start_moved();
        Ok(retained)
    }

    /// Deletes the records before `before`, at most up to the high watermark. Returns the new first readable offset.
    pub(crate) fn delete_records(&self, before: Offset, now_ms: i64) -> Result<Offset, LogError> {
        let log_start_offset = self.log.delete_records(before.min(self.high_watermark()), now_ms)?;
        self.log_start_moved();
        Ok(log_start_offset)
    }

    /// The first readable offset has moved up.
    fn log_start_moved(&self) {
        let mut leading = self.leading.lock();
        leading.machine.handle_log_start(self.log.log_start_offset());
        self.carry_out(leading);
    }

    /// This broker leads the partition no longer, or it is gone: everything that waits is answered.
    pub(crate) fn resign(&self) {
        let mut leading = self.leading.lock();
        leading.machine.resign();
        self.carry_out(leading);
        self.waits.wake_all();
    }

    /// Lets go of the lock and does what the machine asked for while it was held.
    fn carry_out(&self, mut leading: MutexGuard<'_, Leading>) {
        let effects = leading.machine.drain_effects();
        let advanced = leading.machine.high_watermark() > self.high_watermark();
        let bytes = if advanced { std::mem::take(&mut leading.unpublished_bytes) } else { 0 };
        drop(leading);
        for effect in effects {
            match effect {
                Effect::AdvanceHighWatermark(high_watermark) => self.waits.advance(high_watermark, bytes),
                Effect::Complete(ticket, WaitOutcome::Reached) => ticket.acknowledge(),
                // The records stay where they are: not NOT_LEADER_OR_FOLLOWER, which says that nothing was appended.
                Effect::Complete(ticket, WaitOutcome::TimedOut | WaitOutcome::LostLeadership) => {
                    ticket.refuse(ErrorCode::REQUEST_TIMED_OUT, None, None);
                }
                // A lone replica never proposes; replication brings the one that does.
                Effect::ProposeIsr(_) => {}
            }
        }
    }
}
