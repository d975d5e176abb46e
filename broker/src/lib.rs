//! The broker shell: sockets, tasks, clocks, handlers. Runs in process through [`Broker::start`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ottla_broker::{Broker, BrokerConfig};
//! let config = BrokerConfig::from_pairs([("listeners", "PLAINTEXT://127.0.0.1:0"), ("log.dirs", "/tmp/some-test")])?;
//! let broker = Broker::start(config).await?;
//! println!("a Kafka client may connect to {}", broker.address());
//! broker.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A request goes [`listener`] → [`connection`] → [`handlers`] → [`partition`] → log, and its reply back through the same
//! connection, mostly on one task. What is decided is decided elsewhere: in `ottla-cluster` for partitions, topics and
//! configs, in `ottla-log` for bytes on disk. Here those are introduced to each other and to the clock. What never happens
//! here: a wait under a partition's lock, an unbounded queue, a task or timer per partition.

pub mod rt;

mod background;
mod clock;
mod core;
mod limits;
mod log_levels;
mod start;
mod start_error;

mod cold_reads;
mod connection;
mod listener;
mod memory_pool;
mod response;
mod wake_cell;

mod append_ticket;
mod coordinators;
mod error_code;
mod handlers;
mod produce_reply;

mod cleaner;
mod directories;
mod disk_space;
mod log_directory;
mod partition;
mod partition_config;
mod partition_queue;
mod quorum;
mod replicas;
mod topics;

pub use ottla_cluster::config::{BrokerConfig, ConfigError};

pub use self::log_levels::LogLevels;
pub use self::quorum::MetadataLogError;
pub use self::start::{Broker, BrokerHandle, ShutdownError};
pub use self::start_error::StartError;
