//! The log directories and the metadata log of a broker, opened in an order that no crash can confuse.
//!
//! The absence of metadata never deletes data, and never makes a second log of a partition that has one. So the metadata
//! log is made before any other directory is: a directory that is in use while there is no metadata log says that one was
//! lost, and the start is refused. Which directory holds which replica is in the metadata log (KIP-858); what is not where
//! it says is told here, once, and stays offline. In order: 1. the metadata log is read, without changing anything;
//! 2. its own directory is locked and claimed, and the log made if this is a new broker; 3. the other directories are
//! claimed; 4. all are registered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_cluster::config::BrokerConfig;
use ottla_cluster::controller::{AbsentDirectory, Directory, Image, MetadataRecord};
use ottla_log::storage::Storage;
use ottla_log::{DirectoryOwner, LogDir, LogError};
use ottla_protocol::{BrokerId, DirectoryId, TopicId};
use tracing::error;

use crate::cleaner::CleanerQueue;
use crate::log_directory::LogDirectory;
use crate::quorum::{self, MetadataLog};
use crate::rt::rng;
use crate::start_error::StartError;

/// Where the metadata log is, in the first log directory or in `metadata.log.dir`.
const METADATA_DIRECTORY: &str = "__cluster_metadata";

/// What was opened from disk.
pub(crate) struct Opened {
    pub(crate) cluster_id: String,
    pub(crate) directories: Vec<Arc<LogDirectory>>,
    pub(crate) cleaner_queue: Arc<CleanerQueue>,
    pub(crate) metadata_log: MetadataLog,
    pub(crate) image: Image,
}

