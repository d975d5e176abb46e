//! The fetching task of a consumer: keeps one fetch in flight to each broker while there is room for the answer.
//!
//! A fetch reads every readable partition of its broker, so an idle partition cannot delay a busy one behind a long
//! poll: what arrives for any of them ends the wait. Whatever waits for a broker runs in tasks of its own and comes back
//! as an event. Decisions are `assignment`'s and `session`'s.

mod errands;
mod request;
mod session;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use ottla_protocol::messages::fetch::FetchResponse;
use ottla_protocol::{BrokerId, TopicPartition};
use parking_lot::MutexGuard;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use self::errands::Found;
use self::session::{FetchSession, Turn};
use super::Inner;
use super::assignment::{Cluster, EpochEnd, Leadership, Remedy, Unchecked, Unresolved, Wanted};
use super::config::IsolationLevel;
use crate::error::{ClientError, Result};
use crate::metadata::Metadata;
use crate::metrics::Observation;

/// How long a broker may take to hear that a session is over.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

enum Event {
    Answered(BrokerId, Vec<Wanted>, Turn, Result<FetchResponse>),
    Resolved(Vec<(Unresolved, Result<Found>)>),
    Checked(Vec<(Unchecked, Result<Option<EpochEnd>>)>),
    Metadata,
}

/// What there is with one broker.
#[derive(Default)]
struct Lane {
    session: FetchSession,
    is_busy: bool,
    /// The broker asked to be left alone until then (KIP-219).
    throttled_until: Option<Instant>,
}

struct Fetcher {
    inner: Arc<Inner>,
    lanes: HashMap<BrokerId, Lane, RandomState>,
    is_asking_metadata: bool,
    /// A partition has no leader that is known.
    is_leaderless: bool,
    metadata_failures: u32,
    metadata_checked: Instant,
    events: mpsc::UnboundedSender<Event>,
}

/// Runs until the last handle on the consumer is gone.
pub(super) async fn run(inner: Arc<Inner>) {
    let (events, mut incoming) = mpsc::unbounded_channel();
    let mut fetcher = Fetcher {
        inner: Arc::clone(&inner),
        lanes: HashMap::default(),
        is_asking_metadata: false,
        is_leaderless: false,
        metadata_failures: 0,
        metadata_checked: Instant::now(),
        events,
    };
    while !inner.is_closed.load(Ordering::Acquire) {
        let wake_at = fetcher.work(Instant::now());
        tokio::select! {
            () = inner.hungry.notified() => {}
            Some(event) = incoming.recv() => fetcher.handle(event),
            () = sleep_until(wake_at.into()) => {}
        }
    }
    fetcher.close_sessions().await;
}

/// The metadata and the lanes, as the assignment asks about them.
struct View<'a> {
    metadata: MutexGuard<'a, Metadata>,
    lanes: &'a HashMap<BrokerId, Lane, RandomState>,
    now: Instant,
}

impl Cluster for View<'_> {
    fn leadership(&self, partition: &TopicPartition) -> Option<Leadership> {
        let topic = self.metadata.topic(&partition.topic)?;
        let info = topic.partitions.get(usize::try_from(partition.partition.get()).ok()?)?;
        let (leader, leader_epoch) = (info.leader?, info.leader_epoch);
        Some(Leadership { leader, leader_epoch, topic_id: topic.id })
    }

    fn is_known(&self, broker: BrokerId) -> bool {
        self.metadata.broker(broker).is_some()
    }

    fn is_free(&self, broker: BrokerId) -> bool {
        self.lanes
            .get(&broker)
            .is_none_or(|lane| !lane.is_busy && lane.throttled_until.is_none_or(|until| until <= self.now))
    }
}

impl Fetcher {
    /// Asks for all there is room for and says when to look again at the latest.
    fn work(&mut self, now: Instant) -> Instant {
        let max_age = self.inner.client.config().metadata_max_age;
        if now.saturating_duration_since(self.metadata_checked) >= max_age {
            self.metadata_checked = now;
            self.ask_metadata();
        }
        self.fetch(now);
        self.resolve(now);
        let next_retry = self.inner.assignment.lock().next_retry();
        let throttles = self.lanes.values().filter_map(|lane| lane.throttled_until);
        // What is due but could not go (its broker is busy, the buffer is full) is woken by an event.
        let times = next_retry.into_iter().chain(throttles).filter(|at| *at > now);
        times.chain([now + max_age]).min().unwrap_or(now + max_age)
    }

    fn fetch(&mut self, now: Instant) {
        let buffered_bytes;
        let due = {
            let mut assignment = self.inner.assignment.lock();
            buffered_bytes = assignment.buffered_bytes();
            if buffered_bytes >= self.inner.config.hungry_bytes() {
                return;
            }
            let view = View { metadata: self.inner.client.metadata(), lanes: &self.lanes, now };
            assignment.due(now, &view)
        };
        self.is_leaderless = due.is_leaderless;
        if due.is_leaderless {
            self.ask_metadata();
        }
        self.check(due.checks);
        let mut by_broker: HashMap<BrokerId, Vec<Wanted>, RandomState> = HashMap::default();
        for wanted in due.fetches {
            by_broker.entry(wanted.broker).or_default().push(wanted);
        }
        let room = self.inner.config.buffer_bytes_max.saturating_sub(buffered_bytes);
        for (broker, wanted) in by_broker {
            self.send(broker, wanted, room);
        }
    }

