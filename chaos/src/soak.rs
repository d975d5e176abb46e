//! Mixed load at a fixed rate for a long time, far below what the broker can do: after the first minutes nothing may grow,
//! neither its memory, descriptors and threads nor the time that a producer waits.
//!
//! Records come and go (retention by size), groups commit, connections come, ask a few things and go. Samples are taken from
//! `/proc` and from the producers' own clocks; the last third of them is held against the first.

use crate::broker::Home;
use crate::finding::Finding;
use crate::payload::{Identity, value_of};
use crate::process::Process;
use crate::topic;
use crate::wire::Wire;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;
use ottla_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::records::{BatchBuilder, Compression};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const TOPIC: &str = "soak";
const PARTITION_COUNT: i32 = 6;
const RECORDS_PER_BATCH: u64 = 20;
/// How often each thread does what it does.
const PRODUCE_EVERY: Duration = Duration::from_millis(5);
const COMMIT_EVERY: Duration = Duration::from_millis(20);
const CONNECT_EVERY: Duration = Duration::from_millis(25);
const GROUP_COUNT: u64 = 50;
const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// Short runs take so many samples.
const SAMPLES_MIN: u32 = 12;

/// What the last third may have on top of the first.
const MEMORY_GROWTH_MAX: f64 = 0.10;
const MEMORY_GROWTH_FREE_KIB: f64 = 4096.0;
const DESCRIPTORS_GROWTH_MAX: f64 = 16.0;
const THREADS_GROWTH_MAX: f64 = 2.0;
const LATENCY_GROWTH_MAX: f64 = 1.0;
const LATENCY_GROWTH_FREE_MS: f64 = 10.0;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
struct Sample {
    memory_kib: f64,
    descriptors: f64,
    threads: f64,
    p99_ms: f64,
}

/// How far a figure may grow: by a share of what it was, and by so much in any case.
struct Bound {
    what: &'static str,
    of: fn(&Sample) -> f64,
    share_max: f64,
    free: f64,
}

impl Bound {
    fn new(what: &'static str, of: fn(&Sample) -> f64, share_max: f64, free: f64) -> Self {
        Self { what, of, share_max, free }
    }
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    stops: AtomicBool,
    records: AtomicU64,
    commits: AtomicU64,
    connections: AtomicU64,
    fetched_bytes: AtomicU64,
    latencies: Mutex<Vec<Duration>>,
}

impl Shared {
    /// The end of one thread, which is that of all if it is not a good one.
    fn until_failure(&self, result: Result<(), Finding>) -> Result<(), Finding> {
        result.inspect_err(|_| self.stops.store(true, Ordering::Relaxed))
    }
}

/// Runs it and prints the table.
pub(crate) fn run(binary: &Path, directory: &Path, minutes: u64, _seed: u64) -> Result<(), Finding> {
    let home = Home::new(binary, &directory.join("soak"))?
        .with("log.retention.check.interval.ms=5000")
        .with("log.segment.delete.delay.ms=1000")
        .with("offsets.topic.num.partitions=5");
    let life = home.start_sound()?;
    topic::create(
        &mut Wire::connect(home.address)?,
        TOPIC,
        PARTITION_COUNT,
        &[("retention.bytes", "8388608"), ("file.delete.delay.ms", "1000")],
    )?;
    let time = Duration::from_secs(minutes * 60);
    let shared = Shared::default();
    let samples = std::thread::scope(|scope| {
        let (shared, address) = (&shared, home.address);
        let mut load = Vec::new();
        for partition in 0..PARTITION_COUNT {
            load.push(scope.spawn(move || shared.until_failure(produce(shared, address, partition))));
            load.push(scope.spawn(move || shared.until_failure(fetch(shared, address, partition))));
        }
        load.push(scope.spawn(move || shared.until_failure(commit(shared, address))));
        load.push(scope.spawn(move || shared.until_failure(come_and_go(shared, address))));
        let samples = sample(shared, &Process::new(life.id()), time);
        shared.stops.store(true, Ordering::Relaxed);
        for thread in load {
            thread
                .join()
                .unwrap_or_else(|_| Err(Finding::Void("a thread of the load panicked".to_owned())))?;
        }
        samples
    })?;
    if !life.stop()? {
        return Err(Finding::Broken("the broker does not end cleanly after the soak".to_owned()));
    }
    judge(&samples)
}

