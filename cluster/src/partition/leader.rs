//! The leader of one partition: where produce and fetch meet, without knowing of each other.
//!
//! A replica acknowledges everything below the offset it fetches next. The leader acknowledges its own log end, or with
//! `flush.messages=1` only what has been synced: to the high watermark it is a replica like any other. The high
//! watermark is the least acknowledgement in the maximal ISR (KIP-497), never falls, and stands still while the ISR is
//! smaller than `min.insync.replicas` (KIP-966).
//! Invariant, asserted at both ends of each event: `log_start_offset <= high_watermark <= log_end_offset`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_protocol::{BrokerId, LeaderEpoch, Offset};

use super::isr::Isr;
use super::waits::{WaitOutcome, Waits};
use crate::time::Monotonic;

/// What the leader itself must have done with a record before it counts as acknowledged by the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Written to the page cache: Kafka's rule, where replication is the durability.
    Appended,
    /// Synced to disk (`flush.messages=1`), by a group commit.
    Synced,
}

/// Up to where a fetch may read, by who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// A consumer that reads uncommitted: the high watermark.
    HighWatermark,
    /// A consumer that reads committed: the last stable offset, itself never above the high watermark.
    LastStableOffset,
    /// A follower: all there is.
    LogEnd,
}

/// What the machine asks of its shell, in the order in which it is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<T> {
    /// Answer the request behind this token. May be sent at once.
    Complete(T, WaitOutcome),
    /// Publish the new high watermark, then wake the fetches that wait below it.
    AdvanceHighWatermark(Offset),
    /// Ask the controller for this in-sync set; answer with [`Leader::handle_isr`] whatever comes of it.
    ProposeIsr(BTreeSet<BrokerId>),
}

/// The ISR is too small to promise what acks=all asks for. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{in_sync_count} in-sync replicas are fewer than min.insync.replicas={min_in_sync_replicas}")]
pub struct NotEnoughReplicas {
    /// How many replicas are in sync.
    pub in_sync_count: usize,
    /// How many the topic asks for, at most its replication factor.
    pub min_in_sync_replicas: usize,
}

/// What a broker knows when it becomes the leader of a partition.
#[derive(Clone, Debug)]
pub struct LeaderStart {
    /// This broker.
    pub broker: BrokerId,
    /// The epoch it leads in.
    pub leader_epoch: LeaderEpoch,
    /// All replicas, this broker among them.
    pub replicas: Vec<BrokerId>,
    /// The in-sync set that the controller committed.
    pub in_sync_replicas: BTreeSet<BrokerId>,
    /// First readable offset of the local log.
    pub log_start_offset: Offset,
    /// Next offset the local log assigns.
    pub log_end_offset: Offset,
    /// The high watermark known so far.
    pub high_watermark: Offset,
    /// `min.insync.replicas` of the topic.
    pub min_in_sync_replicas: usize,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_time_max: Duration,
    /// What counts as the leader's own acknowledgement.
    pub acknowledgement: Acknowledgement,
}

#[derive(Debug)]
struct Follower {
    fetch_offset: Option<Offset>,
    caught_up_at: Monotonic,
    log_end_at_last_fetch: Offset,
    last_fetch_at: Monotonic,
}

/// The event machine; `T` is the shell's token for a produce request that waits.
#[derive(Debug)]
pub struct Leader<T> {
    broker: BrokerId,
    leader_epoch: LeaderEpoch,
    isr: Isr,
    followers: BTreeMap<BrokerId, Follower>,
    log_start_offset: Offset,
    log_end_offset: Offset,
    synced_offset: Offset,
    high_watermark: Offset,
    min_in_sync_replicas: usize,
    replica_lag_time_max: Duration,
    acknowledgement: Acknowledgement,
    waits: Waits<T>,
    effects: Vec<Effect<T>>,
}

