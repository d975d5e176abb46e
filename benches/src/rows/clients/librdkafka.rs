//! librdkafka at work, through the crate `rdkafka`: its background thread polls, and reports come for failures only,
//! which is the fastest that it offers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::job::{Action, Job, Moment, Report, SETTINGS};
use crate::error::{BenchError, Result};

const PATIENCE: Duration = Duration::from_secs(60);

/// Counts what failed.
#[derive(Debug, Default, Clone)]
struct Failures(Arc<AtomicU64>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        self.0.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
    }
}

/// Does the job.
pub(super) fn run(job: &Job) -> Result<Report> {
    match job.action {
        Action::Produce => produce(job),
        Action::Consume => consume(job),
    }
}

/// An error of librdkafka's makes the sample void.
#[allow(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn failed(error: KafkaError) -> BenchError {
    BenchError::Void(error.to_string())
}

fn produce(job: &Job) -> Result<Report> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &job.bootstrap).set("delivery.report.only.error", "true");
    // By default it holds a tenth of a second of small records, and so waits for the program that waits for it.
    // As much memory as the other two have, whatever the size of records.
    config.set("queue.buffering.max.messages", "1000000").set("queue.buffering.max.kbytes", "32768");
    for (key, value) in SETTINGS {
        config.set(*key, *value);
    }
    let failures = Failures::default();
    let producer: ThreadedProducer<Failures> =
        config.create_with_context(failures.clone()).map_err(failed)?;
    let value = job.value();
    send(&producer, job, &value, job.warm)?;
    let began = Moment::now()?;
    send(&producer, job, &value, job.records)?;
    let report = began.report(job.records, job.records * value.len() as u64)?;
    match failures.0.load(Ordering::Relaxed) {
        0 => Ok(report),
        count => Err(BenchError::Void(format!("{count} records failed"))),
    }
}

fn send(producer: &ThreadedProducer<Failures>, job: &Job, value: &[u8], records: u64) -> Result<()> {
    for _ in 0..records {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&job.topic).payload(value);
        while let Err((error, refused)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(failed(error));
            }
            std::thread::sleep(Duration::from_millis(1));
            record = refused;
        }
    }
    producer.flush(PATIENCE).map_err(failed)
}

fn consume(job: &Job) -> Result<Report> {
    read(job, job.warm)?;
    let began = Moment::now()?;
    let records = job.warm + job.records;
    let bytes = read(job, records)?;
    began.report(records, bytes)
}

/// The bytes of the first records of the topic's values, with a consumer of their own.
fn read(job: &Job, records: u64) -> Result<u64> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &job.bootstrap);
    // By default a consumer that is ahead of its program fetches nothing for a second, which punishes the faster broker.
    config.set("fetch.queue.backoff.ms", "1");
    config.set("group.id", "unused").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().map_err(failed)?;
    let metadata = consumer.fetch_metadata(Some(&job.topic), PATIENCE).map_err(failed)?;
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        assignment.add_partition_offset(&job.topic, partition.id(), Offset::Beginning).map_err(failed)?;
    }
    consumer.assign(&assignment).map_err(failed)?;
    let (mut seen, mut bytes) = (0, 0);
    while seen < records {
        let message = consumer.poll(PATIENCE);
        let message = message.ok_or_else(|| BenchError::Void(format!("only {seen} records came")))?;
        bytes += message.map_err(failed)?.payload().map_or(0, |value| value.len() as u64);
        seen += 1;
    }
    Ok(bytes)
}
