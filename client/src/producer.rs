//! The producer: records in, batches out, a report for each record.
//!
//! `send` finds the partition, reserves memory and copies the record straight into the partition's open batch under a
//! short lock; no channel and no allocation per record. One task (`sender`) takes the batches that are due and talks to
//! the brokers. What is sent when, and what an answer means, is decided by `partition_queue`, a plain structure.
//! Invariants: memory is bounded, callers wait for it; records of one partition are appended in the order of `send`.

mod config;
mod delivery;
mod memory;
mod partition_queue;
mod record;
mod sealed;
mod sender;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use foldhash::fast::RandomState;
use ottla_protocol::{PartitionIndex, TopicName, TopicPartition};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::client::{AutoCreate, Client, topic_name};
use crate::error::{ClientError, ErrorKind, Result};
use crate::metrics::Observation;
use crate::partitioner::{Partitioner, StickyChoice, partition_for_key};
pub use config::{Acks, ProducerConfig};
pub use delivery::{Delivery, RecordMetadata};
use memory::MemoryBudget;
use partition_queue::{PartitionQueue, QueueRules, Settled, Signal};
pub use record::{ProducerRecord, RecordHeader};

/// One partition that records are sent to.
#[derive(Debug)]
struct PartitionState {
    topic_partition: TopicPartition,
    queue: Mutex<PartitionQueue>,
    /// Whether the sender has been told to look at it and has not done so yet.
    is_listed: AtomicBool,
    /// Whether it stands in a lane of the sender, whose own flag this is.
    is_pending: AtomicBool,
    /// Whether it has a leader, as far as the sender knows.
    is_led: AtomicBool,
}

/// One topic that records are sent to.
#[derive(Debug)]
struct TopicState {
    name: TopicName,
    partitions: RwLock<Partitions>,
    choice: StickyChoice,
}

/// The partitions of a topic.
#[derive(Debug, Default)]
struct Partitions {
    /// All there ever were: what was sent to one that is gone still has to be settled.
    all: Vec<Arc<PartitionState>>,
    /// How many there are now, at least one.
    count: u32,
}

/// What the senders tell the sending task.
#[derive(Debug, Default)]
struct Schedule {
    /// Partitions with a batch to send now.
    ready: VecDeque<Arc<PartitionState>>,
    /// Partitions with an open batch, by the time it is due: the linger is the same for all, so it is in order.
    lingering: VecDeque<(Instant, Arc<PartitionState>)>,
}

/// What a producer has achieved so far.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ProducerStats {
    /// Records that the brokers acknowledged (with acks=0: that were written).
    pub delivered_records: u64,
    /// Their batches, as sent: compressed, with headers.
    pub delivered_bytes: u64,
    /// Records given up.
    pub failed_records: u64,
    /// Why the last of those was.
    pub last_failure: Option<ClientError>,
}

#[derive(Debug, Default)]
struct Counters {
    delivered_records: AtomicU64,
    delivered_bytes: AtomicU64,
    failed_records: AtomicU64,
    last_failure: Mutex<Option<ClientError>>,
}

impl Counters {
    fn count(&self, settled: &Settled) {
        let records = u64::from(settled.batch.records_count.unsigned_abs());
        match &settled.result {
            Ok(_) => {
                self.delivered_records.fetch_add(records, Ordering::Relaxed);
                self.delivered_bytes.fetch_add(settled.batch.wire_bytes() as u64, Ordering::Relaxed);
            }
            Err(error) => {
                *self.last_failure.lock() = Some(error.clone());
                self.failed_records.fetch_add(records, Ordering::Relaxed);
            }
        }
    }
}

#[derive(Debug)]
struct Inner {
    client: Client,
    config: ProducerConfig,
    rules: QueueRules,
    memory: MemoryBudget,
    counters: Counters,
    topics: RwLock<HashMap<TopicName, Arc<TopicState>, RandomState>>,
    schedule: Mutex<Schedule>,
    wake: Notify,
    is_closed: AtomicBool,
}

impl Inner {
    /// Tells the sending task to look at a partition.
    fn list(&self, partition: &Arc<PartitionState>) {
        if !partition.is_listed.swap(true, Ordering::AcqRel) {
            self.schedule.lock().ready.push_back(Arc::clone(partition));
            self.wake.notify_one();
        }
    }

    fn linger(&self, partition: &Arc<PartitionState>, due: Instant) {
        let was_empty = {
            let mut schedule = self.schedule.lock();
            let was_empty = schedule.lingering.is_empty();
            schedule.lingering.push_back((due, Arc::clone(partition)));
            was_empty
        };
        if was_empty {
            self.wake.notify_one();
        }
    }

    fn settle(&self, partition: &TopicPartition, settled: Settled) {
        self.counters.count(&settled);
        self.client.observe(|| {
            let (batch, records) = (&settled.batch, u64::from(settled.batch.records_count.unsigned_abs()));
            match &settled.result {
                Ok(_) => {
                    let (bytes, latency) = (batch.wire_bytes(), batch.created.elapsed());
                    Observation::Delivered { partition, records, bytes, latency }
                }
                Err(error) => Observation::Failed { partition, records, error },
            }
        });
        // Memory first: who waits for the outcome may look at what is buffered.
        self.memory.release(settled.batch.reserved_bytes);
        settled.batch.outcome.settle(settled.result);
    }

