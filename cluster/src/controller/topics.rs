//! Creating and deleting topics and adding partitions, with Kafka's checks and Kafka's words.
//!
//! Each topic of a request stands or falls alone. What a later topic of the same request may see of an earlier one
//! (a name already taken) is seen; nothing else is changed before the records are committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ottla_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use ottla_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use ottla_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use ottla_protocol::{BrokerId, ErrorCode, LeaderEpoch, PartitionIndex, TopicId, TopicName};

use super::assignment::{
    PARTITIONS_PER_REQUEST_MAX, PartitionBudget, TOO_MANY_PARTITIONS, assigned_replicas, given_replicas,
    placed_replicas,
};
use super::image::{Image, Topic};
use super::names::{Lookalikes, legal_name};
use super::outcome::Outcome;
use super::placement::Placement;
use super::record::{ConfigResource, MetadataRecord};
use crate::config::{BrokerConfig, Layers, alter};
use crate::refusal::{Refused, refuse};

/// The name that belongs to the metadata log.
const METADATA_TOPIC: &str = "__cluster_metadata";

impl Image {
    /// Answers CreateTopics. `config` is what this broker was started with; `new_id` draws a topic id that was never used.
    pub fn create_topics(
        &self,
        request: &CreateTopicsRequest,
        config: &BrokerConfig,
        mut new_id: impl FnMut() -> TopicId,
    ) -> Outcome<MetadataRecord, CreateTopicsResponse> {
        let mut named: HashMap<&str, usize> = HashMap::new();
        request.topics.iter().for_each(|topic| *named.entry(&topic.name).or_default() += 1);
        let layers = self.layers(config);
        let mut budget = PartitionBudget::default();
        let mut outcome = Outcome::unchanged(CreateTopicsResponse::default());
        let mut lookalikes = Lookalikes::default();
        for topic in &request.topics {
            let planned = if request.topics.len() > PARTITIONS_PER_REQUEST_MAX as usize {
                refuse(ErrorCode::POLICY_VIOLATION, TOO_MANY_PARTITIONS)
            } else if named[&*topic.name] > 1 {
                refuse(ErrorCode::INVALID_REQUEST, "Duplicate topic name.")
            } else {
                self.plan_topic(topic, config, &layers, &mut lookalikes, &mut budget)
            };
            let mut result = CreatableTopicResult { name: topic.name.clone(), ..Default::default() };
            match planned {
                Err(refusal) => {
                    result.error_code = refusal.error_code;
                    result.error_message = Some(refusal.message.into());
                }
                Ok(plan) => {
                    let id = new_id();
                    result.topic_id = id.get();
                    result.num_partitions = plan.replicas.len() as i32;
                    result.replication_factor = plan.replicas.first().map_or(-1, |first| first.len() as i16);
                    result.configs = Some(Self::created_configs(&plan.configs, &layers));
                    lookalikes.take(&plan.name);
                    outcome.records.extend(plan.into_records(id));
                }
            }
            outcome.reply.topics.push(result);
        }
        if request.validate_only {
            outcome.records.clear();
        }
        outcome
    }

    fn plan_topic(
        &self,
        topic: &CreatableTopic,
        config: &BrokerConfig,
        layers: &Layers,
        lookalikes: &mut Lookalikes,
        budget: &mut PartitionBudget,
    ) -> Refused<TopicPlan> {
        let name = legal_name(&topic.name)?;
        if name.as_str() == METADATA_TOPIC {
            let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
            return refuse(ErrorCode::INVALID_REQUEST, message);
        }
        if self.topic(&name).is_some() {
            return refuse(ErrorCode::TOPIC_ALREADY_EXISTS, format!("Topic '{name}' already exists."));
        }
        if let Some(other) = lookalikes.find(self, &name) {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            return refuse(ErrorCode::INVALID_TOPIC_EXCEPTION, message);
        }
        let placement = Placement::new(self.brokers().map(|(id, _)| id));
        let replicas = if topic.assignments.is_empty() {
            placed_replicas(topic, config, &placement, budget)?
        } else {
            assigned_replicas(topic, &placement, budget)?
        };
        let mut configs = BTreeMap::new();
        for config in &topic.configs {
            let Some(value) = &config.value else {
                let message = format!("Null value not supported for topic configs: {}", config.name);
                return refuse(ErrorCode::INVALID_CONFIG, message);
            };
            configs.insert(config.name.to_string(), value.to_string());
        }
        alter::check_new_topic(&configs, layers)?;
        let leader_epoch = self.first_leader_epoch(&name);
        Ok(TopicPlan { name, replicas, configs, leader_epoch })
    }

    /// Answers CreatePartitions.
    pub fn create_partitions(
        &self,
        request: &CreatePartitionsRequest,
    ) -> Outcome<MetadataRecord, CreatePartitionsResponse> {
        let mut named: HashMap<&str, usize> = HashMap::new();
        request.topics.iter().for_each(|topic| *named.entry(&topic.name).or_default() += 1);
        let mut budget = PartitionBudget::default();
        let mut outcome = Outcome::unchanged(CreatePartitionsResponse::default());
        for topic in &request.topics {
            let planned = if named[&*topic.name] > 1 {
                refuse(ErrorCode::INVALID_REQUEST, "Duplicate topic name.")
            } else {
                self.plan_partitions(topic, &mut budget)
            };
            let mut result = CreatePartitionsTopicResult { name: topic.name.clone(), ..Default::default() };
            match planned {
                Ok(records) => outcome.records.extend(records),
                Err(refusal) => {
                    result.error_code = refusal.error_code;
                    result.error_message = Some(refusal.message.into());
                }
            }
            outcome.reply.results.push(result);
        }
        if request.validate_only {
            outcome.records.clear();
        }
        outcome
    }

