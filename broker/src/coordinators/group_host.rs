//! One group machine at work: the groups of one partition of `__consumer_offsets`, and the partition that keeps them.
//!
//! The machine is behind a lock that is never held across an await. Its appends are made under that lock, so that the log
//! has them in the order in which they were decided. Their outcomes come back at any time, on any thread, often before
//! the append returns:
//!
//! 1. a ticket puts its outcome into `outcomes`, which has a lock of its own, held for nothing else;
//! 2. it then tries the machine's lock. If it gets it, it tells the machine, in the order of the appends;
//! 3. if it does not, somebody holds it, and whoever lets go of it looks at `outcomes` again. So none is left lying.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ottla_cluster::group::{Answer, AppendId, Effect, GroupRecord, GroupShard, Now};
use ottla_cluster::time::Monotonic;
use ottla_protocol::ErrorCode;
use ottla_protocol::records::{BatchBuilder, BatchError, Compression, Rules, ValidBatch};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tracing::warn;

use super::{GroupTimer, now};
use crate::append_ticket::AppendTicket;
use crate::core::Core;
use crate::partition::Partition;
use crate::produce_reply::Acks;

/// A request that waits for the machine's answer.
pub(crate) type Waiter = oneshot::Sender<Answer>;
type Outcome = Result<(), ErrorCode>;

/// See the module.
#[derive(Debug)]
pub(crate) struct GroupHost {
    partition: Arc<Partition>,
    machine: Mutex<GroupShard<Waiter>>,
    /// The appends under way, in order, and what became of those that are done.
    outcomes: Mutex<VecDeque<(AppendId, Option<Outcome>)>>,
    append_timeout: Duration,
    timer: Arc<GroupTimer>,
}

/// The duty to tell a host what became of an append.
pub(crate) struct CoordinatorTicket {
    host: Weak<GroupHost>,
    core: Weak<Core>,
    id: AppendId,
}

impl fmt::Debug for CoordinatorTicket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CoordinatorTicket").field("id", &self.id).finish_non_exhaustive()
    }
}

impl CoordinatorTicket {
    /// The append is committed, or refused with this code.
    pub(crate) fn settle(self, outcome: Outcome) {
        // A host that is gone has nobody left who waits.
        let (Some(host), Some(core)) = (self.host.upgrade(), self.core.upgrade()) else { return };
        host.note_outcome(self.id, outcome.map_err(of_append_error));
        host.deliver_outcomes(&core);
    }
}

/// What a client of the coordinator is told when its records could not be kept. As in Kafka, errors of the partition
/// become errors of the coordinator, which clients retry against whoever coordinates then.
fn of_append_error(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::REQUEST_TIMED_OUT
        | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => {
            ErrorCode::INVALID_COMMIT_OFFSET_SIZE
        }
        other => other,
    }
}

impl GroupHost {
    /// Puts a loaded machine to work.
    pub(crate) fn new(
        partition: Arc<Partition>,
        machine: GroupShard<Waiter>,
        append_timeout: Duration,
        timer: Arc<GroupTimer>,
    ) -> GroupHost {
        if let Some(next) = machine.next_deadline() {
            timer.want(next);
        }
        let outcomes = Mutex::new(VecDeque::new());
        GroupHost { partition, machine: Mutex::new(machine), outcomes, append_timeout, timer }
    }

    /// Lets the machine handle an event and does what it asks for.
    pub(crate) fn act<R>(
        self: &Arc<Self>,
        core: &Arc<Core>,
        event: impl FnOnce(&mut GroupShard<Waiter>, Now) -> R,
    ) -> R {
        let mut machine = self.machine.lock();
        let result = event(&mut machine, now(core));
        self.carry_out(&mut machine, core);
        drop(machine);
        self.deliver_outcomes(core);
        result
    }

