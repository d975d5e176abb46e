//! One log directory: who owns it, which partitions are in it, how it was left.
//!
//! Opening takes the lock, checks `meta.properties`, and takes away the clean-shutdown marker, so that only a clean stop
//! puts it back. Partitions are opened by the caller, who knows their settings. The absence of metadata never deletes
//! data: a partition that nobody asks for stays where it is. Invariant: the marker is written last, and only when every
//! log that was found is closed cleanly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_protocol::{BrokerId, DirectoryId, PartitionIndex, TopicId, TopicName, TopicPartition};
use parking_lot::Mutex;

use crate::checkpoint::{
    OffsetCheckpoint, partition_metadata, read_offsets, read_properties, read_topic_id, write_properties,
};
use crate::config::LogConfig;
use crate::directory_state::{CLEANED, DirectoryState, LOG_STARTS, RECOVERY_POINTS};
use crate::error::LogError;
use crate::log::Log;
use crate::maintenance::write_whole;
use crate::recovery::Recovery;
use crate::storage::{
    DirectoryEntry, Storage, StorageLock, remove_directory_with_files, remove_if_present, replace_file,
};

const LOCK: &str = ".lock";
const META_PROPERTIES: &str = "meta.properties";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
const PARTITION_METADATA: &str = "partition.metadata";
const DELETE_SUFFIX: &str = "-delete";
const STRAY_SUFFIX: &str = "-stray";
/// How many logs are closed at a time.
const CLOSING_THREADS: usize = 8;

/// Whose a log directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryOwner {
    /// The cluster's id.
    pub cluster_id: String,
    /// The broker's id.
    pub node_id: BrokerId,
    /// The id that the directory gets if it is new; Kafka's base64 form of a random UUID.
    pub new_directory_id: DirectoryId,
}

/// A partition that was found in a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPartition {
    /// Its name.
    pub partition: TopicPartition,
    /// The topic id in its `partition.metadata`, if that can be read.
    pub topic_id: Option<TopicId>,
}

/// A log directory that this process holds the lock of.
#[derive(Debug)]
pub struct LogDir {
    shared: Arc<DirectoryState>,
    directory_id: DirectoryId,
    was_clean: bool,
    found: Vec<FoundPartition>,
    logs: Mutex<BTreeMap<TopicPartition, Arc<Log>>>,
    /// Partitions that were found after an unclean stop and not recovered yet.
    unrecovered: Mutex<BTreeSet<TopicPartition>>,
    /// Topic ids that were read with the directory, until their partition is opened or deleted.
    known_ids: Mutex<BTreeMap<TopicPartition, TopicId>>,
    /// Directories of deleted partitions and when they are removed.
    doomed: Mutex<Vec<(PathBuf, i64)>>,
    _lock: Box<dyn StorageLock>,
}

