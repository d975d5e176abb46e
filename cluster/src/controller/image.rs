//! The cluster's metadata as of one committed record.
//!
//! Topics are shared between images, so that a copy of an image costs what changed. Invariant: partitions of a topic are
//! numbered without gaps, and the leader epoch of a name never falls, not even when a topic is deleted and created again
//! (clients that know topics by name would otherwise stay with the leader they know).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ottla_protocol::{BrokerId, DirectoryId, LeaderEpoch, PartitionIndex, ProducerId, TopicId, TopicName};

use super::record::{ConfigResource, Directory, MetadataRecord};

/// How many names of deleted topics are remembered with their leader epoch. Beyond it the half with the least epochs is
/// forgotten, and every new topic begins above those: so a cluster that creates and deletes without end stays bounded.
const DELETED_NAMES_MAX: usize = 10_000;

/// A broker that has registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its rack.
    pub rack: Option<String>,
    /// Its log directories.
    pub directories: Vec<Directory>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
    /// Its partitions, in order.
    pub partitions: Vec<Partition>,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its replicas, preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The log directory of each replica; none yet for one that was never written to (KIP-858).
    pub directories: Vec<Option<DirectoryId>>,
    /// Those in sync.
    pub in_sync_replicas: Vec<BrokerId>,
    /// Its leader.
    pub leader: Option<BrokerId>,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// Grows with each change of this partition (KIP-497).
    pub partition_epoch: i32,
}

impl Partition {
    /// The log directory of the replica on `broker`.
    pub fn directory_on(&self, broker: BrokerId) -> Option<DirectoryId> {
        let place = self.replicas.iter().position(|replica| *replica == broker)?;
        self.directories[place]
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    cluster_id: Option<String>,
    brokers: BTreeMap<BrokerId, Broker>,
    topics: BTreeMap<TopicName, Arc<Topic>>,
    names: HashMap<TopicId, TopicName>,
    configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    next_producer_id: Option<ProducerId>,
    deleted_epochs: BTreeMap<TopicName, LeaderEpoch>,
    leader_epoch_floor: LeaderEpoch,
}

impl Image {
    /// The cluster's id, once it has one.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The broker with this id.
    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    /// The brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = (BrokerId, &Broker)> {
        self.brokers.iter().map(|(id, broker)| (*id, broker))
    }

    /// The topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// The topics from `name` on, by name.
    pub fn topics_from(&self, name: &TopicName) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.range(name.clone()..).map(|(_, topic)| topic)
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// The topic of this name.
    pub fn topic(&self, name: &TopicName) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The topic of this name as it came over the wire; an illegal name names no topic.
    pub fn topic_named(&self, name: &str) -> Option<&Arc<Topic>> {
        TopicName::new(name).ok().and_then(|name| self.topic(&name))
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.names.get(&id).and_then(|name| self.topic(name))
    }

