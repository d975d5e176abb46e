//! How do I measure what my program does? Give the client an observer: it is told of every request, batch and fetch. One
//! that adds up is there already; a program with a metrics library writes its own in a `match`.

#![allow(clippy::print_stdout, reason = "its output is the example")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ottla_client::{Client, ClientConfig, Counters, Observation, Observer, ProducerRecord, StartAt};
use ottla_examples::{Cluster, fresh_topic};
use tokio::sync::watch;

/// Adds up, and remembers how far the consumer is behind.
#[derive(Debug)]
struct Gauges {
    counters: Counters,
    lag: watch::Sender<Option<u64>>,
}

impl Observer for Gauges {
    fn observe(&self, observation: &Observation<'_>) {
        self.counters.observe(observation);
        if let Observation::Fetched { lag, .. } = observation {
            self.lag.send_replace(*lag);
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await?;
    let gauges = Arc::new(Gauges { counters: Counters::default(), lag: watch::Sender::new(None) });
    let config = ClientConfig { observer: Some(gauges.clone()), ..ClientConfig::new(&cluster.bootstrap)? };
    let client = Client::new(config);
    let topic = fresh_topic(&client, "example-metrics", 1).await?;

    let producer = client.producer(Default::default());
    for n in 0..1000_u32 {
        drop(producer.send(&topic, ProducerRecord::value(&n.to_be_bytes())).await?);
    }
    producer.flush().await?;
    let totals = gauges.counters.totals();
    assert!(totals.delivered_batches > 0 && totals.request_bytes > totals.delivered_bytes);
    println!("delivered {} records, {} failed", totals.delivered_records, totals.failed_records);

    let consumer = client.consumer(Default::default());
    consumer.assign_topic(&topic, StartAt::Earliest).await?;
    let mut read = 0;
    while read < 1000 {
        let batch = consumer.poll(Duration::from_secs(20)).await?.ok_or("nothing came")?;
        read += batch.records()?.count();
    }
    let lag = *gauges.lag.borrow();
    println!("fetched {} records, lag {}", gauges.counters.totals().fetched_records, lag.unwrap_or_default());
    client.admin().delete_topic(&topic).await?;
    cluster.stop().await
}
