//! The broker's table of topics as group machines look at it.

use std::sync::Arc;

use ottla_cluster::group::{TopicDirectory, TopicShape};
use ottla_protocol::TopicId;
use ottla_protocol::codec::Str;

use crate::topics::TopicMap;

/// One state of the table.
#[derive(Debug)]
pub(super) struct ClusterTopics(pub(super) Arc<TopicMap>);

impl TopicDirectory for ClusterTopics {
    fn shape(&self, name: &str) -> Option<TopicShape> {
        let topic = self.0.by_name(name)?;
        let partition_count = u32::try_from(topic.replicas.len()).unwrap_or(u32::MAX);
        Some(TopicShape { id: topic.id, partition_count })
    }

    fn name(&self, id: TopicId) -> Option<Str> {
        self.0.by_id(id).map(|topic| Str::from(&topic.name))
    }

    fn each_name(&self, each: &mut dyn FnMut(&str)) {
        self.0.topics().for_each(|topic| each(topic.name.as_str()));
    }
}
