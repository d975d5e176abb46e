//! Creating and deleting topics and adding partitions, with Kafka's checks and Kafka's words.
//!
//! Each topic of a request stands or falls alone. What a later topic of the same request may see of an earlier one
//! (a name already taken) is seen; nothing else is changed before the records are committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ottla_protocol::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use ottla_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};
use ottla_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use ottla_protocol::{
    BrokerId, ErrorCode, InvalidTopicName, LeaderEpoch, PartitionIndex, TopicId, TopicName,
};

use super::image::{Image, Topic};
use super::outcome::Outcome;
use super::placement::Placement;
use super::record::{ConfigResource, MetadataRecord};
use crate::config::{BrokerConfig, Layers, alter};
use crate::refusal::{Refused, refuse};

/// The most partitions that one request may create, as in Kafka: a slip of the keyboard must not fill the disk.
const PARTITIONS_PER_REQUEST_MAX: i32 = 10_000;

/// The name that belongs to the metadata log.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// What is left of [`PARTITIONS_PER_REQUEST_MAX`].
struct PartitionBudget {
    left: i32,
}

impl Default for PartitionBudget {
    fn default() -> Self {
        Self { left: PARTITIONS_PER_REQUEST_MAX }
    }
}

impl PartitionBudget {
    fn take(&mut self, count: i32) -> Refused<()> {
        if count < 1 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return refuse(ErrorCode::INVALID_PARTITIONS, message);
        }
        if count > self.left {
            return refuse(
                ErrorCode::POLICY_VIOLATION,
                "Excessively large number of partitions per request.",
            );
        }
        self.left -= count;
        Ok(())
    }
}

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
        let mut taken: Vec<TopicName> = Vec::new();
        for topic in &request.topics {
            let planned = if named[&*topic.name] > 1 {
                refuse(ErrorCode::INVALID_REQUEST, "Duplicate topic name.")
            } else {
                self.plan_topic(topic, config, &layers, &taken, &mut budget)
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
                    taken.push(plan.name.clone());
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
        taken: &[TopicName],
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
        let may_collide = name.as_str().contains(['.', '_']);
        let mut others = self.topics().map(|topic| &topic.name).chain(taken).filter(|_| may_collide);
        if let Some(other) = others.find(|other| other.collides_with(&name)) {
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

/// A topic name as Kafka checks it, refused in Kafka's words.
pub(super) fn legal_name(name: &str) -> Refused<TopicName> {
    let why = match TopicName::new(name) {
        Ok(name) => return Ok(name),
        Err(InvalidTopicName::Empty) => "the empty string is not allowed".to_owned(),
        Err(InvalidTopicName::Path(_)) => format!("'{name}' is not allowed"),
        Err(InvalidTopicName::TooLong(_)) => {
            format!("the length of '{name}' is longer than the max allowed length {}", TopicName::BYTES_MAX)
        }
        Err(InvalidTopicName::Character(_)) => {
            format!(
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            )
        }
    };
    refuse(ErrorCode::INVALID_TOPIC_EXCEPTION, format!("Topic name is invalid: {why}"))
}

/// Replicas where the broker chooses them; -1 takes the broker's default.
fn placed_replicas(
    topic: &CreatableTopic,
    config: &BrokerConfig,
    placement: &Placement,
    budget: &mut PartitionBudget,
) -> Refused<Vec<Vec<BrokerId>>> {
    let count = if topic.num_partitions == -1 { config.num_partitions } else { topic.num_partitions };
    budget.take(count)?;
    let factor = match topic.replication_factor {
        -1 => config.default_replication_factor,
        factor => factor.into(),
    };
    if factor < 1 {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return refuse(ErrorCode::INVALID_REPLICATION_FACTOR, message);
    }
    if factor as usize > placement.broker_count() {
        let message = format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot \
             be reached because only {} broker(s) are registered.",
            placement.broker_count()
        );
        return refuse(ErrorCode::INVALID_REPLICATION_FACTOR, message);
    }
    Ok((0..count as usize).map(|partition| placement.replicas(partition, factor as usize)).collect())
}

/// Replicas as the request lays them down; the number of partitions follows from them.
fn assigned_replicas(
    topic: &CreatableTopic,
    placement: &Placement,
    budget: &mut PartitionBudget,
) -> Refused<Vec<Vec<BrokerId>>> {
    for (given, what) in
        [(topic.replication_factor as i32, "replication factor"), (topic.num_partitions, "numPartitions")]
    {
        if given != -1 {
            let message =
                format!("A manual partition assignment was specified, but {what} was not set to -1.");
            return refuse(ErrorCode::INVALID_REQUEST, message);
        }
    }
    budget.take(i32::try_from(topic.assignments.len()).unwrap_or(i32::MAX))?;
    let mut by_partition: BTreeMap<i32, Vec<BrokerId>> = BTreeMap::new();
    for CreatableReplicaAssignment { partition_index, broker_ids, .. } in &topic.assignments {
        let replicas = checked_replicas(broker_ids, placement)?;
        if by_partition.insert(*partition_index, replicas).is_some() {
            let message =
                format!("Found multiple manual partition assignments for partition {partition_index}");
            return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
        }
    }
    if !by_partition.keys().copied().eq(0..by_partition.len() as i32) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    }
    let replicas: Vec<_> = by_partition.into_values().collect();
    same_factor(&replicas, replicas[0].len())?;
    Ok(replicas)
}

/// Replicas of added partitions as the request lays them down.
fn given_replicas(
    assignments: &[CreatePartitionsAssignment],
    added: usize,
    replication_factor: usize,
    placement: &Placement,
) -> Refused<Vec<Vec<BrokerId>>> {
    if assignments.len() != added {
        let message = format!(
            "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
            assignments.len()
        );
        return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    }
    let replicas = assignments.iter().map(|assignment| checked_replicas(&assignment.broker_ids, placement));
    let replicas = replicas.collect::<Refused<Vec<_>>>()?;
    same_factor(&replicas, replication_factor)?;
    Ok(replicas)
}

fn same_factor(replicas: &[Vec<BrokerId>], factor: usize) -> Refused<()> {
    match replicas.iter().find(|replicas| replicas.len() != factor) {
        None => Ok(()),
        Some(odd) => {
            let message = format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not \
                 consistent with previous partitions, which have {factor} replica(s).",
                odd.len()
            );
            refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message)
        }
    }
}

fn checked_replicas(broker_ids: &[i32], placement: &Placement) -> Refused<Vec<BrokerId>> {
    if broker_ids.is_empty() {
        let message = "The manual partition assignment includes an empty replica list.";
        return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    }
    let mut replicas: Vec<BrokerId> = Vec::new();
    for &id in broker_ids {
        let broker = BrokerId::new(id);
        if !placement.contains(broker) {
            let message = format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            );
            return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
        }
        if replicas.contains(&broker) {
            let message = format!("The manual partition assignment includes the broker {id} more than once.");
            return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
        }
        replicas.push(broker);
    }
    Ok(replicas)
}

#[cfg(test)]
#[path = "topics_tests.rs"]
mod tests;
