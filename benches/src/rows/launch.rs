//! Rows 8, 10 and 14 from one sequence: how long from `exec` to the first acknowledged record, on an empty directory
//! and with 10,000 partitions after a clean end; what the process holds then; how long the creation took.

use std::time::{Duration, Instant};

use crate::batch::{Ledger, Shape, build};
use crate::error::{BenchError, Result};
use crate::process::ServerProcess;
use crate::rows::{Figures, Plan, Row, Sample, now_ms};
use crate::system::{Launcher, Meanwhile, System};
use crate::watch::Watch;
use crate::wire::{Connection, PreparedProduce};

const ROW: Row = Row(8);
const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
const PATIENCE: Duration = Duration::from_secs(240);
const PARTITIONS: usize = 10_000;
/// Kafka refuses more than 10,000 records in one creation.
pub(crate) const PARTITIONS_PER_TOPIC: i32 = 1_000;

/// Measures row 8. A round of Kafka takes minutes, so there are few and no round is dropped.
pub(crate) fn row_8(plan: &Plan) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for round in plan.rounds_anew() {
        for system in plan.order(round.number).into_iter().filter(|system| *system != System::Floor) {
            let (figures, foreign_share) = measure(plan, system)?;
            samples.push(round.sample(ROW, system, figures, foreign_share));
        }
    }
    Ok(samples)
}

fn measure(plan: &Plan, system: System) -> Result<(Figures, f64)> {
    let launcher = Launcher::prepare(system, &plan.places, "row-8", Meanwhile::Running)?;
    let mut figures = Figures::new();
    let mut written = Ledger::default();
    let first = PreparedProduce::new("first", 0, build(SHAPE, Some(1), now_ms(), 1));

    let mut process = launcher.spawn()?;
    launcher.wait_for_accept(&mut process)?;
    figures.insert("accepts, empty ms", process.started().elapsed().as_secs_f64() * 1e3);
    let mut connection = Connection::open(launcher.address())?;
    create_when_ready(&mut connection, "first")?;
    connection.produce_until_acked(&first, PATIENCE)?;
    figures.insert("first ack, empty ms", process.started().elapsed().as_secs_f64() * 1e3);
    written.add(first.batch.record_count, first.batch.crc);
    std::thread::sleep(Duration::from_secs(2));
    figures.insert("RssAnon idle MiB", process.memory()?.rss_anon);

    let watch = Watch::start(&process)?;
    create_partitions(&mut connection)?;
    let observed = watch.stop(&process)?;
    figures.insert("create 10,000 s", observed.elapsed_s);
    figures.insert("create 10,000 CPU-s", observed.server_cpu_s);
    figures.insert("RssAnon 10,000 MiB", process.memory()?.rss_anon);
    figures.insert("idle CPU 10,000 %", idle_cpu_percent(&process)?);
    drop(connection);
    process.terminate(PATIENCE)?;

    let mut process = launcher.spawn()?;
    launcher.wait_for_accept(&mut process)?;
    let mut connection = Connection::open(launcher.address())?;
    connection.produce_until_acked(&first, PATIENCE)?;
    figures.insert("first ack, 10,000 ms", process.started().elapsed().as_secs_f64() * 1e3);
    written.add(first.batch.record_count, first.batch.crc);
    std::thread::sleep(Duration::from_secs(2));
    figures.insert("RssAnon 10,000 restarted MiB", process.memory()?.rss_anon);
    let read = connection.audit("first", 0, 2)?;
    if read != written {
        return Err(BenchError::Void(format!("{system}: wrote {written:?}, read {read:?}")));
    }
    process.kill()?;
    launcher.remove();
    Ok((figures, observed.foreign_share))
}

/// Creates the topic, again and again while the broker says that it is not ready.
fn create_when_ready(connection: &mut Connection, topic: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connection.create_topic(topic, 1, &[]) {
            Err(BenchError::Refused { .. }) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_micros(500));
            }
            other => return other,
        }
    }
}

/// Creates ten thousand partitions and waits until the last of each topic takes a record.
pub(crate) fn create_partitions(connection: &mut Connection) -> Result<()> {
    let topics = create_topics(connection, PARTITIONS)?;
    for topic in &topics {
        let last = PreparedProduce::new(topic, PARTITIONS_PER_TOPIC - 1, build(SHAPE, Some(1), now_ms(), 1));
        connection.produce_until_acked(&last, PATIENCE)?;
    }
    Ok(())
}

/// Creates so many partitions, a thousand to a topic; the topics.
pub(crate) fn create_topics(connection: &mut Connection, partitions: usize) -> Result<Vec<String>> {
    let topics = (0..partitions / PARTITIONS_PER_TOPIC as usize).map(|index| format!("many-{index}"));
    topics.map(|topic| connection.create_topic(&topic, PARTITIONS_PER_TOPIC, &[]).map(|()| topic)).collect()
}

/// CPU that the process uses over five seconds in which nobody asks anything.
pub(crate) fn idle_cpu_percent(process: &ServerProcess) -> Result<f64> {
    std::thread::sleep(Duration::from_secs(3));
    let from = process.cpu_s()?;
    std::thread::sleep(Duration::from_secs(5));
    Ok((process.cpu_s()? - from) / 5.0 * 100.0)
}
