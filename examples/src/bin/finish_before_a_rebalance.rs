//! How do I finish what I am doing before a partition goes to somebody else?
//!
//! With a listener: the group waits for it. Here each partition has a sum that is kept in memory and must be stored
//! before another member goes on with it.

#![allow(clippy::print_stdout, reason = "its output is the example")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla_client::{
    Assignor, Client, Consumer, ConsumerConfig, PartitionIndex, ProducerRecord, RebalanceListener,
    Rebalancing, TopicPartition,
};
use ottla_examples::{Cluster, fresh_topic};

type Sums = Mutex<BTreeMap<TopicPartition, u32>>;

/// The sums of one member, and the place where all members store theirs.
#[derive(Clone, Default)]
struct Keeper {
    name: &'static str,
    in_memory: Arc<Sums>,
    stored: Arc<Sums>,
}

impl RebalanceListener for Keeper {
    fn on_assigned<'a>(&'a self, _: &'a Consumer, partitions: &'a [TopicPartition]) -> Rebalancing<'a> {
        Box::pin(async move {
            for partition in partitions {
                let sum = self.stored.lock().expect("whole").get(partition).copied().unwrap_or_default();
                self.in_memory.lock().expect("whole").insert(partition.clone(), sum);
            }
        })
    }

    fn on_revoked<'a>(&'a self, consumer: &'a Consumer, partitions: &'a [TopicPartition]) -> Rebalancing<'a> {
        Box::pin(async move {
            for partition in partitions {
                if let Some(sum) = self.in_memory.lock().expect("whole").remove(partition) {
                    self.stored.lock().expect("whole").insert(partition.clone(), sum);
                }
            }
            // What is stored is committed with it; the new owner begins behind it.
            if let Err(error) = consumer.commit().await {
                eprintln!("{} goes without a commit: {error}", self.name);
            }
        })
    }

    fn on_lost<'a>(&'a self, _: &'a Consumer, partitions: &'a [TopicPartition]) -> Rebalancing<'a> {
        Box::pin(async move {
            // Somebody else has them already: forget what was not stored, they count it again.
            self.in_memory.lock().expect("whole").retain(|partition, _| !partitions.contains(partition));
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await?;
    let client = Client::connect(&cluster.bootstrap).await?;
    let topic = fresh_topic(&client, "example-meters", 2).await?;
    let stored = Arc::default();

    let first = Keeper { name: "first", stored: Arc::clone(&stored), ..Keeper::default() };
    let one = member(&client, &topic, first.clone())?;
    send(&client, &topic, 1..51).await?;
    count(&one, &first, 50).await?;

    // Another member comes: one of the two partitions moves, with its sum.
    let second = Keeper { name: "second", stored: Arc::clone(&stored), ..Keeper::default() };
    let two = member(&client, &topic, second.clone())?;
    while two.assignment().len() != 1 || one.assignment().len() != 1 {
        assert!(
            one.poll(Duration::from_millis(20)).await?.is_none() && two.poll(Duration::ZERO).await?.is_none()
        );
    }
    println!("the second member took a partition over");
    send(&client, &topic, 51..101).await?;
    count(&one, &first, 25).await?;
    count(&two, &second, 25).await?;
    one.close().await?;
    two.close().await?;
    let sum: u32 = stored.lock().expect("whole").values().sum();
    println!("the sum of 1 to 100 is {sum}");
    cluster.stop().await
}

fn member(client: &Client, topic: &str, keeper: Keeper) -> ottla_client::Result<Consumer> {
    let consumer = client.consumer(ConsumerConfig {
        auto_commit: None,
        // Only what moves is revoked; the rest is read on.
        assignors: vec![Assignor::CooperativeSticky],
        heartbeat_interval: Duration::from_millis(100),
        ..ConsumerConfig::in_group(format!("{topic}-sums"))
    });
    consumer.set_rebalance_listener(keeper)?;
    consumer.subscribe([topic])?;
    Ok(consumer)
}

/// Adds up so many numbers.
async fn count(consumer: &Consumer, keeper: &Keeper, count: usize) -> Result<(), Box<dyn Error>> {
    let mut counted = 0;
    while counted < count {
        let batch = consumer.poll(Duration::from_secs(30)).await?.ok_or("numbers are missing")?;
        for record in batch.records()? {
            let value = record?.value.ok_or("no number")?;
            let mut sums = keeper.in_memory.lock().map_err(|_| "broken")?;
            *sums.entry(batch.topic_partition().clone()).or_default() +=
                u32::from_be_bytes(value[..].try_into()?);
            counted += 1;
        }
    }
    assert_eq!(counted, count);
    Ok(())
}

/// Even numbers to one partition, odd ones to the other.
async fn send(client: &Client, topic: &str, numbers: std::ops::Range<u32>) -> ottla_client::Result<()> {
    let producer = client.producer(Default::default());
    for number in numbers {
        let partition = PartitionIndex::new(i32::from(number % 2 == 1));
        let value = number.to_be_bytes();
        drop(producer.send(topic, ProducerRecord::value(&value).to_partition(partition)).await?);
    }
    producer.flush().await
}
