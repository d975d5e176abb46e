//! Examples that answer a newcomer question each; run in CI with asserted output.
//!
//! Each is a program under `src/bin` that asserts what it shows: `cargo run -p ottla-examples --bin produce_and_consume`.
//! They start a broker in their own process; with `OTTLA_BOOTSTRAP=host:port` they use that cluster instead, ottla or
//! Apache Kafka. This file holds what they share: where the cluster is.

use std::error::Error;

use ottla_broker::{Broker, BrokerConfig, BrokerHandle};
use ottla_client::{Client, NewTopic};

/// Creates a topic that nobody has used yet, with a name that begins like this.
///
/// # Errors
/// When no broker answers in time.
pub async fn fresh_topic(client: &Client, name: &str, partitions: i32) -> ottla_client::Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let name = format!("{name}-{}", now.map_or(0, |since| since.as_micros()));
    let admin = client.admin();
    admin.create_topic(NewTopic::new(&name).partitions(partitions)).await?;
    admin.wait_for_leaders(&name).await?;
    Ok(name)
}

/// A cluster to show things on.
#[derive(Debug)]
pub struct Cluster {
    /// Where it is, as `host:port`.
    pub bootstrap: String,
    own: Option<(BrokerHandle, tempfile::TempDir)>,
}

impl Cluster {
    /// The cluster that `OTTLA_BOOTSTRAP` names, or a broker of our own with its data in a temporary directory.
    ///
    /// # Errors
    /// When the broker cannot start.
    pub async fn start() -> Result<Cluster, Box<dyn Error>> {
        match std::env::var("OTTLA_BOOTSTRAP") {
            Ok(bootstrap) => Ok(Cluster { bootstrap, own: None }),
            Err(_) => Cluster::start_in_process().await,
        }
    }

    /// A broker in this process, on a port that is free.
    ///
    /// # Errors
    /// When the broker cannot start.
    pub async fn start_in_process() -> Result<Cluster, Box<dyn Error>> {
        let data = tempfile::tempdir()?;
        let log_dirs = data.path().display().to_string();
        let config = BrokerConfig::from_pairs([
            ("listeners", "PLAINTEXT://127.0.0.1:0"),
            ("log.dirs", &log_dirs),
            // Nobody else is about to join.
            ("group.initial.rebalance.delay.ms", "0"),
        ])?;
        let broker = Broker::start(config).await?;
        Ok(Cluster { bootstrap: broker.address().to_string(), own: Some((broker, data)) })
    }

    /// Stops the broker if it is ours.
    ///
    /// # Errors
    /// When it cannot write its logs.
    pub async fn stop(self) -> Result<(), Box<dyn Error>> {
        if let Some((broker, _data)) = self.own {
            broker.shutdown().await?;
        }
        Ok(())
    }
}
