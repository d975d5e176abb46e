//! The loads under which a broker is profiled, each on raw connections with batches laid out ahead, each for a given
//! time, and the counters that tell how much was asked of the broker within a window of it.
//!
//! It judges nothing and reads nothing back: the rows of [`crate::rows`] do. What was asked counts when it was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use serde::Serialize;

use crate::batch::{Shape, build};
use crate::error::{BenchError, Result};
use crate::rows::now_ms;
use crate::rows::produce::{prepare, pump};
use crate::system::Broker;
use crate::wire::{Connection, Member, PreparedProduce};

/// Produce requests in flight on the one connection.
const IN_FLIGHT: usize = 5;
const FETCH_BYTES: i32 = 1 << 20;
/// What fetches go round and round over.
const STORED_BYTES: u64 = 512 << 20;
const RECORDS_PER_SECOND: u32 = 2_000;
const PATIENCE: Duration = Duration::from_secs(30);
const KIB_RECORDS: Shape = Shape { value_bytes: 1024, batch_bytes_max: 256 << 10 };
const SMALL_RECORDS: Shape = Shape { value_bytes: 100, batch_bytes_max: 16 << 10 };
const SINGLE_RECORDS: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };

/// What is asked of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// Records of 1 KiB in batches of 256 KiB, five requests in flight.
    #[value(name = "produce-1k")]
    #[serde(rename = "produce-1k")]
    ProduceKib,
    /// Records of 100 B in batches of 16 KiB, five requests in flight.
    #[value(name = "produce-100b")]
    #[serde(rename = "produce-100b")]
    ProduceSmall,
    /// Fetches of 1 MiB, one at a time, of data in the page cache.
    Fetch,
    /// 2,000 records a second, each a request of its own, and a consumer that waits for them.
    EndToEnd,
    /// 2,000 records a second, each fsynced before its acknowledgement.
    Fsync,
    /// Heartbeats of a classic group, one at a time.
    Heartbeat,
}

impl Load {
    /// As it stands in names of files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Load::ProduceKib => "produce-1k",
            Load::ProduceSmall => "produce-100b",
            Load::Fetch => "fetch",
            Load::EndToEnd => "end-to-end",
            Load::Fsync => "fsync",
            Load::Heartbeat => "heartbeat",
        }
    }

    /// As it is called in the report.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Load::ProduceKib => "produce: 1 KiB in 256 KiB, 5 in flight",
            Load::ProduceSmall => "produce: 100 B in 16 KiB, 5 in flight",
            Load::Fetch => "fetch: 1 MiB, one at a time",
            Load::EndToEnd => "end to end: 2,000 records/s, one a request",
            Load::Fsync => "fsync: 2,000 records/s, `flush.messages=1`",
            Load::Heartbeat => "heartbeat, one at a time",
        }
    }

    /// How long it is watched. What fills the disk is watched for a shorter time.
    pub(crate) fn window(self, usual: Duration) -> Duration {
        if matches!(self, Load::ProduceKib) { usual / 3 } else { usual }
    }

    /// Whether it is the waits that matter, because the processors are mostly idle.
    pub(crate) fn mostly_waits(self) -> bool {
        matches!(self, Load::EndToEnd | Load::Fsync)
    }
}

/// How much was asked and answered.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Asked {
    /// Requests of all kinds.
    pub(crate) requests: u64,
    /// Records acknowledged, or fetched where nothing is produced.
    pub(crate) records: u64,
    /// Bytes of batches acknowledged, or of responses to fetches where nothing is produced.
    pub(crate) bytes: u64,
}

impl Asked {
    /// What came on top of `earlier`.
    pub(crate) fn since(self, earlier: Asked) -> Asked {
        Asked {
            requests: self.requests - earlier.requests,
            records: self.records - earlier.records,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    fn add(&self, records: u64, bytes: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A load under way. Its threads end by themselves.
#[derive(Debug)]
pub(crate) struct Running {
    counters: Arc<Counters>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Running {
    /// Prepares a topic of this name and starts a load that goes on for `lifetime`.
    pub(crate) fn start(broker: &Broker, load: Load, topic: &str, lifetime: Duration) -> Result<Self> {
        let mut connection = broker.connect()?;
        let counters = Arc::new(Counters::default());
        let threads = match load {
            Load::ProduceKib | Load::ProduceSmall => {
                let shape = if load == Load::ProduceKib { KIB_RECORDS } else { SMALL_RECORDS };
                let prepared = new_topic(&mut connection, topic, shape, &[])?;
                let counters = Arc::clone(&counters);
                vec![std::thread::spawn(move || produce(connection, &prepared, lifetime, &counters))]
            }
            Load::Fetch => {
                let prepared = new_topic(&mut connection, topic, KIB_RECORDS, &[])?;
                let stored = pump(&mut connection, &prepared, STORED_BYTES)?.ledger.records;
                let (topic, counters) = (topic.to_owned(), Arc::clone(&counters));
                vec![std::thread::spawn(move || fetch(connection, &topic, stored, lifetime, &counters))]
            }
            Load::EndToEnd | Load::Fsync => {
                let fsync = load == Load::Fsync;
                let configs: &[_] = if fsync { &[("flush.messages", "1")] } else { &[] };
                start_open_loop(broker, connection, topic, configs, !fsync, lifetime, &counters)?
            }
            Load::Heartbeat => {
                let counters = Arc::clone(&counters);
                // A group of its own: the member of an earlier window is still waited for in the earlier group.
                let member = connection.join_alone(topic, PATIENCE)?;
                vec![std::thread::spawn(move || heartbeat(connection, &member, lifetime, &counters))]
            }
        };
        Ok(Self { counters, threads })
    }

    /// How much was answered up to now.
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            requests: self.counters.requests.load(Ordering::Relaxed),
            records: self.counters.records.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
        }
    }

    /// Waits for its end.
    pub(crate) fn join(self) -> Result<()> {
        self.threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| BenchError::Void("a thread of the load panicked".to_owned()))?
        })
    }
}