/// Opens the log directories and the metadata log of a broker.
///
/// # Errors
/// See [`StartError`].
pub(crate) fn open(config: &BrokerConfig, storage: &Arc<dyn Storage>) -> Result<Opened, StartError> {
    let node_id = BrokerId::new(config.node_id);
    let home = config.metadata_log_dir.as_deref().map_or(config.log_dirs[0].as_path(), Path::new);
    let metadata_directory = home.join(METADATA_DIRECTORY);
    let known = quorum::read(&**storage, &metadata_directory)?;
    if known.brokers().next().is_none() {
        expect_new_broker(config, storage, home)?;
    }
    let cluster_id = cluster_id(config, storage, &known, &metadata_directory)?;
    let claim = |path: &PathBuf| {
        let new_directory_id = DirectoryId::new(rng::uuid());
        let owner = DirectoryOwner { cluster_id: cluster_id.clone(), node_id, new_directory_id };
        LogDir::open(Arc::clone(storage), path, &owner)
    };
    let mut claimed: Vec<Option<LogDir>> = config.log_dirs.iter().map(|_| None).collect();
    if let Some(place) = config.log_dirs.iter().position(|path| path == home) {
        claimed[place] = Some(claim(&config.log_dirs[place])?);
    }
    let (mut metadata_log, mut image) = quorum::open(storage, &metadata_directory)?;
    let news = registration(config, &image, &cluster_id);
    commit(&mut metadata_log, &mut image, &news)?;
    let mut dirs = Vec::with_capacity(claimed.len());
    for (path, claimed) in config.log_dirs.iter().zip(claimed) {
        match claimed.map_or_else(|| claim(path), Ok) {
            Ok(dir) => dirs.push(dir),
            // A disk that worked and fails now is as good as absent; a path that never worked is a mistake.
            Err(failure @ LogError::Io { .. }) if is_registered(&image, node_id, path) => {
                error!(directory = %path.display(), error = %failure, "a log directory cannot be used");
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    if dirs.is_empty() {
        return Err(StartError::Config("none of log.dirs can be used".to_owned()));
    }
    let present = present(&dirs)?;
    for absent in image.absent_directories(node_id, &present) {
        tell_of_absence(&absent, &present);
    }
    let news: Vec<MetadataRecord> = image.register_directories(node_id, &present).into_iter().collect();
    commit(&mut metadata_log, &mut image, &news)?;
    let cleaner_queue = Arc::<CleanerQueue>::default();
    let start =
        |dir| LogDirectory::start(dir, config.ottla_log_dir_free_bytes_min, Arc::clone(&cleaner_queue));
    let directories: Result<Vec<_>, _> = dirs.into_iter().map(start).collect();
    let directories = directories.map_err(StartError::Thread)?;
    Ok(Opened { cluster_id, directories, cleaner_queue, metadata_log, image })
}

/// Refuses to take a broker for a new one that has lost its metadata log.
fn expect_new_broker(
    config: &BrokerConfig,
    storage: &Arc<dyn Storage>,
    home: &Path,
) -> Result<(), StartError> {
    let missing = |evidence| StartError::MetadataLogMissing { path: home.join(METADATA_DIRECTORY), evidence };
    let others = || config.log_dirs.iter().filter(|path| *path != home);
    if let Some(other) =
        others().map(|path| path.join(METADATA_DIRECTORY)).find(|path| storage.list(path).is_ok())
    {
        let place = "it belongs into metadata.log.dir or the first of log.dirs";
        return Err(missing(format!("there is one in {} ({place})", other.display())));
    }
    for path in &config.log_dirs {
        if let Some(partition) = LogDir::partition_in(&**storage, path)? {
            return Err(missing(format!("{} holds {partition}", path.display())));
        }
    }
    // Its own directory is claimed before it is made, all others afterwards.
    for path in others() {
        if LogDir::cluster_id_in(&**storage, path)?.is_some() {
            return Err(missing(format!("{} is in use", path.display())));
        }
    }
    Ok(())
}

/// The id that the cluster has by its metadata, else the configured one, else the one that a directory was first used
/// with, else a new one.
fn cluster_id(
    config: &BrokerConfig,
    storage: &Arc<dyn Storage>,
    image: &Image,
    metadata_directory: &Path,
) -> Result<String, StartError> {
    if let Some(known) = image.cluster_id() {
        return match &config.cluster_id {
            Some(expected) if expected != known => Err(StartError::Log(LogError::NotOurs {
                path: metadata_directory.to_owned(),
                key: "cluster.id",
                found: known.to_owned(),
                expected: expected.clone(),
            })),
            _ => Ok(known.to_owned()),
        };
    }
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

/// What the metadata log does not say yet of the cluster and this broker.
fn registration(config: &BrokerConfig, image: &Image, cluster_id: &str) -> Vec<MetadataRecord> {
    let broker = BrokerId::new(config.node_id);
    let mut records = Vec::new();
    if image.cluster_id().is_none() {
        records.push(MetadataRecord::Cluster { id: cluster_id.to_owned() });
    }
    if image.broker(broker).is_none_or(|known| known.rack != config.broker_rack) {
        records.push(MetadataRecord::RegisterBroker { broker, rack: config.broker_rack.clone() });
    }
    records
}

fn commit(log: &mut MetadataLog, image: &mut Image, records: &[MetadataRecord]) -> Result<(), StartError> {
    log.push(records);
    log.commit()?;
    records.iter().for_each(|record| image.apply(record));
    Ok(())
}

fn is_registered(image: &Image, broker: BrokerId, path: &Path) -> bool {
    let known = image.broker(broker).map_or(&[][..], |broker| &broker.directories);
    known.iter().any(|known| Path::new(&known.path) == path)
}

fn present(dirs: &[LogDir]) -> Result<Vec<Directory>, StartError> {
    let mut present: Vec<Directory> = Vec::with_capacity(dirs.len());
    for dir in dirs {
        let id = dir.directory_id();
        if let Some(other) = present.iter().find(|other| other.id == id) {
            let paths = [PathBuf::from(&other.path), dir.path().to_owned()];
            return Err(StartError::DuplicateDirectory { id, paths });
        }
        present.push(Directory { id, path: dir.path().display().to_string() });
    }
    Ok(present)
}

fn tell_of_absence(absent: &AbsentDirectory, present: &[Directory]) {
    let AbsentDirectory { id, path, replica_count } = absent;
    let path = path.as_deref().unwrap_or("unknown");
    match present.iter().find(|present| present.path == path) {
        Some(other) => error!(
            directory = path, directory.id = %id, found = %other.id, partitions = replica_count,
            "a log directory was emptied or swapped: what lived in it stays offline; put its disk back, or delete the \
             topics if it is lost"
        ),
        None => error!(
            directory = path, directory.id = %id, partitions = replica_count,
            "a log directory is missing: what lives in it stays offline; put it back into log.dirs, or delete the \
             topics if it is lost"
        ),
    }
}
