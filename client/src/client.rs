//! The client: one view of a cluster, shared by its producers, consumers and admin.
//!
//! It keeps the metadata and the settings; connections belong to those who use them, and what they make of it is said
//! where they are: `Client::producer`, `consumer` and `admin` stand in their own files, so this one knows none of them.
//! Asking for metadata is single-flight: whoever finds it wrong names the generation it saw, and one question answers
//! everybody who saw the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::{BrokerId, ErrorCode, TopicName};
use parking_lot::MutexGuard;
use tokio::time::sleep;

use crate::cluster_view::ClusterView;
use crate::config::ClientConfig;
use crate::error::{ClientError, ErrorKind, Result};
use crate::metadata::{BrokerInfo, Metadata, TopicInfo};
use crate::metrics::Observation;
use crate::pool::Pool;

/// A topic that may be created by asking for it, or was just created, is unknown for a moment; not for longer than this.
const UNKNOWN_TOPIC_PATIENCE: Duration = Duration::from_secs(5);

/// Whether asking for a topic may bring it into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AutoCreate {
    Allowed,
    Forbidden,
}

/// A client of one Kafka cluster.
///
/// Cheap to clone; all clones share the metadata. Nothing is sent until something is asked.
///
/// ```no_run
/// # async fn f() -> ottla_client::Result<()> {
/// let client = ottla_client::Client::connect("localhost:9092").await?;
/// let producer = client.producer(Default::default());
/// let delivery = producer.send("greetings", ottla_client::ProducerRecord::value(b"hello")).await?;
/// println!("at offset {:?}", delivery.await?.offset);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    view: Arc<ClusterView>,
    pool: Arc<Pool>,
}

impl Client {
    /// A client with these settings; it connects when first needed.
    pub fn new(config: ClientConfig) -> Client {
        let view = Arc::new(ClusterView::new(config));
        let pool = Arc::new(Pool::new(Arc::clone(&view)));
        Client { view, pool }
    }

    /// A client with default settings whose cluster answered: `bootstrap` is `host:port[,host:port...]`.
    ///
    /// # Errors
    /// When the list cannot be read or no broker of it answers.
    pub async fn connect(bootstrap: &str) -> Result<Client> {
        let client = Client::new(ClientConfig::new(bootstrap)?);
        client.learn_cluster().await?;
        Ok(client)
    }

    /// Asks the cluster who it is, once: fails at once when no broker of the bootstrap list answers.
    ///
    /// # Errors
    /// That of the last broker that was tried.
    pub async fn learn_cluster(&self) -> Result<()> {
        let generation = self.metadata().generation();
        self.refresh(&[], AutoCreate::Forbidden, generation).await
    }

    /// The same view of the cluster through connections of its own.
    pub(crate) fn with_own_connections(&self) -> Client {
        Client { view: Arc::clone(&self.view), pool: Arc::new(Pool::new(Arc::clone(&self.view))) }
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        self.view.config()
    }

