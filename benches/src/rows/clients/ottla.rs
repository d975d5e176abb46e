//! Our own client at work.

use std::time::Duration;

use ottla_client::{
    Acks, Client, ClientError, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, StartAt,
};

use super::job::{Action, Job, Moment, Report};
use crate::error::{BenchError, Doing, Result};

/// How long nothing may arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does the job on a runtime of two threads, as programs do.
pub(super) fn run(job: &Job) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.doing(|| "start a runtime".to_owned())?;
    runtime.block_on(async {
        let client = Client::connect(&job.bootstrap).await.map_err(|error| failed(&error))?;
        match job.action {
            Action::Produce => produce(&client, job).await,
            Action::Consume => consume(&client, job).await,
        }
    })
}

fn failed(error: &ClientError) -> BenchError {
    BenchError::Void(error.to_string())
}

async fn produce(client: &Client, job: &Job) -> Result<Report> {
    let producer = client.producer(ProducerConfig {
        acks: Acks::All,
        idempotent: true,
        linger: Duration::from_millis(5),
        batch_bytes: 131_072,
        ..ProducerConfig::default()
    });
    let value = job.value();
    send(&producer, &job.topic, &value, job.warm).await?;
    let began = Moment::now()?;
    send(&producer, &job.topic, &value, job.records).await?;
    let report = began.report(job.records, job.records * value.len() as u64)?;
    let stats = producer.stats();
    if stats.delivered_records != job.warm + job.records {
        return Err(BenchError::Void(format!("{} records were delivered", stats.delivered_records)));
    }
    Ok(report)
}

async fn send(producer: &Producer, topic: &str, value: &[u8], records: u64) -> Result<()> {
    for _ in 0..records {
        drop(producer.send(topic, ProducerRecord::value(value)).await.map_err(|error| failed(&error))?);
    }
    producer.flush().await.map_err(|error| failed(&error))
}

async fn consume(client: &Client, job: &Job) -> Result<Report> {
    read(client, job, job.warm).await?;
    let began = Moment::now()?;
    let records = job.warm + job.records;
    let bytes = read(client, job, records).await?;
    began.report(records, bytes)
}

/// The bytes of the first records of the topic's values, with a consumer of their own.
async fn read(client: &Client, job: &Job, records: u64) -> Result<u64> {
    let consumer = client.consumer(ConsumerConfig::default());
    consumer.assign_topic(&job.topic, StartAt::Earliest).await.map_err(|error| failed(&error))?;
    let (mut seen, mut bytes) = (0, 0);
    while seen < records {
        let batch = consumer.poll(PATIENCE).await.map_err(|error| failed(&error))?;
        let batch = batch.ok_or_else(|| BenchError::Void(format!("only {seen} records came")))?;
        for record in batch.records().map_err(|error| failed(&error))? {
            let record = record.map_err(|error| failed(&error))?;
            bytes += record.value.map_or(0, |value| value.len() as u64);
            seen += 1;
        }
    }
    Ok(bytes)
}
