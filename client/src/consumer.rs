//! The consumer: assigned partitions in, verified record batches out, without copying a record.
//!
//! A task of its own (`fetcher`) keeps fetching ahead of the program, one request in flight per broker, until the buffer
//! is full. `poll` hands out one batch at a time: the records are slices of the response they came in. Where each
//! partition is read, what is buffered and what an answer means is decided by `assignment`, a plain structure.
//! Invariants: memory is bounded; batches of one partition come in offset order without a gap; after a `seek` nothing
//! from before it is handed out. What is assigned is the program's business, or that of `group` once it subscribes.

mod aborted;
mod assignment;
mod batch;
mod config;
mod fetcher;
mod group;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ottla_protocol::{Offset, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::client::Client;
use crate::error::{ClientError, ErrorKind, Result};
use assignment::Assignment;
pub use assignment::StartAt;
pub use batch::RecordBatch;
pub use config::{ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset};
use group::Group;
pub(crate) use group::{COMMIT_VERSION_MAX, FETCH_VERSION_MAX, Identity, commit_codes, commit_request};
pub use group::{GroupMetadata, OffsetAndMetadata, PendingCommit, RebalanceListener, Rebalancing};
pub use stream::BatchStream;

#[derive(Debug)]
struct Inner {
    /// For metadata and offsets.
    client: Client,
    /// For fetches alone: a question behind a fetch would wait as long as the fetch does.
    fetches: Client,
    config: ConsumerConfig,
    assignment: Mutex<Assignment>,
    /// Something to hand out.
    filled: Notify,
    /// Something to fetch.
    hungry: Notify,
    is_closed: AtomicBool,
    group: Option<Group>,
}

impl Inner {
    /// Ends the fetching task and the membership.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.hungry.notify_one();
        self.filled.notify_waiters();
        self.filled.notify_one();
        if let Some(group) = &self.group {
            group.abandon();
        }
    }

    /// Why there is nothing to poll any more.
    fn end(&self) -> Option<ClientError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Some(ClientError::new("poll", ErrorKind::Closed));
        }
        self.group.as_ref().and_then(Group::failure)
    }
}

