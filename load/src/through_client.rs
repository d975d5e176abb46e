//! The same load through `ottla-client`: what a program that embeds it can expect. Here the generator is measured too.
//!
//! Each producer and consumer has connections of its own. A record counts as a request, because it has a delivery report
//! of its own. Reports are settled in the order of sending: one that comes early is never taken for earlier than it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_client::{
    Acks, Client, Consumer, ConsumerConfig, Delivery, ErrorKind, Offset, PartitionIndex, Producer,
    ProducerConfig, ProducerRecord, StartAt, TopicName, TopicPartition,
};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::end_to_end::rate_of;
use crate::error::{LoadError, Result};
use crate::journey::Journey;
use crate::pace::{Pace, Schedule};
use crate::plan::{ConsumePlan, Leader, ProducePlan};
use crate::prepared::{fill, key};
use crate::run::Run;
use crate::tally::Tally;

/// Values that a producer cycles through.
const DISTINCT: usize = 1_024;
/// … or fewer, if they would take more memory than this.
const DISTINCT_BYTES_MAX: usize = 16 << 20;
/// What a batch and a request add to a record, at most.
const OVERHEAD_BYTES_MAX: usize = 1 << 10;
/// Records of one producer that wait for their report.
const WAITING_MAX: usize = 1 << 16;
/// A record may wait in a producer for so many times the patience with a broker: as in Kafka's defaults.
const DELIVERY_PATIENCES: u32 = 4;
/// What all producers together may hold in memory.
const BUFFERS_BYTES_MAX: usize = 2 << 30;
/// A poll that brings nothing ends after this, so that the run can.
const POLL: Duration = Duration::from_millis(100);

/// Connects the producers of `plan`, each a [`Producer`] of its own; they begin and end with the run. With a closed pace
/// they send as fast as their memory allows: `in_flight` does not apply.
///
/// # Errors
/// When the topic cannot be reached.
pub async fn produce_through_client(
    run: &Arc<Run>,
    client: &Client,
    plan: &ProducePlan,
) -> Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    for index in 0..plan.clients {
        let sender = Sender::connect(client, plan, index, None).await?;
        let run = Arc::clone(run);
        tasks.spawn(async move { sender.work(&run).await });
    }
    Ok(tasks)
}

/// Connects the consumers of `plan`, each a [`Consumer`] of its own; they begin and end with the run.
///
/// # Errors
/// When the topic has no legal name.
pub fn consume_through_client(run: &Arc<Run>, client: &Client, plan: &ConsumePlan) -> Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    for index in 0..plan.clients {
        let consumer = assigned(client, plan, index)?;
        let (run, plan) = (Arc::clone(run), plan.clone());
        tasks.spawn(async move { run_until_hung_up(&run, read(&run, &consumer, &plan)).await });
    }
    Ok(tasks)
}

/// Connects producers and consumers that time each record from end to end.
///
/// # Errors
/// When the topic cannot be reached, or the plan is a closed loop.
pub async fn end_to_end_through_client(
    run: &Arc<Run>,
    client: &Client,
    plan: &ProducePlan,
    reading: &ConsumePlan,
) -> Result<JoinSet<()>> {
    rate_of(plan)?;
    let journey = Arc::new(Journey::new(plan.clients));
    let mut tasks = JoinSet::new();
    // Each partition is read once.
    for index in 0..reading.clients.min(reading.target.leaders.len()) {
        let consumer = assigned(client, reading, index)?;
        let (run, journey) = (Arc::clone(run), Arc::clone(&journey));
        tasks.spawn(async move { run_until_hung_up(&run, read_arrivals(&run, &consumer, &journey)).await });
    }
    for index in 0..plan.clients {
        let sender = Sender::connect(client, plan, index, Some(Arc::clone(&journey))).await?;
        let (run, journey) = (Arc::clone(run), Arc::clone(&journey));
        tasks.spawn(async move {
            sender.work(&run).await;
            journey.sender_is_done();
        });
    }
    Ok(tasks)
}

async fn run_until_hung_up(run: &Run, work: impl Future<Output = Result<()>>) {
    tokio::select! {
        outcome = work => run.note(outcome),
        () = run.hung_up() => {}
    }
}

/// A record on its way.
#[derive(Debug)]
struct Sent {
    due: Instant,
    bytes: u64,
    report: Delivery,
}