    fn partitions(&self) -> Vec<Arc<PartitionState>> {
        let topics = self.topics.read();
        topics.values().flat_map(|topic| topic.partitions.read().all.clone()).collect()
    }

    /// Gives the topic as many partitions as the cluster says: fewer than before if it was created again.
    fn resize(&self, topic: &TopicState, partition_count: usize) {
        let count = u32::try_from(partition_count).unwrap_or(u32::MAX);
        if topic.partitions.read().count == count {
            return;
        }
        let mut partitions = topic.partitions.write();
        for index in partitions.all.len()..partition_count {
            let index = PartitionIndex::new(i32::try_from(index).unwrap_or(i32::MAX));
            let topic_partition = TopicPartition::new(topic.name.clone(), index);
            let queue = Mutex::new(PartitionQueue::new(topic_partition.clone(), self.rules));
            partitions.all.push(Arc::new(PartitionState {
                topic_partition,
                queue,
                is_listed: AtomicBool::new(false),
                is_pending: AtomicBool::new(false),
                is_led: AtomicBool::new(true),
            }));
        }
        partitions.count = count;
    }
}

/// Closes the sending task when the last handle is gone.
#[derive(Debug)]
struct Handle(Arc<Inner>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }
}

/// Sends records. Cheap to clone; clones share memory, batches and connections.
///
/// When the last clone is dropped, batches already on the wire are finished and the rest is given up: call
/// [`flush`](Producer::flush) first.
#[derive(Debug, Clone)]
pub struct Producer {
    inner: Arc<Inner>,
    _handle: Arc<Handle>,
}

impl Client {
    /// A producer of its own connections and memory.
    pub fn producer(&self, config: ProducerConfig) -> Producer {
        Producer::start(self.with_own_connections(), config)
    }
}

impl Producer {
    fn start(client: Client, config: ProducerConfig) -> Producer {
        let inner = Arc::new(Inner {
            rules: config.queue_rules(client.config().backoff),
            memory: MemoryBudget::new(config.buffer_bytes_max),
            counters: Counters::default(),
            client,
            config,
            topics: RwLock::default(),
            schedule: Mutex::default(),
            wake: Notify::new(),
            is_closed: AtomicBool::new(false),
        });
        tokio::spawn(sender::run(Arc::clone(&inner)));
        Producer { _handle: Arc::new(Handle(Arc::clone(&inner))), inner }
    }

    /// Puts a record into its partition's batch and returns its report, which resolves once it is delivered.
    ///
    /// Waits for metadata the first time a topic is used, and while the producer's memory is full. Dropping this future
    /// before it is ready sends nothing.
    ///
    /// # Errors
    /// When the topic or partition does not exist, the record can never fit, the memory stays full for
    /// `block_timeout`, or the producer was closed. What happens after that is told by the [`Delivery`].
    pub async fn send(&self, topic: &str, record: ProducerRecord<'_>) -> Result<Delivery> {
        let topic = match self.known_topic(topic) {
            Some(topic) => topic,
            None => self.learn_topic(topic).await?,
        };
        let bytes = self.checked_size(&topic, &record)?;
        if !self.inner.memory.try_reserve(bytes) {
            let waiting = self.inner.memory.reserve(bytes);
            if timeout(self.inner.config.block_timeout, waiting).await.is_err() {
                return Err(ClientError::new("produce", ErrorKind::BufferFull).for_topic(&topic.name));
            }
        }
        self.append(&topic, record, bytes)
    }

    /// Like [`send`](Producer::send), but never waits.
    ///
    /// # Errors
    /// `BufferFull` when the memory is full, `LEADER_NOT_AVAILABLE` when the topic is not known yet (use
    /// [`partition_count`](Producer::partition_count) to learn about it first), and those of `send`.
    pub fn try_send(&self, topic: &str, record: ProducerRecord<'_>) -> Result<Delivery> {
        let Some(topic) = self.known_topic(topic) else {
            let code = ottla_protocol::ErrorCode::LEADER_NOT_AVAILABLE;
            return Err(ClientError::broker("produce", code, None).for_topic(topic));
        };
        let bytes = self.checked_size(&topic, &record)?;
        if !self.inner.memory.try_reserve(bytes) {
            return Err(ClientError::new("produce", ErrorKind::BufferFull).for_topic(&topic.name));
        }
        self.append(&topic, record, bytes)
    }

    /// How many partitions the topic has; asks the cluster if the topic is new to this producer.
    ///
    /// # Errors
    /// When there is no such topic or no broker answers in time.
    pub async fn partition_count(&self, topic: &str) -> Result<u32> {
        let topic = match self.known_topic(topic) {
            Some(topic) => topic,
            None => self.learn_topic(topic).await?,
        };
        Ok(topic.partitions.read().count)
    }