    fn send(&mut self, broker: BrokerId, wanted: Vec<Wanted>, room: usize) {
        let lane = self.lanes.entry(broker).or_default();
        lane.is_busy = true;
        lane.throttled_until = None;
        let turn = lane.session.ask(&wanted);
        let version_max = request::version_max(&wanted, &turn);
        let request = request::request(&self.inner.config, &wanted, &turn, room);
        let (events, client) = (self.events.clone(), self.inner.fetches.clone());
        let deadline = self.inner.config.fetch_wait_max + client.config().request_timeout;
        tokio::spawn(async move {
            let asked = async {
                let connection = client.pool().broker(broker).await?;
                let spoken = |version| request::in_version(request, version);
                connection.call_versioned(version_max, spoken, deadline).await
            };
            let response = asked.await;
            let _ = events.send(Event::Answered(broker, wanted, turn, response));
        });
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Answered(broker, wanted, turn, response) => {
                self.answered(broker, &wanted, &turn, response);
            }
            Event::Resolved(answers) => self.resolved(answers),
            Event::Checked(answers) => self.checked(answers),
            Event::Metadata => self.is_asking_metadata = false,
        }
        self.inner.filled.notify_waiters();
        self.inner.filled.notify_one();
    }

    fn answered(
        &mut self,
        broker: BrokerId,
        wanted: &[Wanted],
        turn: &Turn,
        response: Result<FetchResponse>,
    ) {
        let now = Instant::now();
        let lane = self.lanes.entry(broker).or_default();
        lane.is_busy = false;
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                lane.session.lost();
                return self.all_failed(wanted, &error, now);
            }
        };
        if let Ok(ms @ 1..) = u64::try_from(response.throttle_time_ms) {
            let by = Duration::from_millis(ms);
            lane.throttled_until = Some(now + by);
            self.inner.client.observe(|| Observation::Throttled { by });
        }
        if !lane.session.answered(turn, response.error_code, response.session_id) {
            if turn.is_full() {
                let error = ClientError::broker("fetch", response.error_code, None);
                return self.all_failed(wanted, &error, now);
            }
            // The two sides lost each other: ask for everything, at once.
            tracing::debug!(%broker, code = response.error_code.name(), "the fetch session begins anew");
            let mut assignment = self.inner.assignment.lock();
            wanted.iter().for_each(|wanted| assignment.unchanged(wanted, None));
            return;
        }
        self.take_rows(broker, wanted, turn, &response, now);
    }

    fn take_rows(
        &mut self,
        broker: BrokerId,
        wanted: &[Wanted],
        turn: &Turn,
        response: &FetchResponse,
        now: Instant,
    ) {
        let session = &mut self.lanes.entry(broker).or_default().session;
        let committed_only = self.inner.config.isolation_level == IsolationLevel::ReadCommitted;
        let rows = request::rows(wanted, response);
        let mut remedies = Vec::new();
        for wanted in wanted {
            let row = rows.get(&wanted.partition);
            let fetched = match row {
                Some(row) => request::read(wanted, row, committed_only),
                None if turn.is_full() => Err(request::missing(wanted)),
                None => {
                    let high_watermark = session.high_watermark(&wanted.partition);
                    self.inner.assignment.lock().unchanged(wanted, high_watermark);
                    continue;
                }
            };
            let error = match fetched {
                Ok(fetched) => {
                    session.told(&wanted.partition, fetched.high_watermark);
                    if !fetched.batches.is_empty() {
                        self.inner.client.observe(|| fetched.observation(wanted));
                    }
                    self.inner.assignment.lock().fetched(wanted, fetched, now);
                    continue;
                }
                Err(error) => error,
            };
            tracing::debug!(%error, "a fetch failed");
            let hint = row.and_then(|row| request::hint(row, response));
            let is_hinted = hint.is_some_and(|hint| {
                self.inner.client.metadata().learn_leader(&wanted.partition, broker, hint)
            });
            let mut assignment = self.inner.assignment.lock();
            let remedy = assignment.failed(wanted, error, now);
            match is_hinted {
                true => assignment.retry_now(wanted),
                false => remedies.push(remedy),
            }
        }
        self.apply(&remedies);
    }

    fn all_failed(&mut self, wanted: &[Wanted], error: &ClientError, now: Instant) {
        tracing::debug!(%error, "a fetch failed");
        let mut remedies = Vec::new();
        {
            let mut assignment = self.inner.assignment.lock();
            for wanted in wanted {
                let error = request::located(error.clone().during("fetch"), wanted);
                remedies.push(assignment.failed(wanted, error, now));
            }
        }
        self.apply(&remedies);
    }

    fn resolved(&mut self, answers: Vec<(Unresolved, Result<Found>)>) {
        let now = Instant::now();
        let mut remedies = Vec::new();
        {
            let mut assignment = self.inner.assignment.lock();
            for (unresolved, answer) in answers {
                match answer {
                    Ok(found) => assignment.resolved(&unresolved, found.offset, found.leader_epoch),
                    Err(error) => remedies.push(assignment.unresolvable(&unresolved, error, now)),
                }
            }
        }
        self.apply(&remedies);
    }

    fn checked(&mut self, answers: Vec<(Unchecked, Result<Option<EpochEnd>>)>) {
        let now = Instant::now();
        let mut remedies = Vec::new();
        {
            let mut assignment = self.inner.assignment.lock();
            for (unchecked, answer) in answers {
                match answer {
                    Ok(end) => assignment.checked(&unchecked, end),
                    Err(error) => remedies.push(assignment.uncheckable(&unchecked, error, now)),
                }
            }
        }
        self.apply(&remedies);
    }

    fn apply(&mut self, remedies: &[Remedy]) {
        if remedies.contains(&Remedy::RefreshMetadata) {
            self.ask_metadata();
        } else if !self.is_leaderless {
            self.metadata_failures = 0;
        }
    }
}
