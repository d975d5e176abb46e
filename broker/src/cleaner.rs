//! Who compacts when: one task that is told of partitions, and a few blocking jobs that do the work.
//!
//! A partition with `cleanup.policy=compact` is put into the [`CleanerQueue`] when it opens, when a segment of it was
//! rolled, and when its configuration changes. The task asks its log how dirty it is, takes up the dirtiest that are due,
//! as many at a time as `log.cleaner.threads` says, and forgets the others until the next event or until the time that the
//! log has named. Nothing is polled: a broker without compacted topics never wakes up for this. After a look that found
//! nothing to do it rests for `log.cleaner.backoff.ms`. What is kept and what goes is decided in `ottla-log`. Invariant: a
//! partition is compacted by one job at a time, and one whose log cannot be compacted is not tried again.

mod throttle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla_cluster::config::BrokerConfig;
use ottla_log::{CleanSettings, Cleaned, Dirtiness, LogError};
use ottla_protocol::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use self::throttle::Throttle;
use crate::core::Core;
use crate::partition::Partition;
use crate::rt::rng;
use crate::rt::time::{self, Instant};

/// Partitions to be looked at. It never holds more than there are partitions.
#[derive(Debug, Default)]
pub(crate) struct CleanerQueue {
    queued: Mutex<Queued>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queued {
    partitions: Vec<Arc<Partition>>,
    is_closed: bool,
}

/// What a partition remembers of the cleaner.
#[derive(Debug, Default)]
pub(crate) struct CleaningMark {
    is_queued: AtomicBool,
    is_uncleanable: AtomicBool,
}

impl CleanerQueue {
    /// Has a partition looked at, unless it waits for that already or cannot be compacted.
    pub(crate) fn push(&self, partition: &Arc<Partition>) {
        let mark = partition.cleaning_mark();
        if mark.is_uncleanable.load(Ordering::Acquire) || mark.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut queued = self.queued.lock();
        if !queued.is_closed {
            queued.partitions.push(Arc::clone(partition));
            drop(queued);
            self.arrived.notify_one();
        }
    }

    /// Lets go of all partitions and takes no more. They hold the directory that holds this.
    pub(crate) fn close(&self) {
        let mut queued = self.queued.lock();
        queued.is_closed = true;
        let partitions = std::mem::take(&mut queued.partitions);
        drop(queued);
        drop(partitions);
    }

    fn take_all(&self) -> Vec<Arc<Partition>> {
        let partitions = std::mem::take(&mut self.queued.lock().partitions);
        // Whatever happens from here on is news again.
        partitions
            .iter()
            .for_each(|partition| partition.cleaning_mark().is_queued.store(false, Ordering::Release));
        partitions
    }
}

/// A compaction that is over.
struct Done {
    partition: Arc<Partition>,
    result: Result<Cleaned, LogError>,
}

/// What the task knows.
struct Cleaner {
    core: Arc<Core>,
    throttle: Arc<Throttle>,
    secret: u128,
    candidates: BTreeMap<TopicPartition, Arc<Partition>>,
    running: JoinSet<Done>,
    in_progress: BTreeSet<TopicPartition>,
    /// Nothing is looked at before.
    rests_until: Instant,
    /// When time alone will make a candidate worth a look.
    looks_at: Option<Instant>,
}

/// Compacts until the broker stops.
pub(crate) async fn run(core: Arc<Core>) {
    if !core.config.log_cleaner_enable {
        core.cleaner_queue.close();
        return;
    }
    let mut cleaner = Cleaner {
        throttle: Arc::default(),
        secret: rng::u128(),
        candidates: BTreeMap::new(),
        running: JoinSet::new(),
        in_progress: BTreeSet::new(),
        rests_until: time::now(),
        looks_at: None,
        core,
    };
    cleaner.run_until_stopping().await;
    cleaner.throttle.stop();
    while cleaner.running.join_next().await.is_some() {}
}

impl Cleaner {
    async fn run_until_stopping(&mut self) {
        let core = Arc::clone(&self.core);
        loop {
            let next_look = self.next_look();
            let wakes_at = next_look.unwrap_or_else(time::now);
            tokio::select! {
                biased;
                () = core.stopping.cancelled() => return,
                Some(done) = self.running.join_next() => match done {
                    Ok(done) => self.finish(done),
                    // A job that panicked has said so. Its partition stays in progress, and so is left alone.
                    Err(_panicked) => {}
                },
                () = core.cleaner_queue.arrived.notified() => self.take_news(),
                () = time::sleep_until(wakes_at), if next_look.is_some() => self.look().await,
            }
        }
    }

    fn take_news(&mut self) {
        for partition in self.core.cleaner_queue.take_all() {
            self.candidates.insert(partition.topic_partition.clone(), partition);
            self.looks_at = Some(self.rests_until);
        }
    }

    /// When the candidates are to be looked at, if there are any and a thread is free for them.
    fn next_look(&self) -> Option<Instant> {
        let is_waited_for = self.candidates.keys().any(|one| !self.in_progress.contains(one));
        self.looks_at.filter(|_| is_waited_for).map(|at| at.max(self.rests_until))
    }

