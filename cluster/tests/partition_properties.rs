//! The leader of a partition under random events: what must hold whatever happens and in whatever order.
//!
//! Invariants by their numbers in RELIABILITY §1. A failure prints the least sequence of events that breaks one, and
//! `PROPTEST_CASES` makes the search longer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_cluster::partition::{Acknowledgement, Effect, Isr, Leader, LeaderStart, WaitOutcome};
use ottla_cluster::time::Monotonic;
use ottla_protocol::{BrokerId, LeaderEpoch, Offset};
use proptest::prelude::*;

const ME: BrokerId = BrokerId::new(1);
const REPLICAS: [BrokerId; 3] = [BrokerId::new(1), BrokerId::new(2), BrokerId::new(3)];
const LAG_MAX_MS: u64 = 100;

#[derive(Clone, Debug)]
enum Event {
    Append { records: i64, waits: bool, timeout_ms: u64 },
    Sync { up_to: i64 },
    Fetch { follower: usize, behind: i64 },
    AnswerIsr { accept: bool },
    DeleteRecords { below: i64 },
    Configure { min_in_sync: usize, synced: bool },
    Tick { after_ms: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..5i64, any::<bool>(), 1..300u64)
            .prop_map(|(records, waits, timeout_ms)| Event::Append { records, waits, timeout_ms }),
        2 => (0..40i64).prop_map(|up_to| Event::Sync { up_to }),
        5 => (1..3usize, 0..6i64).prop_map(|(follower, behind)| Event::Fetch { follower, behind }),
        2 => any::<bool>().prop_map(|accept| Event::AnswerIsr { accept }),
        1 => (0..40i64).prop_map(|below| Event::DeleteRecords { below }),
        1 => (1..4usize, any::<bool>()).prop_map(|(min_in_sync, synced)| Event::Configure { min_in_sync, synced }),
        3 => (1..80u64).prop_map(|after_ms| Event::Tick { after_ms }),
    ]
}

/// What the test knows of the world beside the machine.
struct World {
    leader: Leader<u64>,
    now_ms: u64,
    log_end: i64,
    log_start: i64,
    synced: i64,
    high_watermark: i64,
    acknowledgement: Acknowledgement,
    /// The most that each follower ever said it has.
    fetched: BTreeMap<BrokerId, i64>,
    proposed: Option<BTreeSet<BrokerId>>,
    /// Offset and deadline of each request that waits.
    waiting: BTreeMap<u64, (i64, u64)>,
    next_token: u64,
}

impl World {
    fn new(min_in_sync: usize) -> Self {
        let start = LeaderStart {
            broker: ME,
            leader_epoch: LeaderEpoch::ZERO,
            replicas: REPLICAS.to_vec(),
            in_sync_replicas: REPLICAS.into_iter().collect(),
            log_start_offset: Offset::ZERO,
            log_end_offset: Offset::ZERO,
            high_watermark: Offset::ZERO,
            min_in_sync_replicas: min_in_sync,
            replica_lag_time_max: Duration::from_millis(LAG_MAX_MS),
            acknowledgement: Acknowledgement::Appended,
        };
        World {
            leader: Leader::new(Monotonic::from_millis(0), start),
            now_ms: 0,
            log_end: 0,
            log_start: 0,
            synced: 0,
            high_watermark: 0,
            acknowledgement: Acknowledgement::Appended,
            fetched: BTreeMap::new(),
            proposed: None,
            waiting: BTreeMap::new(),
            next_token: 0,
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Append { records, waits, timeout_ms } => {
                self.log_end += records;
                self.leader.handle_appended(Offset::new(self.log_end));
                if waits {
                    let (token, deadline) = (self.next_token, self.now_ms + timeout_ms);
                    self.next_token += 1;
                    self.waiting.insert(token, (self.log_end, deadline));
                    self.leader.wait_for(Offset::new(self.log_end), Monotonic::from_millis(deadline), token);
                }
            }
            Event::Sync { up_to } => {
                self.synced = self.synced.max(up_to.min(self.log_end));
                self.leader.handle_synced(Offset::new(up_to));
            }
            Event::Fetch { follower, behind } => {
                let (follower, offset) = (REPLICAS[follower], (self.log_end - behind).max(0));
                let most = self.fetched.entry(follower).or_default();
                *most = (*most).max(offset);
                let now = Monotonic::from_millis(self.now_ms);
                self.leader.handle_fetched(now, follower, Offset::new(offset));
            }
            Event::AnswerIsr { accept } => {
                if let Some(proposed) = self.proposed.take() {
                    let committed = self.leader.isr().committed().clone();
                    self.leader.handle_isr(if accept { proposed } else { committed });
                }
            }
            Event::DeleteRecords { below } => {
                self.log_start = self.log_start.max(below.min(self.high_watermark));
                self.leader.handle_log_start(Offset::new(self.log_start));
            }
            Event::Configure { min_in_sync, synced } => {
                self.acknowledgement =
                    if synced { Acknowledgement::Synced } else { Acknowledgement::Appended };
                self.leader.handle_config(min_in_sync, self.acknowledgement);
            }
            Event::Tick { after_ms } => {
                self.now_ms += after_ms;
                self.leader.handle_tick(Monotonic::from_millis(self.now_ms));
            }
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        let effects: Vec<_> = self.leader.drain_effects().collect();
        for effect in effects {
            match effect {
                Effect::AdvanceHighWatermark(offset) => self.check_advance(offset.get()),
                Effect::Complete(token, outcome) => {
                    let (offset, deadline) = self.waiting.remove(&token).expect("a request is answered once");
                    match outcome {
                        WaitOutcome::Reached => {
                            assert!(offset <= self.high_watermark, "I1: acked is committed")
                        }
                        WaitOutcome::TimedOut => {
                            assert!(deadline <= self.now_ms, "no request times out early")
                        }
                        WaitOutcome::LostLeadership => panic!("nobody took the leadership"),
                    }
                }
                Effect::ProposeIsr(proposed) => {
                    assert!(self.proposed.is_none(), "KIP-497: one proposal at a time");
                    assert!(proposed.contains(&ME), "a leader is in its own in-sync set");
                    self.proposed = Some(proposed);
                }
            }
        }
        assert_eq!(self.leader.high_watermark().get(), self.high_watermark, "every advance is told");
        assert!(
            self.waiting.values().all(|(offset, _)| *offset > self.high_watermark),
            "nobody is forgotten"
        );
        if let Some(next) = self.leader.next_deadline() {
            let earliest = self.waiting.values().map(|(_, deadline)| *deadline).min();
            assert_eq!(earliest.map(Monotonic::from_millis), Some(next));
        }
        if let Isr::Pending { proposed, .. } = self.leader.isr() {
            assert_eq!(Some(proposed), self.proposed.as_ref());
        }
    }

    fn check_advance(&mut self, offset: i64) {
        assert!(offset > self.high_watermark, "I6: the high watermark never goes back");
        assert!(offset <= self.log_end);
        self.high_watermark = offset;
        if self.acknowledgement == Acknowledgement::Synced && self.log_start < offset {
            assert!(offset <= self.synced, "with flush.messages=1 nothing is committed before its fsync");
        }
        for replica in self.leader.isr().maximal().filter(|replica| *replica != ME) {
            let has = self.fetched.get(&replica).copied().unwrap_or(0);
            assert!(has >= offset, "I8: {replica} is in sync and lacks records below {offset}");
        }
    }
}

proptest! {
    #[test]
    fn the_high_watermark_and_the_waits_keep_their_promises(
        min_in_sync in 1..4usize,
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(min_in_sync);
        for event in &events {
            world.happen(event);
        }
    }
}
