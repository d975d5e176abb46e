//! Topics: create, delete, list, describe, grow.

use ottla_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::{BrokerId, ErrorCode, TopicId};

use super::{Admin, PerResource, only, verdict};
use crate::client::topic_name;
use crate::error::Result;
use crate::metadata::TopicInfo;

/// A topic to be created. What is not said is the broker's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    name: String,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    assignments: Vec<Vec<BrokerId>>,
    configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic of this name with the broker's defaults.
    pub fn new(name: impl Into<String>) -> Self {
        NewTopic {
            name: name.into(),
            partitions: None,
            replication_factor: None,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }

    /// With so many partitions.
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// With so many replicas of each partition.
    pub fn replication_factor(mut self, replication_factor: i16) -> Self {
        self.replication_factor = Some(replication_factor);
        self
    }

    /// With these replicas, partition by partition; overrides the partition count and the replication factor.
    pub fn assignments(mut self, assignments: Vec<Vec<BrokerId>>) -> Self {
        self.assignments = assignments;
        self
    }

    /// With this topic config, e.g. `("cleanup.policy", "compact")`.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((key.into(), value.into()));
        self
    }

    fn into_wire(self) -> CreatableTopic {
        let assigned = !self.assignments.is_empty();
        let config = |(name, value): (String, String)| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
        };
        let assignment = |(index, brokers): (usize, Vec<BrokerId>)| CreatableReplicaAssignment {
            partition_index: i32::try_from(index).unwrap_or(i32::MAX),
            broker_ids: brokers.into_iter().map(BrokerId::get).collect(),
        };
        CreatableTopic {
            name: self.name.into(),
            num_partitions: self.partitions.filter(|_| !assigned).unwrap_or(-1),
            replication_factor: self.replication_factor.filter(|_| !assigned).unwrap_or(-1),
            assignments: self.assignments.into_iter().enumerate().map(assignment).collect(),
            configs: self.configs.into_iter().map(config).collect(),
        }
    }
}

/// A topic that was created, or would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; zero when only validated or from an old broker.
    pub id: TopicId,
    /// How many partitions it has, if the broker tells.
    pub partitions: Option<i32>,
    /// How many replicas each has, if the broker tells.
    pub replication_factor: Option<i16>,
}

impl Admin {
    /// Creates one topic.
    ///
    /// # Errors
    /// `TOPIC_ALREADY_EXISTS`, `INVALID_PARTITIONS`, `INVALID_REPLICATION_FACTOR`, `INVALID_CONFIG` and the like.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<CreatedTopic> {
        only("create topic", self.create_topics(vec![topic], false).await?)
    }

    /// Creates topics, or only checks whether they could be created.
    ///
    /// # Errors
    /// When no broker answers in time; what is wrong with one topic is in its own result.
    pub async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
        validate_only: bool,
    ) -> Result<PerResource<CreatedTopic>> {
        let request = CreateTopicsRequest {
            topics: topics.into_iter().map(NewTopic::into_wire).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
        };
        let response = self
            .ask_controller("create topic", request, |response| {
                response.topics.iter().map(|topic| topic.error_code).collect()
            })
            .await?;
        let result = |topic: &ottla_protocol::messages::create_topics::CreatableTopicResult| {
            let verdict =
                verdict("create topic", &topic.name, topic.error_code, topic.error_message.as_deref());
            let created = CreatedTopic {
                id: TopicId::new(topic.topic_id),
                partitions: Some(topic.num_partitions).filter(|count| *count > 0),
                replication_factor: Some(topic.replication_factor).filter(|count| *count > 0),
            };
            (topic.name.to_string(), verdict.map(|()| created))
        };
        Ok(response.topics.iter().map(result).collect())
    }

    /// Deletes one topic.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION` when there is none, `TOPIC_DELETION_DISABLED` and the like.
    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        only("delete topic", self.delete_topics(&[topic]).await?)
    }

    /// Deletes topics by name.
    ///
    /// # Errors
    /// When no broker answers in time; what is wrong with one topic is in its own result.
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<PerResource<()>> {
        let request = DeleteTopicsRequest {
            topics: topics
                .iter()
                .map(|name| DeleteTopicState { name: Some((*name).into()), ..Default::default() })
                .collect(),
            topic_names: topics.iter().map(|name| (*name).into()).collect(),
            timeout_ms: self.timeout_ms(),
        };
        let response = self
            .ask_controller("delete topic", request, |response| {
                response.responses.iter().map(|topic| topic.error_code).collect()
            })
            .await?;
        let mut results = Vec::new();
        for topic in &response.responses {
            let name = topic.name.as_deref().unwrap_or_default();
            let result = verdict("delete topic", name, topic.error_code, topic.error_message.as_deref());
            if result.is_ok() {
                self.client.metadata().forget(name);
            }
            results.push((name.to_owned(), result));
        }
        Ok(results)
    }

    /// Raises the number of partitions of a topic to `partition_count`.
    ///
    /// # Errors
    /// `INVALID_PARTITIONS` when that is not more than it has now.
    pub async fn create_partitions(&self, topic: &str, partition_count: i32) -> Result<()> {
        let wanted =
            CreatePartitionsTopic { name: topic.into(), count: partition_count, ..Default::default() };
        let request = CreatePartitionsRequest {
            topics: vec![wanted],
            timeout_ms: self.timeout_ms(),
            validate_only: false,
        };
        let response = self
            .ask_controller("add partitions", request, |response| {
                response.results.iter().map(|topic| topic.error_code).collect()
            })
            .await?;
        let results = response.results.iter().map(|topic| {
            let result =
                verdict("add partitions", &topic.name, topic.error_code, topic.error_message.as_deref());
            (topic.name.to_string(), result)
        });
        let result = only("add partitions", results.collect());
        if result.is_ok() {
            self.client.metadata().forget(topic);
        }
        result
    }

    /// Every topic of the cluster by name, internal ones too.
    ///
    /// # Errors
    /// When no broker answers in time.
    pub async fn list_topics(&self) -> Result<Vec<TopicInfo>> {
        self.retrying("list topics", || self.client.all_topics()).await
    }

    /// One topic, freshly asked for.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION` when there is none.
    pub async fn describe_topic(&self, topic: &str) -> Result<TopicInfo> {
        let name = topic_name("describe topic", topic)?;
        self.client.metadata().forget(&name);
        self.client.topic(topic).await.map_err(|error| error.during("describe topic"))
    }

    /// Waits until every partition of a topic has a leader, as after its creation.
    ///
    /// # Errors
    /// When it takes longer than the client's `api_timeout`.
    pub async fn wait_for_leaders(&self, topic: &str) -> Result<TopicInfo> {
        let operation = "wait for leaders";
        self.retrying(operation, || async {
            let info = self.describe_topic(topic).await.map_err(|error| match error.code() {
                // A topic just created may not have reached the broker that was asked.
                Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
                    crate::ClientError::broker(operation, ErrorCode::LEADER_NOT_AVAILABLE, None)
                        .for_topic(topic)
                }
                _ => error,
            })?;
            match info.partitions.iter().find(|partition| partition.leader.is_none()) {
                None => Ok(info),
                Some(partition) => {
                    let error = crate::ClientError::broker(operation, ErrorCode::LEADER_NOT_AVAILABLE, None);
                    Err(error.for_topic(topic).for_partition(partition.index.get()))
                }
            }
        })
        .await
    }
}
