//! The records of one partition between the program and the broker: what to send next, in which order, and what an
//! answer means.
//!
//! A plain structure; the shell locks it, hands in `now`, and does what it says. Records are appended to the open
//! batch; a full or lingering batch is sealed and waits; at most `in_flight_max` are on the wire. Invariants:
//! * batches are first sent in the order they were sealed, and a retry overtakes nothing: it goes alone, before
//!   everything younger, so sequences reach the broker without gaps (KIP-98, KIP-360);
//! * a batch whose outcome is unknown keeps its stamp until the broker gave a verdict;
//! * once a sequence is lost for good (a batch failed), the partition goes on in a new epoch, from sequence 0.
//!
//! Not here: which broker leads, connections, memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::records::{BatchBuilder, Codec};
use ottla_protocol::{ErrorCode, Sequence, TopicPartition};

use super::delivery::{Acknowledged, BatchOutcome, Delivery};
use super::record::ProducerRecord;
use super::sealed::{ID_SPAN, Identity, SealedBatch, Stamp};
use crate::backoff::Backoff;
use crate::error::{ClientError, ErrorKind, Result};

/// The rules a partition's queue follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueRules {
    pub(crate) codec: Codec,
    pub(crate) batch_bytes: usize,
    pub(crate) linger: Duration,
    pub(crate) in_flight_max: usize,
    pub(crate) delivery_timeout: Duration,
    pub(crate) idempotent: bool,
    pub(crate) backoff: Backoff,
}

#[derive(Debug)]
struct OpenBatch {
    builder: BatchBuilder,
    opened: Instant,
    reserved_bytes: usize,
    outcome: Arc<BatchOutcome>,
}

/// What an append changed for whoever sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Nothing: the record joined an open batch.
    None,
    /// A batch was opened and is due at this time.
    DueAt(Instant),
    /// A batch can be sent now.
    Ready,
}

/// What there is to send.
#[derive(Debug)]
pub(crate) enum Take {
    /// This batch, now.
    Batch(Box<SealedBatch>),
    /// Nothing before this time.
    Later(Instant),
    /// Nothing before a producer identity other than this one is at hand.
    NeedsIdentity(Option<Identity>),
    /// Nothing before an answer arrives or a record is appended.
    Nothing,
}

/// What came back for a batch.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The broker has it.
    Acknowledged(Acknowledged),
    /// The broker says it did not take it, for this reason.
    Refused(ClientError),
    /// No answer, or one that leaves it open whether the batch was appended.
    Unknown(ClientError),
}

/// A batch that is finished with: the shell settles its outcome and frees its memory.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) batch: Box<SealedBatch>,
    pub(crate) result: Result<Acknowledged>,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct PartitionQueue {
    topic_partition: TopicPartition,
    rules: QueueRules,
    open: Option<OpenBatch>,
    /// Sealed, not on the wire, by id; those with a stamp are retries.
    waiting: VecDeque<Box<SealedBatch>>,
    /// On the wire, by id.
    in_flight: Vec<(u64, Arc<BatchOutcome>)>,
    next_id: u64,
    /// A batch of this size is sealed: `rules.batch_bytes`, or less once the broker found a batch too large.
    batch_bytes: usize,
    /// The size of the last batch: room is made for the next one to be as large.
    last_batch_bytes: usize,
    identity: Option<Identity>,
    next_sequence: Sequence,
    identity_spoilt: bool,
    /// The broker has appended something under this identity. Before that it takes any first sequence, so a second
    /// batch in flight could overtake a first that is refused because the leader is not ready.
    identity_proven: bool,
    paused_until: Option<Instant>,
}

impl PartitionQueue {
    pub(crate) fn new(topic_partition: TopicPartition, rules: QueueRules) -> Self {
        PartitionQueue {
            topic_partition,
            rules,
            open: None,
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            next_id: 0,
            batch_bytes: rules.batch_bytes,
            last_batch_bytes: 0,
            identity: None,
            next_sequence: Sequence::ZERO,
            identity_spoilt: false,
            identity_proven: false,
            paused_until: None,
        }
    }

