//! How do I test my program against a real broker, without installing one?
//!
//! Start one in the test's own process: it takes a few milliseconds, a free port and a temporary directory, and several
//! can run side by side.

#![allow(clippy::print_stdout, reason = "its output is the example")]

use std::error::Error;
use std::time::Instant;

use ottla_broker::{Broker, BrokerConfig};
use ottla_client::{Client, ProducerRecord};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = tempfile::tempdir()?;
    let log_dirs = data.path().display().to_string();
    let config = || {
        BrokerConfig::from_pairs([
            ("listeners", "PLAINTEXT://127.0.0.1:0"),
            ("log.dirs", &log_dirs),
            ("num.partitions", "3"),
        ])
    };

    let started = Instant::now();
    let broker = Broker::start(config()?).await?;
    eprintln!("ready on {} after {:?}", broker.address(), started.elapsed());

    // Your program under test would be given this address.
    let client = Client::connect(&broker.address().to_string()).await?;
    let producer = client.producer(Default::default());
    let delivery = producer.send("orders", ProducerRecord::key_value(b"42", b"one bicycle")).await?;
    let arrived = delivery.await?;
    assert_eq!(client.topic("orders").await?.partitions.len(), 3);
    broker.shutdown().await?;

    // What was acknowledged is still there after a restart on the same directory.
    let broker = Broker::start(config()?).await?;
    let client = Client::connect(&broker.address().to_string()).await?;
    let consumer = client.consumer(Default::default());
    consumer.assign_topic("orders", ottla_client::StartAt::Earliest).await?;
    let batch = consumer.poll(std::time::Duration::from_secs(10)).await?.ok_or("nothing arrived")?;
    let record = batch.records()?.next().ok_or("an empty batch")??;
    assert_eq!(record.value.as_deref(), Some(&b"one bicycle"[..]));
    assert_eq!(Some(record.offset), arrived.offset);
    println!("found {:?} again", String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()));
    broker.shutdown().await?;
    Ok(())
}