    /// The dynamic configs of a resource.
    pub fn configs(&self, resource: &ConfigResource) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.configs.get(resource).unwrap_or(&NONE)
    }

    /// The groups that have dynamic configs, by name.
    pub fn configured_groups(&self) -> impl Iterator<Item = &str> {
        self.configs.keys().filter_map(|resource| match resource {
            ConfigResource::Group(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The first producer id that belongs to nobody.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id.unwrap_or(ProducerId::new(0))
    }

    /// The epoch that the first leader of a new topic of this name has.
    pub fn first_leader_epoch(&self, name: &TopicName) -> LeaderEpoch {
        let above = self.deleted_epochs.get(name).map_or(LeaderEpoch::ZERO, |epoch| epoch.next());
        above.max(self.leader_epoch_floor)
    }

    /// Takes in a committed record. Records come from this crate's own decisions, so one that makes no sense here is a
    /// contradiction and not an error.
    pub fn apply(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::RegisterBroker { broker, rack } => {
                let directories = self.brokers.remove(broker).map(|known| known.directories);
                let directories = directories.unwrap_or_default();
                self.brokers.insert(*broker, Broker { rack: rack.clone(), directories });
            }
            MetadataRecord::Topic { name, id } => {
                let topic = Topic { name: name.clone(), id: *id, partitions: Vec::new() };
                let before = self.topics.insert(name.clone(), Arc::new(topic));
                assert!(before.is_none(), "topic {name} is created twice");
                self.names.insert(*id, name.clone());
                // The new topic's own epochs are above it, and will take its place.
                self.deleted_epochs.remove(name);
            }
            MetadataRecord::Partition {
                topic,
                partition,
                replicas,
                in_sync_replicas,
                leader,
                leader_epoch,
            } => {
                let topic = self.topic_mut(*topic);
                assert_eq!(partition.get() as usize, topic.partitions.len(), "partitions have no gaps");
                topic.partitions.push(Partition {
                    replicas: replicas.clone(),
                    directories: vec![None; replicas.len()],
                    in_sync_replicas: in_sync_replicas.clone(),
                    leader: *leader,
                    leader_epoch: *leader_epoch,
                    partition_epoch: 0,
                });
            }
            MetadataRecord::RemoveTopic { id } => self.remove_topic(*id),
            MetadataRecord::Config { resource, key, value: Some(value) } => {
                self.configs.entry(resource.clone()).or_default().insert(key.clone(), value.clone());
            }
            MetadataRecord::Config { resource, key, value: None } => {
                if let Some(configs) = self.configs.get_mut(resource) {
                    configs.remove(key);
                    if configs.is_empty() {
                        self.configs.remove(resource);
                    }
                }
            }
            MetadataRecord::ProducerIds { next } => {
                assert!(*next >= self.next_producer_id(), "producer ids are never given back");
                self.next_producer_id = Some(*next);
            }
            MetadataRecord::LeaderEpochFloor { leader_epoch } => {
                self.leader_epoch_floor = self.leader_epoch_floor.max(*leader_epoch);
            }
            MetadataRecord::Cluster { id } => {
                assert!(self.cluster_id.is_none(), "a cluster keeps its id");
                self.cluster_id = Some(id.clone());
            }
            MetadataRecord::RegisterDirectories { broker, directories } => {
                let broker = self.brokers.get_mut(broker).expect("a registered broker has directories");
                broker.directories = directories.clone();
            }
            MetadataRecord::AssignDirectory { topic, partition, broker, directory } => {
                let partition = &mut self.topic_mut(*topic).partitions[partition.get() as usize];
                let place = partition.replicas.iter().position(|replica| replica == broker);
                partition.directories[place.expect("a replica has a directory")] = Some(*directory);
            }
        }
    }

    /// The records that make this image from an empty one: a snapshot.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        records.extend(self.cluster_id.clone().map(|id| MetadataRecord::Cluster { id }));
        for (broker, Broker { rack, directories }) in &self.brokers {
            records.push(MetadataRecord::RegisterBroker { broker: *broker, rack: rack.clone() });
            let directories = directories.clone();
            records.push(MetadataRecord::RegisterDirectories { broker: *broker, directories });
        }
        for (name, epoch) in &self.deleted_epochs {
            records.extend(deleted_topic(name, *epoch));
        }
        if self.leader_epoch_floor > LeaderEpoch::ZERO {
            records.push(MetadataRecord::LeaderEpochFloor { leader_epoch: self.leader_epoch_floor });
        }
        for topic in self.topics.values() {
            records.push(MetadataRecord::Topic { name: topic.name.clone(), id: topic.id });
            for (index, partition) in (0..).map(PartitionIndex::new).zip(&topic.partitions) {
                records.extend(partition_records(topic.id, index, partition));
            }
        }
        for (resource, configs) in &self.configs {
            records.extend(configs.iter().map(|(key, value)| MetadataRecord::Config {
                resource: resource.clone(),
                key: key.clone(),
                value: Some(value.clone()),
            }));
        }
        records.extend(self.next_producer_id.map(|next| MetadataRecord::ProducerIds { next }));
        records
    }

    fn topic_mut(&mut self, id: TopicId) -> &mut Topic {
        let name = self.names.get(&id).expect("a partition belongs to a topic");
        Arc::make_mut(self.topics.get_mut(name).expect("an id names a topic"))
    }

    fn remove_topic(&mut self, id: TopicId) {
        let name = self.names.remove(&id).expect("only a topic that exists is removed");
        let topic = self.topics.remove(&name).expect("an id names a topic");
        if let Some(epoch) = topic.partitions.iter().map(|partition| partition.leader_epoch).max() {
            self.deleted_epochs.insert(name.clone(), epoch);
        }
        if self.deleted_epochs.len() > DELETED_NAMES_MAX {
            let mut epochs: Vec<LeaderEpoch> = self.deleted_epochs.values().copied().collect();
            let (_, forgotten, _) = epochs.select_nth_unstable(DELETED_NAMES_MAX / 2);
            self.leader_epoch_floor = self.leader_epoch_floor.max(forgotten.next());
            let floor = self.leader_epoch_floor;
            self.deleted_epochs.retain(|_, epoch| epoch.next() > floor);
        }
        self.configs.remove(&ConfigResource::Topic(name));
    }
}

