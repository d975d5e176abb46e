//! What many partitions and many connections cost one broker: creation, memory, idle CPU, load over all of them, restart
//! after an orderly end and after a kill.

use std::time::{Duration, Instant};

use crate::batch::{Ledger, Shape, build};
use crate::error::{BenchError, Result};
use crate::process::{ServerProcess, descriptors_of, maps_of};
use crate::rows::launch::{PARTITIONS_PER_TOPIC, create_topics, idle_cpu_percent};
use crate::rows::now_ms;
use crate::scale::Figure;
use crate::stats::Latencies;
use crate::system::{Launcher, Meanwhile, Places, System};
use crate::wire::{Connection, PreparedProduce};

const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
const PATIENCE: Duration = Duration::from_secs(240);
/// Requests in flight while every partition gets a batch.
const IN_FLIGHT: usize = 5;
const IDLE_CONNECTIONS: usize = 5_000;
const ACTIVE_CONNECTIONS: usize = 1_000;

/// One life of a broker with so many partitions, and two restarts. Its data is left where it is: a file system that has just
/// freed hundreds of thousands of files (ext4, for five seconds) creates the next ones more slowly.
pub(crate) fn measure(places: &Places, system: System, partitions: usize) -> Result<(Vec<Figure>, Launcher)> {
    let launcher = Launcher::prepare(system, places, &format!("scale-{partitions}"), Meanwhile::Running)?;
    let mut figures = Vec::new();
    let mut process = launcher.spawn()?;
    launcher.wait_for_accept(&mut process)?;
    let mut connection = Connection::open(launcher.address())?;
    std::thread::sleep(Duration::from_secs(1));
    let empty_mib = process.memory()?.rss_anon;
    let per_partition = |process: &ServerProcess| -> Result<f64> {
        Ok((process.memory()?.rss_anon - empty_mib) * 1024.0 / partitions as f64)
    };

    let (from, cpu_from) = (Instant::now(), process.cpu_s()?);
    let topics = create_topics(&mut connection, partitions)?;
    figures.push(("create: s", from.elapsed().as_secs_f64()));
    figures.push(("create: broker CPU-s", process.cpu_s()? - cpu_from));
    figures.push(("idle: RssAnon MiB", process.memory()?.rss_anon));
    figures.push(("idle: RssAnon KiB per partition", per_partition(&process)?));
    figures.push(("idle: CPU %", idle_cpu_percent(&process)?));
    let from = Instant::now();
    let described = connection.describe_all()?;
    figures.push(("metadata of all: ms", from.elapsed().as_secs_f64() * 1e3));
    figures.push(("metadata of all: MB", described as f64 / 1e6));

    let mut all = AllPartitions { topics, written: Ledger::default() };
    all.load(&process, &mut connection, &mut figures)?;
    figures.push(("loaded: RssAnon MiB", process.memory()?.rss_anon));
    figures.push(("loaded: RssAnon KiB per partition", per_partition(&process)?));
    figures.push(("loaded: descriptors", descriptors_of(process.pid())? as f64));
    figures.push(("loaded: maps", maps_of(process.pid())? as f64));
    connections(&launcher, &process, &mut figures)?;

    drop(connection);
    let from = Instant::now();
    process.terminate(PATIENCE)?;
    figures.push(("clean stop: ms", from.elapsed().as_secs_f64() * 1e3));
    let process = all.restart(
        &launcher,
        &mut figures,
        [
            "clean restart → first ack: ms",
            "clean restart → an ack of each: ms",
            "clean restart: broker CPU-s",
        ],
    )?;
    figures.push(("clean restart: RssAnon KiB per partition", per_partition(&process)?));
    process.kill()?;
    let process = all.restart(
        &launcher,
        &mut figures,
        ["kill -9 → first ack: ms", "kill -9 → an ack of each: ms", "kill -9: broker CPU-s"],
    )?;
    all.audit(&mut Connection::open(launcher.address())?)?;
    process.kill()?;
    Ok((figures, launcher))
}

/// Seconds and the server's CPU seconds of `work`.
fn timed(process: &ServerProcess, work: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let (from, cpu_from) = (Instant::now(), process.cpu_s()?);
    work()?;
    Ok((from.elapsed().as_secs_f64(), process.cpu_s()? - cpu_from))
}

/// Idle connections, and then active ones: on each a record is sent, then each acknowledgement is read, again and again.
fn connections(launcher: &Launcher, process: &ServerProcess, figures: &mut Vec<Figure>) -> Result<()> {
    let mut first = Connection::open(launcher.address())?;
    first.create_topic("connections", 1, &[])?;
    let record = PreparedProduce::new("connections", 0, build(SHAPE, Some(1), now_ms(), 1));
    first.produce_until_acked(&record, PATIENCE)?;
    let before = process.memory()?.rss_anon;
    let open = |_| {
        let mut connection = Connection::open(launcher.address())?;
        connection.send_produce(&record)?;
        connection.receive_ack().map(|_| connection)
    };
    let mut all = (0..IDLE_CONNECTIONS).map(open).collect::<Result<Vec<Connection>>>()?;
    figures.push(("5,000 idle connections: CPU %", idle_cpu_percent(process)?));
    let held = process.memory()?.rss_anon - before;
    figures.push(("5,000 idle connections: RssAnon KiB each", held * 1024.0 / IDLE_CONNECTIONS as f64));
    let active = &mut all[..ACTIVE_CONNECTIONS];
    let mut latencies = Latencies::new();
    let (from, cpu_from) = (Instant::now(), process.cpu_s()?);
    while from.elapsed() < Duration::from_secs(5) {
        let sent = Instant::now();
        active.iter_mut().try_for_each(|connection| connection.send_produce(&record))?;
        for connection in &mut *active {
            connection.receive_ack()?;
            latencies.record(sent.elapsed());
        }
    }
    let (count, elapsed_s) = (latencies.count() as f64, from.elapsed().as_secs_f64());
    figures.push(("1,000 active connections: k requests/s", count / 1e3 / elapsed_s));
    figures.push((
        "1,000 active connections: broker CPU µs per request",
        (process.cpu_s()? - cpu_from) * 1e6 / count,
    ));
    figures.push(("1,000 active connections: wave p99 ms", latencies.percentile_us(99.0) / 1e3));
    let written = 1 + IDLE_CONNECTIONS as u64 + latencies.count();
    let read = first.audit("connections", 0, written as i64)?;
    if read.records != written {
        return Err(BenchError::Void(format!("{written} records were acknowledged, read {read:?}")));
    }
    Ok(())
}

