//! Metadata (3), versions 0 to 12: brokers, controller, topics and their leaders (KIP-516, KIP-320, KIP-112).
//!
//! A missing topic is created when the request allows it and `auto.create.topics.enable` is on, and the answer waits for
//! that: by then the topic has its leader, and no client needs a second request. Only when the creation cannot be
//! awaited, because it fails, is there an error for it. A broker list is never empty and the controller is always a real
//! broker, because admin clients connect to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_cluster::controller::{Image, Topic};
use ottla_protocol::codec::Str;
use ottla_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::{ErrorCode, TopicId, TopicName};
use uuid::Uuid;

use super::create_topics::create_topics;
use super::{RequestContext, authorized_operations};

/// What the client asks about.
enum Asked {
    All,
    Some(Vec<MetadataRequestTopic>),
}

/// Answers from the image of the moment, after creating what is missing.
pub(super) async fn handle(context: RequestContext, request: MetadataRequest) -> MetadataResponse {
    let version = context.api_version();
    let asked = match request.topics {
        None => Asked::All,
        // Version 0 has no null, so there an empty list asks for all (kafka-python 2 does).
        Some(topics) if version == 0 && topics.is_empty() => Asked::All,
        Some(topics) => Asked::Some(topics),
    };
    let mut image = context.core.quorum.image();
    let mut refused = Vec::new();
    if let Asked::Some(topics) = &asked
        && request.allow_auto_topic_creation
        && context.core.config.auto_create_topics_enable
    {
        let missing = missing_topics(&image, topics);
        if !missing.is_empty() {
            refused = create_missing(&context, missing).await;
            image = context.core.quorum.image();
        }
    }
    let topics = match asked {
        Asked::All => image.topics().map(|topic| describe(&context, topic)).collect(),
        Asked::Some(topics) => {
            topics.into_iter().map(|topic| answer(&context, &image, topic, &refused)).collect()
        }
    };
    let mut topics: Vec<MetadataResponseTopic> = topics;
    if request.include_topic_authorized_operations {
        let known = topics.iter_mut().filter(|topic| !topic.error_code.is_error());
        known.for_each(|topic| topic.topic_authorized_operations = authorized_operations::TOPIC);
    }
    MetadataResponse {
        brokers: vec![this_broker(&context)],
        cluster_id: Some(context.core.cluster_id.clone()),
        controller_id: context.core.node_id.get(),
        topics,
        cluster_authorized_operations: authorized_operations::if_asked(
            request.include_cluster_authorized_operations,
            authorized_operations::CLUSTER,
        ),
        ..MetadataResponse::default()
    }
}

fn this_broker(context: &RequestContext) -> MetadataResponseBroker {
    let endpoint = context.connection.listener.endpoint_for(context.connection.local_addr);
    MetadataResponseBroker {
        node_id: context.core.node_id.get(),
        host: Str::from(endpoint.host),
        port: i32::from(endpoint.port),
        rack: context.core.config.broker_rack.as_ref().map(Str::from),
    }
}

/// Legal names that name no topic; an id never creates one.
fn missing_topics(image: &Image, topics: &[MetadataRequestTopic]) -> BTreeSet<TopicName> {
    let named = topics.iter().filter(|topic| topic.topic_id.is_nil()).filter_map(|topic| topic.name.as_ref());
    let legal = named.filter_map(|name| TopicName::new(name).ok());
    legal.filter(|name| image.topic(name).is_none()).collect()
}

/// Creates the topics with the broker's defaults. Returns those that were refused, with the reason.
async fn create_missing(context: &RequestContext, missing: BTreeSet<TopicName>) -> Vec<(Str, ErrorCode)> {
    let topic = |name: &TopicName| CreatableTopic {
        name: Str::from(name),
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: missing.iter().map(topic).collect(), ..CreateTopicsRequest::default() };
    match create_topics(&context.core, request).await {
        Ok(created) => created
            .topics
            .into_iter()
            .filter(|topic| topic.error_code.is_error())
            // Another client was faster: the topic is there, which is all that was wanted.
            .filter(|topic| topic.error_code != ErrorCode::TOPIC_ALREADY_EXISTS)
            .map(|topic| (topic.name, topic.error_code))
            .collect(),
        Err(code) => missing.iter().map(|name| (Str::from(name), code)).collect(),
    }
}

fn answer(
    context: &RequestContext,
    image: &Image,
    asked: MetadataRequestTopic,
    refused: &[(Str, ErrorCode)],
) -> MetadataResponseTopic {
    if !asked.topic_id.is_nil() {
        return match image.topic_by_id(TopicId::new(asked.topic_id)) {
            Some(topic) => describe(context, topic),
            None => MetadataResponseTopic {
                topic_id: asked.topic_id,
                ..error_row(None, ErrorCode::UNKNOWN_TOPIC_ID)
            },
        };
    }
    let Some(name) = asked.name else { return error_row(None, ErrorCode::INVALID_TOPIC_EXCEPTION) };
    if let Some(topic) = image.topic_named(&name) {
        return describe(context, topic);
    }
    let code = match refused.iter().find(|(refused, _)| *refused == name) {
        Some((_, code)) => *code,
        None if TopicName::new(&name).is_err() => ErrorCode::INVALID_TOPIC_EXCEPTION,
        None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    };
    error_row(Some(name), code)
}

/// Below version 12 a topic has to have a name, known or not.
fn error_row(name: Option<Str>, error_code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic { error_code, name, topic_id: Uuid::nil(), ..MetadataResponseTopic::default() }
}

fn describe(context: &RequestContext, topic: &Arc<Topic>) -> MetadataResponseTopic {
    let local = context.core.topics.load();
    let local = local.by_id(topic.id);
    let row = |(index, partition): (i32, &ottla_cluster::controller::Partition)| {
        let online = local.map(|local| local.partition(index)).is_some_and(|found| found.is_ok());
        let leader = partition.leader.filter(|_| online);
        MetadataResponsePartition {
            error_code: if leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
            partition_index: index,
            leader_id: leader.map_or(-1, |leader| leader.get()),
            leader_epoch: partition.leader_epoch.get(),
            replica_nodes: partition.replicas.iter().map(|id| id.get()).collect(),
            isr_nodes: partition.in_sync_replicas.iter().map(|id| id.get()).collect(),
            offline_replicas: if online { Vec::new() } else { vec![context.core.node_id.get()] },
        }
    };
    MetadataResponseTopic {
        name: Some(Str::from(&topic.name)),
        topic_id: topic.id.get(),
        is_internal: is_internal(&topic.name),
        partitions: (0..).zip(&topic.partitions).map(row).collect(),
        ..MetadataResponseTopic::default()
    }
}

/// The topics that brokers keep for themselves.
pub(super) fn is_internal(name: &TopicName) -> bool {
    matches!(name.as_str(), "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}
