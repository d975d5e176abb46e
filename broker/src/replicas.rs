//! The partitions of this broker: opened when the broker starts, then following the controller's image.
//!
//! Each committed record that speaks of a partition here is carried out before anybody sees the image that holds it. A log
//! that was made or found is assigned to its directory by a record of its own, and serves once that is committed: so a
//! disk that disappears is missed (see [`ottla_cluster::controller::residence`]). The absence of metadata never deletes
//! data: a partition on disk that no record speaks of stays where it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_cluster::config::{BrokerConfig, TopicConfig};
use ottla_cluster::controller::{
    self, ConfigResource, Image, MetadataRecord, Residence, Unreachable, residence,
};
use ottla_cluster::partition::LeaderStart;
use ottla_log::{Log, LogError};
use ottla_protocol::{BrokerId, DirectoryId, Offset, PartitionIndex, TopicId, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use crate::clock::Clock;
use crate::log_directory::LogDirectory;
use crate::partition::Partition;
use crate::partition_config::PartitionConfig;
use crate::quorum::Follower;
use crate::rt::time;
use crate::topics::{Replica, Topic, TopicMap, Topics};

/// Follows the image; see the module.
pub(crate) struct Replicas {
    node_id: BrokerId,
    config: BrokerConfig,
    clock: Arc<Clock>,
    directories: Vec<Arc<LogDirectory>>,
    topics: Arc<Topics>,
    deletions: Arc<Notify>,
    placing: Mutex<()>,
    /// What the directories held when the broker started; emptied once it is open.
    found: HashMap<TopicPartition, Vec<Found>>,
    /// The table that is published next.
    next: TopicMap,
    /// Logs that are open, and serve once their directory is committed.
    unassigned: BTreeMap<TopicId, Vec<Unassigned>>,
    /// Partitions whose log could not be made for now.
    unmade: BTreeSet<(TopicId, usize)>,
}

/// A log that was found on disk.
struct Found {
    directory: Arc<LogDirectory>,
    topic_id: Option<TopicId>,
}

struct Unassigned {
    index: usize,
    partition: Arc<Partition>,
}

/// What became of a partition that is to be served here.
enum Opening {
    /// It is where the metadata says.
    Ready(Arc<Partition>),
    /// It is open, and the metadata does not say where.
    Unassigned(Arc<Partition>),
    /// It has no log yet, and there is no room or no descriptor for one; that passes.
    Unmade,
    Offline,
}

/// Why a partition is offline from the start.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error(transparent)]
    Log(#[from] LogError),
    /// It never had a log, and that is still so.
    #[error(transparent)]
    Unmade(LogError),
}

impl Replicas {
    /// Nothing is open yet.
    pub(crate) fn new(
        config: BrokerConfig,
        clock: Arc<Clock>,
        directories: Vec<Arc<LogDirectory>>,
        topics: Arc<Topics>,
        deletions: Arc<Notify>,
    ) -> Replicas {
        let mut found: HashMap<TopicPartition, Vec<Found>> = HashMap::new();
        for directory in &directories {
            for one in directory.dir().found() {
                let (directory, topic_id) = (Arc::clone(directory), one.topic_id);
                found.entry(one.partition.clone()).or_default().push(Found { directory, topic_id });
            }
        }
        Replicas {
            node_id: BrokerId::new(config.node_id),
            config,
            clock,
            directories,
            topics,
            deletions,
            placing: Mutex::default(),
            found,
            next: TopicMap::default(),
            unassigned: BTreeMap::new(),
            unmade: BTreeSet::new(),
        }
    }

    /// Opens the partitions that these topics lack beside those given, and puts the topics into the next table.
    fn open_topics(&mut self, image: &Image, topics: Vec<(&controller::Topic, Vec<Replica>)>) {
        let broker = self.dynamic_config(image);
        let configs: Vec<Arc<PartitionConfig>> =
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
        for (topic, mut replicas) in topics {
            for index in replicas.len()..topic.partitions.len() {
                let opening = opened.next().expect("one for each that is missing");
                replicas.push(self.take_in(topic.id, index, opening));
            }
            self.next.insert(Topic { name: topic.name.clone(), id: topic.id, replicas });
        }
    }

    /// What everybody is to see of it until its directory is committed.
    fn take_in(&mut self, topic: TopicId, index: usize, opening: Opening) -> Replica {
        match opening {
            Opening::Ready(partition) => return Replica::Leader(partition),
            Opening::Unassigned(partition) => {
                self.unassigned.entry(topic).or_default().push(Unassigned { index, partition });
            }
            Opening::Unmade => drop(self.unmade.insert((topic, index))),
            Opening::Offline => {}
        }
        Replica::Offline
    }

    /// Tries again to make the logs that could not be made, up to the first that still cannot.
    fn make_unmade(&mut self, image: &Image) {
        if self.unmade.is_empty() {
            return;
        }
        let broker = self.dynamic_config(image);
        while let Some((id, index)) = self.unmade.pop_first() {
            let Some(topic) = image.topic_by_id(id) else { continue };
            let opening = self.open_replica(topic, index, &config_of(&broker, image, topic));
            let is_unmade = matches!(opening, Opening::Unmade);
            self.take_in(id, index, opening);
            if is_unmade {
                return;
            }
        }
    }

    fn open_replica(
        &self,
        topic: &controller::Topic,
        index: usize,
        config: &Arc<PartitionConfig>,
    ) -> Opening {
        let number = i32::try_from(index).expect("a topic has fewer partitions than that");
        let partition = TopicPartition::new(topic.name.clone(), PartitionIndex::new(number));
        match self.open_partition(&partition, topic.id, &topic.partitions[index], config) {
            Ok(opening) => opening,
            // Told once for the whole directory.
            Err(OpenError::Unreachable(reason @ Unreachable::DirectoryAbsent(_))) => {
                debug!(%partition, %reason, "the partition is offline");
                Opening::Offline
            }
            Err(OpenError::Unmade(failure)) if failure.is_disk_full() || failure.is_out_of_descriptors() => {
                warn!(%partition, error = %failure, "the partition's log cannot be made now");
                Opening::Unmade
            }
            Err(failure) => {
                error!(%partition, error = %failure, "the partition is offline; its files are left as they are");
                Opening::Offline
            }
        }
    }

    fn open_partition(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        placed: &controller::Partition,
        config: &Arc<PartitionConfig>,
    ) -> Result<Opening, OpenError> {
        let assigned = placed.directory_on(self.node_id);
        let found = self.found.get(partition).map_or(&[][..], Vec::as_slice);
        // Files of another topic of the same name are none of this one.
        let is_ours = |found: &&Found| found.topic_id.is_none_or(|found| found == topic_id);
        let found: Vec<DirectoryId> =
            found.iter().filter(is_ours).map(|found| found.directory.dir().directory_id()).collect();
        match residence(assigned, &found, |id| self.directory(id).is_some())? {
            Residence::Assigned(id) => {
                let (directory, log) = self.open_log(partition, topic_id, id, config)?;
                Ok(Opening::Ready(self.lead(partition, placed, directory, log, config)))
            }
            Residence::Found(id) => {
                if let Some(assigned) = assigned {
                    warn!(%partition, from = %assigned, to = %id, "somebody moved the partition to another directory");
                }
                let (directory, log) = self.open_log(partition, topic_id, id, config)?;
                Ok(Opening::Unassigned(self.lead(partition, placed, directory, log, config)))
            }
            Residence::Unmade => {
                let directory = self.take_emptiest_directory();
                let now_ms = self.clock.wall_ms();
                let made = directory.dir().create_log(partition, topic_id, config.log.clone(), now_ms);
                let log = made.map_err(|failure| {
                    directory.uncount_partition();
                    OpenError::Unmade(failure)
                })?;
                Ok(Opening::Unassigned(self.lead(partition, placed, directory, log, config)))
            }
        }
    }

    fn directory(&self, id: DirectoryId) -> Option<&Arc<LogDirectory>> {
        self.directories.iter().find(|directory| directory.dir().directory_id() == id)
    }

    fn open_log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        id: DirectoryId,
        config: &Arc<PartitionConfig>,
    ) -> Result<(&Arc<LogDirectory>, Arc<Log>), LogError> {
        let directory = self.directory(id).expect("it was found in a directory that is present");
        let now_ms = self.clock.wall_ms();
        let (log, recovery) =
            directory.dir().open_log(partition, Some(topic_id), config.log.clone(), now_ms)?;
        if recovery.truncated_bytes > 0 {
            let (bytes, because) = (recovery.truncated_bytes, recovery.truncated_because);
            warn!(%partition, bytes, ?because, "recovery cut a torn tail");
        }
        directory.count_partition();
        Ok((directory, log))
    }

    fn lead(
        &self,
        partition: &TopicPartition,
        placed: &controller::Partition,
        directory: &Arc<LogDirectory>,
        log: Arc<Log>,
        config: &Arc<PartitionConfig>,
    ) -> Arc<Partition> {
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
        Partition::lead(id, log, Arc::clone(directory), config.clone(), now, start)
    }

    /// The directory for the next new partition, which is counted in before another thread looks: the emptiest of those
    /// with room, else the emptiest of those that work at all.
    fn take_emptiest_directory(&self) -> &Arc<LogDirectory> {
        let _one_at_a_time = self.placing.lock();
        let usable = || self.directories.iter().filter(|directory| !directory.is_offline());
        let roomy = usable().filter(|directory| directory.has_room_for(1));
        let emptiest = roomy
            .min_by_key(|directory| directory.partition_count())
            .or_else(|| usable().min_by_key(|directory| directory.partition_count()))
            .unwrap_or(&self.directories[0]);
        emptiest.count_partition();
        emptiest
    }

    fn dynamic_config(&self, image: &Image) -> BrokerConfig {
        let dynamic = |resource| image.configs(&resource).clone();
        self.config
            .with_dynamic(dynamic(ConfigResource::AllBrokers), dynamic(ConfigResource::Broker(self.node_id)))
    }

    fn warn_of_strays(&self) {
        let is_stray = |partition: &&TopicPartition| self.next.by_name(&partition.topic).is_none();
        for partition in self.found.keys().filter(is_stray) {
            warn!(%partition, "no metadata speaks of this partition; its files are left alone");
        }
    }

    /// The records that tell where the logs are that wait for it. Their names have to outlive a power loss first: what is
    /// assigned and not there is missed.
    fn assignments(&mut self) -> Vec<MetadataRecord> {
        let mut synced: BTreeMap<DirectoryId, bool> = BTreeMap::new();
        let mut sync = |directory: &LogDirectory| {
            let synced = synced.entry(directory.dir().directory_id());
            *synced.or_insert_with(|| {
                let result = directory.dir().sync_names();
                result.inspect_err(|failure| directory.note_failure(failure)).is_ok()
            })
        };
        let mut records = Vec::new();
        for (topic, waiting) in &mut self.unassigned {
            waiting.retain(|waiting| sync(waiting.partition.directory()));
            records.extend(waiting.iter().map(|waiting| MetadataRecord::AssignDirectory {
                topic: *topic,
                partition: waiting.partition.topic_partition.partition,
                broker: self.node_id,
                directory: waiting.partition.directory().dir().directory_id(),
            }));
        }
        records
    }

    fn remove(&mut self, id: TopicId) {
        let Some(topic) = self.next.remove(id) else { return };
        // Out of the table first, so that no request finds a partition whose log is closed.
        self.topics.replace(self.next.clone());
        let waiting = self.unassigned.remove(&id).unwrap_or_default();
        self.unmade.retain(|(topic, _)| *topic != id);
        let mut doomed: Vec<(Arc<LogDirectory>, TopicPartition)> = Vec::new();
        for partition in topic.leaders().chain(waiting.iter().map(|waiting| &waiting.partition)) {
            partition.resign();
            partition.directory().uncount_partition();
            doomed.push((Arc::clone(partition.directory()), partition.topic_partition.clone()));
        }
        self.delete_logs(doomed);
        // Only then: what has waited for its directory is offline to everybody else, and is gone by now.
        let mut left_over = Vec::new();
        for (index, replica) in (0..).zip(&topic.replicas) {
            if matches!(replica, Replica::Offline) {
                let partition = TopicPartition::new(topic.name.clone(), PartitionIndex::new(index));
                let holders = self.holders(&partition, id);
                left_over.extend(holders.map(|directory| (Arc::clone(directory), partition.clone())));
            }
        }
        self.delete_logs(left_over);
        self.deletions.notify_one();
        info!(topic = %topic.name, %id, "topic deleted");
    }

    /// Where the files lie of a partition that could not be opened: they go with their topic, too. Those in a directory
    /// that is not here stay.
    fn holders(&self, partition: &TopicPartition, id: TopicId) -> impl Iterator<Item = &Arc<LogDirectory>> {
        let usable = self.directories.iter().filter(|directory| !directory.is_offline());
        usable.filter(move |directory| {
            let holds = directory.dir().holds(partition, id);
            holds.inspect_err(|failure| directory.note_failure(failure)).unwrap_or(false)
        })
    }

    fn delete_logs(&self, doomed: Vec<(Arc<LogDirectory>, TopicPartition)>) {
        for directory in &self.directories {
            let here = doomed.iter().filter(|(of, _)| Arc::ptr_eq(of, directory));
            let here: Vec<TopicPartition> = here.map(|(_, partition)| partition.clone()).collect();
            if here.is_empty() {
                continue;
            }
            // By the monotonic clock, as the purge: the wall clock may be set back.
            if let Err(failure) = directory.dir().delete_logs(&here, self.clock.monotonic_ms()) {
                directory.note_failure(&failure);
            }
        }
    }
}