/// Every partition of the topics, and what each of them got.
struct AllPartitions {
    topics: Vec<String>,
    /// The same for each.
    written: Ledger,
}

impl AllPartitions {
    fn request(&self, topic: usize, partition: i32, seed: u64) -> PreparedProduce {
        PreparedProduce::new(&self.topics[topic], partition, build(SHAPE, None, now_ms(), seed))
    }

    fn count(&self) -> usize {
        self.topics.len() * PARTITIONS_PER_TOPIC as usize
    }

    /// Megabytes in all partitions together.
    fn megabytes(&self) -> f64 {
        self.written.batches as f64 * SHAPE.batch_bytes_max as f64 * self.count() as f64 / 1e6
    }

    /// Two batches into each, and everything back.
    fn load(
        &mut self,
        process: &ServerProcess,
        connection: &mut Connection,
        figures: &mut Vec<Figure>,
    ) -> Result<()> {
        let (elapsed_s, cpu_s) = timed(process, || self.produce(connection))?;
        figures.push(("first batch into each: MB/s", self.megabytes() / elapsed_s));
        figures.push(("first batch into each: broker CPU-s", cpu_s));
        let before_mb = self.megabytes();
        let (elapsed_s, cpu_s) = timed(process, || self.produce(connection))?;
        figures.push(("second batch into each: MB/s", (self.megabytes() - before_mb) / elapsed_s));
        figures.push(("second batch into each: broker CPU-s", cpu_s));
        let (elapsed_s, cpu_s) = timed(process, || self.audit(connection))?;
        figures.push(("fetch all, a request each: MB/s", self.megabytes() / elapsed_s));
        figures.push(("fetch all, a request each: broker CPU-s", cpu_s));
        Ok(())
    }

    /// Starts the broker again; the first acknowledgement is that of the last partition, then each gets one more batch.
    fn restart(
        &mut self,
        launcher: &Launcher,
        figures: &mut Vec<Figure>,
        [first, each, cpu]: [&'static str; 3],
    ) -> Result<ServerProcess> {
        let mut process = launcher.spawn()?;
        launcher.wait_for_accept(&mut process)?;
        let mut connection = Connection::open(launcher.address())?;
        let seed = self.written.batches + 1;
        let last = (self.topics.len() - 1, PARTITIONS_PER_TOPIC - 1);
        connection.produce_until_acked(&self.request(last.0, last.1, seed), PATIENCE)?;
        figures.push((first, process.started().elapsed().as_secs_f64() * 1e3));
        for topic in 0..self.topics.len() {
            let mut request = self.request(topic, 0, seed);
            for partition in (0..PARTITIONS_PER_TOPIC).filter(|partition| (topic, *partition) != last) {
                request.address_to(partition);
                connection.produce_until_acked(&request, PATIENCE)?;
            }
        }
        figures.push((each, process.started().elapsed().as_secs_f64() * 1e3));
        figures.push((cpu, process.cpu_s()?));
        self.written.add_records(build(SHAPE, None, 0, seed).record_count);
        Ok(process)
    }

    /// One batch into each.
    fn produce(&mut self, connection: &mut Connection) -> Result<()> {
        let seed = self.written.batches + 1;
        let mut in_flight = 0;
        for topic in 0..self.topics.len() {
            let mut request = self.request(topic, 0, seed);
            for partition in 0..PARTITIONS_PER_TOPIC {
                request.address_to(partition);
                connection.send_produce(&request)?;
                in_flight += 1;
                if in_flight == IN_FLIGHT {
                    connection.receive_ack()?;
                    in_flight -= 1;
                }
            }
        }
        (0..in_flight).try_for_each(|_| connection.receive_ack().map(drop))?;
        let batch = build(SHAPE, None, 0, seed);
        self.written.add_records(batch.record_count);
        Ok(())
    }

    /// Reads each from its start.
    fn audit(&self, connection: &mut Connection) -> Result<()> {
        for topic in &self.topics {
            for partition in 0..PARTITIONS_PER_TOPIC {
                let read = connection.audit(topic, partition, self.written.records as i64)?;
                if (read.batches, read.records) != (self.written.batches, self.written.records) {
                    return Err(BenchError::Void(format!("{topic}-{partition} has {read:?}")));
                }
            }
        }
        Ok(())
    }
}
