//! What topics look like to those who divide them, as far as the client knows.
//!
//! Racks are told only where some broker has one; a topic that does not exist has no partitions.

use std::collections::BTreeSet;

use ottla_protocol::TopicName;

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

/// Asks for these topics, and for all there are if they are wanted by a pattern.
pub(crate) async fn learn(
    client: &Client,
    wanted: BTreeSet<TopicName>,
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
    let metadata = client.metadata();
    let topics = wanted.into_iter().map(|name| (name.clone(), shape(&metadata, &name))).collect();
    Ok(Learned { topics, matching })
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