    /// Appends a record that holds `reserved_bytes` of memory. `now` is asked only when a batch is opened.
    pub(crate) fn append(
        &mut self,
        record: &ProducerRecord<'_>,
        timestamp: i64,
        reserved_bytes: usize,
        now: impl Fn() -> Instant,
    ) -> Result<(Delivery, Signal)> {
        let mut signal = Signal::None;
        let full = |open: &OpenBatch| open.builder.size_estimate() + reserved_bytes > self.batch_bytes;
        if self.open.as_ref().is_some_and(full) {
            self.seal();
            signal = Signal::Ready;
        }
        let opening = self.open.is_none();
        let rules = &self.rules;
        let topic_partition = &self.topic_partition;
        let capacity = self.last_batch_bytes.min(self.batch_bytes);
        let open = self.open.get_or_insert_with(|| OpenBatch {
            builder: BatchBuilder::new(rules.codec).with_capacity(capacity),
            opened: now(),
            reserved_bytes: 0,
            outcome: BatchOutcome::new(topic_partition.clone()),
        });
        let pushed = open.builder.push(timestamp, record.key, record.value, record.headers);
        let Ok(index) = pushed else {
            // Only an empty batch can be too small for a record that the caller let through.
            return Err(ClientError::invalid("produce", "the record does not fit a batch"));
        };
        open.reserved_bytes += reserved_bytes;
        let delivery = Delivery::new(Arc::clone(&open.outcome), index.unsigned_abs());
        let due = open.opened + rules.linger;
        if open.builder.size_estimate() >= self.batch_bytes {
            self.seal();
            signal = Signal::Ready;
        } else if opening && signal == Signal::None {
            signal = if rules.linger.is_zero() { Signal::Ready } else { Signal::DueAt(due) };
        } else if opening {
            // A sealed batch wakes the sender anyway; the open one is found due when the sender looks.
            signal = Signal::Ready;
        }
        Ok((delivery, signal))
    }

    /// Closes the open batch to new records.
    pub(crate) fn seal(&mut self) {
        let Some(open) = self.open.take() else { return };
        let id = self.next_id;
        self.next_id += ID_SPAN;
        self.last_batch_bytes = open.builder.size_estimate();
        let batch = SealedBatch::new(id, open.opened, open.builder, open.reserved_bytes, open.outcome);
        self.waiting.push_back(Box::new(batch));
    }

    /// The outcomes of everything appended so far, for a flush.
    pub(crate) fn outcomes(&self) -> Vec<Arc<BatchOutcome>> {
        let open = self.open.iter().map(|open| &open.outcome);
        let waiting = self.waiting.iter().map(|batch| &batch.outcome);
        let in_flight = self.in_flight.iter().map(|(_, outcome)| outcome);
        open.chain(waiting).chain(in_flight).cloned().collect()
    }

    /// The next batch to send. `newest` is the identity the producer has now.
    pub(crate) fn take(&mut self, now: Instant, newest: Option<Identity>) -> Take {
        if let Some(until) = self.paused_until {
            if now < until {
                return Take::Later(until);
            }
            self.paused_until = None;
        }
        if let Some(open) = &self.open {
            let due = open.opened + self.rules.linger;
            if due <= now {
                self.seal();
            } else if self.waiting.is_empty() {
                return Take::Later(due);
            }
        }
        let Some(front) = self.waiting.front() else { return Take::Nothing };
        let retry_waits_alone = front.attempts > 0 && !self.in_flight.is_empty();
        let in_flight_max =
            if self.rules.idempotent && !self.identity_proven { 1 } else { self.rules.in_flight_max };
        if self.in_flight.len() >= in_flight_max || retry_waits_alone {
            return Take::Nothing;
        }
        if self.rules.idempotent
            && let Some(wait) = self.renew_identity(newest)
        {
            return wait;
        }
        let Some(mut batch) = self.waiting.pop_front() else { return Take::Nothing };
        if let (true, None, Some(identity)) = (self.rules.idempotent, batch.stamp, self.identity) {
            batch.stamp = Some(Stamp { identity, base_sequence: self.next_sequence });
            self.next_sequence = self.next_sequence.plus(batch.records_count);
        }
        self.in_flight.push((batch.id, Arc::clone(&batch.outcome)));
        Take::Batch(batch)
    }

    /// Makes sure there is an identity to send under; what to wait for otherwise.
    fn renew_identity(&mut self, newest: Option<Identity>) -> Option<Take> {
        let must_keep_stamp = self.waiting.front().is_some_and(|front| front.may_be_appended);
        if self.identity.is_some() && (!self.identity_spoilt || must_keep_stamp) {
            return None;
        }
        if !self.in_flight.is_empty() {
            return Some(Take::Nothing);
        }
        let newest = newest.filter(|newest| Some(*newest) != self.identity);
        let Some(newest) = newest else { return Some(Take::NeedsIdentity(self.identity)) };
        self.identity = Some(newest);
        self.identity_spoilt = false;
        self.identity_proven = false;
        self.next_sequence = Sequence::ZERO;
        for batch in &mut self.waiting {
            batch.stamp = None;
        }
        None
    }

