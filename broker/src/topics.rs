//! The topics of this broker, as handlers look them up: by name or id, then by partition.
//!
//! A lookup takes no lock: the table is replaced whole when the cluster's metadata changes, which is rare, and read on
//! every request. It is *not* the cluster's metadata: it holds the partitions that this broker has opened, and follows the
//! controller's image. Invariant: a topic in the table has one entry per partition index, from 0 without a gap.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use ottla_protocol::{ErrorCode, TopicId, TopicName};
use tokio::sync::Notify;

use crate::partition::Partition;

/// A partition that is led here, or why it cannot be used.
#[derive(Debug, Clone)]
pub(crate) enum Replica {
    /// This broker leads it.
    Leader(Arc<Partition>),
    /// Its log cannot be opened; the bytes on disk are kept (RELIABILITY §3).
    Offline,
}

/// One topic.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: TopicName,
    /// Its identity.
    pub(crate) id: TopicId,
    /// Its partitions by index.
    pub(crate) replicas: Vec<Replica>,
}

impl Topic {
    /// The partition with this index, as the wire gives it.
    pub(crate) fn partition(&self, index: i32) -> Result<&Arc<Partition>, ErrorCode> {
        let replica = usize::try_from(index).ok().and_then(|index| self.replicas.get(index));
        match replica {
            Some(Replica::Leader(partition)) => {
                partition.check_online()?;
                Ok(partition)
            }
            Some(Replica::Offline) => Err(ErrorCode::KAFKA_STORAGE_ERROR),
            None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        }
    }

    /// The partitions that this broker leads.
    pub(crate) fn leaders(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.replicas.iter().filter_map(|replica| match replica {
            Replica::Leader(partition) => Some(partition),
            Replica::Offline => None,
        })
    }
}

type ByName = HashMap<TopicName, Arc<Topic>, foldhash::fast::RandomState>;
type ById = HashMap<TopicId, Arc<Topic>, foldhash::fast::RandomState>;

/// One state of the table.
#[derive(Debug, Default, Clone)]
pub(crate) struct TopicMap {
    by_name: ByName,
    by_id: ById,
}

impl TopicMap {
    /// The topic of this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// The topic of this id.
    pub(crate) fn by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// The partition with this name and index, as the wire gives them.
    pub(crate) fn partition(&self, topic: &str, index: i32) -> Result<&Arc<Partition>, ErrorCode> {
        self.by_name(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?.partition(index)
    }

    /// Every topic, in no particular order.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// Puts a topic in, in place of the one with the same id.
    pub(crate) fn insert(&mut self, topic: Topic) {
        let topic = Arc::new(topic);
        self.by_id.insert(topic.id, Arc::clone(&topic));
        self.by_name.insert(topic.name.clone(), topic);
    }

    /// Takes a topic out.
    pub(crate) fn remove(&mut self, id: TopicId) -> Option<Arc<Topic>> {
        let topic = self.by_id.remove(&id)?;
        // A topic that was created again under the same name is another one.
        if self.by_name.get(&topic.name).is_some_and(|named| named.id == id) {
            self.by_name.remove(&topic.name);
        }
        Some(topic)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    current: ArcSwap<TopicMap>,
    changed: Notify,
}

impl Topics {
    /// The table as it is now.
    pub(crate) fn load(&self) -> Guard<Arc<TopicMap>> {
        self.current.load()
    }

    /// The same, to keep for longer than a request.
    pub(crate) fn load_full(&self) -> Arc<TopicMap> {
        self.current.load_full()
    }

    /// Replaces the table. Only whoever follows the controller's image does so, one at a time.
    pub(crate) fn replace(&self, map: TopicMap) {
        self.current.store(Arc::new(map));
        self.changed.notify_one();
    }

    /// Waits until the table is another than when this was last waited for. Only one may wait.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
