//! What a consumer reads and where it is: positions, what is buffered, what an answer means.
//!
//! A plain structure; the shell hands in `now` and answers, and does what it says. Each partition has two offsets: the
//! *fetch offset*, ahead, and the *position*, behind which everything was handed out. Every `assign` and `seek` starts a
//! new era of the partition; answers and buffered batches of an older era are dropped. Whom to read from, and whether
//! that log still begins with what was read, is `reading`'s; how a group moves partitions is `handover`'s. Invariants:
//! per partition the buffer is in offset order and without a gap; `position <= fetch offset`.

mod handover;
mod reading;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use ottla_protocol::records::ValidBatch;
use ottla_protocol::{BrokerId, ErrorCode, LeaderEpoch, Offset, TopicId, TopicPartition};

pub(crate) use self::handover::{Awaited, Consumed};
use self::reading::Reading;
pub(crate) use self::reading::{Cluster, EpochEnd, Leadership, Unchecked};
use super::batch::RecordBatch;
use super::config::OffsetReset;
use crate::admin::OffsetSpec;
use crate::backoff::Backoff;
use crate::error::{ClientError, Result};

/// Where to begin to read a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// At its first record.
    Earliest,
    /// Behind its last record.
    Latest,
    /// At this offset.
    Offset(Offset),
    /// At this offset, if the record before it still is of this leader epoch; otherwise as after a truncation.
    OffsetAtEpoch(Offset, LeaderEpoch),
    /// At the first record at or after this time, in milliseconds since 1970; behind the last if there is none.
    Timestamp(i64),
}

/// Where a partition is read from next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To be asked of the leader.
    Unknown(OffsetSpec),
    /// Being asked of the leader.
    Asked(OffsetSpec),
    /// To be settled from what the group committed (`handover`).
    Awaited,
    /// Known.
    At { position: Offset, fetch_offset: Offset },
}

impl Place {
    /// At an offset, with nothing fetched ahead.
    fn at(offset: Offset) -> Place {
        Place::At { position: offset, fetch_offset: offset }
    }
}

#[derive(Debug)]
struct Partition {
    era: u64,
    place: Place,
    reading: Reading,
    high_watermark: Option<Offset>,
    /// The epoch of the leader that wrote what lies before the position, if it came from a record.
    position_epoch: Option<LeaderEpoch>,
    /// Where the position was when the program last said that it is done, if something was handed out since.
    held: Option<Consumed>,
    is_paused: bool,
    /// It is being taken away: nothing of it is fetched or handed out any more.
    is_retiring: bool,
    is_fetching: bool,
    failures: u32,
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Buffered {
    partition: TopicPartition,
    era: u64,
    /// Data; none for what is not handed out (control batches, aborted data) but moves the position.
    batch: Option<ValidBatch>,
    next_offset: Offset,
    leader_epoch: Option<LeaderEpoch>,
    bytes: usize,
}

/// One partition to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) partition: TopicPartition,
    pub(crate) era: u64,
    /// Whom to ask.
    pub(crate) broker: BrokerId,
    /// Zero if it is not known.
    pub(crate) topic_id: TopicId,
    pub(crate) fetch_offset: Offset,
    /// The epoch of the leader, if it is known.
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    /// The leader epoch of the record before the fetch offset, if it is known.
    pub(crate) fetch_epoch: Option<LeaderEpoch>,
}

/// One partition whose offset must be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) partition: TopicPartition,
    pub(crate) era: u64,
    pub(crate) spec: OffsetSpec,
}

/// What a fetch brought for one partition.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) high_watermark: Option<Offset>,
    /// In offset order; `false` for what moves the position but is not handed out.
    pub(crate) batches: Vec<(ValidBatch, bool)>,
    /// Where the leader's log and what was read part, if they do.
    pub(crate) diverging: Option<EpochEnd>,
    /// A replica that is closer.
    pub(crate) preferred_replica: Option<BrokerId>,
}

/// What else an error asks of the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing.
    None,
    /// Ask for metadata anew.
    RefreshMetadata,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Assignment {
    partitions: BTreeMap<TopicPartition, Partition>,
    buffer: VecDeque<Buffered>,
    failures: VecDeque<ClientError>,
    /// Partitions with something handed out that the program is not known to be done with.
    handed_out: Vec<TopicPartition>,
    buffered_bytes: usize,
    decompressed_bytes_max: usize,
    next_era: u64,
    reset: OffsetReset,
    backoff: Backoff,
    /// For how long a follower is preferred.
    preference_max_age: Duration,
}

impl Assignment {
    pub(crate) fn new(reset: OffsetReset, backoff: Backoff) -> Self {
        Assignment {
            partitions: BTreeMap::new(),
            buffer: VecDeque::new(),
            failures: VecDeque::new(),
            handed_out: Vec::new(),
            buffered_bytes: 0,
            decompressed_bytes_max: usize::MAX,
            next_era: 0,
            reset,
            backoff,
            preference_max_age: Duration::from_secs(300),
        }
    }

    /// For how long a follower is read from before the leader is asked again (`metadata.max.age.ms`).
    pub(crate) fn with_preference_max_age(mut self, age: Duration) -> Self {
        self.preference_max_age = age;
        self
    }