    fn plan_partitions(
        &self,
        wanted: &CreatePartitionsTopic,
        budget: &mut PartitionBudget,
    ) -> Refused<Vec<MetadataRecord>> {
        let Some(topic) = self.topic_named(&wanted.name) else {
            let error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            return refuse(error_code, "This server does not host this topic-partition.");
        };
        let (name, present) = (&topic.name, topic.partitions.len() as i32);
        if wanted.count == present {
            let message = format!("Topic already has {present} partition(s).");
            return refuse(ErrorCode::INVALID_PARTITIONS, message);
        }
        if wanted.count < present {
            let message = format!(
                "The topic {name} currently has {present} partition(s); {} would not be an increase.",
                wanted.count
            );
            return refuse(ErrorCode::INVALID_PARTITIONS, message);
        }
        budget.take(wanted.count - present)?;
        let placement = Placement::new(self.brokers().map(|(id, _)| id));
        let replication_factor = topic.partitions.first().map_or(1, |first| first.replicas.len());
        let added = (wanted.count - present) as usize;
        let replicas = match &wanted.assignments {
            Some(assignments) => given_replicas(assignments, added, replication_factor, &placement)?,
            None => {
                (0..added).map(|p| placement.replicas(present as usize + p, replication_factor)).collect()
            }
        };
        let leader_epoch =
            topic.partitions.iter().map(|partition| partition.leader_epoch).min().unwrap_or_default();
        Ok((present..).zip(replicas).map(|(p, r)| partition_record(topic.id, p, r, leader_epoch)).collect())
    }

    /// Answers DeleteTopics, by name or by id; `delete_topic_enable` is the config of that name.
    pub fn delete_topics(
        &self,
        request: &DeleteTopicsRequest,
        delete_topic_enable: bool,
    ) -> Outcome<MetadataRecord, DeleteTopicsResponse> {
        let by_name = request
            .topic_names
            .iter()
            .map(|name| DeleteTopicState { name: Some(name.clone()), ..Default::default() });
        let mut outcome = Outcome::unchanged(DeleteTopicsResponse::default());
        let mut gone: BTreeSet<TopicId> = BTreeSet::new();
        for wanted in request.topics.iter().cloned().chain(by_name) {
            let found = if delete_topic_enable {
                self.find_topic(&wanted)
            } else {
                refuse(
                    ErrorCode::TOPIC_DELETION_DISABLED,
                    "Topic deletion is disabled (delete.topic.enable).",
                )
            };
            let found = found.and_then(|topic| match gone.insert(topic.id) {
                true => Ok(topic),
                false => refuse(ErrorCode::INVALID_REQUEST, "Duplicate topic."),
            });
            let mut result = DeletableTopicResult { name: wanted.name, ..Default::default() };
            result.topic_id = wanted.topic_id;
            match found {
                Ok(topic) => {
                    result.name = Some(topic.name.as_str().into());
                    result.topic_id = topic.id.get();
                    outcome.records.push(MetadataRecord::RemoveTopic { id: topic.id });
                }
                Err(refusal) => {
                    result.error_code = refusal.error_code;
                    result.error_message = Some(refusal.message.into());
                }
            }
            outcome.reply.responses.push(result);
        }
        outcome
    }

    fn find_topic(&self, wanted: &DeleteTopicState) -> Refused<&Topic> {
        let id = TopicId::new(wanted.topic_id);
        match (&wanted.name, id.is_zero()) {
            (Some(_), false) => {
                refuse(ErrorCode::INVALID_REQUEST, "You may not specify both topic name and topic id.")
            }
            (None, true) => refuse(ErrorCode::INVALID_REQUEST, "Neither topic name nor id were specified."),
            (Some(name), true) => match self.topic_named(name) {
                Some(topic) => Ok(topic),
                None => refuse(
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    "This server does not host this topic-partition.",
                ),
            },
            (None, false) => match self.topic_by_id(id) {
                Some(topic) => Ok(topic),
                None => refuse(ErrorCode::UNKNOWN_TOPIC_ID, "This server does not host this topic ID."),
            },
        }
    }
}

struct TopicPlan {
    name: TopicName,
    replicas: Vec<Vec<BrokerId>>,
    configs: BTreeMap<String, String>,
    leader_epoch: LeaderEpoch,
}

impl TopicPlan {
    fn into_records(self, id: TopicId) -> impl Iterator<Item = MetadataRecord> {
        let resource = ConfigResource::Topic(self.name.clone());
        let configs = self.configs.into_iter().map(move |(key, value)| MetadataRecord::Config {
            resource: resource.clone(),
            key,
            value: Some(value),
        });
        let leader_epoch = self.leader_epoch;
        let partitions = (0..).zip(self.replicas);
        let partitions = partitions.map(move |(p, replicas)| partition_record(id, p, replicas, leader_epoch));
        std::iter::once(MetadataRecord::Topic { name: self.name, id }).chain(configs).chain(partitions)
    }
}

fn partition_record(
    topic: TopicId,
    partition: i32,
    replicas: Vec<BrokerId>,
    leader_epoch: LeaderEpoch,
) -> MetadataRecord {
    MetadataRecord::Partition {
        topic,
        partition: PartitionIndex::new(partition),
        leader: replicas.first().copied(),
        in_sync_replicas: replicas.clone(),
        replicas,
        leader_epoch,
    }
}

#[cfg(test)]
#[path = "topics_tests.rs"]
mod tests;
