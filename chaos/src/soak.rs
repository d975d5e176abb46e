//! Mixed load at a fixed rate for a long time, far below what the broker can do: after the first minutes nothing may grow,
//! neither its memory, descriptors and threads nor the time that a producer waits.
//!
//! Records come and go (retention by size), groups commit, connections come, ask a few things and go. Samples are taken from
//! `/proc` and from the producers' own clocks; the last third of them is held against the first.

use crate::broker::Home;
use crate::finding::Finding;
use crate::payload::{Identity, value_of};
use crate::process::Process;
use crate::soak_report::{Sample, Soak};
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
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
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
/// Timestamps that stand for the log's ends.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// Short runs take so many samples.
const SAMPLES_MIN: u32 = 12;

/// How long, how hard, and where the report goes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How long.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Everything so many times less often: beside other work, a tenth of a core is enough to find a leak.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    slow_down: u32,
    /// Keep the samples and the verdicts as this path with `.md` and `.json` behind it.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    stops: AtomicBool,
    /// Everything so many times less often.
    slow_down: u32,
    records_written: AtomicU64,
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

/// Runs it, prints the table and keeps it.
pub(crate) fn run(binary: &Path, directory: &Path, options: &Options) -> Result<(), Finding> {
    let Options { minutes, slow_down, report } = options;
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
    let shared = Shared { slow_down: *slow_down, ..Shared::default() };
    let mut soak = Soak::begin(format!("ottla-chaos soak --minutes {minutes} --slow-down {slow_down}"));
    let watched = Watched { process: Process::new(life.id()), directory, address: home.address };
    std::thread::scope(|scope| {
        let (shared, address) = (&shared, home.address);
        let mut load = Vec::new();
        for partition in 0..PARTITION_COUNT {
            load.push(scope.spawn(move || shared.until_failure(produce(shared, address, partition))));
            load.push(scope.spawn(move || shared.until_failure(fetch(shared, address, partition))));
        }
        load.push(scope.spawn(move || shared.until_failure(commit(shared, address))));
        load.push(scope.spawn(move || shared.until_failure(come_and_go(shared, address))));
        let sampled = sample(shared, &watched, time, &mut soak.samples);
        shared.stops.store(true, Ordering::Relaxed);
        for thread in load {
            thread
                .join()
                .unwrap_or_else(|_| Err(Finding::Void("a thread of the load panicked".to_owned())))?;
        }
        sampled
    })?;
    soak.records_written = shared.records_written.load(Ordering::Relaxed);
    if !life.stop()? {
        return Err(Finding::Broken("the broker does not end cleanly after the soak".to_owned()));
    }
    println!("{}", soak.verdicts()?);
    if let Some(stem) = report {
        soak.keep(stem)?;
    }
    soak.judge()
}

/// Where samples are taken.
struct Watched<'a> {
    process: Process,
    directory: &'a Path,
    address: SocketAddr,
}

impl Watched<'_> {
    fn sample(&self, shared: &Shared) -> Result<Sample, Finding> {
        let mut wire = Wire::connect(self.address)?;
        let mut records_removed = 0.0;
        for partition in 0..PARTITION_COUNT {
            records_removed += list_offset(&mut wire, partition, EARLIEST)? as f64;
        }
        drop(wire);
        Ok(Sample {
            memory_kib: self.process.anonymous_kib()? as f64,
            descriptors: self.process.descriptors()?.len() as f64,
            threads: self.process.thread_count()? as f64,
            p99_ms: p99(shared).as_secs_f64() * 1000.0,
            disk_mib: disk_bytes(self.directory) as f64 / (1 << 20) as f64,
            records_removed,
            ..Sample::default()
        })
    }
}

/// Of the files below a directory. What goes while it is looked at counts as gone.
fn disk_bytes(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}

fn sample(
    shared: &Shared,
    watched: &Watched<'_>,
    time: Duration,
    samples: &mut Vec<Sample>,
) -> Result<(), Finding> {
    let every = SAMPLE_EVERY.min(time / SAMPLES_MIN);
    println!("{}", Sample::title_row());
    let started = Instant::now();
    let (mut last, mut cpu) = (started, watched.process.cpu_time()?);
    while started.elapsed() < time && !shared.stops.load(Ordering::Relaxed) {
        std::thread::sleep(every);
        let mut sample = watched.sample(shared)?;
        let (now, cpu_now) = (Instant::now(), watched.process.cpu_time()?);
        let seconds = (now - last).as_secs_f64();
        let rate = |count: &AtomicU64| count.swap(0, Ordering::Relaxed) as f64 / seconds;
        sample.second = started.elapsed().as_secs();
        sample.cpu_percent = (cpu_now - cpu).as_secs_f64() / seconds * 100.0;
        sample.records_per_s = rate(&shared.records);
        sample.commits_per_s = rate(&shared.commits);
        sample.connections_per_s = rate(&shared.connections);
        sample.fetched_mb_per_s = rate(&shared.fetched_bytes) / 1e6;
        println!("{}", sample.row());
        if sample.records_per_s < 1.0 {
            return Err(Finding::Broken("the broker takes no records any more".to_owned()));
        }
        samples.push(sample);
        (last, cpu) = (now, cpu_now);
    }
    Ok(())
}

/// Of all batches since the last sample.
fn p99(shared: &Shared) -> Duration {
    let mut latencies =
        std::mem::take(&mut *shared.latencies.lock().unwrap_or_else(|error| error.into_inner()));
    latencies.sort_unstable();
    latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default()
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
        next = (next + every * shared.slow_down).max(Instant::now());
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
        shared.records_written.fetch_add(RECORDS_PER_BATCH, Ordering::Relaxed);
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
            None => list_offset(&mut wire, partition, LATEST)?,
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

fn list_offset(wire: &mut Wire, partition: i32, timestamp: i64) -> Result<i64, Finding> {
    let asked =
        ListOffsetsPartition { partition_index: partition, timestamp, ..ListOffsetsPartition::default() };
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
        list_offset(&mut wire, (number % PARTITION_COUNT as u64) as i32, LATEST)?;
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
