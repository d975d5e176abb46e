//! How do I send records and read them back?
//!
//! The producer batches by itself: send as fast as you like, keep the deliveries you care about, flush at the end. The
//! consumer hands out whole batches; the records in them are views, not copies.

#![allow(clippy::print_stdout, reason = "its output is the example")]

use std::error::Error;
use std::time::Duration;

use ottla_client::{
    Client, Compression, NewTopic, ProducerConfig, ProducerRecord, StartAt, partition_for_key,
};
use ottla_examples::Cluster;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await?;
    let client = Client::connect(&cluster.bootstrap).await?;
    let topic = "example-departures";
    let admin = client.admin();
    // Left over from an earlier run, perhaps.
    let _ = admin.delete_topic(topic).await;
    while admin.describe_topic(topic).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    admin.create_topic(NewTopic::new(topic).partitions(4)).await?;
    admin.wait_for_leaders(topic).await?;

    let producer = client.producer(ProducerConfig { compression: Compression::Lz4, ..Default::default() });
    for minute in 0..1_000_u32 {
        let tail_number = format!("N{}", 100 + minute % 7);
        let value = format!("minute {minute}");
        let record = ProducerRecord::key_value(tail_number.as_bytes(), value.as_bytes());
        // The delivery tells the offset, or why it failed; here the flush below tells us enough.
        drop(producer.send(topic, record).await?);
    }
    producer.flush().await?;
    println!("sent {} records", producer.stats().delivered_records);

    let consumer = client.consumer(Default::default());
    consumer.assign_topic(topic, StartAt::Earliest).await?;
    let mut read = 0;
    while read < 1_000 {
        let batch = consumer.poll(Duration::from_secs(10)).await?.ok_or("records are missing")?;
        for record in batch.records()? {
            let record = record?;
            let key = record.key.ok_or("a record without a key")?;
            // The same partition that a Java program would find it in.
            assert_eq!(partition_for_key(&key, 4), batch.topic_partition().partition.get().unsigned_abs());
            read += 1;
        }
    }
    println!("read {read} records");
    assert_eq!(read, 1_000);
    cluster.stop().await
}
