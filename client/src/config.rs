//! The settings of a [`Client`](crate::Client): where the brokers are and how patient to be.
//!
//! Every field may hold any value, so they are public. What concerns producing or consuming only is with the
//! [`ProducerConfig`](crate::ProducerConfig) and the [`ConsumerConfig`](crate::ConsumerConfig).

use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::metrics::Observer;
use crate::transport::{BrokerAddress, Connector, TcpConnector};

/// Settings shared by everything that one client does. The names follow Kafka's, the defaults too.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where to learn about the cluster; tried in turn (`bootstrap.servers`).
    pub bootstrap: Vec<BrokerAddress>,
    /// How the client calls itself in the brokers' logs (`client.id`).
    pub client_id: String,
    /// How long to wait for a connection (`socket.connection.setup.timeout.ms`).
    pub connect_timeout: Duration,
    /// How long to wait for the answer to one request (`request.timeout.ms`); then the connection is given up.
    pub request_timeout: Duration,
    /// How long an operation may take with all its retries (`default.api.timeout.ms`).
    pub api_timeout: Duration,
    /// Metadata older than this is asked for anew (`metadata.max.age.ms`).
    pub metadata_max_age: Duration,
    /// The wait between retries (`retry.backoff.ms`, `retry.backoff.max.ms`).
    pub backoff: Backoff,
    /// Requests in flight on one connection, at most.
    pub in_flight_max: usize,
    /// A response larger than this is taken for garbage.
    pub response_bytes_max: usize,
    /// How to open connections: plain TCP unless replaced.
    pub connector: Arc<dyn Connector>,
    /// Who is told what the client does (`metric.reporters`).
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            bootstrap: vec![BrokerAddress {
                host: "localhost".to_owned(),
                port: BrokerAddress::DEFAULT_PORT,
            }],
            client_id: "ottla".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            api_timeout: Duration::from_secs(60),
            metadata_max_age: Duration::from_secs(300),
            backoff: Backoff::default(),
            in_flight_max: 256,
            response_bytes_max: 256 << 20,
            connector: Arc::new(TcpConnector),
            observer: None,
        }
    }
}

impl ClientConfig {
    /// The defaults with another bootstrap list, e.g. `"kafka-1:9092,kafka-2:9092"`.
    ///
    /// # Errors
    /// When an address of the list cannot be read.
    pub fn new(bootstrap: &str) -> crate::Result<ClientConfig> {
        let bootstrap = BrokerAddress::parse_list(bootstrap)
            .map_err(|reason| crate::ClientError::invalid("configure the client", reason))?;
        Ok(ClientConfig { bootstrap, ..ClientConfig::default() })
    }
}