fn sample(shared: &Shared, process: &Process, time: Duration) -> Result<Vec<Sample>, Finding> {
    let every = SAMPLE_EVERY.min(time / SAMPLES_MIN);
    println!(
        "{:>6} {:>12} {:>5} {:>8} {:>9} {:>10} {:>9} {:>12} {:>10}",
        "s",
        "RssAnon KiB",
        "fds",
        "threads",
        "p99 ms",
        "records/s",
        "commits/s",
        "connections/s",
        "fetch MB/s"
    );
    let mut samples = Vec::new();
    let started = Instant::now();
    while started.elapsed() < time && !shared.stops.load(Ordering::Relaxed) {
        std::thread::sleep(every);
        let rate = |count: &AtomicU64| count.swap(0, Ordering::Relaxed) as f64 / every.as_secs_f64();
        let sample = Sample {
            memory_kib: process.anonymous_kib()? as f64,
            descriptors: process.descriptors()?.len() as f64,
            threads: process.thread_count()? as f64,
            p99_ms: p99(shared).as_secs_f64() * 1000.0,
        };
        let records = rate(&shared.records);
        println!(
            "{:>6} {:>12} {:>5} {:>8} {:>9.2} {:>10.0} {:>9.0} {:>12.0} {:>10.1}",
            started.elapsed().as_secs(),
            sample.memory_kib,
            sample.descriptors,
            sample.threads,
            sample.p99_ms,
            records,
            rate(&shared.commits),
            rate(&shared.connections),
            rate(&shared.fetched_bytes) / 1e6
        );
        if records < 1.0 {
            return Err(Finding::Broken("the broker takes no records any more".to_owned()));
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// Of all batches since the last sample.
fn p99(shared: &Shared) -> Duration {
    let mut latencies =
        std::mem::take(&mut *shared.latencies.lock().unwrap_or_else(|error| error.into_inner()));
    latencies.sort_unstable();
    latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default()
}

/// Holds the last third against the first.
fn judge(samples: &[Sample]) -> Result<(), Finding> {
    let third = samples.len() / 3;
    if third == 0 {
        return Err(Finding::Void("too few samples to compare".to_owned()));
    }
    let mean = |samples: &[Sample], of: fn(&Sample) -> f64| {
        samples.iter().map(of).sum::<f64>() / samples.len() as f64
    };
    let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
    let bounds = [
        Bound::new("RssAnon in KiB", |sample| sample.memory_kib, MEMORY_GROWTH_MAX, MEMORY_GROWTH_FREE_KIB),
        Bound::new("descriptors", |sample| sample.descriptors, 0.0, DESCRIPTORS_GROWTH_MAX),
        Bound::new("threads", |sample| sample.threads, 0.0, THREADS_GROWTH_MAX),
        Bound::new("p99 in ms", |sample| sample.p99_ms, LATENCY_GROWTH_MAX, LATENCY_GROWTH_FREE_MS),
    ];
    for Bound { what, of, share_max, free } in bounds {
        let (before, after) = (mean(first, of), mean(last, of));
        let bound = before * (1.0 + share_max) + free;
        println!("{what}: {before:.1} in the first third, {after:.1} in the last (at most {bound:.1})");
        if after > bound {
            return Err(Finding::Broken(format!(
                "{what} grew from {before:.1} to {after:.1}; the bound is {bound:.1}"
            )));
        }
    }
    Ok(())
}

/// Does something at a fixed rate until the end. Who is late does not catch up: the rate is a bound.
fn at_rate(
    shared: &Shared,
    every: Duration,
    mut work: impl FnMut(u64) -> Result<(), Finding>,
) -> Result<(), Finding> {
    let mut next = Instant::now();
    for number in 0.. {
        if shared.stops.load(Ordering::Relaxed) {
            break;
        }
        work(number)?;
        next = (next + every).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

fn produce(shared: &Shared, address: SocketAddr, partition: i32) -> Result<(), Finding> {
    let mut wire = Wire::connect(address)?;
    at_rate(shared, PRODUCE_EVERY, |number| {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let codec = if number % 2 == 0 { Compression::None } else { Compression::Lz4 };
        let mut builder = BatchBuilder::new(codec);
        for record in 0..RECORDS_PER_BATCH {
            let number = number * RECORDS_PER_BATCH + record;
            let value = value_of(Identity { producer: partition as u64, number });
            if builder.push(now_ms, None, Some(&value), &[]).is_err() {
                return Err(Finding::Void("a batch of this size cannot be built".to_owned()));
            }
        }
        let data = PartitionProduceData { index: partition, records: Some(builder.build()) };
        let topic = TopicProduceData { name: TOPIC.into(), partition_data: vec![data] };
        let request =
            ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 10_000, topic_data: vec![topic] };
        let started = Instant::now();
        let response = wire.call(9, request)?;
        let took = started.elapsed();
        let rows = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        refuse_errors("produce", rows.map(|row| row.error_code))?;
        shared.records.fetch_add(RECORDS_PER_BATCH, Ordering::Relaxed);
        shared.latencies.lock().unwrap_or_else(|error| error.into_inner()).push(took);
        Ok(())
    })
}

/// Follows the log from its end; who falls behind retention begins at the end again.
fn fetch(shared: &Shared, address: SocketAddr, partition: i32) -> Result<(), Finding> {
    let mut wire = Wire::connect(address)?;
    let mut offset = None;
    while !shared.stops.load(Ordering::Relaxed) {
        let fetch_offset = match offset {
            Some(offset) => offset,
            None => log_end(&mut wire, partition)?,
        };
        let wanted =
            FetchPartition { partition, fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
        let request = FetchRequest {
            max_wait_ms: 100,
            min_bytes: 1 << 14,
            max_bytes: 1 << 20,
            topics: vec![FetchTopic {
                topic: TOPIC.into(),
                partitions: vec![wanted],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let response = wire.call(12, request)?;
        let row = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let Some(row) = row else { continue };
        if row.error_code == ErrorCode::OFFSET_OUT_OF_RANGE {
            offset = None;
            continue;
        }
        refuse_errors("fetch", [row.error_code])?;
        if let ottla_protocol::codec::FetchRecords::Bytes(bytes) = &row.records {
            shared.fetched_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        // Not read record by record: the next fetch begins at what is known to be there.
        offset = Some(row.high_watermark.max(fetch_offset));
    }
    Ok(())
}

fn log_end(wire: &mut Wire, partition: i32) -> Result<i64, Finding> {
    let asked =
        ListOffsetsPartition { partition_index: partition, timestamp: -1, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: TOPIC.into(), partitions: vec![asked] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
    let response = wire.call(7, request)?;
    let row = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
    row.map(|row| row.offset).ok_or_else(|| Finding::Broken("ListOffsets without an answer".to_owned()))
}

/// Groups without members commit in turn, as simple consumers do.
fn commit(shared: &Shared, address: SocketAddr) -> Result<(), Finding> {
    let mut wire = Wire::connect(address)?;
    at_rate(shared, COMMIT_EVERY, |number| {
        let group = format!("soak-{}", number % GROUP_COUNT);
        let partition = OffsetCommitRequestPartition {
            partition_index: (number % PARTITION_COUNT as u64) as i32,
            committed_offset: number as i64,
            ..OffsetCommitRequestPartition::default()
        };
        let request = OffsetCommitRequest {
            group_id: group.as_str().into(),
            generation_id_or_member_epoch: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: TOPIC.into(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..OffsetCommitRequest::default()
        };
        let response = wire.call(8, request)?;
        let rows = response.topics.iter().flat_map(|topic| &topic.partitions);
        let is_loading = |code: &ErrorCode| {
            [
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
                ErrorCode::COORDINATOR_NOT_AVAILABLE,
                ErrorCode::NOT_COORDINATOR,
            ]
            .contains(code)
        };
        if rows.clone().any(|row| is_loading(&row.error_code)) {
            wire.call(3, FindCoordinatorRequest { key: group.as_str().into(), ..Default::default() })?;
            return Ok(());
        }
        refuse_errors("commit", rows.map(|row| row.error_code))?;
        shared.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
}

/// A client that comes, asks for versions, metadata and an offset, and goes.
fn come_and_go(shared: &Shared, address: SocketAddr) -> Result<(), Finding> {
    at_rate(shared, CONNECT_EVERY, |number| {
        let mut wire = Wire::connect(address)?;
        wire.ask()?;
        topic::expect(&mut wire, TOPIC)?;
        log_end(&mut wire, (number % PARTITION_COUNT as u64) as i32)?;
        shared.connections.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
}

fn refuse_errors(operation: &str, codes: impl IntoIterator<Item = ErrorCode>) -> Result<(), Finding> {
    match codes.into_iter().find(|code| code.is_error()) {
        Some(code) => Err(Finding::Refused { operation: operation.to_owned(), code }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory_kib: &[f64], p99_ms: f64) -> Vec<Sample> {
        let sample =
            |memory_kib: &f64| Sample { memory_kib: *memory_kib, descriptors: 50.0, threads: 8.0, p99_ms };
        memory_kib.iter().map(sample).collect()
    }

    #[test]
    fn a_level_run_passes_and_a_leak_does_not() {
        judge(&samples(&[40_000.0, 41_000.0, 40_500.0, 40_000.0, 41_500.0, 42_000.0], 2.0)).expect("level");
        assert!(judge(&samples(&[40_000.0, 45_000.0, 50_000.0, 55_000.0, 60_000.0, 65_000.0], 2.0)).is_err());
        assert!(judge(&samples(&[40_000.0], 2.0)).is_err(), "one sample proves nothing");
    }

    #[test]
    fn waits_that_grow_are_found() {
        let mut run = samples(&[40_000.0; 6], 2.0);
        run[5].p99_ms = 100.0;
        assert!(judge(&run).is_err());
    }
}