    /// Takes back a batch that was sent, with what came of it. Returns it if that was the end of it.
    pub(crate) fn complete(
        &mut self,
        mut batch: Box<SealedBatch>,
        answer: Answer,
        now: Instant,
    ) -> Option<Settled> {
        self.in_flight.retain(|(id, _)| *id != batch.id);
        let is_eldest = self.in_flight.iter().all(|(id, _)| *id > batch.id)
            && self.waiting.front().is_none_or(|front| front.id > batch.id);
        let (error, may_be_appended) = match answer {
            Answer::Acknowledged(acknowledged) => {
                self.identity_proven |=
                    batch.stamp.is_some_and(|stamp| Some(stamp.identity) == self.identity);
                return Some(Settled { batch, result: Ok(acknowledged) });
            }
            Answer::Refused(error) => (error, false),
            Answer::Unknown(error) => (error, true),
        };
        batch.may_be_appended = may_be_appended;
        batch.attempts += 1;
        let sequence_refused = self.rules.idempotent && error.code().is_some_and(is_about_sequences);
        let expired = now.saturating_duration_since(batch.created) >= self.rules.delivery_timeout;
        if error.code() == Some(ErrorCode::MESSAGE_TOO_LARGE)
            && let Some(halves) = batch.halves(self.rules.codec)
        {
            // As Java's producer does (KIP-126), and from here on batches are made smaller.
            self.lose_sequence(&batch);
            self.batch_bytes = self.batch_bytes.min(batch.unpacked_bytes() / 2).max(1);
            halves.into_iter().for_each(|half| self.put_back(Box::new(half)));
            return None;
        }
        if expired || !(error.is_retriable() || sequence_refused) {
            self.lose_sequence(&batch);
            return Some(Settled { batch, result: Err(error) });
        }
        if sequence_refused && is_eldest {
            // Nothing before it is missing, so the broker no longer knows this producer as we do.
            self.identity_spoilt = true;
        }
        if !sequence_refused {
            let random = f64::from(batch.id as u8) / 256.0;
            self.paused_until = Some(now + self.rules.backoff.delay(batch.attempts - 1, random));
        }
        self.put_back(batch);
        None
    }

    /// Ends a backoff: what made it necessary is known to be over.
    pub(crate) fn resume(&mut self) {
        self.paused_until = None;
    }

    /// Puts a batch among the waiting ones, by id.
    fn put_back(&mut self, batch: Box<SealedBatch>) {
        let place = self.waiting.partition_point(|waiting| waiting.id < batch.id);
        self.waiting.insert(place, batch);
    }

    /// A batch is given up: its sequence numbers either were never used, or leave a gap that only a new identity heals.
    fn lose_sequence(&mut self, batch: &SealedBatch) {
        let Some(stamp) = batch.stamp else { return };
        let follows = self.next_sequence != stamp.base_sequence.plus(batch.records_count);
        if batch.may_be_appended || follows || self.identity != Some(stamp.identity) {
            self.identity_spoilt = true;
        } else {
            self.next_sequence = stamp.base_sequence;
        }
    }

    /// Gives up what has waited for longer than the delivery timeout.
    pub(crate) fn expire(&mut self, now: Instant, cause: impl Fn() -> Option<ClientError>) -> Vec<Settled> {
        let mut settled = Vec::new();
        let timeout = self.rules.delivery_timeout;
        if self.open.as_ref().is_some_and(|open| now.saturating_duration_since(open.opened) >= timeout) {
            self.seal();
        }
        while self
            .waiting
            .front()
            .is_some_and(|front| now.saturating_duration_since(front.created) >= timeout)
        {
            let Some(batch) = self.waiting.pop_front() else { break };
            self.lose_sequence(&batch);
            let timed_out = || ClientError::new("produce", ErrorKind::Timeout { after: timeout });
            settled.push(Settled { batch, result: Err(cause().unwrap_or_else(timed_out)) });
        }
        settled
    }

    /// Gives up everything that is not on the wire: the producer closes.
    pub(crate) fn abandon(&mut self) -> Vec<Settled> {
        self.seal();
        let closed = || ClientError::new("produce", ErrorKind::Closed);
        self.waiting.drain(..).map(|batch| Settled { batch, result: Err(closed()) }).collect()
    }

    /// Whether nothing is open, waiting or on the wire.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_none() && self.waiting.is_empty() && self.in_flight.is_empty()
    }
}

/// Errors that say what the broker knows of the producer differs from what the producer thinks.
fn is_about_sequences(code: ErrorCode) -> bool {
    [
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        ErrorCode::UNKNOWN_PRODUCER_ID,
        ErrorCode::INVALID_PRODUCER_EPOCH,
    ]
    .contains(&code)
}

#[cfg(test)]
mod tests;
