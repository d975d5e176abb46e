//! The records of the metadata log, in Kafka's words (KIP-631).
//!
//! Their serde form is on disk: variants and fields are only ever added at the end.

use ottla_protocol::{BrokerId, DirectoryId, LeaderEpoch, PartitionIndex, ProducerId, TopicId, TopicName};
use serde::{Deserialize, Serialize};

/// One committed fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataRecord {
    /// A broker came up. It replaces what was registered under its id.
    RegisterBroker {
        /// The broker.
        broker: BrokerId,
        /// Its rack.
        rack: Option<String>,
    },
    /// A topic exists, so far without partitions.
    Topic {
        /// Its name.
        name: TopicName,
        /// Its id, never used before.
        id: TopicId,
    },
    /// A topic has one partition more.
    Partition {
        /// The topic.
        topic: TopicId,
        /// The partition; the next that the topic lacks.
        partition: PartitionIndex,
        /// Its replicas, preferred leader first.
        replicas: Vec<BrokerId>,
        /// Those in sync.
        in_sync_replicas: Vec<BrokerId>,
        /// Its leader.
        leader: Option<BrokerId>,
        /// The leader's epoch.
        leader_epoch: LeaderEpoch,
    },
    /// A topic is gone with everything that belongs to it.
    RemoveTopic {
        /// The topic.
        id: TopicId,
    },
    /// A dynamic config was set, or with no value unset.
    Config {
        /// Whose it is.
        resource: ConfigResource,
        /// The key.
        key: String,
        /// The value.
        value: Option<String>,
    },
    /// Producer ids below this one belong to somebody.
    ProducerIds {
        /// The first id that is still free.
        next: ProducerId,
    },
    /// Topics of names that are forgotten begin at this leader epoch; only a snapshot says it.
    LeaderEpochFloor {
        /// The least epoch of a new topic.
        leader_epoch: LeaderEpoch,
    },
    /// The cluster has this id, for ever.
    Cluster {
        /// The id.
        id: String,
    },
    /// The log directories of a broker, in place of those registered before (KIP-858).
    RegisterDirectories {
        /// The broker.
        broker: BrokerId,
        /// Those that it came up with, and those that it lacks although replicas live in them.
        directories: Vec<Directory>,
    },
    /// The log of a replica lives in this directory. Before that is committed nobody writes to it.
    AssignDirectory {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// The broker that has the replica.
        broker: BrokerId,
        /// The directory.
        directory: DirectoryId,
    },
}

/// A log directory of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Its id, which stays with the disk.
    pub id: DirectoryId,
    /// Where it was when the broker came up.
    pub path: String,
}

/// What a dynamic config belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConfigResource {
    /// One topic.
    Topic(TopicName),
    /// One broker.
    Broker(BrokerId),
    /// All brokers: their dynamic defaults.
    AllBrokers,
    /// One group.
    Group(String),
}
