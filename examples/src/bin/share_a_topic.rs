//! How do several programs share the records of a topic?
//!
//! They name the same group. Each partition has one reader at a time; who joins gets a share, who leaves gives it back,
//! and everybody goes on where the group has committed.

#![allow(clippy::print_stdout, reason = "its output is the example")]

use std::error::Error;
use std::time::Duration;

use ottla_client::{Client, Consumer, ConsumerConfig, ProducerRecord};
use ottla_examples::{Cluster, fresh_topic};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await?;
    let client = Client::connect(&cluster.bootstrap).await?;
    let topic = fresh_topic(&client, "example-orders", 4).await?;

    // Two members; they would be two processes.
    let members = [member(&client, &topic)?, member(&client, &topic)?];
    while !members.iter().all(|member| member.assignment().len() == 2) {
        for member in &members {
            member.poll(Duration::from_millis(20)).await?;
        }
    }
    println!("each member reads 2 of 4 partitions");

    let producer = client.producer(Default::default());
    for order in 0..1_000_u32 {
        let (key, value) = (order.to_be_bytes(), format!("order {order}"));
        drop(producer.send(&topic, ProducerRecord::key_value(&key, value.as_bytes())).await?);
    }
    producer.flush().await?;

    // The first reads for a while and leaves: what it was handed is committed on the way out.
    let [first, second] = members;
    let mut read = read_for_now(&first).await?;
    first.close().await?;
    while read < 1_000 {
        read += read_for_now(&second).await?;
    }
    println!("together they read {read} orders");
    second.close().await?;
    cluster.stop().await
}

fn member(client: &Client, topic: &str) -> ottla_client::Result<Consumer> {
    let group = format!("{topic}-billing");
    let consumer = client.consumer(ConsumerConfig {
        // Quick to notice that others come and go.
        heartbeat_interval: Duration::from_millis(100),
        ..ConsumerConfig::in_group(group)
    });
    consumer.subscribe([topic])?;
    Ok(consumer)
}

/// Reads what comes within a moment.
async fn read_for_now(consumer: &Consumer) -> ottla_client::Result<usize> {
    let mut read = 0;
    while let Some(batch) = consumer.poll(Duration::from_millis(200)).await? {
        read += batch.records()?.count();
    }
    Ok(read)
}