impl LogDir {
    /// Opens a directory, which is created if it is absent and becomes the owner's if it is empty.
    ///
    /// # Errors
    /// `Locked` if another broker holds it, `NotOurs` if it belongs to somebody else or holds other things.
    pub fn open(storage: Arc<dyn Storage>, path: &Path, owner: &DirectoryOwner) -> Result<LogDir, LogError> {
        let io = |action, error| LogError::io(action, path, error);
        storage.create_directory(path).map_err(|error| io("create", error))?;
        let lock = storage.lock(&path.join(LOCK)).map_err(|error| io("lock", error))?;
        let lock = lock.ok_or_else(|| LogError::Locked(path.to_owned()))?;
        let entries = storage.list(path).map_err(|error| io("list", error))?;
        let directory_id = claim(&*storage, path, owner, &entries)?;
        let was_clean = entries.iter().any(|entry| entry.name == CLEAN_SHUTDOWN);
        if was_clean {
            remove_if_present(&*storage, &path.join(CLEAN_SHUTDOWN)).map_err(|error| io("remove", error))?;
            storage.sync_directory(path).map_err(|error| io("sync", error))?;
        }
        let checkpoint = |name: &str| match read_offsets(&*storage, &path.join(name)) {
            // Without it everything is read again.
            Err(LogError::Malformed { .. }) => Ok(OffsetCheckpoint::new()),
            result => result,
        };
        let (recovery_points, log_starts) = (checkpoint(RECOVERY_POINTS)?, checkpoint(LOG_STARTS)?);
        let cleaned = checkpoint(CLEANED)?;
        let mut found = Vec::new();
        let mut doomed = Vec::new();
        for entry in entries.iter().filter(|entry| entry.is_directory) {
            if entry.name.ends_with(DELETE_SUFFIX) {
                doomed.push((path.join(&entry.name), i64::MIN));
            } else if let Some(partition) = partition_of(&entry.name) {
                let topic_id = topic_id_in(&*storage, &path.join(&entry.name))?;
                found.push(FoundPartition { partition, topic_id });
            }
        }
        found.sort_by(|one, other| one.partition.cmp(&other.partition));
        let unrecovered = match was_clean {
            true => BTreeSet::new(),
            false => found.iter().map(|found| found.partition.clone()).collect(),
        };
        let known_ids =
            found.clone().into_iter().filter_map(|found| Some((found.partition, found.topic_id?)));
        Ok(LogDir {
            shared: Arc::new(DirectoryState::new(storage, path, recovery_points, log_starts, cleaned)),
            directory_id,
            was_clean,
            known_ids: Mutex::new(known_ids.collect()),
            found,
            logs: Mutex::default(),
            unrecovered: Mutex::new(unrecovered),
            doomed: Mutex::new(doomed),
            _lock: lock,
        })
    }

    /// The cluster id in a directory's `meta.properties`, if it has one. Takes no lock and changes nothing.
    pub fn cluster_id_in(storage: &dyn Storage, path: &Path) -> Result<Option<String>, LogError> {
        let properties = read_properties(storage, &path.join(META_PROPERTIES))?;
        Ok(properties.and_then(|mut properties| properties.remove("cluster.id")))
    }

