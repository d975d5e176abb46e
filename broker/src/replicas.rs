//! The partitions of this broker: opened when the broker starts, then following the controller's image.
//!
//! [`open`] takes a configuration to a broker that could serve, [`close`] takes it back. In between, each committed record
//! that speaks of a partition here is carried out before anybody sees the image that holds it. The absence of metadata
//! never deletes data: a partition on disk that no record speaks of stays where it is.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ottla_cluster::config::{BrokerConfig, TopicConfig};
use ottla_cluster::controller::{self, ConfigResource, Image, MetadataRecord};
use ottla_cluster::partition::LeaderStart;
use ottla_log::storage::Storage;
use ottla_log::{DirectoryOwner, LogDir, LogError};
use ottla_protocol::{BrokerId, Offset, PartitionIndex, TopicId, TopicPartition};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::log_directory::LogDirectory;
use crate::partition::Partition;
use crate::partition_config::PartitionConfig;
use crate::quorum::{self, Follower, MetadataLog};
use crate::rt::{rng, time};
use crate::start_error::StartError;
use crate::topics::{Replica, Topic, TopicMap, Topics};

/// Where the metadata log is, in the first log directory or in `metadata.log.dir`.
const METADATA_DIRECTORY: &str = "__cluster_metadata";

/// Follows the image; see the module.
pub(crate) struct Replicas {
    node_id: BrokerId,
    config: BrokerConfig,
    clock: Arc<Clock>,
    directories: Vec<Arc<LogDirectory>>,
    topics: Arc<Topics>,
    /// Which directory held which partition when the broker started; emptied once they are open.
    found: HashMap<TopicPartition, Arc<LogDirectory>>,
}

/// What was opened from disk.
pub(crate) struct Opened {
    pub(crate) cluster_id: String,
    pub(crate) directories: Vec<Arc<LogDirectory>>,
    pub(crate) metadata_log: MetadataLog,
    pub(crate) image: Image,
}

/// Opens the log directories and the metadata log of a broker.
///
/// # Errors
/// See [`StartError`].
pub(crate) fn open_directories(
    config: &BrokerConfig,
    storage: &Arc<dyn Storage>,
) -> Result<Opened, StartError> {
    let cluster_id = cluster_id(config, storage)?;
    let owner = DirectoryOwner {
        cluster_id: cluster_id.clone(),
        node_id: BrokerId::new(config.node_id),
        new_directory_id: TopicId::new(rng::uuid()),
    };
    let mut dirs = Vec::with_capacity(config.log_dirs.len());
    for path in &config.log_dirs {
        let owner = DirectoryOwner { new_directory_id: TopicId::new(rng::uuid()), ..owner.clone() };
        dirs.push(LogDir::open(Arc::clone(storage), path, &owner)?);
    }
    let metadata_in = config.metadata_log_dir.as_deref().map_or(config.log_dirs[0].as_path(), Path::new);
    let (mut metadata_log, mut image) = quorum::open(storage, &metadata_in.join(METADATA_DIRECTORY))?;
    let registered = MetadataRecord::RegisterBroker {
        broker: owner.node_id,
        rack: config.broker_rack.clone(),
    };
    let known = image.brokers().find(|(id, _)| *id == owner.node_id);
    if known.is_none_or(|(_, broker)| broker.rack != config.broker_rack) {
        metadata_log.push(std::slice::from_ref(&registered));
        metadata_log.commit()?;
        image.apply(&registered);
    }
    let directories: Result<Vec<_>, _> = dirs.into_iter().map(LogDirectory::start).collect();
    let directories = directories.map_err(StartError::Thread)?;
    Ok(Opened { cluster_id, directories, metadata_log, image })
}

/// The configured cluster id, else the one that a directory was first used with, else a new one.
fn cluster_id(config: &BrokerConfig, storage: &Arc<dyn Storage>) -> Result<String, StartError> {
    if let Some(configured) = &config.cluster_id {
        return Ok(configured.clone());
    }
    for path in &config.log_dirs {
        if let Some(known) = LogDir::cluster_id_in(&**storage, path)? {
            return Ok(known);
        }
    }
    // Kafka's form of a random UUID, which is also how a topic id is shown.
    Ok(TopicId::new(rng::uuid()).to_string())
}