    /// Bounds what a compressed batch may unpack to.
    pub(crate) fn with_decompressed_bytes_max(mut self, bytes: usize) -> Self {
        self.decompressed_bytes_max = bytes;
        self
    }

    pub(crate) fn assign(&mut self, partitions: impl IntoIterator<Item = (TopicPartition, StartAt)>) {
        self.partitions.clear();
        self.failures.clear();
        self.handed_out.clear();
        for (partition, start) in partitions {
            let fresh = self.fresh(start);
            self.partitions.insert(partition, fresh);
        }
        self.drop_stale();
    }

    fn fresh(&mut self, start: StartAt) -> Partition {
        self.next_era += 1;
        Partition {
            era: self.next_era,
            place: place(start),
            reading: Reading::default().elsewhere(match start {
                StartAt::OffsetAtEpoch(_, epoch) => Some(epoch),
                _ => None,
            }),
            high_watermark: None,
            position_epoch: None,
            held: None,
            is_paused: false,
            is_retiring: false,
            is_fetching: false,
            failures: 0,
            retry_at: None,
        }
    }

    pub(crate) fn seek(&mut self, partition: &TopicPartition, start: StartAt) -> bool {
        let fresh = self.fresh(start);
        let Some(known) = self.partitions.get_mut(partition) else { return false };
        let reading = known.reading.elsewhere(fresh.reading.fetch_epoch);
        let (is_paused, is_retiring) = (known.is_paused, known.is_retiring);
        // The partition ends where it did.
        let high_watermark = known.high_watermark;
        *known = Partition { is_paused, is_retiring, high_watermark, reading, ..fresh };
        self.drop_stale();
        true
    }

    pub(crate) fn pause(&mut self, partition: &TopicPartition, is_paused: bool) -> bool {
        let known = self.partitions.get_mut(partition);
        known.map(|known| known.is_paused = is_paused).is_some()
    }