    /// Sends everything that was appended before this call and waits until all of it is settled.
    ///
    /// Failures are told by the deliveries, and the first of them here too.
    ///
    /// # Errors
    /// The first batch that failed.
    pub async fn flush(&self) -> Result<()> {
        let mut outcomes = Vec::new();
        for partition in self.inner.partitions() {
            let mut queue = partition.queue.lock();
            queue.seal();
            outcomes.extend(queue.outcomes());
            drop(queue);
            self.inner.list(&partition);
        }
        let mut first_failure = Ok(());
        for outcome in outcomes {
            let settled = outcome.settled().await;
            if let (Ok(()), Err(error)) = (&first_failure, settled) {
                first_failure = Err(error);
            }
        }
        first_failure
    }

    /// What has been delivered and what failed so far, over all clones.
    pub fn stats(&self) -> ProducerStats {
        let counters = &self.inner.counters;
        ProducerStats {
            delivered_records: counters.delivered_records.load(Ordering::Relaxed),
            delivered_bytes: counters.delivered_bytes.load(Ordering::Relaxed),
            failed_records: counters.failed_records.load(Ordering::Relaxed),
            last_failure: counters.last_failure.lock().clone(),
        }
    }

    /// Bytes of records that were sent but are not settled yet.
    pub fn buffered_bytes(&self) -> usize {
        self.inner.memory.reserved_bytes()
    }

    fn known_topic(&self, topic: &str) -> Option<Arc<TopicState>> {
        self.inner.topics.read().get(topic).cloned()
    }

    async fn learn_topic(&self, topic: &str) -> Result<Arc<TopicState>> {
        let name = topic_name("produce", topic)?;
        let create =
            if self.inner.config.auto_create_topics { AutoCreate::Allowed } else { AutoCreate::Forbidden };
        let asking = self.inner.client.topic_info(&name, create);
        let info = match timeout(self.inner.config.block_timeout, asking).await {
            Ok(info) => info.map_err(|error| error.during("produce"))?,
            Err(_) => {
                let kind = ErrorKind::Timeout { after: self.inner.config.block_timeout };
                return Err(ClientError::new("produce", kind).for_topic(topic));
            }
        };
        // Whoever finds it finds its partitions.
        let choice = StickyChoice::new(rand::random(), self.inner.config.batch_bytes);
        let fresh = TopicState { name: name.clone(), partitions: RwLock::default(), choice };
        self.inner.resize(&fresh, info.partitions.len());
        Ok(Arc::clone(self.inner.topics.write().entry(name).or_insert_with(|| Arc::new(fresh))))
    }

    fn checked_size(&self, topic: &TopicState, record: &ProducerRecord<'_>) -> Result<usize> {
        let (bytes, bytes_max) = (record.bytes_max(), self.inner.config.request_bytes_max);
        if bytes > bytes_max {
            let kind = ErrorKind::RecordTooLarge { bytes, bytes_max };
            return Err(ClientError::new("produce", kind).for_topic(&topic.name));
        }
        Ok(bytes)
    }

    /// Appends a record whose memory is reserved; gives the memory back if it cannot.
    fn append(&self, topic: &TopicState, record: ProducerRecord<'_>, bytes: usize) -> Result<Delivery> {
        let appended = self.append_reserved(topic, record, bytes);
        if appended.is_err() {
            self.inner.memory.release(bytes);
        }
        appended
    }

    fn append_reserved(
        &self,
        topic: &TopicState,
        record: ProducerRecord<'_>,
        bytes: usize,
    ) -> Result<Delivery> {
        let partitions = topic.partitions.read();
        let partition_count = partitions.count;
        let is_led = |index: u32| partitions.all[index as usize].is_led.load(Ordering::Relaxed);
        let index = match (record.partition, self.inner.config.partitioner, record.key) {
            (Some(partition), _, _) => u32::try_from(partition.get()).unwrap_or(u32::MAX),
            (None, Partitioner::Murmur2, Some(key)) => partition_for_key(key, partition_count),
            (None, Partitioner::RoundRobin, _) => topic.choice.next(partition_count),
            (None, _, _) => topic.choice.choose(bytes, partition_count, is_led),
        };
        let Some(partition) = partitions.all.get(index as usize).filter(|_| index < partition_count) else {
            let error = ClientError::new("produce", ErrorKind::NoSuchPartition { partition_count });
            return Err(error.for_topic(&topic.name).for_partition(record.partition.map_or(-1, |p| p.get())));
        };
        let timestamp = record.timestamp_ms.unwrap_or_else(now_ms);
        let mut queue = partition.queue.lock();
        // Under the lock: the sending task looks at every queue after it saw the producer closed.
        if self.inner.is_closed.load(Ordering::Acquire) {
            return Err(ClientError::new("produce", ErrorKind::Closed).for_topic(&topic.name));
        }
        let (delivery, signal) = queue.append(&record, timestamp, bytes, Instant::now)?;
        drop(queue);
        match signal {
            Signal::None => {}
            Signal::DueAt(due) => self.inner.linger(partition, due),
            Signal::Ready => self.inner.list(partition),
        }
        Ok(delivery)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
