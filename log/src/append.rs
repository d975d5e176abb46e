//! Appending: many callers, one writer at a time, one `pwritev` for what has gathered meanwhile.
//!
//! ```text
//! 1 a caller puts its batch into the queue; if somebody has the duty to write, that is all: the callback answers later
//! 2 otherwise the duty is the caller's. It may put more batches into the queue before it does it, not wait for anything
//! 3 to do it is to take the whole queue and, under the partition's lock, have it written (`group`)
//! 4 outside of the lock it runs the callbacks, then looks at the queue again, until it finds it empty
//! ```
//!
//! There is no thread behind it: who finds the queue idle does the work. Invariant: each callback runs exactly once,
//! outside of the lock, and hears of success only after the log end was published.

use std::sync::Arc;

use ottla_protocol::LeaderEpoch;
use ottla_protocol::Offset;
use ottla_protocol::records::ValidBatch;

use crate::config::MessageTimestampType;
use crate::error::AppendError;
use crate::log::Log;
use crate::producer_state::AppendOrigin;

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

/// A batch on its way into the log.
pub(crate) struct Pending {
    pub(crate) batch: ValidBatch,
    pub(crate) stamping: Stamping,
    pub(crate) now_ms: i64,
    pub(crate) outcome: Option<Result<Appended, AppendError>>,
    done: Option<Done>,
}

impl Pending {
    /// The epoch of the leader that appends or has appended it.
    pub(crate) fn leader_epoch(&self) -> Option<LeaderEpoch> {
        match self.stamping {
            Stamping::Assign { leader_epoch, .. } => Some(leader_epoch),
            Stamping::Keep => self.batch.header().partition_leader_epoch,
        }
    }
}

/// Who assigns a batch's offset.
#[derive(Clone, Copy)]
pub(crate) enum Stamping {
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
    /// Somebody has the duty to write what waits here.
    is_drained: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.pending.len())
    }
}

/// The duty to write what waits in a log's queue, which dropping it does, callbacks and all. Whoever holds it keeps
/// everybody else's batches waiting, so it is held for as long as the next batch is at hand, and never across a wait.
#[derive(Debug)]
#[must_use = "nothing of this log is written until it is dropped"]
pub struct WriteDuty {
    log: Arc<Log>,
}

impl Drop for WriteDuty {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A panic elsewhere says nothing about this log: the next append writes what is left.
            self.log.queue.lock().is_drained = false;
        } else {
            self.log.drain();
        }
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
        if self.queue(batch, stamp, done) {
            self.drain();
        }
    }

    /// As [`Log::append`], but leaves the writing to the caller where it would begin at once, so that batches that are
    /// at hand together are written together.
    pub fn enqueue(
        self: &Arc<Self>,
        batch: ValidBatch,
        stamp: Stamp,
        done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) -> Option<WriteDuty> {
        self.queue(batch, stamp, done).then(|| WriteDuty { log: Arc::clone(self) })
    }

    /// Whether the duty to write is the caller's.
    fn queue(
        &self,
        batch: ValidBatch,
        stamp: Stamp,
        done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) -> bool {
        let batch = match self.config.load().message_timestamp_type {
            MessageTimestampType::CreateTime => batch,
            MessageTimestampType::LogAppendTime => batch.with_log_append_time(stamp.now_ms),
        };
        let stamping = Stamping::Assign { leader_epoch: stamp.leader_epoch, origin: stamp.origin };
        let pending =
            Pending { batch, stamping, now_ms: stamp.now_ms, outcome: None, done: Some(Box::new(done)) };
        let mut queue = self.queue.lock();
        queue.pending.push(pending);
        !std::mem::replace(&mut queue.is_drained, true)
    }

    /// Appends the leader's batches as they are, as follower. Those before the first that is refused stay appended.
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
}