/// Creates a topic and sends it one batch; the batches to cycle through.
fn new_topic(
    connection: &mut Connection,
    topic: &str,
    shape: Shape,
    configs: &[(&str, &str)],
) -> Result<Vec<PreparedProduce>> {
    connection.create_topic(topic, 1, configs)?;
    let prepared = prepare(topic, 0, shape);
    connection.produce_until_acked(&prepared[0], PATIENCE)?;
    Ok(prepared)
}

fn produce(
    mut connection: Connection,
    prepared: &[PreparedProduce],
    lifetime: Duration,
    counters: &Counters,
) -> Result<()> {
    let end = Instant::now() + lifetime;
    let mut turn = prepared.iter().cycle();
    let mut waiting = std::collections::VecDeque::new();
    loop {
        while waiting.len() < IN_FLIGHT && Instant::now() < end {
            let Some(next) = turn.next() else { break };
            connection.send_produce(next)?;
            waiting.push_back(&next.batch);
        }
        let Some(batch) = waiting.pop_front() else { return Ok(()) };
        connection.receive_ack()?;
        counters.add(u64::from(batch.record_count), batch.bytes.len() as u64);
    }
}

fn fetch(
    mut connection: Connection,
    topic: &str,
    stored: u64,
    lifetime: Duration,
    counters: &Counters,
) -> Result<()> {
    let end = Instant::now() + lifetime;
    let mut offset = 0;
    while Instant::now() < end {
        let mut records = 0;
        let fetched = connection
            .fetch(topic, 0, offset, FETCH_BYTES, |batch| records += u64::from(batch.record_count))?;
        counters.add(records, fetched.frame_bytes as u64);
        let next = fetched.next_offset.filter(|next| (*next as u64) < stored);
        offset = next.unwrap_or(0);
    }
    Ok(())
}

/// One record a request at fixed times, whatever the broker does; `waits` says whether a consumer waits for them.
fn start_open_loop(
    broker: &Broker,
    mut sender: Connection,
    topic: &str,
    configs: &[(&str, &str)],
    waits: bool,
    lifetime: Duration,
    counters: &Arc<Counters>,
) -> Result<Vec<JoinHandle<Result<()>>>> {
    sender.create_topic(topic, 1, configs)?;
    let record = PreparedProduce::new(topic, 0, build(SINGLE_RECORDS, Some(1), now_ms(), 1));
    let first = sender.produce_until_acked(&record, PATIENCE)? + 1;
    let count = (lifetime.as_secs_f64() * f64::from(RECORDS_PER_SECOND)) as u32;
    let bytes = record.batch.bytes.len() as u64;
    let (mut acks, counted) = (sender.reader()?, Arc::clone(counters));
    let mut threads = vec![std::thread::spawn(move || {
        (0..count).try_for_each(|_| acks.receive_ack().map(|_| counted.add(1, bytes)))
    })];
    if waits {
        let (mut reader, topic, counted) = (broker.connect()?, topic.to_owned(), Arc::clone(counters));
        threads.push(std::thread::spawn(move || {
            let (mut offset, end) = (first, first + i64::from(count));
            while offset < end {
                offset = reader.fetch(&topic, 0, offset, FETCH_BYTES, |_| {})?.next_offset.unwrap_or(offset);
                counted.requests.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }));
    }
    threads.push(std::thread::spawn(move || {
        // A sleep may otherwise end 50 µs late, and the records would come in pairs.
        let _ = prctl::set_timerslack(1);
        let (start, gap) = (Instant::now(), Duration::from_secs(1) / RECORDS_PER_SECOND);
        for index in 0..count {
            if let Some(wait) = (start + gap * index).checked_duration_since(Instant::now()) {
                std::thread::sleep(wait);
            }
            sender.send_produce(&record)?;
        }
        Ok(())
    }));
    Ok(threads)
}

fn heartbeat(
    mut connection: Connection,
    member: &Member,
    lifetime: Duration,
    counters: &Counters,
) -> Result<()> {
    let end = Instant::now() + lifetime;
    while Instant::now() < end {
        connection.heartbeat(member)?;
        counters.add(0, 0);
    }
    Ok(())
}
