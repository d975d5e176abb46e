//! The consumer: assigned partitions in, verified record batches out, without copying a record.
//!
//! A task of its own (`fetcher`) keeps fetching ahead of the program, one request in flight per broker, until the buffer
//! is full. `poll` hands out one batch at a time: the records are slices of the response they came in. Where each
//! partition is read, what is buffered and what an answer means is decided by `assignment`, a plain structure.
//! Invariants: memory is bounded; batches of one partition come in offset order without a gap; after a `seek` nothing
//! from before it is handed out. Not here: groups, which decide *what* is assigned.

mod aborted;
mod assignment;
mod batch;
mod config;
mod fetcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla_protocol::{Offset, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::client::Client;
use crate::error::Result;
use assignment::Assignment;
pub use assignment::StartAt;
pub use batch::RecordBatch;
pub use config::{ConsumerConfig, IsolationLevel, OffsetReset};

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
}

/// Closes the fetching task when the last handle is gone.
#[derive(Debug)]
struct Handle(Arc<Inner>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::Release);
        self.0.hungry.notify_one();
    }
}

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
            client,
            config,
            filled: Notify::new(),
            hungry: Notify::new(),
            is_closed: AtomicBool::new(false),
        });
        tokio::spawn(fetcher::run(Arc::clone(&inner)));
        Consumer { _handle: Arc::new(Handle(Arc::clone(&inner))), inner }
    }

    /// Reads these partitions from these places on, and nothing else any more.
    pub fn assign(&self, partitions: impl IntoIterator<Item = (TopicPartition, StartAt)>) {
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
    /// # Errors
    /// What keeps a partition from being read and does not pass by itself: it is told once and the partition stays
    /// where it is, paused; others go on.
    pub async fn poll(&self, wait: Duration) -> Result<Option<RecordBatch>> {
        if let Some(ready) = self.try_poll() {
            return ready.map(Some);
        }
        let arrival = async {
            loop {
                let filled = self.inner.filled.notified();
                if let Some(ready) = self.try_poll() {
                    return ready;
                }
                filled.await;
            }
        };
        match timeout(wait, arrival).await {
            Ok(ready) => ready.map(Some),
            Err(_) => Ok(None),
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
