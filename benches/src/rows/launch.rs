//! Rows 8, 10 and 14 from one sequence: how long from `exec` to the first acknowledged record, on an empty directory
//! and with 10,000 partitions after a clean end; what the process holds then; how long the creation took.
//!
//! Invariant: nothing is deleted before the last creation has ended. ext4 does not give an inode away again for some time, and
//! looks at each that was freed lately before it gives another: ten thousand directories that follow ten thousand deleted
//! ones take 7 CPU-s in the kernel, whoever makes them.

use std::time::{Duration, Instant};

use crate::batch::{Ledger, Shape, build};
use crate::error::{BenchError, Result};
use crate::floor::FloorKind;
use crate::process::ServerProcess;
use crate::rows::{Figures, Plan, Row, Sample, now_ms};
use crate::system::{Floor, Launcher, Meanwhile, System};
use crate::watch::Watch;
use crate::wire::{Connection, PreparedProduce};

const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
const PATIENCE: Duration = Duration::from_secs(240);
const PARTITIONS: usize = 10_000;
/// Kafka refuses more than 10,000 records in one creation.
pub(crate) const PARTITIONS_PER_TOPIC: i32 = 1_000;

/// Measures rows 8, 10 and 14.
pub(crate) fn row_8(plan: &Plan) -> Result<Vec<Sample>> {
    let (mut samples, mut left_behind) = (Vec::new(), Vec::new());
    for round in plan.rounds_anew() {
        for system in plan.order(round.number) {
            let launched = match system {
                System::Floor => measure_floor(plan)?,
                System::Ottla | System::Kafka => {
                    let name = format!("row-8-{}", round.number);
                    let launcher = Launcher::prepare(system, &plan.places, &name, Meanwhile::Running)?;
                    let launched = measure(&launcher)?;
                    left_behind.push(launcher);
                    launched
                }
            };
            let share = launched.foreign_share;
            let rows = [(8, launched.start), (10, launched.memory), (14, launched.creation)];
            let measured = rows.into_iter().filter(|(_, figures)| !figures.is_empty());
            samples.extend(measured.map(|(row, figures)| round.sample(Row(row), system, figures, share)));
        }
    }
    left_behind.iter().for_each(Launcher::remove);
    Ok(samples)
}

/// What one start, one creation and one more start showed, by rows.
#[derive(Default)]
struct Launched {
    start: Figures,
    memory: Figures,
    creation: Figures,
    foreign_share: f64,
}

/// A program that listens and sends back what comes: no start is faster.
fn measure_floor(plan: &Plan) -> Result<Launched> {
    let floor = Floor::start(FloorKind::Echo, &plan.places)?;
    let since_exec_ms = || floor.process.started().elapsed().as_secs_f64() * 1e3;
    let mut start = Figures::from([("accepts, empty ms", since_exec_ms())]);
    let frame = PreparedProduce::new("echo", 0, build(SHAPE, Some(1), now_ms(), 1)).frame;
    Connection::open(floor.address)?.exchange(&frame)?;
    start.insert("first ack, empty ms", since_exec_ms());
    floor.process.kill()?;
    Ok(Launched { start, ..Launched::default() })
}

fn measure(launcher: &Launcher) -> Result<Launched> {
    let mut launched = Launched::default();
    let mut written = Ledger::default();
    let first = PreparedProduce::new("first", 0, build(SHAPE, Some(1), now_ms(), 1));

    let mut process = launcher.spawn()?;
    launcher.wait_for_accept(&mut process)?;
    launched.start.insert("accepts, empty ms", process.started().elapsed().as_secs_f64() * 1e3);
    let mut connection = Connection::open(launcher.address())?;
    create_when_ready(&mut connection, "first")?;
    connection.produce_until_acked(&first, PATIENCE)?;
    launched.start.insert("first ack, empty ms", process.started().elapsed().as_secs_f64() * 1e3);
    written.add(first.batch.record_count, first.batch.crc);
    std::thread::sleep(Duration::from_secs(2));
    launched.memory.insert("RssAnon idle MiB", process.memory()?.rss_anon);

    let watch = Watch::start(&process)?;
    create_partitions(&mut connection)?;
    let observed = watch.stop(&process)?;
    launched.creation.insert("create 10,000 s", observed.elapsed_s);
    launched.creation.insert("create 10,000 CPU-s", observed.server_cpu_s);
    launched.creation.extend(observed.figures_of(0));
    launched.foreign_share = observed.foreign_share;
    launched.memory.insert("RssAnon 10,000 MiB", process.memory()?.rss_anon);
    drop(connection);
    process.terminate(PATIENCE)?;

    let mut process = launcher.spawn()?;
    launcher.wait_for_accept(&mut process)?;
    let mut connection = Connection::open(launcher.address())?;
    connection.produce_until_acked(&first, PATIENCE)?;
    launched.start.insert("first ack, 10,000 ms", process.started().elapsed().as_secs_f64() * 1e3);
    written.add(first.batch.record_count, first.batch.crc);
    std::thread::sleep(Duration::from_secs(2));
    launched.memory.insert("RssAnon 10,000 restarted MiB", process.memory()?.rss_anon);
    let read = connection.audit("first", 0, 2)?;
    if read != written {
        return Err(BenchError::Void(format!("wrote {written:?}, read {read:?}")));
    }
    process.kill()?;
    Ok(launched)
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
