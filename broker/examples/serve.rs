//! Runs a broker in this program until Ctrl-C, which is all that an embedder needs to do.
//!
//! `cargo run --example serve -- log.dirs=/tmp/data listeners=PLAINTEXT://127.0.0.1:9092`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use ottla_broker::{Broker, BrokerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pairs = arguments.iter().filter_map(|argument| argument.split_once('='));
    let broker = Broker::start(BrokerConfig::from_pairs(pairs)?).await?;
    println!("listening on {}", broker.address());
    tokio::signal::ctrl_c().await?;
    broker.shutdown().await?;
    println!("stopped cleanly");
    Ok(())
}
