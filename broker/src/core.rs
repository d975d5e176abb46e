//! What all connections and background work of one broker share. One per broker; several brokers may run in a process.
//!
//! It is wiring, not behaviour: each field is a part with a file of its own. Nothing here is global to the process.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use ottla_cluster::config::BrokerConfig;
use ottla_cluster::controller::{ConfigResource, ProducerIdBlock};
use ottla_cluster::fetch_session::FetchSessions;
use ottla_log::LogError;
use ottla_log::storage::Storage;
use ottla_protocol::codec::Str;
use ottla_protocol::{BrokerId, TopicId};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cleaner::CleanerQueue;
use crate::clock::Clock;
use crate::cold_reads::ColdReads;
use crate::connection::ConnectionRegistry;
use crate::coordinators::GroupCoordinators;
use crate::directories::{self, Opened};
use crate::handlers::FetchKey;
use crate::limits::Limits;
use crate::log_directory::LogDirectory;
use crate::log_levels::LogLevels;
use crate::memory_pool::MemoryPool;
use crate::quorum::Quorum;
use crate::replicas::Replicas;
use crate::rt::time::WallClock;
use crate::rt::{rng, storage};
use crate::start_error::StartError;
use crate::topics::Topics;

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    /// This broker (`node.id`).
    pub(crate) node_id: BrokerId,
    /// The cluster, as clients see it.
    pub(crate) cluster_id: Str,
    /// What was configured at the start.
    pub(crate) config: BrokerConfig,
    /// The bounds that clients meet.
    pub(crate) limits: Limits,
    /// Time.
    pub(crate) clock: Arc<Clock>,
    /// What requests may hold.
    pub(crate) request_memory: Arc<MemoryPool>,
    /// Who is connected.
    pub(crate) connections: Arc<ConnectionRegistry>,
    /// The cluster's metadata.
    pub(crate) quorum: Quorum,
    /// Producer ids that are this broker's to give.
    pub(crate) producer_ids: Mutex<ProducerIdBlock>,
    /// The partitions here.
    pub(crate) topics: Arc<Topics>,
    /// Where their logs are.
    pub(crate) directories: Vec<Arc<LogDirectory>>,
    /// Told when partitions were deleted, whose files are then to be removed.
    pub(crate) deletions: Arc<Notify>,
    /// The partitions that may be worth compacting.
    pub(crate) cleaner_queue: Arc<CleanerQueue>,
    /// What reads that wait for a disk go through.
    pub(crate) cold_reads: Arc<ColdReads>,
    /// Incremental fetch sessions.
    pub(crate) fetch_sessions: Mutex<FetchSessions<FetchKey>>,
    /// The groups that this broker coordinates.
    pub(crate) groups: GroupCoordinators,
    /// How the log of this process is changed, if its owner has said.
    pub(crate) log_levels: OnceLock<LogLevels>,
    /// Cancelled when the broker begins to shut down.
    pub(crate) stopping: CancellationToken,
}

impl Core {
    /// The limits for the next connection: those of the start, unless some were set at run time since.
    pub(crate) fn connection_limits(&self) -> Cow<'_, Limits> {
        let image = self.quorum.image();
        let is_unset = |resource| image.configs(&resource).is_empty();
        if is_unset(ConfigResource::AllBrokers) && is_unset(ConfigResource::Broker(self.node_id)) {
            return Cow::Borrowed(&self.limits);
        }
        Cow::Owned(Limits::new(&image.broker_config(&self.config), storage::descriptors_max()))
    }

    /// Opens everything that a broker needs to serve, and nothing that listens.
    ///
    /// # Errors
    /// See [`StartError`].
    pub(crate) fn open(
        config: BrokerConfig,
        storage: &Arc<dyn Storage>,
        wall_clock: WallClock,
    ) -> Result<Arc<Core>, StartError> {
        let limits = Limits::new(&config, storage::descriptors_max());
        let clock = Arc::new(Clock::new(wall_clock));
        let topics = Arc::new(Topics::default());
        let Opened { cluster_id, directories, cleaner_queue, metadata_log, image } =
            directories::open(&config, storage)?;
        let log_files_max = limits.log_files_max / directories.len();
        directories.iter().for_each(|directory| directory.dir().bound_open_files(log_files_max));
        let deletions = Arc::new(Notify::new());
        let follower = Replicas::new(
            config.clone(),
            Arc::clone(&clock),
            directories.clone(),
            Arc::clone(&topics),
            Arc::clone(&deletions),
        );
        let quorum = Quorum::start(
            metadata_log,
            image,
            config.metadata_log_max_record_bytes_between_snapshots,
            follower,
        )
        .map_err(StartError::Thread)?;
        Ok(Arc::new(Core {
            node_id: BrokerId::new(config.node_id),
            cluster_id: Str::from(cluster_id),
            request_memory: MemoryPool::new(limits.request_memory_bytes),
            limits,
            clock,
            connections: Arc::default(),
            quorum,
            producer_ids: Mutex::default(),
            topics,
            cold_reads: ColdReads::start(directories.len()).map_err(StartError::Thread)?,
            directories,
            cleaner_queue,
            deletions,
            groups: GroupCoordinators::new(&config),
            fetch_sessions: Mutex::new(FetchSessions::new(config.max_incremental_fetch_session_cache_slots)),
            log_levels: OnceLock::new(),
            stopping: CancellationToken::new(),
            config,
        }))
    }

    /// Writes everything that the next start would otherwise have to recover. Nothing may be appended any more.
    ///
    /// # Errors
    /// The first failure, after the rest was tried.
    pub(crate) fn close(&self) -> Result<(), LogError> {
        self.quorum.close();
        let mut closed = Ok(());
        for directory in &self.directories {
            directory.close();
            closed = closed.and(directory.dir().close());
        }
        closed
    }

    /// A topic id that was never used.
    pub(crate) fn new_topic_id() -> TopicId {
        TopicId::new(rng::uuid())
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // The threads of a directory hold it, and with it its lock; without a word they would wait for ever.
        self.directories.iter().for_each(|directory| directory.stop());
        self.cold_reads.close();
    }
}
