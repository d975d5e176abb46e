//! How do I use a consumer with streams?
//!
//! `Consumer::stream` is a `Stream` of batches that waits for more and ends when the consumer is closed, so it composes
//! with whatever combinators a program uses. This example brings its own `next`, to need no other crate.

#![allow(clippy::print_stdout, reason = "its output is the example")]

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use futures_core::Stream;
use ottla_client::{Client, ConsumerConfig, GroupProtocol, ProducerRecord};
use ottla_examples::{Cluster, fresh_topic};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await?;
    let client = Client::connect(&cluster.bootstrap).await?;
    let topic = fresh_topic(&client, "example-weather", 3).await?;
    let producer = client.producer(Default::default());
    for hour in 0..240_u32 {
        let value = format!("hour {hour}: rain");
        drop(producer.send(&topic, ProducerRecord::value(value.as_bytes())).await?);
    }
    producer.flush().await?;

    // The broker divides the partitions here (KIP-848); with the classic protocol the rest is the same.
    let config = ConsumerConfig {
        group_protocol: GroupProtocol::Consumer,
        ..ConsumerConfig::in_group(format!("{topic}-forecast"))
    };
    let consumer = client.consumer(config);
    consumer.subscribe([&topic])?;
    let mut batches = pin!(consumer.stream());
    let mut rainy = 0;
    while let Some(batch) = std::future::poll_fn(|context| batches.as_mut().poll_next(context)).await {
        for record in batch?.records()? {
            rainy += usize::from(record?.value.is_some_and(|value| value.ends_with(b"rain")));
        }
        if rainy == 240 {
            // Commits what was handed out, leaves the group, and ends the stream.
            tokio::time::timeout(Duration::from_secs(30), consumer.close()).await??;
        }
    }
    println!("{rainy} hours of rain");
    cluster.stop().await
}