struct Sender {
    producer: Producer,
    plan: ProducePlan,
    index: usize,
    /// Of records that are timed at their arrival, not at their acknowledgement.
    journey: Option<Arc<Journey>>,
}

impl Sender {
    async fn connect(
        client: &Client,
        plan: &ProducePlan,
        index: usize,
        journey: Option<Arc<Journey>>,
    ) -> Result<Sender> {
        let config = ProducerConfig {
            acks: plan.acks,
            idempotent: plan.acks == Acks::All,
            compression: plan.shape.compression,
            batch_bytes: plan.shape.batch_bytes.max(1),
            linger: plan.linger,
            request_timeout: plan.target.patience,
            delivery_timeout: plan.target.patience.saturating_mul(DELIVERY_PATIENCES),
            ..Default::default()
        };
        let largest = plan.shape.batch_bytes.max(plan.shape.record_bytes.largest() + OVERHEAD_BYTES_MAX);
        let request_bytes_max = config.request_bytes_max.max(largest);
        let buffer_bytes_max =
            config.buffer_bytes_max.min(BUFFERS_BYTES_MAX / plan.clients.max(1)).max(2 * request_bytes_max);
        let config = ProducerConfig { request_bytes_max, buffer_bytes_max, ..config };
        let producer = client.producer(config);
        producer.partition_count(&plan.target.topic).await?;
        Ok(Sender { producer, plan: plan.clone(), index, journey })
    }

    /// Sends until the run is over, waits for the reports, and tells the tally what was due while it was measured.
    async fn work(&self, run: &Run) {
        let tally = run.new_tally();
        let (sent, reports) = mpsc::channel(WAITING_MAX);
        let timed = self.journey.is_none().then_some(&*tally);
        let both = async {
            // Told at once: the sender may wait for room that never comes.
            let settling = async { run.note(settle(run, timed, self.patience(), reports).await) };
            tokio::join!(self.send(run, &tally, sent), settling).0
        };
        run_until_hung_up(run, both).await;
        if let Some(schedule) = self.schedule(run.starts()) {
            tally.lock().awaited += schedule.due_between(run.measures(), run.counts_until());
        }
    }

    /// A broker that delivers nothing for so long is dead: a batch may wait here, too.
    fn patience(&self) -> Duration {
        self.plan.target.patience.saturating_add(self.plan.linger)
    }

    fn schedule(&self, starts: Instant) -> Option<Schedule> {
        match self.plan.pace {
            Pace::Open { records_per_second } => {
                Some(Schedule::new(starts, records_per_second, self.index, self.plan.clients))
            }
            Pace::Closed { .. } => None,
        }
    }

    async fn send(&self, run: &Run, tally: &Mutex<Tally>, sent: mpsc::Sender<Sent>) -> Result<()> {
        let (plan, mut noise) = (&self.plan, SmallRng::seed_from_u64(self.index as u64));
        let values = self.values(&mut noise);
        let starts = run.begun().await;
        let schedule = self.schedule(starts);
        sleep_until(starts.into()).await;
        let mut stamped = Vec::new();
        for (number, value) in (0u64..).zip(values.iter().cycle()) {
            let due = match schedule {
                Some(schedule) => schedule.due(number),
                None => Instant::now(),
            };
            let until = due.min(run.counts_until());
            if until > Instant::now() {
                sleep_until(until.into()).await;
            }
            if run.is_over(due.max(Instant::now())) {
                break;
            }
            let mut value = value;
            if let Some(journey) = &self.journey {
                stamped.clone_from(value);
                journey.stamp(&mut stamped, run, due);
                journey.departs();
                value = &stamped;
            }
            if schedule.is_none() && run.counts(due) {
                tally.lock().awaited += 1;
            }
            let key = (plan.shape.keys > 0).then(|| key(noise.next_u64() % plan.shape.keys));
            let report = self.send_one(key.as_ref().map(|key| &key[..]), value).await?;
            if sent.send(Sent { due, bytes: value.len() as u64, report }).await.is_err() {
                return Ok(());
            }
        }
        self.producer.flush().await.map_err(LoadError::from)
    }