    /// Drops what was buffered for another era.
    fn drop_stale(&mut self) {
        let partitions = &self.partitions;
        self.buffer.retain(|item| partitions.get(&item.partition).is_some_and(|known| known.era == item.era));
        self.buffered_bytes = self.buffer.iter().map(|item| item.bytes).sum();
    }

    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    pub(crate) fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        match self.partitions.get(partition)?.place {
            Place::At { position, .. } => Some(position),
            Place::Unknown(_) | Place::Asked(_) | Place::Awaited => None,
        }
    }

    pub(crate) fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.partitions.get(partition)?.high_watermark
    }

    /// The next batch or failure to hand out; positions move past what is handed out or skipped.
    pub(crate) fn next(&mut self) -> Option<Result<RecordBatch>> {
        if let Some(failure) = self.failures.pop_front() {
            return Some(Err(failure));
        }
        let mut place = 0;
        while let Some(item) = self.buffer.get(place) {
            let known = self.partitions.get_mut(&item.partition)?;
            if known.is_paused || known.is_retiring {
                place += 1;
                continue;
            }
            let item = self.buffer.remove(place)?;
            self.buffered_bytes -= item.bytes;
            let Place::At { position, .. } = &mut known.place else { continue };
            let from = *position;
            *position = item.next_offset.max(from);
            if item.batch.is_some() && known.held.is_none() {
                known.held = Some(Consumed { offset: from, leader_epoch: known.position_epoch });
                self.handed_out.push(item.partition.clone());
            }
            known.position_epoch = item.leader_epoch;
            if let Some(batch) = item.batch {
                return Some(Ok(RecordBatch::new(item.partition, batch, from, self.decompressed_bytes_max)));
            }
        }
        None
    }

    /// The partitions whose offset must be asked for now.
    pub(crate) fn unresolved(&mut self, now: Instant) -> Vec<Unresolved> {
        let mut unresolved = Vec::new();
        for (partition, known) in &mut self.partitions {
            let Place::Unknown(spec) = known.place else { continue };
            if known.retry_at.is_none_or(|at| at <= now) {
                known.place = Place::Asked(spec);
                unresolved.push(Unresolved { partition: partition.clone(), era: known.era, spec });
            }
        }
        unresolved
    }

    /// When the next partition in backoff may be tried again.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.partitions.values().filter(|known| !known.is_paused).filter_map(|known| known.retry_at).min()
    }

    /// An offset was found.
    pub(crate) fn resolved(&mut self, unresolved: &Unresolved, offset: Offset, epoch: Option<LeaderEpoch>) {
        if let Some(known) = self.current(&unresolved.partition, unresolved.era) {
            known.place = Place::at(offset);
            known.position_epoch = epoch;
            known.reading = known.reading.elsewhere(epoch);
            known.recover();
        }
    }

    /// No offset was found.
    pub(crate) fn unresolvable(
        &mut self,
        unresolved: &Unresolved,
        error: ClientError,
        now: Instant,
    ) -> Remedy {
        let backoff = self.backoff;
        let Some(known) = self.current(&unresolved.partition, unresolved.era) else { return Remedy::None };
        known.place = Place::Unknown(unresolved.spec);
        if error.is_retriable() {
            known.retry_later(backoff, now);
            return Remedy::RefreshMetadata;
        }
        known.is_paused = true;
        self.failures.push_back(error);
        Remedy::None
    }

    /// A fetch brought this.
    pub(crate) fn fetched(&mut self, wanted: &Wanted, fetched: Fetched, now: Instant) {
        let max_age = self.preference_max_age;
        let Some(known) = self.current(&wanted.partition, wanted.era) else { return };
        known.is_fetching = false;
        known.recover();
        known.high_watermark = fetched.high_watermark.or(known.high_watermark);
        if let Some(replica) = fetched.preferred_replica {
            known.prefer(replica, now + max_age);
        }
        if let (Some(end), Some(leader_epoch)) = (fetched.diverging, wanted.leader_epoch) {
            self.diverged(&wanted.partition, leader_epoch, Some(end));
            return;
        }
        let Place::At { position, fetch_offset } = known.place else { return };
        let mut reached = fetch_offset;
        let mut items = Vec::with_capacity(fetched.batches.len());
        for (batch, is_handed_out) in fetched.batches {
            let next_offset = batch.header().next_offset();
            // The answer begins with the whole batch that holds the fetch offset; anything else is not ours.
            if next_offset <= reached {
                continue;
            }
            reached = next_offset;
            let bytes = batch.size_in_bytes();
            let leader_epoch = batch.header().partition_leader_epoch;
            known.reading.fetch_epoch = leader_epoch;
            let batch = is_handed_out.then_some(batch);
            items.push(Buffered {
                partition: wanted.partition.clone(),
                era: wanted.era,
                batch,
                next_offset,
                leader_epoch,
                bytes,
            });
        }
        known.place = Place::At { position, fetch_offset: reached };
        self.buffered_bytes += items.iter().map(|item| item.bytes).sum::<usize>();
        self.buffer.extend(items);
    }

    /// A fetch brought no news: what was told before still holds.
    pub(crate) fn unchanged(&mut self, wanted: &Wanted, high_watermark: Option<Offset>) {
        if let Some(known) = self.current(&wanted.partition, wanted.era) {
            known.is_fetching = false;
            known.high_watermark = high_watermark.or(known.high_watermark);
            known.recover();
        }
    }

    /// A fetch brought an error instead.
    pub(crate) fn failed(&mut self, wanted: &Wanted, error: ClientError, now: Instant) -> Remedy {
        let (backoff, reset) = (self.backoff, self.reset.spec());
        let Some(known) = self.current(&wanted.partition, wanted.era) else { return Remedy::None };
        known.is_fetching = false;
        let was_at_follower = known.leave_follower();
        if error.code() == Some(ErrorCode::OFFSET_OUT_OF_RANGE) {
            // A follower may lag behind or have deleted more; and what was fetched ahead may be gone where the
            // position is not.
            if was_at_follower || self.fall_back(&wanted.partition) {
                return Remedy::None;
            }
            if let (Some(spec), Some(known)) = (reset, self.current(&wanted.partition, wanted.era)) {
                tracing::warn!(%error, "the position is out of range and is reset");
                known.place = Place::Unknown(spec);
                return Remedy::None;
            }
        } else if error.is_retriable() {
            known.retry_later(backoff, now);
            return Remedy::RefreshMetadata;
        }
        if let Some(known) = self.current(&wanted.partition, wanted.era) {
            known.is_paused = true;
        }
        self.failures.push_back(error);
        Remedy::None
    }

    /// The new leader is known already: no reason to wait.
    pub(crate) fn retry_now(&mut self, wanted: &Wanted) {
        if let Some(known) = self.current(&wanted.partition, wanted.era) {
            known.retry_at = None;
        }
    }

    /// The partition, if it is still in this era.
    fn current(&mut self, partition: &TopicPartition, era: u64) -> Option<&mut Partition> {
        self.partitions.get_mut(partition).filter(|known| known.era == era)
    }
}

impl Partition {
    /// Something worked.
    fn recover(&mut self) {
        self.retry_at = None;
        self.failures = 0;
    }

    fn retry_later(&mut self, backoff: Backoff, now: Instant) {
        self.retry_at = Some(now + backoff.delay(self.failures, 0.5));
        self.failures = self.failures.saturating_add(1);
    }
}

impl OffsetReset {
    /// The offset to ask for, if the position is to be reset.
    fn spec(self) -> Option<OffsetSpec> {
        match self {
            OffsetReset::Earliest => Some(OffsetSpec::Earliest),
            OffsetReset::Latest => Some(OffsetSpec::Latest),
            OffsetReset::Fail => None,
        }
    }
}

fn place(start: StartAt) -> Place {
    match start {
        StartAt::Earliest => Place::Unknown(OffsetSpec::Earliest),
        StartAt::Latest => Place::Unknown(OffsetSpec::Latest),
        StartAt::Timestamp(ms) => Place::Unknown(OffsetSpec::Timestamp(ms)),
        StartAt::Offset(offset) | StartAt::OffsetAtEpoch(offset, _) => Place::at(offset),
    }
}

#[cfg(test)]
mod tests;