    /// As [`GroupHost::act`], for a request that may have to wait for its answer.
    ///
    /// # Errors
    /// NOT_COORDINATOR when the broker is stopping.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        core: &Arc<Core>,
        event: impl FnOnce(&mut GroupShard<Waiter>, Now, Waiter),
    ) -> Result<Answer, ErrorCode> {
        let (waiter, answered) = oneshot::channel();
        self.act(core, |machine, now| event(machine, now, waiter));
        tokio::select! {
            biased;
            answer = answered => answer.map_err(|_| ErrorCode::NOT_COORDINATOR),
            () = core.stopping.cancelled() => Err(ErrorCode::NOT_COORDINATOR),
        }
    }

    /// Reads the machine's state.
    pub(crate) fn look<R>(
        self: &Arc<Self>,
        core: &Arc<Core>,
        read: impl FnOnce(&GroupShard<Waiter>) -> R,
    ) -> R {
        let result = read(&self.machine.lock());
        self.deliver_outcomes(core);
        result
    }

    /// Time has passed. The earliest deadline that is left is returned and not asked of the timer: it is the timer's own
    /// task that calls this, and must not wake itself.
    pub(crate) fn handle_deadlines(self: &Arc<Self>, core: &Arc<Core>) -> Option<Monotonic> {
        let next = self.look(core, |machine| machine.next_deadline())?;
        if next > core.clock.now() {
            return Some(next);
        }
        self.act(core, |machine, now| {
            machine.handle_deadlines(now);
            machine.next_deadline()
        })
    }

    fn carry_out(self: &Arc<Self>, machine: &mut MutexGuard<'_, GroupShard<Waiter>>, core: &Arc<Core>) {
        for effect in machine.drain_effects() {
            match effect {
                Effect::Answer(waiter, answer) => {
                    // The client went away; nobody minds.
                    let _gone = waiter.send(answer);
                }
                Effect::Append { id, records } => self.append(core, id, &records),
            }
        }
        if let Some(next) = machine.next_deadline() {
            self.timer.want(next);
        }
    }

    fn append(self: &Arc<Self>, core: &Arc<Core>, id: AppendId, records: &[GroupRecord]) {
        self.outcomes.lock().push_back((id, None));
        let now = now(core);
        let checked = self.partition.check_in_sync().map_err(|_| ErrorCode::NOT_ENOUGH_REPLICAS);
        let batch = checked.and_then(|()| {
            encode(records, now.unix_ms).map_err(|error| {
                warn!(partition = %self.partition.topic_partition, %error, "group records cannot be encoded");
                ErrorCode::MESSAGE_TOO_LARGE
            })
        });
        match batch {
            Ok(batch) => {
                let ticket = CoordinatorTicket { host: Arc::downgrade(self), core: Arc::downgrade(core), id };
                let deadline = now.monotonic + self.append_timeout;
                let ticket = AppendTicket::Coordinator(ticket);
                drop(self.partition.append(batch, Acks::All, now.unix_ms, deadline, ticket));
            }
            Err(code) => self.note_outcome(id, Err(of_append_error(code))),
        }
    }

    fn note_outcome(&self, id: AppendId, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock();
        if let Some(place) = outcomes.iter_mut().find(|(append, _)| *append == id) {
            place.1 = Some(outcome);
        }
    }

    /// The outcome of the earliest append, if it is known.
    fn take_outcome(&self) -> Option<(AppendId, Outcome)> {
        let mut outcomes = self.outcomes.lock();
        let (id, outcome) = outcomes.front().copied()?;
        let outcome = outcome?;
        outcomes.pop_front();
        Some((id, outcome))
    }

    fn has_outcome(&self) -> bool {
        self.outcomes.lock().front().is_some_and(|(_, outcome)| outcome.is_some())
    }

    /// Tells the machine what is known, unless somebody else holds it, who will do it then; see the module.
    fn deliver_outcomes(self: &Arc<Self>, core: &Arc<Core>) {
        while self.has_outcome() {
            let Some(mut machine) = self.machine.try_lock() else { return };
            while let Some((id, outcome)) = self.take_outcome() {
                machine.handle_appended(now(core), id, outcome);
                self.carry_out(&mut machine, core);
            }
        }
    }
}

/// One batch of these records.
fn encode(records: &[GroupRecord], now_ms: i64) -> Result<ValidBatch, BatchError> {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in records {
        let (key, value) = record.encode();
        let pushed = builder.push(now_ms, Some(&key), value.as_deref(), &[]);
        let bytes = builder.size_estimate();
        pushed.map_err(|_full| BatchError::TooLarge { bytes, bytes_max: bytes })?;
    }
    ValidBatch::check(builder.build(), &Rules::stored())
}