    /// Hands a record over, once there is room for it.
    async fn send_one(&self, key: Option<&[u8]>, value: &[u8]) -> Result<Delivery> {
        let topic = &self.plan.target.topic;
        let record = || ProducerRecord { key, ..ProducerRecord::value(value) };
        match self.producer.try_send(topic, record()) {
            Err(error) if matches!(error.kind(), ErrorKind::BufferFull) => {
                Ok(self.producer.send(topic, record()).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    fn values(&self, noise: &mut SmallRng) -> Vec<Vec<u8>> {
        let shape = &self.plan.shape;
        let count = (DISTINCT_BYTES_MAX / shape.record_bytes.largest().max(1)).clamp(1, DISTINCT);
        let mut value = Vec::new();
        let one = |_| {
            fill(&mut value, shape, noise);
            value.clone()
        };
        (0..count).map(one).collect()
    }
}

/// Waits for each report, `patience` at most; with `timed`, enters what it says.
async fn settle(
    run: &Run,
    timed: Option<&Mutex<Tally>>,
    patience: Duration,
    mut reports: mpsc::Receiver<Sent>,
) -> Result<()> {
    while let Some(Sent { due, bytes, report }) = reports.recv().await {
        let reported = tokio::time::timeout(patience, report).await;
        reported.map_err(|_| LoadError::Silent { what: "no record was delivered", patience })??;
        let Some(tally) = timed else { continue };
        let now = Instant::now();
        let mut tally = tally.lock();
        if run.counts(now) {
            tally.carried(1, bytes);
        }
        if run.counts(due) {
            tally.took(now.saturating_duration_since(due));
        }
    }
    Ok(())
}

/// Consumer `index` of the plan, at the place where it begins.
fn assigned(client: &Client, plan: &ConsumePlan, index: usize) -> Result<Consumer> {
    let topic = TopicName::new(&plan.target.topic).map_err(|error| LoadError::Plan(error.to_string()))?;
    let mut config = ConsumerConfig { partition_bytes_max: plan.fetch_bytes, ..Default::default() };
    if plan.again {
        // The end is where it begins again, and nothing to wait at.
        config.fetch_wait_max = Duration::ZERO;
    }
    let consumer = client.consumer(config);
    let own = plan.target.leaders.iter().skip(index % plan.target.leaders.len()).step_by(plan.clients);
    consumer.assign(own.map(|leader: &Leader| {
        let partition = TopicPartition::new(topic.clone(), PartitionIndex::new(leader.partition));
        (partition, StartAt::Offset(Offset::new(leader.from)))
    }));
    Ok(consumer)
}

async fn read(run: &Run, consumer: &Consumer, plan: &ConsumePlan) -> Result<()> {
    let tally = run.new_tally();
    let starts = run.begun().await;
    sleep_until(starts.into()).await;
    let (patience, mut last_arrival) = (plan.target.patience, starts);
    while !run.is_over(Instant::now()) {
        let Some(batch) = consumer.poll(POLL).await? else {
            // Who reads round and round never waits for somebody to write.
            if plan.again && last_arrival.elapsed() >= patience {
                return Err(LoadError::Silent { what: "nothing was read", patience });
            }
            continue;
        };
        last_arrival = Instant::now();
        let bytes = batch.size_in_bytes() as u64;
        let mut records = 0;
        for record in batch.records()? {
            record?;
            records += 1;
        }
        if run.counts(Instant::now()) {
            tally.lock().carried(records, bytes);
        }
        if plan.again && consumer.is_at_end(batch.topic_partition()) {
            consumer.seek(batch.topic_partition(), StartAt::Earliest);
        }
    }
    Ok(())
}

/// Reads until all that was sent has arrived, or is lost.
async fn read_arrivals(run: &Run, consumer: &Consumer, journey: &Journey) -> Result<()> {
    let tally = run.new_tally();
    let mut last_arrival = run.begun().await;
    while !journey.is_over(Instant::now().saturating_duration_since(last_arrival)) {
        let Some(batch) = consumer.poll(POLL).await? else { continue };
        let now = Instant::now();
        let mut bytes = batch.size_in_bytes() as u64;
        for record in batch.records()? {
            let Some(due) = record?.value.as_deref().and_then(|value| journey.due(value, run)) else {
                continue;
            };
            last_arrival = now;
            journey.arrives();
            let mut tally = tally.lock();
            if run.counts(due) {
                // A batch may hold several records: its bytes count once.
                tally.carried(1, std::mem::take(&mut bytes));
                tally.took(now.saturating_duration_since(due));
            }
        }
    }
    Ok(())
}
