//! The same load through `ottla-client`: what a program that embeds it can expect. Here the generator is measured too.

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

use crate::error::{LoadError, Result};
use crate::pace::{Pace, Schedule};
use crate::plan::{ConsumePlan, ProducePlan};
use crate::prepared::{fill, key};
use crate::run::Run;
use crate::tally::Tally;

/// Values that a producer cycles through.
const DISTINCT: usize = 1_024;
/// Records of one producer that wait for their report.
const WAITING_MAX: usize = 1 << 16;
/// A poll that brings nothing ends after this, so that the run can.
const POLL: Duration = Duration::from_millis(100);

/// Starts the producers of `plan`, each a [`Producer`] of its own. With a closed pace they send as fast as their memory
/// allows: `in_flight` does not apply.
pub fn produce_through_client(run: &Arc<Run>, client: &Client, plan: &ProducePlan) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for index in 0..plan.clients {
        let config = ProducerConfig {
            acks: plan.acks,
            idempotent: plan.acks == Acks::All,
            compression: plan.shape.compression,
            batch_bytes: plan.shape.batch_bytes,
            linger: plan.linger,
            ..Default::default()
        };
        let producer = client.producer(config);
        let (run, plan) = (Arc::clone(run), plan.clone());
        tasks.spawn(async move {
            let (sent, reports) = mpsc::channel(WAITING_MAX);
            let tally = run.new_tally();
            let (sending, settling) =
                tokio::join!(send(&run, &producer, &plan, index, sent), settle(&run, &tally, reports));
            run.note(sending);
            run.note(settling);
        });
    }
    tasks
}

/// A record on its way.
#[derive(Debug)]
struct Sent {
    due: Instant,
    bytes: u64,
    report: Delivery,
}

async fn send(
    run: &Run,
    producer: &Producer,
    plan: &ProducePlan,
    index: usize,
    sent: mpsc::Sender<Sent>,
) -> Result<()> {
    let mut noise = SmallRng::seed_from_u64(index as u64);
    let mut value = Vec::new();
    let values = std::iter::repeat_with(|| {
        fill(&mut value, &plan.shape, &mut noise);
        value.clone()
    });
    let values: Vec<Vec<u8>> = values.take(DISTINCT).collect();
    let schedule = match plan.pace {
        Pace::Open { records_per_second } => {
            Some(Schedule::new(run.starts(), records_per_second, index, plan.clients))
        }
        Pace::Closed { .. } => None,
    };
    producer.partition_count(&plan.target.topic).await?;
    sleep_until(run.starts().into()).await;
    for number in 0u64.. {
        let due = match schedule {
            Some(schedule) => {
                let due = schedule.due(number);
                if due > Instant::now() {
                    sleep_until(due.into()).await;
                }
                due
            }
            None => Instant::now(),
        };
        if run.is_over(due.max(Instant::now())) {
            break;
        }
        let value = &values[number as usize % values.len()];
        let key = (plan.shape.keys > 0).then(|| key(noise.next_u64() % plan.shape.keys));
        let record = ProducerRecord { key: key.as_ref().map(|key| &key[..]), ..ProducerRecord::value(value) };
        let report = match producer.try_send(&plan.target.topic, record) {
            Err(error) if matches!(error.kind(), ErrorKind::BufferFull) => {
                let key = key.as_ref().map(|key| &key[..]);
                let record = ProducerRecord { key, ..ProducerRecord::value(value) };
                producer.send(&plan.target.topic, record).await?
            }
            outcome => outcome?,
        };
        if sent.send(Sent { due, bytes: value.len() as u64, report }).await.is_err() {
            return Ok(());
        }
    }
    producer.flush().await.map_err(LoadError::from)
}

async fn settle(run: &Run, tally: &Mutex<Tally>, mut reports: mpsc::Receiver<Sent>) -> Result<()> {
    while let Some(Sent { due, bytes, report }) = reports.recv().await {
        if let Err(error) = report.await {
            reports.close();
            let mut unanswered = 1;
            while reports.recv().await.is_some() {
                unanswered += 1;
            }
            tally.lock().unanswered += unanswered;
            return Err(error.into());
        }
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

/// Starts the consumers of `plan`, each a [`Consumer`] of its own.
///
/// # Errors
/// When the topic has no legal name.
pub fn consume_through_client(run: &Arc<Run>, client: &Client, plan: &ConsumePlan) -> Result<JoinSet<()>> {
    let topic = TopicName::new(&plan.target.topic).map_err(|error| LoadError::Plan(error.to_string()))?;
    let mut tasks = JoinSet::new();
    for index in 0..plan.clients {
        let consumer =
            client.consumer(ConsumerConfig { partition_bytes_max: plan.fetch_bytes, ..Default::default() });
        let own = plan.target.leaders.iter().skip(index % plan.target.leaders.len()).step_by(plan.clients);
        let place = |leader: &crate::plan::Leader| {
            let partition = TopicPartition::new(topic.clone(), PartitionIndex::new(leader.partition));
            (partition, StartAt::Offset(Offset::new(leader.from)))
        };
        consumer.assign(own.map(place));
        let (run, again) = (Arc::clone(run), plan.again);
        tasks.spawn(async move { run.note(read(&run, &consumer, again).await) });
    }
    Ok(tasks)
}

async fn read(run: &Run, consumer: &Consumer, again: bool) -> Result<()> {
    let tally = run.new_tally();
    while !run.is_over(Instant::now()) {
        let Some(batch) = consumer.poll(POLL).await? else { continue };
        let bytes = batch.size_in_bytes() as u64;
        let mut records = 0;
        for record in batch.records()? {
            record?;
            records += 1;
        }
        if run.counts(Instant::now()) {
            tally.lock().carried(records, bytes);
        }
        if again && consumer.is_at_end(batch.topic_partition()) {
            consumer.seek(batch.topic_partition(), StartAt::Earliest);
        }
    }
    Ok(())
}
