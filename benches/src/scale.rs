//! What many partitions and many connections cost one broker: creation, memory, idle CPU, load over all of them, restart.
//!
//! One system, one pass, no ratios: a table to look at. As everywhere, what was written is read back and compared.
#![allow(clippy::print_stdout, reason = "the table is what this command is for")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::batch::{Ledger, Shape, build};
use crate::error::{BenchError, Doing, Result};
use crate::machine::Machine;
use crate::process::ServerProcess;
use crate::report::{describe_machine, digits};
use crate::rows::launch::{PARTITIONS_PER_TOPIC, create_topics, idle_cpu_percent};
use crate::rows::now_ms;
use crate::stats::Latencies;
use crate::system::{Launcher, Meanwhile, Places, System};
use crate::wire::{Connection, PreparedProduce};

const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
const PATIENCE: Duration = Duration::from_secs(240);
/// Requests in flight while every partition gets a batch.
const IN_FLIGHT: usize = 5;
const IDLE_CONNECTIONS: usize = 5_000;
const ACTIVE_CONNECTIONS: usize = 1_000;

/// A figure for each number of partitions.
#[derive(Debug, Serialize)]
struct Line {
    figure: &'static str,
    by_partitions: Vec<f64>,
}

#[derive(Serialize)]
struct Kept<'a> {
    machine: &'a Machine,
    partitions: &'a [usize],
    figures: &'a [Line],
}

/// Measures, prints the table and keeps it as `NAME.md` and `NAME.json`.
pub(crate) fn run(
    machine: &Machine,
    places: &Places,
    system: System,
    counts: &[usize],
    results: &Path,
    name: &str,
) -> Result<()> {
    let mut lines: Vec<Line> = Vec::new();
    for (column, count) in counts.iter().enumerate() {
        for (figure, value) in measure(places, system, *count)? {
            eprintln!("{count} partitions: {figure} {value:.3}");
            match lines.iter_mut().find(|line| line.figure == figure) {
                Some(line) => line.by_partitions.push(value),
                None if column == 0 => lines.push(Line { figure, by_partitions: vec![value] }),
                None => return Err(BenchError::Void(format!("{figure} was not measured before"))),
            }
        }
    }
    let mut table = format!("# Scale: {system}, one broker\n\n{}\n\n| |", describe_machine(machine));
    for count in counts {
        let _ = write!(table, " {count} partitions |");
    }
    let _ = writeln!(table, "\n|---|{}", "---|".repeat(counts.len()));
    for line in &lines {
        let figures: Vec<String> = line.by_partitions.iter().map(|figure| digits(*figure)).collect();
        let _ = writeln!(table, "| {} | {} |", line.figure, figures.join(" | "));
    }
    println!("{table}");
    let kept = serde_json::to_string_pretty(&Kept { machine, partitions: counts, figures: &lines });
    fs::create_dir_all(results).doing(|| format!("create {}", results.display()))?;
    for (extension, text) in [("md", table), ("json", kept.unwrap_or_default() + "\n")] {
        let path = results.join(format!("{name}.{extension}"));
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn measure(places: &Places, system: System, partitions: usize) -> Result<Vec<(&'static str, f64)>> {
    let launcher = Launcher::prepare(system, places, "scale", Meanwhile::Running)?;
    let mut figures = Vec::new();
    let mut process = launcher.spawn()?;
    launcher.wait_for_accept(&mut process)?;
    let mut connection = Connection::open(launcher.address())?;
    std::thread::sleep(Duration::from_secs(1));
    let empty_mib = process.memory()?.rss_anon;

    let (from, cpu_from) = (Instant::now(), process.cpu_s()?);
    let topics = create_topics(&mut connection, partitions)?;
    figures.push(("create: s", from.elapsed().as_secs_f64()));
    figures.push(("create: broker CPU-s", process.cpu_s()? - cpu_from));
    let per_partition = |process: &ServerProcess| -> Result<f64> {
        Ok((process.memory()?.rss_anon - empty_mib) * 1024.0 / partitions as f64)
    };
    figures.push(("idle: RssAnon KiB per partition", per_partition(&process)?));
    figures.push(("idle: CPU %", idle_cpu_percent(&process)?));

    let mut all = AllPartitions { topics, written: Ledger::default() };
    let (elapsed_s, cpu_s) = timed(&process, || all.produce(&mut connection))?;
    figures.push(("first batch into each: MB/s", all.megabytes() / elapsed_s));
    figures.push(("first batch into each: broker CPU-s", cpu_s));
    let before_mb = all.megabytes();
    let (elapsed_s, cpu_s) = timed(&process, || all.produce(&mut connection))?;
    figures.push(("second batch into each: MB/s", (all.megabytes() - before_mb) / elapsed_s));
    figures.push(("second batch into each: broker CPU-s", cpu_s));
    figures.push(("loaded: RssAnon KiB per partition", per_partition(&process)?));
    let (elapsed_s, cpu_s) = timed(&process, || all.audit(&mut connection))?;
    figures.push(("fetch all, a request each: MB/s", all.megabytes() / elapsed_s));
    figures.push(("fetch all, a request each: broker CPU-s", cpu_s));
    connections(&launcher, &process, &mut figures)?;

    drop(connection);
    let from = Instant::now();
    process.terminate(PATIENCE)?;
    figures.push(("clean stop: ms", from.elapsed().as_secs_f64() * 1e3));
    let mut process = launcher.spawn()?;
    launcher.wait_for_accept(&mut process)?;
    let mut connection = Connection::open(launcher.address())?;
    let last = all.request(all.topics.len() - 1, PARTITIONS_PER_TOPIC - 1, 1);
    connection.produce_until_acked(&last, PATIENCE)?;
    figures.push(("restart → first ack: ms", process.started().elapsed().as_secs_f64() * 1e3));
    process.kill()?;
    launcher.remove();
    Ok(figures)
}

/// Seconds and the server's CPU seconds of `work`.
fn timed(process: &ServerProcess, work: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
    let (from, cpu_from) = (Instant::now(), process.cpu_s()?);
    work()?;
    Ok((from.elapsed().as_secs_f64(), process.cpu_s()? - cpu_from))
}

/// Idle connections, and then active ones: on each a record is sent, then each acknowledgement is read, again and again.
fn connections(
    launcher: &Launcher,
    process: &ServerProcess,
    figures: &mut Vec<(&'static str, f64)>,
) -> Result<()> {
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
