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
    let consumer = client.consumer(ConsumerConfig::default());
    consumer.assign_topic(&job.topic, StartAt::Earliest).await.map_err(|error| failed(&error))?;
    let mut seen = 0;
    let mut bytes = 0;
    let mut began = None;
    while seen < job.warm + job.records {
        let batch = consumer.poll(PATIENCE).await.map_err(|error| failed(&error))?;
        let batch = batch.ok_or_else(|| BenchError::Void(format!("only {seen} records came")))?;
        if began.is_none() && seen >= job.warm {
            began = Some((Moment::now()?, seen));
            bytes = 0;
        }
        for record in batch.records().map_err(|error| failed(&error))? {
            let record = record.map_err(|error| failed(&error))?;
            bytes += record.value.map_or(0, |value| value.len() as u64);
            seen += 1;
        }
    }
    let (began, before) = began.ok_or_else(|| BenchError::Void("nothing was measured".to_owned()))?;
    began.report(seen - before, bytes)
}
