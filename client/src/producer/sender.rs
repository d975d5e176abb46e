//! The sending task of a producer: takes due batches from the partitions' queues and talks to their leaders.
//!
//! One task owns all of it, so there is nothing to lock but a partition's queue for a moment. Each broker has a lane: its
//! connection and its requests in flight, at most five. Everything that waits for a broker (connecting, answers,
//! metadata, the producer id) runs in tasks of its own and comes back as an event; this task never waits for one broker
//! while another could be served. Compression happens here, outside of every lock.

mod answers;
mod errands;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use ottla_protocol::BrokerId;
use ottla_protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use self::answers::{is_about_leaders, leader_hint, partition_answer};
use super::delivery::Acknowledged;
use super::partition_queue::{Answer, Take};
use super::sealed::{Identity, SealedBatch};
use super::{Inner, PartitionState};
use crate::connection::Connection;
use crate::error::{ClientError, Result};
use crate::metrics::Observation;

/// Batches past their delivery timeout are looked for this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A batch on the wire and the partition it belongs to.
type Sent = (Arc<PartitionState>, Box<SealedBatch>);

enum Event {
    Connected(BrokerId, Result<Arc<Connection>>),
    Answered(BrokerId, Vec<Sent>, Result<ProduceResponse>),
    Identity(Result<Identity>),
    Metadata(Result<()>),
}

#[derive(Default)]
struct Lane {
    connection: Option<Arc<Connection>>,
    is_connecting: bool,
    in_flight: usize,
    pending: VecDeque<Arc<PartitionState>>,
    failures: u32,
    /// The broker asked to be left alone until then (KIP-219).
    throttled_until: Option<Instant>,
}

struct Sender {
    inner: Arc<Inner>,
    lanes: HashMap<BrokerId, Lane, RandomState>,
    /// Partitions to look at again at a time: retries in backoff, batches that would expire.
    later: BTreeMap<(Instant, u64), Arc<PartitionState>>,
    later_count: u64,
    /// Partitions whose leader is unknown.
    homeless: Vec<Arc<PartitionState>>,
    /// Partitions that wait for a producer identity.
    nameless: Vec<Arc<PartitionState>>,
    identity: Option<Identity>,
    identity_failures: u32,
    is_asking_identity: bool,
    is_asking_metadata: bool,
    metadata_failures: u32,
    metadata_checked: Instant,
    next_sweep: Instant,
    last_failure: Option<ClientError>,
    events: mpsc::UnboundedSender<Event>,
}

/// Runs until the last handle on the producer is gone and what was on the wire is settled.
pub(super) async fn run(inner: Arc<Inner>) {
    let (events, mut incoming) = mpsc::unbounded_channel();
    let mut sender = Sender {
        inner: Arc::clone(&inner),
        lanes: HashMap::default(),
        later: BTreeMap::new(),
        later_count: 0,
        homeless: Vec::new(),
        nameless: Vec::new(),
        identity: None,
        identity_failures: 0,
        is_asking_identity: false,
        is_asking_metadata: false,
        metadata_failures: 0,
        metadata_checked: Instant::now(),
        next_sweep: Instant::now() + SWEEP_EVERY,
        last_failure: None,
        events,
    };
    loop {
        if inner.is_closed.load(Ordering::Acquire) {
            sender.abandon();
            if sender.lanes.values().all(|lane| lane.in_flight == 0) {
                return;
            }
        }
        let wake_at = sender.work(Instant::now());
        tokio::select! {
            () = inner.wake.notified() => {}
            Some(event) = incoming.recv() => {
                sender.handle(event);
                while let Ok(event) = incoming.try_recv() {
                    sender.handle(event);
                }
            }
            () = sleep_until(wake_at.into()) => {}
        }
    }
}