impl Follower for Replicas {
    fn open(&mut self, image: &Image) -> Vec<MetadataRecord> {
        self.open_topics(image, image.topics().map(|topic| (&**topic, Vec::new())).collect());
        self.warn_of_strays();
        self.found.clear();
        self.assignments()
    }

    fn follow(&mut self, image: &Image, records: &[MetadataRecord]) -> Vec<MetadataRecord> {
        let mut grown = Vec::new();
        let mut configured = Vec::new();
        let mut all_configured = false;
        for record in records {
            match record {
                MetadataRecord::Topic { id, .. } | MetadataRecord::Partition { topic: id, .. } => {
                    grown.push(*id)
                }
                MetadataRecord::RemoveTopic { id } => self.remove(*id),
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
                | MetadataRecord::Cluster { .. }
                | MetadataRecord::RegisterDirectories { .. }
                | MetadataRecord::AssignDirectory { .. }
                | MetadataRecord::Config { resource: ConfigResource::Group(_), .. } => {}
            }
        }
        grown.sort_unstable();
        grown.dedup();
        // A topic that was removed again by a later record of the same batch is in no image any more.
        let grown = grown.into_iter().filter_map(|id| image.topic_by_id(id)).map(|topic| {
            let known = self.next.by_id(topic.id).map(|known| known.replicas.clone());
            (&**topic, known.unwrap_or_default())
        });
        let grown = grown.collect();
        self.make_unmade(image);
        self.open_topics(image, grown);
        let broker = self.dynamic_config(image);
        for topic in image.topics().filter(|topic| all_configured || configured.contains(&topic.id)) {
            let config = config_of(&broker, image, topic);
            let local = self.next.by_id(topic.id).into_iter().flat_map(|local| local.leaders());
            let waiting = self.unassigned.get(&topic.id).into_iter().flatten();
            let local = local.chain(waiting.map(|waiting| &waiting.partition));
            local.for_each(|partition| partition.update_config(config.clone()));
        }
        self.assignments()
    }

    fn publish(&mut self, are_assigned: bool) {
        let ready = if are_assigned { std::mem::take(&mut self.unassigned) } else { BTreeMap::new() };
        for (id, ready) in ready {
            let known = self.next.by_id(id).expect("what waits is in the table");
            let mut topic = Topic::clone(known);
            for Unassigned { index, partition } in ready {
                topic.replicas[index] = Replica::Leader(partition);
            }
            self.next.insert(topic);
        }
        self.topics.replace(self.next.clone());
    }

    fn is_waiting(&self) -> bool {
        !self.unassigned.is_empty() || !self.unmade.is_empty()
    }
}

fn config_of(broker: &BrokerConfig, image: &Image, topic: &controller::Topic) -> Arc<PartitionConfig> {
    let own = image.configs(&ConfigResource::Topic(topic.name.clone()));
    let resolved = TopicConfig::resolve(own, broker.layers());
    Arc::new(PartitionConfig::new(&resolved, broker.producer_id_expiration_ms))
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
