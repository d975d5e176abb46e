//! What the sending task has others do: connect, get a producer id, refresh metadata. Each errand is a task that ends in an
//! event; while one is under way no second of its kind is sent, and after a failure the next one waits first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ottla_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_protocol::{BrokerId, ProducerEpoch, ProducerId, TopicName};
use tokio::time::sleep;

use super::{Event, Sender};
use crate::client::AutoCreate;
use crate::connection::Connection;
use crate::error::{ClientError, Result};
use crate::producer::sealed::Identity;

impl Sender {
    /// The wait after so many failures in a row.
    fn delay(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            failures => self.inner.client.config().backoff.delay(failures - 1, rand::random()),
        }
    }

    pub(super) fn connect(&mut self, broker: BrokerId) {
        let Some(lane) = self.lanes.get_mut(&broker) else { return };
        if std::mem::replace(&mut lane.is_connecting, true) {
            return;
        }
        let failures = lane.failures;
        let delay = self.delay(failures);
        let (events, pool) = (self.events.clone(), Arc::clone(self.inner.client.pool()));
        tokio::spawn(async move {
            sleep(delay).await;
            let _ = events.send(Event::Connected(broker, pool.broker(broker).await));
        });
    }

    pub(super) fn connected(&mut self, broker: BrokerId, connected: Result<Arc<Connection>>) {
        let Some(lane) = self.lanes.get_mut(&broker) else { return };
        lane.is_connecting = false;
        match connected {
            Ok(connection) => {
                lane.failures = 0;
                lane.connection = Some(connection);
            }
            Err(error) => {
                lane.failures = lane.failures.saturating_add(1);
                self.last_failure = Some(error.during("produce"));
                // The leader may be another one by now; its partitions are routed anew.
                for partition in std::mem::take(&mut lane.pending) {
                    partition.is_pending.store(false, Ordering::Relaxed);
                    self.inner.list(&partition);
                }
                self.ask_metadata();
            }
        }
    }

    /// Gets an identity other than the spoilt one: its next epoch (KIP-360), or an id of its own from a broker.
    pub(super) fn ask_identity(&mut self, spoilt: Option<Identity>) {
        if self.identity != spoilt {
            return;
        }
        if let Some(bumped) = spoilt.and_then(Identity::bumped) {
            tracing::debug!(id = %bumped.id, epoch = %bumped.epoch, "the producer begins a new epoch");
            return self.identified(Ok(bumped));
        }
        if std::mem::replace(&mut self.is_asking_identity, true) {
            return;
        }
        let delay = self.delay(self.identity_failures);
        let (events, client) = (self.events.clone(), self.inner.client.clone());
        tokio::spawn(async move {
            sleep(delay).await;
            let request = InitProducerIdRequest {
                transactional_id: None,
                transaction_timeout_ms: i32::MAX,
                ..Default::default()
            };
            let answer = client.pool().call_any(request, client.config().request_timeout).await;
            let _ = events.send(Event::Identity(answer.and_then(identity)));
        });
    }

    pub(super) fn identified(&mut self, answer: Result<Identity>) {
        self.is_asking_identity = false;
        match answer {
            Ok(identity) => {
                self.identity = Some(identity);
                self.identity_failures = 0;
            }
            Err(error) => {
                tracing::debug!(%error, "no producer id yet");
                self.identity_failures = self.identity_failures.saturating_add(1);
                self.last_failure = Some(error.during("produce"));
            }
        }
        for partition in std::mem::take(&mut self.nameless) {
            self.inner.list(&partition);
        }
    }

    /// Metadata older than its maximal age is asked for anew, so that new partitions are found.
    pub(super) fn refresh_stale_metadata(&mut self, now: Instant) {
        if now.saturating_duration_since(self.metadata_checked) >= self.inner.client.config().metadata_max_age
        {
            self.metadata_checked = now;
            self.ask_metadata();
        }
    }

    pub(super) fn ask_metadata(&mut self) {
        if std::mem::replace(&mut self.is_asking_metadata, true) {
            return;
        }
        let topics: Vec<TopicName> = self.inner.topics.read().keys().cloned().collect();
        let (events, client) = (self.events.clone(), self.inner.client.clone());
        let delay = self.delay(self.metadata_failures);
        let generation = client.metadata().generation();
        tokio::spawn(async move {
            sleep(delay).await;
            let answer = client.refresh(&topics, AutoCreate::Forbidden, generation).await;
            let _ = events.send(Event::Metadata(answer));
        });
    }

    pub(super) fn refreshed(&mut self, answer: Result<()>) {
        self.is_asking_metadata = false;
        // Each answer counts until a leader is known for everybody: that spaces out the questions.
        let all_at_home = self.homeless.is_empty();
        self.metadata_failures =
            if answer.is_ok() && all_at_home { 0 } else { self.metadata_failures.saturating_add(1) };
        if let Err(error) = answer {
            self.last_failure = Some(error.during("produce"));
        }
        let topics: Vec<_> = self.inner.topics.read().values().cloned().collect();
        for topic in topics {
            let known = self.inner.client.metadata().topic(&topic.name).map(|info| info.partitions.len());
            if let Some(partition_count) = known {
                self.inner.resize(&topic, partition_count);
            }
        }
        for partition in std::mem::take(&mut self.homeless) {
            self.inner.list(&partition);
        }
    }
}

fn identity(response: InitProducerIdResponse) -> Result<Identity> {
    response.error_code.ok().map_err(|code| ClientError::broker("get a producer id", code, None))?;
    Ok(Identity {
        id: ProducerId::new(response.producer_id),
        epoch: ProducerEpoch::new(response.producer_epoch),
    })
}