impl<T> Leader<T> {
    /// Begins to lead. Everything already in the local log counts as synced: recovery has read it back from disk.
    pub fn new(now: Monotonic, start: LeaderStart) -> Self {
        assert!(start.in_sync_replicas.contains(&start.broker), "a leader is in its own in-sync set");
        let follower = |id: &BrokerId| {
            let state = Follower {
                fetch_offset: None,
                caught_up_at: now,
                log_end_at_last_fetch: start.log_end_offset,
                last_fetch_at: now,
            };
            (*id, state)
        };
        let mut leader = Self {
            broker: start.broker,
            leader_epoch: start.leader_epoch,
            isr: Isr::Committed(start.in_sync_replicas.clone()),
            followers: start.replicas.iter().filter(|id| **id != start.broker).map(follower).collect(),
            log_start_offset: start.log_start_offset,
            log_end_offset: start.log_end_offset,
            synced_offset: start.log_end_offset,
            high_watermark: start.high_watermark.max(start.log_start_offset).min(start.log_end_offset),
            min_in_sync_replicas: start.min_in_sync_replicas.min(start.replicas.len()).max(1),
            replica_lag_time_max: start.replica_lag_time_max,
            acknowledgement: start.acknowledgement,
            waits: Waits::default(),
            effects: Vec::new(),
        };
        leader.advance();
        leader
    }

    /// The epoch this broker leads in.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// End of what is committed, exclusive.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The in-sync replicas.
    pub fn isr(&self) -> &Isr {
        &self.isr
    }

    /// Up to where a fetch may read; `last_stable_offset` is the log's.
    pub fn ceiling(&self, ceiling: Ceiling, last_stable_offset: Offset) -> Offset {
        match ceiling {
            Ceiling::HighWatermark => self.high_watermark,
            Ceiling::LastStableOffset => last_stable_offset.min(self.high_watermark),
            Ceiling::LogEnd => self.log_end_offset,
        }
    }

    /// Whether acks=all can be promised now; ask before the append.
    pub fn check_in_sync(&self) -> Result<(), NotEnoughReplicas> {
        let in_sync_count = self.isr.committed().len();
        if in_sync_count < self.min_in_sync_replicas {
            return Err(NotEnoughReplicas { in_sync_count, min_in_sync_replicas: self.min_in_sync_replicas });
        }
        Ok(())
    }

    /// The local log now ends at `log_end_offset`.
    pub fn handle_appended(&mut self, log_end_offset: Offset) {
        self.assert_invariants();
        self.log_end_offset = self.log_end_offset.max(log_end_offset);
        self.advance();
    }

    /// The local log is on disk up to `synced_offset`.
    pub fn handle_synced(&mut self, synced_offset: Offset) {
        self.assert_invariants();
        self.synced_offset = self.synced_offset.max(synced_offset.min(self.log_end_offset));
        self.advance();
    }

    /// The first readable offset moved up, by retention or DeleteRecords; never beyond the high watermark.
    pub fn handle_log_start(&mut self, log_start_offset: Offset) {
        self.assert_invariants();
        self.log_start_offset = self.log_start_offset.max(log_start_offset);
        self.high_watermark = self.high_watermark.max(self.log_start_offset);
        self.advance();
    }

    /// The topic's configuration changed.
    pub fn handle_config(&mut self, min_in_sync_replicas: usize, acknowledgement: Acknowledgement) {
        self.min_in_sync_replicas = min_in_sync_replicas.min(self.followers.len() + 1).max(1);
        self.acknowledgement = acknowledgement;
        self.advance();
    }

    /// A follower asked for `fetch_offset`: it has everything below. The shell has already checked its epochs.
    pub fn handle_fetched(&mut self, now: Monotonic, follower: BrokerId, fetch_offset: Offset) {
        self.assert_invariants();
        let Some(state) = self.followers.get_mut(&follower) else { return };
        // Caught up now, or as of its previous fetch: a follower one round trip behind a busy leader is in sync.
        if fetch_offset >= self.log_end_offset {
            state.caught_up_at = now;
        } else if fetch_offset >= state.log_end_at_last_fetch {
            state.caught_up_at = state.caught_up_at.max(state.last_fetch_at);
        }
        state.fetch_offset = Some(fetch_offset.min(self.log_end_offset));
        state.log_end_at_last_fetch = self.log_end_offset;
        state.last_fetch_at = now;
        let joins = fetch_offset >= self.high_watermark && !self.isr.maximal().any(|id| id == follower);
        if joins && !self.isr.is_pending() {
            let mut proposed = self.isr.committed().clone();
            proposed.insert(follower);
            self.propose(proposed);
        }
        self.advance();
    }