impl Replicas {
    /// Opens every partition that the image places here.
    pub(crate) fn open(
        config: BrokerConfig,
        clock: Arc<Clock>,
        directories: Vec<Arc<LogDirectory>>,
        topics: Arc<Topics>,
        image: &Image,
    ) -> Replicas {
        let node_id = BrokerId::new(config.node_id);
        let found_in = |directory: &Arc<LogDirectory>| -> Vec<(TopicPartition, Arc<LogDirectory>)> {
            let found = directory.dir().found().iter();
            found.map(|found| (found.partition.clone(), Arc::clone(directory))).collect()
        };
        let found = directories.iter().flat_map(found_in).collect();
        let mut replicas = Replicas { node_id, config, clock, directories, topics, found };
        replicas.open_all(image);
        replicas.found.clear();
        replicas
    }

    /// Opens what the image holds, on as many threads as there are cores: recovery reads files and waits for the disk.
    fn open_all(&self, image: &Image) {
        let topics: Vec<&Arc<controller::Topic>> = image.topics().collect();
        let thread_count = std::thread::available_parallelism().map_or(1, usize::from).min(topics.len().max(1));
        let opened: Vec<Topic> = std::thread::scope(|scope| {
            let worker = |first: usize| {
                let topics = &topics;
                move || -> Vec<Topic> {
                    let mine = topics.iter().skip(first).step_by(thread_count);
                    mine.map(|topic| self.open_topic(image, topic, Vec::new())).collect()
                }
            };
            let workers: Vec<_> = (0..thread_count).map(|first| scope.spawn(worker(first))).collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("a worker only opens logs")).collect()
        });
        let mut map = TopicMap::default();
        opened.into_iter().for_each(|topic| map.insert(topic));
        self.warn_of_strays(&map);
        self.topics.replace(map);
    }

    /// The topic with the partitions that it lacks beside `replicas`.
    fn open_topic(&self, image: &Image, topic: &controller::Topic, mut replicas: Vec<Replica>) -> Topic {
        let config = self.config_of(image, topic);
        for (index, placed) in (0..).zip(&topic.partitions).skip(replicas.len()) {
            let partition = TopicPartition::new(topic.name.clone(), PartitionIndex::new(index));
            replicas.push(match self.open_partition(&partition, topic.id, placed, &config) {
                Ok(opened) => Replica::Leader(opened),
                Err(failure) => {
                    error!(%partition, error = %failure, "the partition is offline; its files are left as they are");
                    Replica::Offline
                }
            });
        }
        Topic { name: topic.name.clone(), id: topic.id, replicas }
    }

    fn open_partition(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        placed: &controller::Partition,
        config: &PartitionConfig,
    ) -> Result<Arc<Partition>, LogError> {
        let now_ms = time::wall_clock_ms();
        let (directory, log) = match self.found.get(partition) {
            Some(directory) => {
                let opened = directory.dir().open_log(partition, Some(topic_id), config.log.clone(), now_ms);
                let (log, recovery) = opened?;
                if recovery.truncated_bytes > 0 {
                    let (bytes, because) = (recovery.truncated_bytes, recovery.truncated_because);
                    warn!(%partition, bytes, ?because, "recovery cut a torn tail");
                }
                (directory, log)
            }
            None => {
                let directory = self.emptiest_directory();
                (directory, directory.dir().create_log(partition, topic_id, config.log.clone(), now_ms)?)
            }
        };
        directory.count_partition();
        log.begin_epoch(placed.leader_epoch);
        let start = LeaderStart {
            broker: self.node_id,
            leader_epoch: placed.leader_epoch,
            replicas: placed.replicas.clone(),
            in_sync_replicas: placed.in_sync_replicas.iter().copied().collect(),
            log_start_offset: log.log_start_offset(),
            log_end_offset: log.log_end_offset(),
            // With one replica everything in the log is committed; the machine raises it at once.
            high_watermark: Offset::ZERO,
            min_in_sync_replicas: config.min_insync_replicas,
            replica_lag_time_max: time::duration_ms(self.config.replica_lag_time_max_ms.cast_signed()),
            acknowledgement: config.acknowledgement(),
        };
        let (id, now) = (partition.clone(), self.clock.now());
        Ok(Partition::lead(id, log, Arc::clone(directory), config.clone(), now, start))
    }

    fn emptiest_directory(&self) -> &Arc<LogDirectory> {
        let usable = self.directories.iter().filter(|directory| !directory.is_offline());
        usable.min_by_key(|directory| directory.partition_count()).unwrap_or(&self.directories[0])
    }

    fn config_of(&self, image: &Image, topic: &controller::Topic) -> PartitionConfig {
        let dynamic = |resource| image.configs(&resource).clone();
        let config = self.config.with_dynamic(
            dynamic(ConfigResource::AllBrokers),
            dynamic(ConfigResource::Broker(self.node_id)),
        );
        let own = image.configs(&ConfigResource::Topic(topic.name.clone()));
        PartitionConfig::new(&TopicConfig::resolve(own, config.layers()), config.producer_id_expiration_ms)
    }

    fn warn_of_strays(&self, map: &TopicMap) {
        for partition in self.found.keys().filter(|partition| map.by_name(&partition.topic).is_none()) {
            warn!(%partition, "no metadata speaks of this partition; its files are left alone");
        }
    }

    fn remove(&self, map: &mut TopicMap, id: TopicId) {
        let Some(topic) = map.remove(id) else { return };
        // Out of the table first, so that no request finds a partition whose log is closed.
        self.topics.replace(map.clone());
        let now_ms = time::wall_clock_ms();
        for partition in topic.leaders() {
            partition.resign();
            let directory = partition.directory();
            if let Err(failure) = directory.dir().delete_log(&partition.topic_partition, now_ms) {
                directory.note_failure(&failure);
            }
        }
        info!(topic = %topic.name, %id, "topic deleted");
    }
}

