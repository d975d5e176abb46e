//! Administration of a cluster: topics, configs, offsets, records, groups, log directories.
//!
//! Each call takes many resources and answers for each of them, as Kafka does: one bad topic name does not spoil the
//! rest. The outer error is for calls that got no answer at all. Calls go to the broker that can answer them (controller,
//! leader, coordinator, or any) and are tried again while that can help, up to the client's `api_timeout`.

mod cluster;
mod configs;
mod groups;
mod offsets;
mod topics;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::codec::Request;
use ottla_protocol::{BrokerId, ErrorCode};

pub use cluster::{BrokerLogDirs, ClusterDescription, LogDirDescription, ReplicaSize};
pub use configs::{
    AlterOperation, ConfigEntry, ConfigResource, ConfigSource, ConfigSynonym, ConfigType, ConfigValue,
};
pub use groups::{
    GroupDescription, GroupFilter, GroupState, GroupType, ListedGroup, MemberDescription, MemberToRemove,
};
pub use offsets::{ListedOffset, OffsetSpec};
pub use topics::{CreatedTopic, NewTopic};

use crate::client::{AutoCreate, Client};
use crate::error::{ClientError, Result};

/// What became of each named resource of a call.
pub type PerResource<T> = Vec<(String, Result<T>)>;

/// Administers a cluster. Get one from [`Client::admin`].
///
/// ```no_run
/// # async fn f() -> ottla_client::Result<()> {
/// use ottla_client::{Client, NewTopic};
/// let admin = Client::connect("localhost:9092").await?.admin();
/// admin.create_topic(NewTopic::new("flights").partitions(12)).await?;
/// for topic in admin.list_topics().await? {
///     println!("{} has {} partitions", topic.name, topic.partitions.len());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
    coordinators: Arc<groups::Coordinators>,
}

impl Client {
    /// Administration: topics, configs, offsets, the cluster.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }
}

impl Admin {
    pub(crate) fn new(client: Client) -> Admin {
        Admin { client, coordinators: Arc::default() }
    }

    fn request_timeout(&self) -> Duration {
        self.client.config().request_timeout
    }

    /// The server-side timeout to put into a request: a little less than we wait ourselves.
    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.request_timeout().mul_f64(0.9).as_millis()).unwrap_or(i32::MAX)
    }

    /// Repeats `attempt` while its error says that it can help and there is time.
    async fn retrying<T, F: Future<Output = Result<T>>>(
        &self,
        operation: &'static str,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        let started = Instant::now();
        let mut attempts = 0;
        loop {
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error.during(operation),
            };
            attempts = self.client.pause_or_give_up(started, attempts, false, error).await?;
        }
    }

    /// Asks any broker.
    async fn ask_any<R: Request + Clone>(&self, operation: &'static str, request: R) -> Result<R::Response> {
        let deadline = self.request_timeout();
        self.retrying(operation, || self.client.pool().call_any(request.clone(), deadline)).await
    }

    /// Asks one broker.
    async fn ask_broker<R: Request + Clone>(
        &self,
        operation: &'static str,
        id: BrokerId,
        request: R,
    ) -> Result<R::Response> {
        self.learn_brokers().await?;
        let deadline = self.request_timeout();
        self.retrying(operation, || self.client.pool().call_broker(id, request.clone(), deadline)).await
    }

    /// Asks the controller; `codes` are the errors of an answer, so that a controller that moved is followed.
    async fn ask_controller<R: Request + Clone>(
        &self,
        operation: &'static str,
        request: R,
        codes: impl Fn(&R::Response) -> Vec<ErrorCode>,
    ) -> Result<R::Response> {
        let deadline = self.request_timeout();
        let (codes, request) = (&codes, &request);
        self.retrying(operation, || async move {
            let controller = self.client.controller().await?;
            let response = self.client.pool().call_broker(controller, request.clone(), deadline).await?;
            if codes(&response).contains(&ErrorCode::NOT_CONTROLLER) {
                let generation = self.client.metadata().generation();
                self.client.refresh(&[], AutoCreate::Forbidden, generation).await?;
                return Err(ClientError::broker(operation, ErrorCode::NOT_CONTROLLER, None));
            }
            Ok(response)
        })
        .await
    }

    /// Makes sure that the brokers are known.
    async fn learn_brokers(&self) -> Result<()> {
        if self.client.metadata().brokers().is_empty() {
            let refresh = || self.client.refresh(&[], AutoCreate::Forbidden, 0);
            self.retrying("metadata", refresh).await?;
        }
        Ok(())
    }
}

/// `Ok` or the broker's error about a resource.
fn verdict(operation: &'static str, resource: &str, code: ErrorCode, message: Option<&str>) -> Result<()> {
    code.ok().map_err(|code| ClientError::broker(operation, code, message).for_topic(resource))
}

/// The only result of a call about one resource.
fn only<T>(operation: &'static str, results: PerResource<T>) -> Result<T> {
    match results.into_iter().next() {
        Some((_, result)) => result,
        None => {
            Err(ClientError::broker(operation, ErrorCode::UNKNOWN_SERVER_ERROR, Some("the answer is empty")))
        }
    }
}
