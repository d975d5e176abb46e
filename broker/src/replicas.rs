//! The partitions of this broker: opened when the broker starts, then following the controller's image.
//!
//! [`open`] takes a configuration to a broker that could serve, [`close`] takes it back. In between, each committed record
//! that speaks of a partition here is carried out before anybody sees the image that holds it. The absence of metadata
//! never deletes data: a partition on disk that no record speaks of stays where it is.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_cluster::config::{BrokerConfig, TopicConfig};
use ottla_cluster::controller::{self, ConfigResource, Image, MetadataRecord};
use ottla_cluster::partition::LeaderStart;
use ottla_log::storage::Storage;
use ottla_log::{DirectoryOwner, LogDir, LogError};
use ottla_protocol::{BrokerId, Offset, PartitionIndex, TopicId, TopicPartition};
use parking_lot::Mutex;
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
    placing: Mutex<()>,
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
    let registered =
        MetadataRecord::RegisterBroker { broker: owner.node_id, rack: config.broker_rack.clone() };
    let known = image.brokers().find(|(id, _)| *id == owner.node_id);
    if known.is_none_or(|(_, broker)| broker.rack != config.broker_rack) {
        metadata_log.push(std::slice::from_ref(&registered));
        metadata_log.commit()?;
        image.apply(&registered);
    }
    let start = |dir| LogDirectory::start(dir, config.ottla_log_dir_free_bytes_min);
    let directories: Result<Vec<_>, _> = dirs.into_iter().map(start).collect();
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
        let mut replicas =
            Replicas { node_id, config, clock, directories, topics, placing: Mutex::new(()), found };
        replicas.open_all(image);
        replicas.found.clear();
        replicas
    }

    fn open_all(&self, image: &Image) {
        let mut map = TopicMap::default();
        let topics = image.topics().map(|topic| (&**topic, Vec::new())).collect();
        self.open_topics(image, topics).into_iter().for_each(|topic| map.insert(topic));
        self.warn_of_strays(&map);
        self.topics.replace(map);
    }

    /// The topics, each with the partitions that it lacks beside those given.
    fn open_topics(&self, image: &Image, topics: Vec<(&controller::Topic, Vec<Replica>)>) -> Vec<Topic> {
        let broker = self.dynamic_config(image);
        let configs: Vec<PartitionConfig> =
            topics.iter().map(|(topic, _)| config_of(&broker, image, topic)).collect();
        let missing = |(place, (topic, known)): (usize, &(&controller::Topic, Vec<Replica>))| {
            (known.len()..topic.partitions.len()).map(move |index| (place, index))
        };
        let missing: Vec<(usize, usize)> = topics.iter().enumerate().flat_map(missing).collect();
        let opened = in_parallel(missing.len(), |job| {
            let (place, index) = missing[job];
            self.open_replica(topics[place].0, index, &configs[place])
        });
        let mut opened = opened.into_iter();
        let with_opened = |(topic, mut replicas): (&controller::Topic, Vec<Replica>)| {
            let count = topic.partitions.len().saturating_sub(replicas.len());
            replicas.extend(opened.by_ref().take(count));
            Topic { name: topic.name.clone(), id: topic.id, replicas }
        };
        topics.into_iter().map(with_opened).collect()
    }

    fn open_replica(&self, topic: &controller::Topic, index: usize, config: &PartitionConfig) -> Replica {
        let number = i32::try_from(index).expect("a topic has fewer partitions than that");
        let partition = TopicPartition::new(topic.name.clone(), PartitionIndex::new(number));
        match self.open_partition(&partition, topic.id, &topic.partitions[index], config) {
            Ok(opened) => Replica::Leader(opened),
            Err(failure) => {
                error!(%partition, error = %failure, "the partition is offline; its files are left as they are");
                Replica::Offline
            }
        }
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
                directory.count_partition();
                (directory, log)
            }
            None => {
                let directory = self.take_emptiest_directory();
                (directory, directory.dir().create_log(partition, topic_id, config.log.clone(), now_ms)?)
            }
        };
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

    /// The directory for the next new partition, which is counted in before another thread looks.
    fn take_emptiest_directory(&self) -> &Arc<LogDirectory> {
        let _one_at_a_time = self.placing.lock();
        let usable = self.directories.iter().filter(|directory| !directory.is_offline());
        let emptiest =
            usable.min_by_key(|directory| directory.partition_count()).unwrap_or(&self.directories[0]);
        emptiest.count_partition();
        emptiest
    }

    fn dynamic_config(&self, image: &Image) -> BrokerConfig {
        let dynamic = |resource| image.configs(&resource).clone();
        self.config
            .with_dynamic(dynamic(ConfigResource::AllBrokers), dynamic(ConfigResource::Broker(self.node_id)))
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
                MetadataRecord::Topic { id, .. } | MetadataRecord::Partition { topic: id, .. } => {
                    grown.push(*id)
                }
                MetadataRecord::RemoveTopic { id } => self.remove(&mut map, *id),
                MetadataRecord::Config { resource: ConfigResource::Topic(name), .. } => {
                    configured.extend(image.topic(name).map(|topic| topic.id));
                }
                MetadataRecord::Config {
                    resource: ConfigResource::Broker(_) | ConfigResource::AllBrokers,
                    ..
                } => {
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
        let grown = grown.into_iter().filter_map(|id| image.topic_by_id(id)).map(|topic| {
            let known = map.by_id(topic.id).map(|known| known.replicas.clone());
            (&**topic, known.unwrap_or_default())
        });
        self.open_topics(image, grown.collect()).into_iter().for_each(|topic| map.insert(topic));
        let broker = self.dynamic_config(image);
        for topic in image.topics().filter(|topic| all_configured || configured.contains(&topic.id)) {
            let config = config_of(&broker, image, topic);
            let local = map.by_id(topic.id).into_iter().flat_map(|local| local.leaders());
            local.for_each(|partition| partition.update_config(config.clone()));
        }
        self.topics.replace(map);
    }
}

fn config_of(broker: &BrokerConfig, image: &Image, topic: &controller::Topic) -> PartitionConfig {
    let own = image.configs(&ConfigResource::Topic(topic.name.clone()));
    PartitionConfig::new(&TopicConfig::resolve(own, broker.layers()), broker.producer_id_expiration_ms)
}

/// Does the jobs `0..count` on as many threads as there are cores and returns what came of them, in order. A job that
/// takes long (a large log to recover) holds up one thread only.
fn in_parallel<T: Send>(count: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let thread_count = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    if thread_count <= 1 {
        return (0..count).map(job).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let jobs =
            std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < count));
        jobs.map(|index| (index, job(index))).collect::<Vec<_>>()
    };
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..thread_count).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a job does not panic")).collect()
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_done_in_parallel_come_back_in_order() {
        for count in [0, 1, 2, 1000] {
            assert_eq!(
                in_parallel(count, |index| index * 2),
                (0..count).map(|index| index * 2).collect::<Vec<_>>()
            );
        }
    }
}