    /// The controller's word on the in-sync set, asked for or not.
    pub fn handle_isr(&mut self, in_sync_replicas: BTreeSet<BrokerId>) {
        self.assert_invariants();
        assert!(in_sync_replicas.contains(&self.broker), "a leader is in its own in-sync set");
        self.isr = Isr::Committed(in_sync_replicas);
        self.advance();
    }

    /// Parks a produce request until everything below `end_offset` is committed.
    pub fn wait_for(&mut self, end_offset: Offset, deadline: Monotonic, token: T) {
        assert!(end_offset <= self.log_end_offset, "a request waits only for what was appended");
        if end_offset <= self.high_watermark {
            self.effects.push(Effect::Complete(token, WaitOutcome::Reached));
        } else {
            self.waits.park(end_offset, deadline, token);
        }
    }

    /// Time has passed: waits expire, and a follower that lags for too long is to leave the ISR.
    pub fn handle_tick(&mut self, now: Monotonic) {
        for token in self.waits.expired(now) {
            self.effects.push(Effect::Complete(token, WaitOutcome::TimedOut));
        }
        if self.isr.is_pending() {
            return;
        }
        let lags = |id: &BrokerId| {
            self.followers.get(id).is_some_and(|follower| {
                follower.fetch_offset != Some(self.log_end_offset)
                    && now.since(follower.caught_up_at) > self.replica_lag_time_max
            })
        };
        let stay: BTreeSet<BrokerId> = self.isr.committed().iter().filter(|id| !lags(id)).copied().collect();
        if stay.len() < self.isr.committed().len() {
            self.propose(stay);
        }
    }

    /// This broker leads no longer: every wait is answered, and the machine is to be dropped.
    pub fn resign(&mut self) {
        for token in self.waits.abandon() {
            self.effects.push(Effect::Complete(token, WaitOutcome::LostLeadership));
        }
    }

