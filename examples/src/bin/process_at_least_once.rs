//! How do I process every record, whatever crashes?
//!
//! Commit after the work, not before: who crashes in between does some work twice, but none is left out. With
//! `auto_commit` (the default) that is what happens by itself: what is committed is what was handed out before the last
//! poll. Here the commits are made by hand, after each batch.

#![allow(clippy::print_stdout, reason = "its output is the example")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use ottla_client::{Client, ConsumerConfig, ProducerConfig, ProducerRecord};
use ottla_examples::{Cluster, fresh_topic};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await?;
    let client = Client::connect(&cluster.bootstrap).await?;
    let topic = fresh_topic(&client, "example-payments", 1).await?;
    // Small batches, so that the crash comes in the middle.
    let producer = client.producer(ProducerConfig { batch_bytes: 200, ..Default::default() });
    for payment in 0..100_u32 {
        drop(producer.send(&topic, ProducerRecord::value(&payment.to_be_bytes())).await?);
    }
    producer.flush().await?;

    let mut booked: BTreeMap<u32, u32> = BTreeMap::new();
    let mut crashes_left = 1;
    while booked.len() < 100 {
        if !work(&client, &topic, &mut booked, &mut crashes_left).await? {
            println!("crashed after {} payments, before the commit", booked.len());
        }
    }
    let twice = booked.values().filter(|times| **times > 1).count();
    assert!(twice > 0, "the batch in hand at the crash is done again");
    println!("booked {} payments, none left out", booked.len());
    cluster.stop().await
}

/// Books payments until all are booked, or until it crashes; whether it did not.
async fn work(
    client: &Client,
    topic: &str,
    booked: &mut BTreeMap<u32, u32>,
    crashes_left: &mut u32,
) -> Result<bool, Box<dyn Error>> {
    let config = ConsumerConfig { auto_commit: None, ..ConsumerConfig::in_group(format!("{topic}-ledger")) };
    let consumer = client.consumer(config);
    consumer.subscribe([topic])?;
    while let Some(batch) = consumer.poll(Duration::from_secs(30)).await? {
        for record in batch.records()? {
            let value = record?.value.ok_or("a payment without a value")?;
            *booked.entry(u32::from_be_bytes(value[..].try_into()?)).or_default() += 1;
        }
        if booked.len() >= 50 && *crashes_left > 0 {
            *crashes_left -= 1;
            // Dropped without a commit. (A process that dies does not even leave the group; its partitions are given
            // to others after `session_timeout`.)
            return Ok(false);
        }
        match consumer.commit().await {
            Ok(()) => {}
            // Another member has the partition by now, and will do this batch again.
            Err(error) if !error.is_retriable() => eprintln!("not committed: {error}"),
            Err(error) => return Err(error.into()),
        }
        if booked.len() == 100 {
            break;
        }
    }
    consumer.close().await?;
    Ok(true)
}