fn partition_records(
    topic: TopicId,
    index: PartitionIndex,
    of: &Partition,
) -> impl Iterator<Item = MetadataRecord> {
    let made = MetadataRecord::Partition {
        topic,
        partition: index,
        replicas: of.replicas.clone(),
        in_sync_replicas: of.in_sync_replicas.clone(),
        leader: of.leader,
        leader_epoch: of.leader_epoch,
    };
    let assigned = of.replicas.iter().zip(&of.directories).filter_map(move |(broker, directory)| {
        let (broker, directory) = (*broker, (*directory)?);
        Some(MetadataRecord::AssignDirectory { topic, partition: index, broker, directory })
    });
    std::iter::once(made).chain(assigned)
}

/// Records that leave nothing of a deleted topic but the epoch above which it must begin again.
fn deleted_topic(name: &TopicName, leader_epoch: LeaderEpoch) -> [MetadataRecord; 3] {
    let id = TopicId::ZERO;
    let partition = MetadataRecord::Partition {
        topic: id,
        partition: PartitionIndex::new(0),
        replicas: Vec::new(),
        in_sync_replicas: Vec::new(),
        leader: None,
        leader_epoch,
    };
    [MetadataRecord::Topic { name: name.clone(), id }, partition, MetadataRecord::RemoveTopic { id }]
}

#[cfg(test)]
mod tests {
    use ottla_protocol::TopicId;
    use uuid::Uuid;

    use super::*;

    fn create_and_delete(image: &mut Image, name: &str, id: u128) {
        let (name, id) = (TopicName::new(name).unwrap(), TopicId::new(Uuid::from_u128(id)));
        let leader_epoch = image.first_leader_epoch(&name);
        image.apply(&MetadataRecord::Topic { name, id });
        image.apply(&MetadataRecord::Partition {
            topic: id,
            partition: PartitionIndex::new(0),
            replicas: vec![BrokerId::new(1)],
            in_sync_replicas: vec![BrokerId::new(1)],
            leader: Some(BrokerId::new(1)),
            leader_epoch,
        });
        image.apply(&MetadataRecord::RemoveTopic { id });
    }

    /// COMPAT §2c.4: a topic that is created again has a leader epoch above the old one.
    #[test]
    fn a_name_never_sees_a_leader_epoch_again_however_many_are_deleted() {
        let mut image = Image::default();
        let old = TopicName::new("old").unwrap();
        create_and_delete(&mut image, "old", 1);
        create_and_delete(&mut image, "old", 2);
        assert_eq!(image.first_leader_epoch(&old), LeaderEpoch::new(2));
        for id in 0..DELETED_NAMES_MAX as u128 {
            create_and_delete(&mut image, &format!("t{id}"), 10 + id);
        }
        assert!(image.deleted_epochs.len() <= DELETED_NAMES_MAX);
        assert_eq!(image.first_leader_epoch(&old), LeaderEpoch::new(2));
        let forgotten = TopicName::new("t0").unwrap();
        assert!(!image.deleted_epochs.contains_key(&forgotten));
        assert_eq!(image.first_leader_epoch(&forgotten), LeaderEpoch::new(1));
    }

    #[test]
    fn a_snapshot_makes_the_same_image() {
        let mut image = Image::default();
        create_and_delete(&mut image, "gone", 1);
        let (name, id) = (TopicName::new("here").unwrap(), TopicId::new(Uuid::from_u128(2)));
        let resource = ConfigResource::Topic(name.clone());
        let broker = BrokerId::new(1);
        let directory = DirectoryId::new(Uuid::from_u128(3));
        let partition = PartitionIndex::new(0);
        for record in [
            MetadataRecord::Cluster { id: "c".to_owned() },
            MetadataRecord::RegisterBroker { broker, rack: Some("a".to_owned()) },
            MetadataRecord::RegisterDirectories {
                broker,
                directories: vec![Directory { id: directory, path: "/d".to_owned() }],
            },
            MetadataRecord::Topic { name, id },
            MetadataRecord::Partition {
                topic: id,
                partition,
                replicas: vec![broker],
                in_sync_replicas: vec![broker],
                leader: Some(broker),
                leader_epoch: LeaderEpoch::new(3),
            },
            MetadataRecord::AssignDirectory { topic: id, partition, broker, directory },
            MetadataRecord::Config { resource, key: "retention.ms".to_owned(), value: Some("5".to_owned()) },
            MetadataRecord::Config {
                resource: ConfigResource::Group("g".to_owned()),
                key: "consumer.session.timeout.ms".to_owned(),
                value: Some("6".to_owned()),
            },
            MetadataRecord::ProducerIds { next: ProducerId::new(1000) },
            MetadataRecord::LeaderEpochFloor { leader_epoch: LeaderEpoch::new(3) },
        ] {
            image.apply(&record);
        }
        let mut again = Image::default();
        image.to_records().iter().for_each(|record| again.apply(record));
        assert_eq!(again, image);
    }
}
