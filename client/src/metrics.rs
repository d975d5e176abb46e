//! What a client does, told as it happens: the hook for metrics.
//!
//! An [`Observer`] in the [`ClientConfig`](crate::ClientConfig) is called once per connection, request, batch and fetched
//! partition, never per record, from the task that did it. It must not block. [`Counters`] is an observer that adds up;
//! whoever has a metrics library of their own matches on [`Observation`] instead. Nothing here depends on one.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ottla_protocol::TopicPartition;

use crate::error::{ClientError, ErrorKind};
use crate::transport::BrokerAddress;

/// Something that a client did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// A connection is open and versions are agreed on.
    Connected {
        /// The broker.
        broker: &'a BrokerAddress,
        /// How long that took.
        latency: Duration,
    },
    /// A connection ended.
    Disconnected {
        /// The broker.
        broker: &'a BrokerAddress,
        /// Why.
        reason: &'a ErrorKind,
    },
    /// A request was answered, or was sent and gets no answer.
    Answered {
        /// The broker.
        broker: &'a BrokerAddress,
        /// Kafka's name of the API, e.g. `Produce`.
        api: &'static str,
        /// Size of the request on the wire.
        request_bytes: usize,
        /// Size of the response, 0 without one.
        response_bytes: usize,
        /// From handing it to the connection to having the response. A fetch waits at the broker for records.
        latency: Duration,
    },
    /// A request got no answer.
    Unanswered {
        /// The broker.
        broker: &'a BrokerAddress,
        /// Kafka's name of the API.
        api: &'static str,
        /// Why not.
        error: &'a ClientError,
    },
    /// A batch was delivered.
    Delivered {
        /// Its partition.
        partition: &'a TopicPartition,
        /// Its records.
        records: u64,
        /// Its size as sent.
        bytes: usize,
        /// From the first record's `send` to the acknowledgement, with linger and retries.
        latency: Duration,
    },
    /// A batch is to be sent again.
    Retried {
        /// Its partition.
        partition: &'a TopicPartition,
        /// Why.
        error: &'a ClientError,
    },
    /// A batch was given up.
    Failed {
        /// Its partition.
        partition: &'a TopicPartition,
        /// Its records.
        records: u64,
        /// Why.
        error: &'a ClientError,
    },
    /// Records of a partition were fetched.
    Fetched {
        /// The partition.
        partition: &'a TopicPartition,
        /// How many offsets the batches span: their records, but in a compacted topic.
        records: u64,
        /// Their size as fetched.
        bytes: usize,
        /// How many offsets lie between what was fetched and the end, if it is known.
        lag: Option<u64>,
    },
    /// A broker asked the client to wait (KIP-219).
    Throttled {
        /// For how long.
        by: Duration,
    },
}

/// Is told what a client does. It is called from the client's tasks and must return at once.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Takes note of it.
    fn observe(&self, observation: &Observation<'_>);
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident),* $(,)?) => {
        /// An observer that adds everything up.
        ///
        /// ```
        /// use std::sync::Arc;
        /// use ottla_client::{Client, ClientConfig, Counters};
        /// let counters = Arc::new(Counters::default());
        /// let client = Client::new(ClientConfig { observer: Some(counters.clone()), ..Default::default() });
        /// # drop(client);
        /// assert_eq!(counters.totals().requests, 0);
        /// ```
        #[derive(Debug, Default)]
        pub struct Counters {
            $($name: AtomicU64,)*
        }

        /// What a client has done so far.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Totals {
            $($(#[doc = $doc])* pub $name: u64,)*
        }

        impl Counters {
            /// The sums so far. They are read one after another while the client goes on.
            pub fn totals(&self) -> Totals {
                Totals { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Connections that were opened.
    connections,
    /// Connections that ended.
    disconnections,
    /// Requests that were answered, or sent without an answer to wait for.
    requests,
    /// Requests that got no answer.
    unanswered_requests,
    /// Bytes of requests.
    request_bytes,
    /// Bytes of responses.
    response_bytes,
    /// The time of all answered requests, in microseconds.
    request_latency_us,
    /// Batches delivered.
    delivered_batches,
    /// Records delivered.
    delivered_records,
    /// Bytes of delivered batches, as sent.
    delivered_bytes,
    /// The time from `send` to the acknowledgement, summed over delivered batches, in microseconds.
    delivery_latency_us,
    /// Batches that were sent again.
    retries,
    /// Records given up.
    failed_records,
    /// Records fetched.
    fetched_records,
    /// Bytes of fetched batches.
    fetched_bytes,
    /// How often a broker asked the client to wait.
    throttles,
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Observer for Counters {
    fn observe(&self, observation: &Observation<'_>) {
        let add = |counter: &AtomicU64, amount: u64| {
            counter.fetch_add(amount, Ordering::Relaxed);
        };
        match observation {
            Observation::Connected { .. } => add(&self.connections, 1),
            Observation::Disconnected { .. } => add(&self.disconnections, 1),
            Observation::Answered { request_bytes, response_bytes, latency, .. } => {
                add(&self.requests, 1);
                add(&self.request_bytes, *request_bytes as u64);
                add(&self.response_bytes, *response_bytes as u64);
                add(&self.request_latency_us, us(*latency));
            }
            Observation::Unanswered { .. } => add(&self.unanswered_requests, 1),
            Observation::Delivered { records, bytes, latency, .. } => {
                add(&self.delivered_batches, 1);
                add(&self.delivered_records, *records);
                add(&self.delivered_bytes, *bytes as u64);
                add(&self.delivery_latency_us, us(*latency));
            }
            Observation::Retried { .. } => add(&self.retries, 1),
            Observation::Failed { records, .. } => add(&self.failed_records, *records),
            Observation::Fetched { records, bytes, .. } => {
                add(&self.fetched_records, *records);
                add(&self.fetched_bytes, *bytes as u64);
            }
            Observation::Throttled { .. } => add(&self.throttles, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_what_is_observed() {
        let counters = Counters::default();
        let broker = BrokerAddress { host: "localhost".to_owned(), port: 9092 };
        for latency in [3, 4] {
            counters.observe(&Observation::Answered {
                broker: &broker,
                api: "Produce",
                request_bytes: 100,
                response_bytes: 10,
                latency: Duration::from_micros(latency),
            });
        }
        let totals = counters.totals();
        assert_eq!((totals.requests, totals.request_bytes, totals.response_bytes), (2, 200, 20));
        assert_eq!(totals.request_latency_us, 7);
        assert_eq!(totals.connections, 0);
    }
}