impl Sender {
    /// Sends all there is to send and says when to look again at the latest.
    fn work(&mut self, now: Instant) -> Instant {
        self.refresh_stale_metadata(now);
        let mut wake_at = now + self.inner.client.config().metadata_max_age;
        for partition in self.due(now, &mut wake_at) {
            partition.is_listed.store(false, Ordering::Release);
            self.route(partition);
        }
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP_EVERY;
            self.sweep(now);
        }
        if self.inner.memory.reserved_bytes() > 0 {
            wake_at = wake_at.min(self.next_sweep);
        }
        let brokers: Vec<BrokerId> = self.lanes.keys().copied().collect();
        for broker in brokers {
            self.serve(broker, now);
        }
        let throttles = self.lanes.values().filter_map(|lane| lane.throttled_until);
        wake_at = throttles.filter(|until| *until > now).min().map_or(wake_at, |until| wake_at.min(until));
        match self.later.first_key_value() {
            Some(((at, _), _)) => wake_at.min(*at),
            None => wake_at,
        }
    }

    /// The partitions to look at now.
    fn due(&mut self, now: Instant, wake_at: &mut Instant) -> Vec<Arc<PartitionState>> {
        let mut due: Vec<Arc<PartitionState>> = Vec::new();
        {
            let mut schedule = self.inner.schedule.lock();
            while schedule.lingering.front().is_some_and(|(at, _)| *at <= now) {
                due.extend(schedule.lingering.pop_front().map(|(_, partition)| partition));
            }
            if let Some((at, _)) = schedule.lingering.front() {
                *wake_at = (*wake_at).min(*at);
            }
            due.extend(schedule.ready.drain(..));
        }
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            due.push(entry.remove());
        }
        due
    }

    fn look_again(&mut self, partition: Arc<PartitionState>, at: Instant) {
        self.later_count += 1;
        self.later.insert((at, self.later_count), partition);
    }

    /// Gives up what has waited for too long, in every partition.
    fn sweep(&mut self, now: Instant) {
        for partition in self.inner.partitions() {
            let expired = partition.queue.lock().expire(now, || self.last_failure.clone());
            for settled in expired {
                self.inner.settle(&partition.topic_partition, settled);
            }
        }
    }

    /// Puts a partition into its leader's lane.
    fn route(&mut self, partition: Arc<PartitionState>) {
        let topic_partition = &partition.topic_partition;
        let leader = self.inner.client.metadata().leader(&topic_partition.topic, topic_partition.partition);
        partition.is_led.store(leader.is_some(), Ordering::Relaxed);
        if partition.queue.lock().is_idle() {
            return;
        }
        match leader {
            Some((broker, _)) => {
                if !partition.is_pending.swap(true, Ordering::Relaxed) {
                    self.lanes.entry(broker).or_default().pending.push_back(partition);
                }
            }
            None => {
                self.homeless.push(partition);
                self.ask_metadata();
            }
        }
    }

    /// Fills one broker's pipeline.
    fn serve(&mut self, broker: BrokerId, now: Instant) {
        let in_flight_max = self.inner.config.lane_in_flight_max();
        loop {
            let Some(lane) = self.lanes.get_mut(&broker) else { return };
            let is_throttled = lane.throttled_until.is_some_and(|until| until > now);
            if lane.pending.is_empty() || lane.in_flight >= in_flight_max || is_throttled {
                return;
            }
            let connection = match lane.connection.take_if(|connection| connection.is_closed()) {
                Some(_) => None,
                None => lane.connection.clone(),
            };
            let Some(connection) = connection else {
                self.connect(broker);
                return;
            };
            let batches = self.collect(broker, now);
            if batches.is_empty() {
                return;
            }
            self.transmit(broker, &connection, batches);
        }
    }

    /// One request's worth of batches, at most one per partition.
    fn collect(&mut self, broker: BrokerId, now: Instant) -> Vec<Sent> {
        let mut batches: Vec<Sent> = Vec::new();
        let mut bytes = 0;
        let mut again = Vec::new();
        let pending = self.lanes.get_mut(&broker).map(|lane| std::mem::take(&mut lane.pending));
        let mut pending = pending.unwrap_or_default();
        while let Some(partition) = pending.pop_front() {
            partition.is_pending.store(false, Ordering::Relaxed);
            let taken = partition.queue.lock().take(now, self.identity);
            match taken {
                Take::Batch(batch) => {
                    bytes += batch.wire_bytes();
                    batches.push((Arc::clone(&partition), batch));
                    partition.is_pending.store(true, Ordering::Relaxed);
                    again.push(partition);
                    if bytes >= self.inner.config.request_bytes_max {
                        break;
                    }
                }
                Take::Later(at) => self.look_again(partition, at),
                Take::NeedsIdentity(spoilt) => {
                    self.nameless.push(partition);
                    self.ask_identity(spoilt);
                }
                // An answer or a record lists it again.
                Take::Nothing => {}
            }
        }
        pending.extend(again);
        if let Some(lane) = self.lanes.get_mut(&broker) {
            lane.pending = pending;
        }
        batches
    }

    fn transmit(&mut self, broker: BrokerId, connection: &Arc<Connection>, mut batches: Vec<Sent>) {
        let acks = self.inner.config.acks;
        let version = connection.version::<ProduceRequest>();
        let started = version.and_then(|version| {
            let request = self.request(&mut batches);
            let permit = connection
                .try_permit()
                .ok_or_else(|| ClientError::new("produce", crate::error::ErrorKind::BufferFull))?;
            if acks.wire() == 0 {
                return connection.start_unanswered(request, version, permit).map(|()| None);
            }
            connection.start(request, version, permit).map(Some)
        });
        let answer = match started {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                for (partition, batch) in batches {
                    let nothing = Acknowledged { base_offset: None, log_append_time_ms: None };
                    self.complete(&partition, batch, Answer::Acknowledged(nothing), false);
                }
                return;
            }
            Err(error) => {
                for (partition, batch) in batches {
                    self.complete(&partition, batch, Answer::Refused(error.clone()), false);
                }
                return;
            }
        };
        if let Some(lane) = self.lanes.get_mut(&broker) {
            lane.in_flight += 1;
        }
        let (events, connection) = (self.events.clone(), Arc::clone(connection));
        let deadline = self.inner.config.request_timeout;
        tokio::spawn(async move {
            let response = connection.finish(answer, deadline).await;
            let _ = events.send(Event::Answered(broker, batches, response));
        });
    }

    fn request(&self, batches: &mut [Sent]) -> ProduceRequest {
        let mut topic_data: Vec<TopicProduceData> = Vec::new();
        for (partition, batch) in batches {
            let topic_partition = &partition.topic_partition;
            let data =
                PartitionProduceData { index: topic_partition.partition.get(), records: Some(batch.bytes()) };
            match topic_data.iter_mut().find(|topic| topic.name == *topic_partition.topic) {
                Some(topic) => topic.partition_data.push(data),
                None => topic_data.push(TopicProduceData {
                    name: (&topic_partition.topic).into(),
                    partition_data: vec![data],
                }),
            }
        }
        let timeout_ms = i32::try_from(self.inner.config.request_timeout.as_millis()).unwrap_or(i32::MAX);
        ProduceRequest { acks: self.inner.config.acks.wire(), timeout_ms, topic_data, ..Default::default() }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Connected(broker, connected) => self.connected(broker, connected),
            Event::Answered(broker, batches, response) => self.answered(broker, batches, response),
            Event::Identity(answer) => self.identified(answer),
            Event::Metadata(answer) => self.refreshed(answer),
        }
    }

    fn answered(&mut self, broker: BrokerId, batches: Vec<Sent>, response: Result<ProduceResponse>) {
        if let Some(lane) = self.lanes.get_mut(&broker) {
            lane.in_flight -= 1;
        }
        match response {
            Ok(response) => {
                self.throttle(broker, response.throttle_time_ms);
                for (partition, batch) in batches {
                    let answer = partition_answer(&response, &partition);
                    let is_hinted = leader_hint(&response, &partition).is_some_and(|hint| {
                        self.inner.client.metadata().learn_leader(&partition.topic_partition, broker, hint)
                    });
                    self.complete(&partition, batch, answer, is_hinted);
                }
            }
            Err(error) => {
                for (partition, batch) in batches {
                    let topic_partition = &partition.topic_partition;
                    let error = error.clone().during("produce").for_topic(&topic_partition.topic);
                    let error = error.for_partition(topic_partition.partition.get());
                    self.complete(&partition, batch, Answer::Unknown(error), false);
                }
            }
        }
    }

    /// The broker asks to be left alone for a while.
    fn throttle(&mut self, broker: BrokerId, throttle_time_ms: i32) {
        let Ok(ms @ 1..) = u64::try_from(throttle_time_ms) else { return };
        let by = Duration::from_millis(ms);
        if let Some(lane) = self.lanes.get_mut(&broker) {
            lane.throttled_until = Some(Instant::now() + by);
        }
        self.inner.client.observe(|| Observation::Throttled { by });
    }

    /// What came of a batch; `is_hinted` if the answer named the new leader, so that there is no reason to wait.
    fn complete(
        &mut self,
        partition: &Arc<PartitionState>,
        batch: Box<SealedBatch>,
        answer: Answer,
        is_hinted: bool,
    ) {
        let failure = match &answer {
            Answer::Refused(error) | Answer::Unknown(error) => Some(error.clone()),
            Answer::Acknowledged(_) => None,
        };
        let settled = {
            let mut queue = partition.queue.lock();
            let settled = queue.complete(batch, answer, Instant::now());
            if is_hinted {
                queue.resume();
            }
            settled
        };
        if let Some(error) = failure {
            tracing::debug!(%error, "a batch did not get through");
            let moved = error.code().is_none_or(is_about_leaders);
            if error.is_retriable() && moved && !is_hinted {
                self.ask_metadata();
            }
            if settled.is_none() {
                let partition = &partition.topic_partition;
                self.inner.client.observe(|| Observation::Retried { partition, error: &error });
            }
            self.last_failure = Some(error);
        }
        if let Some(settled) = settled {
            self.inner.settle(&partition.topic_partition, settled);
        }
        self.inner.list(partition);
    }

    /// Gives up what is not on the wire.
    fn abandon(&mut self) {
        for partition in self.inner.partitions() {
            let abandoned = partition.queue.lock().abandon();
            for settled in abandoned {
                self.inner.settle(&partition.topic_partition, settled);
            }
        }
    }
}
