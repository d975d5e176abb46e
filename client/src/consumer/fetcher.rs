//! The fetching task of a consumer: keeps one fetch in flight to each leader while there is room for the answer.
//!
//! A fetch names every readable partition of its broker, so an idle partition cannot delay a busy one behind a long
//! poll: what arrives for any of them ends the wait. Whatever waits for a broker runs in tasks of its own and comes back
//! as an event. Decisions are `assignment`'s; batches are verified here, before anybody sees them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use foldhash::fast::RandomState;
use ottla_protocol::codec::FetchRecords;
use ottla_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use ottla_protocol::records::{BatchError, batches};
use ottla_protocol::{BrokerId, ErrorCode, LeaderEpoch, Offset, TopicName, TopicPartition};
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};

use super::Inner;
use super::aborted::committed;
use super::assignment::{Fetched, Remedy, Unresolved, Wanted};
use super::batch::corrupt_batch;
use super::config::IsolationLevel;
use crate::admin::{Admin, OffsetSpec};
use crate::client::AutoCreate;
use crate::error::{ClientError, Result};

enum Event {
    Answered(BrokerId, Vec<Wanted>, Result<FetchResponse>),
    Resolved(Vec<(Unresolved, Result<Offset>)>),
    Metadata,
}

struct Fetcher {
    inner: Arc<Inner>,
    /// Brokers with a fetch in flight.
    busy: HashSet<BrokerId, RandomState>,
    is_asking_metadata: bool,
    metadata_failures: u32,
    metadata_checked: Instant,
    events: mpsc::UnboundedSender<Event>,
}