    async fn look(&mut self) {
        let config = self.core.quorum.image().broker_config(&self.core.config);
        let backoff = Duration::from_millis(config.log_cleaner_backoff_ms);
        self.looks_at = None;
        if self.running.len() >= config.log_cleaner_threads {
            // The next job that ends looks again; where none may run, the next change of the configuration does.
            return;
        }
        let judged = self.judge_candidates().await;
        let mut due = Vec::new();
        for (partition, judged) in judged {
            match judged {
                Ok(dirtiness) if dirtiness.is_due() => due.push((dirtiness.ratio(), partition)),
                Ok(dirtiness) => self.put_off(&partition, &dirtiness, backoff),
                Err(failure) => {
                    self.candidates.remove(&partition.topic_partition);
                    give_up(&partition, &failure);
                }
            }
        }
        // The dirtiest first.
        due.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let free = config.log_cleaner_threads.saturating_sub(self.running.len());
        if due.is_empty() {
            self.rests_until = time::now() + backoff;
        }
        for (_, partition) in due.into_iter().take(free) {
            self.start(partition, &config);
        }
    }

    /// Asks the logs off the runtime's threads, for some answers are on the disk.
    async fn judge_candidates(&self) -> Vec<(Arc<Partition>, Result<Dirtiness, LogError>)> {
        let idle = self.candidates.iter().filter(|(id, _)| !self.in_progress.contains(*id));
        let idle: Vec<_> = idle.map(|(_, partition)| Arc::clone(partition)).collect();
        let now_ms = self.core.clock.wall_ms();
        let judge = move || {
            let judge = |partition: Arc<Partition>| {
                let stable = partition.last_stable_offset();
                let judged = match partition.config().log.cleanup_compact {
                    true => partition.log().dirtiness(now_ms, stable),
                    // It is compacted no longer.
                    false => Err(LogError::Closed),
                };
                (partition, judged)
            };
            idle.into_iter().map(judge).collect()
        };
        tokio::task::spawn_blocking(judge).await.unwrap_or_default()
    }

    /// Keeps a candidate if time or a transaction that ends may make it due; an event brings back all others.
    fn put_off(&mut self, partition: &Arc<Partition>, dirtiness: &Dirtiness, backoff: Duration) {
        let now_ms = self.core.clock.wall_ms();
        let by_time = dirtiness.changes_at_ms.map(|at| time::duration_ms(at.saturating_sub(now_ms)));
        let by_others = dirtiness.waits_for_stable_end.then_some(backoff);
        let Some(delay) = by_time.into_iter().chain(by_others).min() else {
            self.candidates.remove(&partition.topic_partition);
            return;
        };
        // A time that lies centuries ahead is no instant.
        let at = time::now() + delay.min(Duration::from_secs(86_400));
        self.looks_at = Some(self.looks_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn start(&mut self, partition: Arc<Partition>, config: &BrokerConfig) {
        self.candidates.remove(&partition.topic_partition);
        self.in_progress.insert(partition.topic_partition.clone());
        let threads = config.log_cleaner_threads.max(1);
        let settings = CleanSettings {
            now_ms: self.core.clock.wall_ms(),
            last_stable_offset: partition.last_stable_offset(),
            dedupe_buffer_bytes: config.log_cleaner_dedupe_buffer_size / threads as u64,
            load_factor: config.log_cleaner_io_buffer_load_factor,
            io_buffer_bytes: config.log_cleaner_io_buffer_size / threads,
            secret: self.secret,
        };
        self.throttle.set_bytes_per_second(config.log_cleaner_io_max_bytes_per_second);
        let throttle = Arc::clone(&self.throttle);
        self.running.spawn_blocking(move || {
            let result = partition.log().clean(settings, &mut |bytes| throttle.pace(bytes));
            Done { partition, result }
        });
    }

    fn finish(&mut self, done: Done) {
        let Done { partition, result } = done;
        self.in_progress.remove(&partition.topic_partition);
        // Whoever waits for a thread can have this one.
        self.looks_at = Some(time::now());
        let id = &partition.topic_partition;
        match result {
            Ok(cleaned) if cleaned.is_complete => {
                let Cleaned { segments_before, segments_after, bytes_before, bytes_after, keys, .. } =
                    cleaned;
                let end = cleaned.clean_end;
                info!(
                    partition = %id, %end, segments_before, segments_after, bytes_before, bytes_after, keys,
                    "compacted"
                );
            }
            Ok(_) => debug!(partition = %id, "a compaction was stopped, or the log changed meanwhile"),
            Err(failure) if failure.is_disk_full() => {
                warn!(partition = %id, error = %failure, "no room to compact; trying again later");
                self.rest();
            }
            Err(failure) => return give_up(&partition, &failure),
        }
        // There may be more of it already, or it was stopped; unless another topic has its name by now.
        self.candidates.entry(id.clone()).or_insert_with(|| Arc::clone(&partition));
    }

    fn rest(&mut self) {
        let config = self.core.quorum.image().broker_config(&self.core.config);
        self.rests_until = time::now() + Duration::from_millis(config.log_cleaner_backoff_ms);
    }
}

/// Says once why a log is not compacted any more. The next start tries again.
fn give_up(partition: &Partition, failure: &LogError) {
    match failure {
        // It was deleted, or the broker stops.
        LogError::Closed => {}
        LogError::DirectoryDead(_) => partition.directory().note_failure(failure),
        _ => {
            partition.cleaning_mark().is_uncleanable.store(true, Ordering::Release);
            let partition = &partition.topic_partition;
            error!(%partition, error = %failure, "the partition is not compacted any more until the next start");
        }
    }
}
