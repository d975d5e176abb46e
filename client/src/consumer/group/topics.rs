//! What topics look like to those who divide them, as far as the client knows.
//!
//! Racks are told only where some broker has one; a topic that does not exist has no partitions.

use std::collections::BTreeSet;
use std::time::Instant;

use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::{TopicId, TopicName};

use super::effect::{TopicShape, Topics};
use super::subscription::Subscription;
use crate::client::{AutoCreate, Client};
use crate::error::Result;
use crate::metadata::Metadata;

/// What was learned of topics.
#[derive(Debug)]
pub(crate) struct Learned {
    pub(crate) topics: Topics,
    /// The topics that a pattern matches now, if there is one.
    pub(crate) matching: Option<BTreeSet<TopicName>>,
}

/// Asks for these topics, by name or by id, and for all there are if they are wanted by a pattern.
pub(crate) async fn learn(
    client: &Client,
    wanted: BTreeSet<TopicName>,
    ids: BTreeSet<TopicId>,
    subscription: Option<&Subscription>,
) -> Result<Learned> {
    let mut wanted = wanted;
    let mut matching = None;
    if let Some(subscription @ Subscription::Pattern(_)) = subscription {
        let matched = subscription.topics(&client.all_topics().await?);
        wanted.extend(matched.iter().cloned());
        matching = Some(matched);
    } else {
        let names: Vec<TopicName> = wanted.iter().cloned().collect();
        let generation = client.metadata().generation();
        match client.refresh(&names, AutoCreate::Forbidden, generation).await {
            // What a broker says about one topic is told by what is known of it afterwards.
            Err(error) if error.code().is_none() => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    if !ids.is_empty() {
        wanted.extend(names_of(client, &ids).await?);
    }
    let metadata = client.metadata();
    let topics = wanted.into_iter().map(|name| (name.clone(), shape(&metadata, &name))).collect();
    Ok(Learned { topics, matching })
}

/// Learns the topics with these ids; those that are gone are left out.
async fn names_of(client: &Client, ids: &BTreeSet<TopicId>) -> Result<Vec<TopicName>> {
    let topic = |id: &TopicId| MetadataRequestTopic { topic_id: id.get(), name: None };
    let request = MetadataRequest {
        topics: Some(ids.iter().map(topic).collect()),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let response = client.pool().call_any(request, client.config().request_timeout).await?;
    let told = client.metadata().learn(response, Instant::now());
    Ok(told.into_iter().filter(|(_, code)| code.is_none()).filter_map(|(name, _)| name).collect())
}

/// What these topics look like now, without asking; topics that are not known are left out.
pub(crate) fn known(client: &Client, wanted: &BTreeSet<TopicName>) -> Topics {
    let metadata = client.metadata();
    let known = wanted.iter().filter(|name| metadata.topic(name).is_some());
    known.map(|name| (name.clone(), shape(&metadata, name))).collect()
}

fn shape(metadata: &Metadata, name: &TopicName) -> TopicShape {
    let Some(topic) = metadata.topic(name) else { return TopicShape::default() };
    let rack = |id: &_| metadata.broker(*id).and_then(|broker| broker.rack.clone());
    let mut racks: Vec<Vec<String>> = topic
        .partitions
        .iter()
        .map(|partition| {
            let mut racks: Vec<String> = partition.replicas.iter().filter_map(rack).collect();
            racks.sort();
            racks.dedup();
            racks
        })
        .collect();
    if racks.iter().all(Vec::is_empty) {
        racks.clear();
    }
    TopicShape {
        id: Some(topic.id).filter(|id| !id.is_zero()),
        partition_count: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
        racks,
    }
}