    pub(crate) fn metadata(&self) -> MutexGuard<'_, Metadata> {
        self.view.metadata()
    }

    /// Tells the observer, if there is one.
    pub(crate) fn observe<'a>(&self, observation: impl FnOnce() -> Observation<'a>) {
        if let Some(observer) = &self.config().observer {
            observer.observe(&observation());
        }
    }

    /// The cluster's id, once it answered.
    pub fn cluster_id(&self) -> Option<String> {
        self.metadata().cluster_id().map(str::to_owned)
    }

    /// The brokers known now, by id.
    pub fn brokers(&self) -> Vec<BrokerInfo> {
        self.metadata().brokers()
    }

    /// What the cluster says of `topic`: partitions, leaders, id. A topic that does not exist is not created.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION` when there is no such topic; others when no broker answers in time.
    pub async fn topic(&self, topic: &str) -> Result<TopicInfo> {
        let name = topic_name("describe topic", topic)?;
        self.topic_info(&name, AutoCreate::Forbidden).await
    }

    /// The topic from the cache, or asked for, with retries while it comes into being.
    pub(crate) async fn topic_info(&self, topic: &TopicName, auto_create: AutoCreate) -> Result<TopicInfo> {
        let started = Instant::now();
        let mut attempt = 0;
        loop {
            let generation = {
                let metadata = self.metadata();
                if let Some(info) =
                    metadata.fresh_topic(topic, Instant::now(), self.config().metadata_max_age)
                {
                    return Ok(info.clone());
                }
                metadata.generation()
            };
            let outcome = self.refresh(std::slice::from_ref(topic), auto_create, generation).await;
            let error = match outcome {
                Ok(()) if self.metadata().topic(topic).is_some() => continue,
                Ok(()) => ClientError::broker("metadata", ErrorCode::LEADER_NOT_AVAILABLE, None),
                Err(error) => error,
            };
            let missing = error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let hopeless = missing
                && (auto_create == AutoCreate::Forbidden || started.elapsed() >= UNKNOWN_TOPIC_PATIENCE);
            let error = error.for_topic(topic);
            attempt = self.pause_or_give_up(started, attempt, hopeless, error).await?;
        }
    }

    /// Waits before the next attempt, or returns the error when there is no use or no time left.
    pub(crate) async fn pause_or_give_up(
        &self,
        started: Instant,
        attempt: u32,
        hopeless: bool,
        error: ClientError,
    ) -> Result<u32> {
        let delay = self.config().backoff.delay(attempt, rand::random());
        if hopeless || !error.is_retriable() || started.elapsed() + delay >= self.config().api_timeout {
            return Err(error);
        }
        tracing::debug!(%error, attempt, "retrying");
        sleep(delay).await;
        Ok(attempt + 1)
    }

    /// Asks for the brokers and `topics`, unless somebody did since `seen_generation`.
    pub(crate) async fn refresh(
        &self,
        topics: &[TopicName],
        auto_create: AutoCreate,
        seen_generation: u64,
    ) -> Result<()> {
        let _one_at_a_time = self.view.refreshing.lock().await;
        {
            let metadata = self.metadata();
            let known = topics.iter().all(|topic| metadata.topic(topic).is_some());
            if metadata.generation() > seen_generation && known {
                return Ok(());
            }
        }
        let request = MetadataRequest {
            topics: Some(topics.iter().map(requested_topic).collect()),
            allow_auto_topic_creation: auto_create == AutoCreate::Allowed,
            ..Default::default()
        };
        let response = self.pool.call_any(request, self.config().request_timeout).await?;
        let told = self.metadata().learn(response, Instant::now());
        match told.into_iter().find(|(_, code)| code.is_error()) {
            Some((Some(name), code)) => Err(ClientError::broker("metadata", code, None).for_topic(name)),
            Some((None, code)) => Err(ClientError::broker("metadata", code, None)),
            None => Ok(()),
        }
    }

    /// Every topic of the cluster.
    pub(crate) async fn all_topics(&self) -> Result<Vec<TopicInfo>> {
        let request =
            MetadataRequest { topics: None, allow_auto_topic_creation: false, ..Default::default() };
        let response = self.pool.call_any(request, self.config().request_timeout).await?;
        let names: Vec<TopicName> =
            response.topics.iter().filter_map(|topic| TopicName::new(topic.name.as_deref()?).ok()).collect();
        let mut metadata = self.metadata();
        metadata.learn(response, Instant::now());
        let mut topics: Vec<TopicInfo> =
            names.iter().filter_map(|name| metadata.topic(name).cloned()).collect();
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(topics)
    }

    /// The controller, asked for anew if none is known.
    pub(crate) async fn controller(&self) -> Result<BrokerId> {
        let generation = {
            let metadata = self.metadata();
            if let Some(id) = metadata.controller() {
                return Ok(id);
            }
            metadata.generation()
        };
        self.refresh(&[], AutoCreate::Forbidden, generation).await?;
        let none = || {
            ClientError::new(
                "find the controller",
                ErrorKind::Broker { code: ErrorCode::BROKER_NOT_AVAILABLE, message: None },
            )
        };
        self.metadata().controller().ok_or_else(none)
    }
}

fn requested_topic(name: &TopicName) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(name.into()), ..Default::default() }
}

/// A checked topic name.
pub(crate) fn topic_name(operation: &'static str, topic: &str) -> Result<TopicName> {
    TopicName::new(topic).map_err(|error| ClientError::invalid(operation, error.to_string()).for_topic(topic))
}