    /// A partition that lies in a directory, if one does. Takes no lock and changes nothing.
    pub fn partition_in(storage: &dyn Storage, path: &Path) -> Result<Option<TopicPartition>, LogError> {
        match storage.list(path) {
            Ok(entries) => {
                let mut directories = entries.iter().filter(|entry| entry.is_directory);
                Ok(directories.find_map(|entry| partition_of(&entry.name)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io("list", path, error)),
        }
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        self.shared.path()
    }

    /// The id in its `meta.properties` (KIP-858).
    pub fn directory_id(&self) -> DirectoryId {
        self.directory_id
    }

    /// Has its logs keep at most so many files open, if that is less than usual. A file in use stays open all the same.
    pub fn bound_open_files(&self, files_max: usize) {
        self.shared.open_files().bound(files_max);
    }

    /// Whether the last broker stopped cleanly.
    pub fn was_clean(&self) -> bool {
        self.was_clean
    }

    /// The partitions that were there when the directory was opened.
    pub fn found(&self) -> &[FoundPartition] {
        &self.found
    }

    /// Whether an fsync failed in it; then it is offline for the life of the process.
    pub fn is_dead(&self) -> bool {
        self.shared.is_dead()
    }

    /// Bytes that can still be written.
    pub fn free_bytes(&self) -> Result<u64, LogError> {
        let free = self.shared.storage().free_bytes(self.path());
        free.map_err(|error| LogError::io("measure", self.path(), error))
    }

    /// Bytes that the disk holds in all.
    pub fn total_bytes(&self) -> Result<u64, LogError> {
        let total = self.shared.storage().total_bytes(self.path());
        total.map_err(|error| LogError::io("measure", self.path(), error))
    }

    /// The open log of a partition.
    pub fn log(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.logs.lock().get(partition).cloned()
    }

    /// All open logs.
    pub fn logs(&self) -> Vec<Arc<Log>> {
        self.logs.lock().values().cloned().collect()
    }

    /// Creates a partition with an empty log. A directory of that name that belongs to another topic is left over from
    /// one of the same name; it is set aside under a name that ends in `-stray`, with all that it holds.
    ///
    /// # Errors
    /// `Exists` if the partition is open already. After any other error the same call may be tried again.
    pub fn create_log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: impl Into<Arc<LogConfig>>,
        now_ms: i64,
    ) -> Result<Arc<Log>, LogError> {
        let directory = self.path().join(partition.to_string());
        self.shared.check_alive()?;
        if self.shared.storage().list(&directory).is_ok() {
            match topic_id_in(&**self.shared.storage(), &directory)? {
                // An earlier try was cut short.
                Some(found) if found == topic_id => {}
                None if self.is_without_log(&directory)? => {}
                found => self.set_aside(partition, found, now_ms)?,
            }
        }
        self.shared.forget(std::slice::from_ref(partition))?;
        let created = self.shared.storage().create_directory(&directory);
        created.map_err(|error| LogError::io("create", &directory, error))?;
        Ok(self.open_log(partition, Some(topic_id), config, now_ms)?.0)
    }

    /// Opens a partition that was found, and recovers it if the last stop was not clean.
    ///
    /// # Errors
    /// `TopicIdMismatch` if the directory is of another incarnation of the topic, `Corrupt` if what was durable is not
    /// there any more; neither changes anything on disk.
    pub fn open_log(
        &self,
        partition: &TopicPartition,
        topic_id: Option<TopicId>,
        config: impl Into<Arc<LogConfig>>,
        now_ms: i64,
    ) -> Result<(Arc<Log>, Recovery), LogError> {
        self.shared.check_alive()?;
        if self.logs.lock().contains_key(partition) {
            return Err(LogError::Exists(partition.clone()));
        }
        let directory = self.path().join(partition.to_string());
        if let Some(expected) = topic_id {
            match self.topic_id_of(partition, &directory)? {
                Some(found) if found != expected => {
                    return Err(LogError::TopicIdMismatch { partition: partition.clone(), found, expected });
                }
                Some(_) => {}
                // Without fsync: if it is lost, the id is known to the caller again.
                None => {
                    let path = directory.join(PARTITION_METADATA);
                    write_whole(&**self.shared.storage(), &path, partition_metadata(expected).as_bytes())
                        .map_err(|error| LogError::io("write", &path, error))?;
                }
            }
        }
        // The marker speaks for what was closed here, not for what somebody has brought from elsewhere since.
        let is_clean = self.was_clean && self.shared.recovery_point(partition).is_some();
        let (log, recovery) =
            Log::open(partition.clone(), directory, self.shared.clone(), config.into(), is_clean, now_ms)?;
        let log = Arc::new(log);
        match self.logs.lock().entry(partition.clone()) {
            std::collections::btree_map::Entry::Occupied(_) => {
                return Err(LogError::Exists(partition.clone()));
            }
            std::collections::btree_map::Entry::Vacant(place) => place.insert(log.clone()),
        };
        self.unrecovered.lock().remove(partition);
        Ok((log, recovery))
    }

    /// The topic id on disk; one that was read when the directory was opened is not read again.
    fn topic_id_of(&self, partition: &TopicPartition, directory: &Path) -> Result<Option<TopicId>, LogError> {
        match self.known_ids.lock().remove(partition) {
            Some(topic_id) => Ok(Some(topic_id)),
            None => topic_id_in(&**self.shared.storage(), directory),
        }
    }

    /// Takes partitions out of service and renames their directories; the files are removed by [`LogDir::purge`] after
    /// `file.delete.delay.ms`. `now_ms` is of any clock that the purge goes by, too. However many they are, the disk is
    /// waited for once.
    ///
    /// # Errors
    /// The first failure, after the other partitions were tried.
    pub fn delete_logs(&self, partitions: &[TopicPartition], now_ms: i64) -> Result<(), LogError> {
        let mut result = Ok(());
        for partition in partitions {
            result = result.and(self.take_away(partition, now_ms));
        }
        result.and(self.sync_names()).and(self.shared.forget(partitions))
    }

    fn take_away(&self, partition: &TopicPartition, now_ms: i64) -> Result<(), LogError> {
        let directory = self.path().join(partition.to_string());
        let delay_ms = match self.logs.lock().remove(partition) {
            Some(log) => {
                log.refuse_further_appends();
                log.config().file_delete_delay_ms
            }
            None => 0,
        };
        let topic_id = self.topic_id_of(partition, &directory)?;
        let renamed = self.rename_log(partition, topic_id, now_ms, DELETE_SUFFIX)?;
        self.unrecovered.lock().remove(partition);
        self.doomed.lock().push((renamed, now_ms.saturating_add_unsigned(delay_ms)));
        Ok(())
    }

    fn is_without_log(&self, directory: &Path) -> Result<bool, LogError> {
        let entries = self.shared.storage().list(directory);
        let entries = entries.map_err(|error| LogError::io("list", directory, error))?;
        Ok(entries.iter().all(|entry| !entry.name.ends_with(".log") || entry.len == 0))
    }

    fn set_aside(
        &self,
        partition: &TopicPartition,
        topic_id: Option<TopicId>,
        now_ms: i64,
    ) -> Result<(), LogError> {
        let aside = self.rename_log(partition, topic_id, now_ms, STRAY_SUFFIX)?;
        self.sync_names()?;
        tracing::warn!(%partition, to = %aside.display(), "set the files of a former topic of this name aside");
        self.unrecovered.lock().remove(partition);
        self.known_ids.lock().remove(partition);
        Ok(())
    }

    /// Renames a partition's directory as Kafka does, not yet durably; a long topic name is cut so that the whole fits a file name.
    fn rename_log(
        &self,
        partition: &TopicPartition,
        topic_id: Option<TopicId>,
        now_ms: i64,
        suffix: &str,
    ) -> Result<PathBuf, LogError> {
        let directory = self.path().join(partition.to_string());
        let unique = topic_id.map_or(now_ms as u128, |id| id.get().as_u128());
        let suffix = format!(".{unique:032x}{suffix}");
        let name = partition.to_string();
        let renamed = self.path().join(format!("{}{suffix}", &name[..name.len().min(255 - suffix.len())]));
        let result = self.shared.storage().rename(&directory, &renamed);
        result.map_err(|error| LogError::io("rename", &directory, error))?;
        Ok(renamed)
    }

    /// Whether the files of this partition of this topic are here, open or not.
    pub fn holds(&self, partition: &TopicPartition, topic_id: TopicId) -> Result<bool, LogError> {
        let directory = self.path().join(partition.to_string());
        Ok(topic_id_in(&**self.shared.storage(), &directory)? == Some(topic_id))
    }

    /// Makes the names of new and renamed partitions outlive a power loss.
    pub fn sync_names(&self) -> Result<(), LogError> {
        self.shared.check_alive()?;
        let synced = self.shared.storage().sync_directory(self.path());
        self.shared.durable(synced.map_err(|error| LogError::io("sync", self.path(), error)))
    }

    /// Removes the directories of deleted partitions whose delay is over. One that cannot be removed is tried again by the
    /// next call; the first failure is returned after the others were tried.
    pub fn purge(&self, now_ms: i64) -> Result<(), LogError> {
        let due: Vec<_> = self.doomed.lock().extract_if(.., |(_, due_ms)| *due_ms <= now_ms).collect();
        let mut result = Ok(());
        for (path, due_ms) in due {
            if let Err(error) = remove_directory_with_files(&**self.shared.storage(), &path) {
                result = result.and(Err(LogError::io("remove", &path, error)));
                self.doomed.lock().push((path, due_ms));
            }
        }
        result
    }

    /// When the next of the deleted partitions is due that are not due yet.
    pub fn next_purge_ms(&self, now_ms: i64) -> Option<i64> {
        self.doomed.lock().iter().map(|(_, due_ms)| *due_ms).filter(|due_ms| *due_ms > now_ms).min()
    }

    /// Raises the recovery points of all logs as far as that needs no fsync of an active segment, and writes the
    /// checkpoints. The first failure is returned after the others were tried.
    pub fn checkpoint(&self) -> Result<(), LogError> {
        let mut result = Ok(());
        for log in self.logs() {
            match log.checkpoint() {
                Ok(_) | Err(LogError::Closed) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        self.shared.write_checkpoints()?;
        result
    }

    /// Closes every log and, if all went well, writes the clean-shutdown marker: the next start reads no records.
    pub fn close(&self) -> Result<(), LogError> {
        let result = close_all(&self.logs());
        self.shared.write_checkpoints()?;
        result?;
        if !self.unrecovered.lock().is_empty() {
            return Ok(());
        }
        let path = self.path().join(CLEAN_SHUTDOWN);
        let written = replace_file(&**self.shared.storage(), &path, b"{\"version\":0,\"brokerEpoch\":-1}");
        written.map_err(|error| LogError::io("write", &path, error))
    }
}

/// Closes logs on several threads: each close waits for the disk a few times, and a journal commits the fsyncs that wait
/// together in one go. The first failure is returned after the others were tried.
fn close_all(logs: &[Arc<Log>]) -> Result<(), LogError> {
    fn close(logs: &[Arc<Log>]) -> Result<(), LogError> {
        let mut result = Ok(());
        for log in logs {
            result = result.and(log.close());
        }
        result
    }
    if logs.len() < CLOSING_THREADS {
        return close(logs);
    }
    let mut result = Ok(());
    std::thread::scope(|scope| {
        let shares = logs.chunks(logs.len().div_ceil(CLOSING_THREADS));
        let closing: Vec<_> = shares.map(|share| scope.spawn(|| close(share))).collect();
        for thread in closing {
            let closed = thread.join().expect("closing a log does not panic");
            result = std::mem::replace(&mut result, Ok(())).and(closed);
        }
    });
    result
}

/// Checks `meta.properties`, or writes it if the directory is empty.
fn claim(
    storage: &dyn Storage,
    path: &Path,
    owner: &DirectoryOwner,
    entries: &[DirectoryEntry],
) -> Result<DirectoryId, LogError> {
    let file = path.join(META_PROPERTIES);
    let not_ours = |key, found: &str, expected: &str| LogError::NotOurs {
        path: file.clone(),
        key,
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    let mut properties = read_properties(storage, &file)?.unwrap_or_default();
    if properties.is_empty() {
        let is_foreign = |name: &str| {
            !name.starts_with('.') && !name.starts_with("meta.properties") && name != "lost+found"
        };
        if let Some(entry) = entries.iter().find(|entry| is_foreign(&entry.name)) {
            return Err(not_ours("nobody we know of, since it holds", &entry.name, "an empty directory"));
        }
    }
    let node_id = owner.node_id.to_string();
    for (key, expected) in [("cluster.id", &owner.cluster_id), ("node.id", &node_id)] {
        match properties.get(key) {
            Some(found) if found != expected => return Err(not_ours(key, found, expected)),
            Some(_) => {}
            None => {
                properties.insert(key.to_owned(), expected.clone());
            }
        }
    }
    let known = properties.get("directory.id").and_then(|id| id.parse().ok());
    let directory_id = known.unwrap_or(owner.new_directory_id);
    if known.is_none() || !properties.contains_key("version") {
        properties.insert("version".to_owned(), "1".to_owned());
        properties.insert("directory.id".to_owned(), directory_id.to_string());
        write_properties(storage, &file, &properties)?;
    }
    Ok(directory_id)
}

/// The topic id of a partition's directory; `None` if it has none that can be read.
fn topic_id_in(storage: &dyn Storage, directory: &Path) -> Result<Option<TopicId>, LogError> {
    match read_topic_id(storage, &directory.join(PARTITION_METADATA)) {
        Err(LogError::Malformed { .. }) => Ok(None),
        result => result,
    }
}

/// The partition that a directory of this name holds.
pub(crate) fn partition_of(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let is_number = !partition.is_empty() && partition.bytes().all(|byte| byte.is_ascii_digit());
    let partition = partition.parse().ok().filter(|_| is_number)?;
    Some(TopicPartition::new(TopicName::new(topic).ok()?, PartitionIndex::new(partition)))
}