impl Follower for Replicas {
    fn follow(&mut self, image: &Arc<Image>, records: &[MetadataRecord]) {
        let mut map = TopicMap::clone(&self.topics.load());
        let mut grown = Vec::new();
        let mut configured = Vec::new();
        let mut all_configured = false;
        for record in records {
            match record {
                MetadataRecord::Topic { id, .. } | MetadataRecord::Partition { topic: id, .. } => grown.push(*id),
                MetadataRecord::RemoveTopic { id } => self.remove(&mut map, *id),
                MetadataRecord::Config { resource: ConfigResource::Topic(name), .. } => {
                    configured.extend(image.topic(name).map(|topic| topic.id));
                }
                MetadataRecord::Config { resource: ConfigResource::Broker(_) | ConfigResource::AllBrokers, .. } => {
                    all_configured = true;
                }
                MetadataRecord::RegisterBroker { .. }
                | MetadataRecord::ProducerIds { .. }
                | MetadataRecord::LeaderEpochFloor { .. }
                | MetadataRecord::Config { resource: ConfigResource::Group(_), .. } => {}
            }
        }
        grown.sort_unstable();
        grown.dedup();
        // A topic that was removed again by a later record of the same batch is in no image any more.
        for topic in grown.into_iter().filter_map(|id| image.topic_by_id(id)) {
            let replicas = map.by_id(topic.id).map(|known| known.replicas.clone()).unwrap_or_default();
            map.insert(self.open_topic(image, topic, replicas));
        }
        for topic in image.topics().filter(|topic| all_configured || configured.contains(&topic.id)) {
            let config = self.config_of(image, topic);
            let local = map.by_id(topic.id).into_iter().flat_map(|local| local.leaders());
            local.for_each(|partition| partition.update_config(config.clone()));
        }
        self.topics.replace(map);
    }
}