/// Runs until the last handle on the consumer is gone.
pub(super) async fn run(inner: Arc<Inner>) {
    let (events, mut incoming) = mpsc::unbounded_channel();
    let mut fetcher = Fetcher {
        inner: Arc::clone(&inner),
        busy: HashSet::default(),
        is_asking_metadata: false,
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
}

impl Fetcher {
    /// Asks for all there is room for and says when to look again at the latest.
    fn work(&mut self, now: Instant) -> Instant {
        let max_age = self.inner.client.config().metadata_max_age;
        if now.saturating_duration_since(self.metadata_checked) >= max_age {
            self.metadata_checked = now;
            self.ask_metadata();
        }
        self.resolve(now);
        self.fetch(now);
        let next_retry = self.inner.assignment.lock().next_retry();
        // A retry that is due but could not go (its broker is busy, the buffer is full) is woken by an event.
        next_retry.filter(|at| *at > now).map_or(now + max_age, |at| at.min(now + max_age))
    }

    fn resolve(&self, now: Instant) {
        let unresolved = self.inner.assignment.lock().unresolved(now);
        if unresolved.is_empty() {
            return;
        }
        let (admin, events) = (Admin::new(self.inner.client.clone()), self.events.clone());
        tokio::spawn(async move {
            let _ = events.send(Event::Resolved(resolve(&admin, unresolved).await));
        });
    }

    fn fetch(&mut self, now: Instant) {
        let mut by_leader: BTreeMap<BrokerId, Vec<(Wanted, Option<LeaderEpoch>)>> = BTreeMap::new();
        let mut leaderless = false;
        let buffered_bytes;
        {
            let mut assignment = self.inner.assignment.lock();
            buffered_bytes = assignment.buffered_bytes();
            if buffered_bytes >= self.inner.config.hungry_bytes() {
                return;
            }
            let metadata = self.inner.client.metadata();
            let leader = |partition: &TopicPartition| metadata.leader(&partition.topic, partition.partition);
            let wanted = assignment.wanted(now, |partition| match leader(partition) {
                Some((broker, _)) => !self.busy.contains(&broker),
                None => {
                    leaderless = true;
                    false
                }
            });
            for wanted in wanted {
                if let Some((broker, epoch)) = leader(&wanted.partition) {
                    by_leader.entry(broker).or_default().push((wanted, epoch));
                }
            }
        }
        if leaderless {
            self.ask_metadata();
        }
        for (broker, wanted) in by_leader {
            self.send(broker, wanted, buffered_bytes);
        }
    }

    fn send(&mut self, broker: BrokerId, wanted: Vec<(Wanted, Option<LeaderEpoch>)>, buffered_bytes: usize) {
        self.busy.insert(broker);
        let request = self.request(&wanted, buffered_bytes);
        let wanted = wanted.into_iter().map(|(wanted, _)| wanted).collect();
        let (events, client) = (self.events.clone(), self.inner.fetches.clone());
        let deadline = self.inner.config.fetch_wait_max + client.config().request_timeout;
        tokio::spawn(async move {
            let response = client.pool().call_broker(broker, request, deadline).await;
            let _ = events.send(Event::Answered(broker, wanted, response));
        });
    }

    fn request(&self, wanted: &[(Wanted, Option<LeaderEpoch>)], buffered_bytes: usize) -> FetchRequest {
        let config = &self.inner.config;
        let wire = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (wanted, leader_epoch) in wanted {
            let partition = FetchPartition {
                partition: wanted.partition.partition.get(),
                current_leader_epoch: leader_epoch.map_or(-1, LeaderEpoch::get),
                fetch_offset: wanted.fetch_offset.get(),
                partition_max_bytes: wire(config.partition_bytes_max),
                ..Default::default()
            };
            // They come in the order of topics.
            match topics.last_mut().filter(|topic| topic.topic == *wanted.partition.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(FetchTopic {
                    topic: (&wanted.partition.topic).into(),
                    partitions: vec![partition],
                }),
            }
        }
        FetchRequest {
            max_wait_ms: i32::try_from(config.fetch_wait_max.as_millis()).unwrap_or(i32::MAX),
            min_bytes: wire(config.fetch_bytes_min),
            max_bytes: wire(
                config.fetch_bytes_max.min(config.buffer_bytes_max.saturating_sub(buffered_bytes)),
            ),
            isolation_level: i8::from(config.isolation_level == IsolationLevel::ReadCommitted),
            rack_id: config.rack.as_str().into(),
            topics,
            ..Default::default()
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Answered(broker, wanted, response) => {
                self.busy.remove(&broker);
                self.answered(&wanted, response);
            }
            Event::Resolved(answers) => self.resolved(answers),
            Event::Metadata => self.is_asking_metadata = false,
        }
        self.inner.filled.notify_waiters();
        self.inner.filled.notify_one();
    }

    fn answered(&mut self, wanted: &[Wanted], response: Result<FetchResponse>) {
        let now = Instant::now();
        let response = response.and_then(|response| match response.error_code {
            ErrorCode::NONE => Ok(response),
            code => Err(ClientError::broker("fetch", code, None)),
        });
        let mut rows: HashMap<(&str, i32), &PartitionData, RandomState> = HashMap::default();
        if let Ok(response) = &response {
            for topic in &response.responses {
                rows.extend(
                    topic.partitions.iter().map(|row| ((topic.topic.as_str(), row.partition_index), row)),
                );
            }
        }
        let mut remedies = Vec::new();
        let committed_only = self.inner.config.isolation_level == IsolationLevel::ReadCommitted;
        for wanted in wanted {
            let row = rows.get(&(wanted.partition.topic.as_str(), wanted.partition.partition.get()));
            let fetched = match (&response, row) {
                (Ok(_), Some(row)) => read(wanted, row, committed_only),
                (Ok(_), None) => {
                    Err(located(ClientError::broker("fetch", ErrorCode::UNKNOWN_SERVER_ERROR, None), wanted))
                }
                (Err(error), _) => Err(located(error.clone().during("fetch"), wanted)),
            };
            let mut assignment = self.inner.assignment.lock();
            match fetched {
                Ok(fetched) => assignment.fetched(wanted, fetched),
                Err(error) => {
                    tracing::debug!(%error, "a fetch failed");
                    remedies.push(assignment.failed(wanted, error, now));
                }
            }
        }
        self.metadata_failures = if remedies.is_empty() { 0 } else { self.metadata_failures };
        self.apply(&remedies);
    }

    fn resolved(&mut self, answers: Vec<(Unresolved, Result<Offset>)>) {
        let now = Instant::now();
        let mut remedies = Vec::new();
        {
            let mut assignment = self.inner.assignment.lock();
            for (unresolved, answer) in answers {
                match answer {
                    Ok(offset) => assignment.resolved(&unresolved, offset),
                    Err(error) => remedies.push(assignment.unresolvable(&unresolved, error, now)),
                }
            }
        }
        self.apply(&remedies);
    }

    fn apply(&mut self, remedies: &[Remedy]) {
        if remedies.contains(&Remedy::RefreshMetadata) {
            self.ask_metadata();
        }
    }

    fn ask_metadata(&mut self) {
        if std::mem::replace(&mut self.is_asking_metadata, true) {
            return;
        }
        let mut topics: Vec<TopicName> =
            self.inner.assignment.lock().partitions().into_iter().map(|partition| partition.topic).collect();
        topics.dedup();
        let (events, client) = (self.events.clone(), self.inner.client.clone());
        let delay = client.config().backoff.delay(self.metadata_failures, rand::random());
        let generation = client.metadata().generation();
        let is_first = self.metadata_failures == 0;
        self.metadata_failures = self.metadata_failures.saturating_add(1);
        tokio::spawn(async move {
            if !is_first {
                sleep(delay).await;
            }
            if let Err(error) = client.refresh(&topics, AutoCreate::Forbidden, generation).await {
                tracing::debug!(%error, "no metadata yet");
            }
            let _ = events.send(Event::Metadata);
        });
    }
}

/// The offsets that the specs mean now. A time later than every record means the end.
async fn resolve(admin: &Admin, unresolved: Vec<Unresolved>) -> Vec<(Unresolved, Result<Offset>)> {
    let questions: Vec<_> = unresolved.iter().map(|one| (one.partition.clone(), one.spec)).collect();
    let mut found = offsets(admin, &questions).await;
    let ends: Vec<_> = found
        .iter()
        .filter(|(_, answer)| matches!(answer, Ok(None)))
        .map(|(partition, _)| (partition.clone(), OffsetSpec::Latest))
        .collect();
    if !ends.is_empty() {
        found.extend(offsets(admin, &ends).await);
    }
    let resolved = unresolved.into_iter().map(|one| {
        let answer = match found.remove(&one.partition) {
            Some(Ok(Some(offset))) => Ok(offset),
            Some(Err(error)) => Err(error),
            Some(Ok(None)) | None => {
                let error = ClientError::broker("list offsets", ErrorCode::LEADER_NOT_AVAILABLE, None);
                Err(error.for_topic(&one.partition.topic).for_partition(one.partition.partition.get()))
            }
        };
        (one, answer)
    });
    resolved.collect()
}

/// The answer for each partition; an error of the whole call is each partition's.
async fn offsets(
    admin: &Admin,
    questions: &[(TopicPartition, OffsetSpec)],
) -> BTreeMap<TopicPartition, Result<Option<Offset>>> {
    match admin.list_offsets(questions).await {
        Ok(answers) => answers
            .into_iter()
            .map(|(partition, answer)| (partition, answer.map(|listed| listed.offset)))
            .collect(),
        Err(error) => {
            questions.iter().map(|(partition, _)| (partition.clone(), Err(error.clone()))).collect()
        }
    }
}

/// Verifies what a fetch brought for one partition.
fn read(wanted: &Wanted, row: &PartitionData, committed_only: bool) -> Result<Fetched> {
    if row.error_code.is_error() {
        return Err(located(ClientError::broker("fetch", row.error_code, None), wanted));
    }
    let bytes = match &row.records {
        FetchRecords::Bytes(bytes) => bytes.clone(),
        FetchRecords::Null | FetchRecords::Region { .. } => Bytes::new(),
    };
    let mut whole = Vec::new();
    for batch in batches(bytes) {
        match batch {
            Ok(batch) => whole.push(batch),
            // The answer may end in the middle of a batch, unless it is the only one.
            Err(BatchError::Truncated { .. }) if !whole.is_empty() => break,
            Err(error) => return Err(corrupt_batch(&wanted.partition, wanted.fetch_offset, &error)),
        }
    }
    let aborted = row.aborted_transactions.as_deref().filter(|_| committed_only);
    let end = if committed_only { row.last_stable_offset } else { row.high_watermark };
    Ok(Fetched { high_watermark: Offset::known(end), batches: committed(whole, aborted.unwrap_or_default()) })
}

fn located(error: ClientError, wanted: &Wanted) -> ClientError {
    let error = error.for_topic(&wanted.partition.topic).for_partition(wanted.partition.partition.get());
    error.at_offset(wanted.fetch_offset.get())
}
