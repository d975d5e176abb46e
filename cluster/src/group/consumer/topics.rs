//! What a group needs to know of the cluster's topics. The shell shows it its own table, nothing is copied.

use std::fmt::Debug;

use ottla_protocol::TopicId;
use ottla_protocol::codec::Str;

/// A topic, as far as groups are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicShape {
    /// Its identity.
    pub id: TopicId,
    /// How many partitions it has.
    pub partition_count: u32,
}

/// The topics of the cluster at one moment.
pub trait TopicDirectory: Debug + Send + Sync {
    /// The topic of this name.
    fn shape(&self, name: &str) -> Option<TopicShape>;

    /// The name of this topic.
    fn name(&self, id: TopicId) -> Option<Str>;

    /// Shows every topic's name, in any order.
    fn each_name(&self, each: &mut dyn FnMut(&str));
}

/// A cluster without topics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoTopics;

impl TopicDirectory for NoTopics {
    fn shape(&self, _name: &str) -> Option<TopicShape> {
        None
    }

    fn name(&self, _id: TopicId) -> Option<Str> {
        None
    }

    fn each_name(&self, _each: &mut dyn FnMut(&str)) {}
}