    /// When [`handle_tick`](Self::handle_tick) has a wait to expire.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.waits.next_deadline()
    }

    /// Takes what is to be done, oldest first.
    pub fn drain_effects(&mut self) -> impl Iterator<Item = Effect<T>> + use<T> {
        std::mem::take(&mut self.effects).into_iter()
    }

    fn propose(&mut self, proposed: BTreeSet<BrokerId>) {
        self.isr.propose(proposed.clone());
        self.effects.push(Effect::ProposeIsr(proposed));
    }

    fn acknowledged_by(&self, replica: BrokerId) -> Offset {
        if replica == self.broker {
            return match self.acknowledgement {
                Acknowledgement::Appended => self.log_end_offset,
                Acknowledgement::Synced => self.synced_offset,
            };
        }
        let follower = self.followers.get(&replica).and_then(|follower| follower.fetch_offset);
        follower.unwrap_or(self.high_watermark)
    }

    fn advance(&mut self) {
        let committed = self.isr.maximal().map(|replica| self.acknowledged_by(replica)).min();
        let enough = self.isr.committed().len() >= self.min_in_sync_replicas;
        if let Some(committed) = committed.filter(|committed| enough && *committed > self.high_watermark) {
            self.high_watermark = committed;
            self.effects.push(Effect::AdvanceHighWatermark(committed));
            for token in self.waits.reached(committed) {
                self.effects.push(Effect::Complete(token, WaitOutcome::Reached));
            }
        }
        self.assert_invariants();
    }

    fn assert_invariants(&self) {
        assert!(
            self.log_start_offset <= self.high_watermark && self.high_watermark <= self.log_end_offset,
            "log start {}, high watermark {} and log end {} are out of order",
            self.log_start_offset,
            self.high_watermark,
            self.log_end_offset,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: BrokerId = BrokerId::new(1);
    const OTHER: BrokerId = BrokerId::new(2);

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    fn leader(replicas: &[BrokerId], acknowledgement: Acknowledgement) -> Leader<&'static str> {
        let start = LeaderStart {
            broker: ME,
            leader_epoch: LeaderEpoch::ZERO,
            replicas: replicas.to_vec(),
            in_sync_replicas: replicas.iter().copied().collect(),
            log_start_offset: Offset::ZERO,
            log_end_offset: Offset::ZERO,
            high_watermark: Offset::ZERO,
            min_in_sync_replicas: replicas.len(),
            replica_lag_time_max: Duration::from_millis(30_000),
            acknowledgement,
        };
        Leader::new(at(0), start)
    }

    fn effects(leader: &mut Leader<&'static str>) -> Vec<Effect<&'static str>> {
        leader.drain_effects().collect()
    }

    #[test]
    fn a_lone_leader_commits_what_it_appends() {
        let mut leader = leader(&[ME], Acknowledgement::Appended);
        leader.handle_appended(Offset::new(3));
        leader.wait_for(Offset::new(3), at(1_000), "produce");
        assert_eq!(
            effects(&mut leader),
            [Effect::AdvanceHighWatermark(Offset::new(3)), Effect::Complete("produce", WaitOutcome::Reached)]
        );
    }

    #[test]
    fn with_flush_messages_one_nothing_is_committed_before_it_is_synced() {
        let mut leader = leader(&[ME], Acknowledgement::Synced);
        leader.handle_appended(Offset::new(3));
        leader.wait_for(Offset::new(3), at(1_000), "produce");
        assert_eq!(effects(&mut leader), []);
        leader.handle_synced(Offset::new(3));
        assert_eq!(leader.high_watermark(), Offset::new(3));
        assert_eq!(effects(&mut leader).len(), 2);
    }

    #[test]
    fn high_watermark_waits_for_the_slowest_in_sync_replica() {
        let mut leader = leader(&[ME, OTHER], Acknowledgement::Appended);
        leader.handle_appended(Offset::new(5));
        leader.wait_for(Offset::new(4), at(1_000), "produce");
        leader.handle_fetched(at(1), OTHER, Offset::new(3));
        assert_eq!(leader.high_watermark(), Offset::new(3));
        leader.handle_fetched(at(2), OTHER, Offset::new(5));
        assert_eq!(leader.high_watermark(), Offset::new(5));
        let done = Effect::Complete("produce", WaitOutcome::Reached);
        assert!(effects(&mut leader).contains(&done));
    }

    #[test]
    fn a_lagging_follower_leaves_only_once_the_controller_agrees() {
        let mut leader = leader(&[ME, OTHER], Acknowledgement::Appended);
        leader.handle_config(1, Acknowledgement::Appended);
        leader.handle_appended(Offset::new(5));
        leader.handle_tick(at(30_001));
        assert_eq!(effects(&mut leader), [Effect::ProposeIsr(BTreeSet::from([ME]))]);
        assert_eq!(leader.high_watermark(), Offset::ZERO, "the pending set is still counted");
        leader.handle_isr(BTreeSet::from([ME]));
        assert_eq!(leader.high_watermark(), Offset::new(5));
        leader.handle_fetched(at(30_002), OTHER, Offset::new(5));
        assert!(effects(&mut leader).contains(&Effect::ProposeIsr(BTreeSet::from([ME, OTHER]))));
    }

    #[test]
    fn below_min_insync_replicas_the_high_watermark_stands_still_and_acks_all_is_refused() {
        let mut leader = leader(&[ME, OTHER], Acknowledgement::Appended);
        leader.handle_isr(BTreeSet::from([ME]));
        leader.handle_appended(Offset::new(5));
        assert_eq!(leader.high_watermark(), Offset::ZERO);
        assert_eq!(
            leader.check_in_sync(),
            Err(NotEnoughReplicas { in_sync_count: 1, min_in_sync_replicas: 2 })
        );
    }

    #[test]
    fn a_wait_times_out_and_lost_leadership_answers_the_rest() {
        let mut leader = leader(&[ME, OTHER], Acknowledgement::Appended);
        leader.handle_appended(Offset::new(2));
        leader.wait_for(Offset::new(1), at(10), "early");
        leader.wait_for(Offset::new(2), at(99), "late");
        assert_eq!(leader.next_deadline(), Some(at(10)));
        leader.handle_tick(at(10));
        leader.resign();
        assert_eq!(
            effects(&mut leader),
            [
                Effect::Complete("early", WaitOutcome::TimedOut),
                Effect::Complete("late", WaitOutcome::LostLeadership)
            ]
        );
    }
}