/// Closes the consumer's tasks when the last handle is gone.
#[derive(Debug)]
struct Handle(Arc<Inner>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Thirty years.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Reads records of assigned partitions. Cheap to clone; clones share the assignment and the buffer.
///
/// ```no_run
/// # async fn f() -> ottla_client::Result<()> {
/// use std::time::Duration;
/// use ottla_client::{Client, StartAt};
/// let client = Client::connect("localhost:9092").await?;
/// let consumer = client.consumer(Default::default());
/// consumer.assign_topic("greetings", StartAt::Earliest).await?;
/// while let Some(batch) = consumer.poll(Duration::from_secs(1)).await? {
///     for record in batch.records()? {
///         let record = record?;
///         println!("{} {:?}", record.offset, record.value);
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Consumer {
    inner: Arc<Inner>,
    _handle: Arc<Handle>,
    /// It was given to a rebalance listener.
    is_listeners: bool,
}

impl Client {
    /// A consumer of its own connections and memory, with nothing assigned yet.
    pub fn consumer(&self, config: ConsumerConfig) -> Consumer {
        Consumer::start(self.with_own_connections(), config)
    }
}

impl Consumer {
    fn start(client: Client, config: ConsumerConfig) -> Consumer {
        let assignment = Assignment::new(config.offset_reset, client.config().backoff)
            .with_decompressed_bytes_max(config.decompressed_bytes_max)
            .with_preference_max_age(client.config().metadata_max_age);
        let inner = Arc::new(Inner {
            assignment: Mutex::new(assignment),
            fetches: client.with_own_connections(),
            group: Group::new(&client, &config),
            client,
            config,
            filled: Notify::new(),
            hungry: Notify::new(),
            is_closed: AtomicBool::new(false),
        });
        tokio::spawn(fetcher::run(Arc::clone(&inner)));
        let handle = Arc::new(Handle(Arc::clone(&inner)));
        if inner.group.is_some() {
            tokio::spawn(group::run(Arc::clone(&inner), Arc::downgrade(&handle)));
        }
        Consumer { inner, _handle: handle, is_listeners: false }
    }

    /// Reads these partitions from these places on, and nothing else any more. Not for a consumer that subscribes: then
    /// nothing changes, and the next poll fails.
    pub fn assign(&self, partitions: impl IntoIterator<Item = (TopicPartition, StartAt)>) {
        if self.inner.group.as_ref().is_some_and(Group::is_wanted) {
            let error = ClientError::invalid("assign", "the consumer subscribes: unsubscribe it first");
            self.inner.assignment.lock().fail(error);
            self.inner.filled.notify_one();
            return;
        }
        self.inner.assignment.lock().assign(partitions);
        self.inner.hungry.notify_one();
    }

    /// Reads all partitions of one topic from `start` on, and nothing else any more.
    ///
    /// # Errors
    /// When there is no such topic or no broker answers in time.
    pub async fn assign_topic(&self, topic: &str, start: StartAt) -> Result<()> {
        let info = self.inner.client.topic(topic).await?;
        let partitions = info.partitions.iter();
        self.assign(
            partitions.map(|partition| (TopicPartition::new(info.name.clone(), partition.index), start)),
        );
        Ok(())
    }

    /// Goes on reading an assigned partition at `start`; what was fetched before is dropped. Whether it is assigned.
    pub fn seek(&self, partition: &TopicPartition, start: StartAt) -> bool {
        let found = self.inner.assignment.lock().seek(partition, start);
        self.inner.hungry.notify_one();
        found
    }

    /// Stops (`true`) or resumes (`false`) reading an assigned partition; its position stays. Whether it is assigned.
    pub fn pause(&self, partition: &TopicPartition, is_paused: bool) -> bool {
        let found = self.inner.assignment.lock().pause(partition, is_paused);
        self.inner.hungry.notify_one();
        self.inner.filled.notify_one();
        found
    }

    /// The next batch, or none if none arrives within `wait`. Dropping this future loses nothing.
    ///
    /// In a group each call says that the program is done with all batches it was handed before: they may be committed
    /// automatically, and partitions may move to other members. So a group's consumer is polled from one place.
    ///
    /// # Errors
    /// What keeps a partition from being read and does not pass by itself: it is told once and the partition stays
    /// where it is, paused; others go on. What keeps the consumer out of its group is told each time, until it
    /// subscribes again.
    pub async fn poll(&self, wait: Duration) -> Result<Option<RecordBatch>> {
        let _polling = self.enter_poll()?;
        if let Some(ready) = self.try_poll() {
            return ready.map(Some);
        }
        // A wait without end, for all that anybody lives to see.
        let until = Instant::now().checked_add(wait).unwrap_or_else(|| Instant::now() + FAR);
        match timeout_at(until.into(), self.arrival()).await {
            Ok(ready) => ready.map(Some),
            Err(_) => Ok(None),
        }
    }

    fn enter_poll(&self) -> Result<Option<group::Polling<'_>>> {
        if self.inner.is_closed.load(Ordering::Acquire) {
            return Err(ClientError::new("poll", ErrorKind::Closed));
        }
        self.inner.group.as_ref().map(|group| group.enter_poll(&self.inner)).transpose()
    }

    /// Waits for the next batch or error.
    async fn arrival(&self) -> Result<RecordBatch> {
        loop {
            let filled = self.inner.filled.notified();
            if let Some(ready) = self.try_poll() {
                return ready;
            }
            if let Some(end) = self.inner.end() {
                return Err(end);
            }
            filled.await;
        }
    }

    /// The next batch or error that is at hand.
    fn try_poll(&self) -> Option<Result<RecordBatch>> {
        let (next, is_hungry) = {
            let mut assignment = self.inner.assignment.lock();
            let before = assignment.buffered_bytes();
            let next = assignment.next();
            let line = self.inner.config.hungry_bytes();
            (next, before >= line && assignment.buffered_bytes() < line)
        };
        if is_hungry {
            self.inner.hungry.notify_one();
        }
        next
    }

    /// The offset of the next record that `poll` would hand out, once it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.inner.assignment.lock().position(partition)
    }

    /// Where the partition's records ended when it was last fetched.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.inner.assignment.lock().high_watermark(partition)
    }

    /// How many offsets lie between the position and the end of the partition, as last fetched.
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        let assignment = self.inner.assignment.lock();
        let (position, end) = (assignment.position(partition)?, assignment.high_watermark(partition)?);
        Some(u64::try_from(end.get() - position.get()).unwrap_or(0))
    }

    /// Whether everything up to the end of the partition, as last fetched, has been handed out.
    pub fn is_at_end(&self, partition: &TopicPartition) -> bool {
        let assignment = self.inner.assignment.lock();
        match (assignment.position(partition), assignment.high_watermark(partition)) {
            (Some(position), Some(end)) => position >= end,
            _ => false,
        }
    }

    /// The assigned partitions, in order.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.inner.assignment.lock().partitions()
    }
}
