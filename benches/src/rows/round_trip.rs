//! Rows 5 and 7: how long one acknowledged record takes. Row 5 leaves flushing to the system, row 7 sets
//! `flush.messages=1`, so that a record is on the disk before its acknowledgement.
//!
//! Closed loop: one record at a time. Open loop (row 7): 2,000 records a second, each latency counted from the moment
//! at which the record *should* have been sent, so that a stall counts against the broker and not for it.
//! The floor is a tokio echo of the same frame, plus one 4 KiB `fdatasync` in row 7, of a file that grows or of one that is
//! preallocated, whichever is faster. The generator stays on the first
//! processor, for the floor as for the brokers: otherwise the scheduler decides which of them shares a cache.

use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::unistd::Pid;

use crate::batch::{Ledger, Shape, build};
use crate::error::{BenchError, Doing, Result};
use crate::floor::{Appended, FloorKind, measure_fdatasync};
use crate::rows::produce::{discard_frozen, start_frozen};
use crate::rows::{Figures, Plan, Round, Row, Sample, now_ms};
use crate::stats::Latencies;
use crate::system::{Broker, Floor, System};
use crate::watch::Watch;
use crate::wire::{Connection, PreparedProduce};

const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
/// The fixed rate of row 7.
const RECORDS_PER_SECOND: u32 = 2_000;
/// The first records do not count; where each waits for a slow disk, they are fewer.
const WARM_UP_MAX: Duration = Duration::from_secs(1);

/// Row 5: without fsync, closed loop.
pub(crate) fn row_5(plan: &Plan) -> Result<Vec<Sample>> {
    run(plan, Row(5), None)
}

/// Row 7: fsync before the acknowledgement, closed and open loop.
pub(crate) fn row_7(plan: &Plan) -> Result<Vec<Sample>> {
    run(plan, Row(7), Some(("flush.messages", "1")))
}

fn run(plan: &Plan, row: Row, config: Option<(&'static str, &'static str)>) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for sitting in plan.sittings() {
        let start = || start_with_echo(plan, row);
        let measured = on_first_processor(start, |servers| measure(plan, row, config, &sitting, servers));
        samples.extend(measured?);
    }
    Ok(samples)
}

/// Starts servers, which stay free to move, and then measures on a thread that stays on the first processor.
pub(crate) fn on_first_processor<S: Send, T: Send>(
    start: impl FnOnce() -> Result<S> + Send,
    measure: impl FnOnce(S) -> Result<T> + Send,
) -> Result<T> {
    std::thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            let servers = start()?;
            stay_on_first_processor()?;
            measure(servers)
        });
        measuring.join().map_err(|_| BenchError::Void("the measuring thread panicked".to_owned()))?
    })
}

/// Binds the calling thread, and the threads it will start, to the first processor.
fn stay_on_first_processor() -> Result<()> {
    let mut first = CpuSet::new();
    first
        .set(0)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &first))
        .doing(|| "bind to a processor".to_owned())
}

/// Starts an echo and the brokers, all of them frozen.
pub(crate) fn start_with_echo(plan: &Plan, row: Row) -> Result<(Floor, Vec<Broker>)> {
    let floor = Floor::start(FloorKind::Echo, &plan.places)?;
    floor.process.freeze()?;
    Ok((floor, start_frozen(plan, row)?))
}

fn measure(
    plan: &Plan,
    row: Row,
    config: Option<(&'static str, &'static str)>,
    sitting: &[Round],
    (floor, brokers): (Floor, Vec<Broker>),
) -> Result<Vec<Sample>> {
    let fsync = config.is_some();
    let closed_loop = Duration::from_secs(if plan.quick { 2 } else { 3 });
    let open_loop = Duration::from_secs(if plan.quick { 4 } else { 6 });
    let mut samples = Vec::new();
    for round in sitting {
        for system in plan.order(round.number) {
            let (figures, foreign_share) = match brokers.iter().find(|broker| broker.system == system) {
                None => measure_floor(plan, &floor, fsync, closed_loop)?,
                Some(broker) => {
                    broker.process.thaw()?;
                    let topic = format!("row-{}-{}", row.0, round.number);
                    let mut load = Load::create(broker, &topic, config)?;
                    let before = load.written.records;
                    let watch = Watch::start(&broker.process)?;
                    let mut figures = load.closed_loop(closed_loop)?;
                    if fsync {
                        figures.extend(load.open_loop(open_loop)?);
                    }
                    let observed = watch.stop(&broker.process)?;
                    figures.extend(observed.figures_of(load.written.records - before));
                    load.audit(&topic)?;
                    broker.process.freeze()?;
                    (figures, observed.foreign_share)
                }
            };
            samples.push(round.sample(row, system, figures, foreign_share));
        }
    }
    discard_frozen(brokers)?;
    floor.process.kill()?;
    Ok(samples)
}

fn measure_floor(plan: &Plan, floor: &Floor, fsync: bool, duration: Duration) -> Result<(Figures, f64)> {
    floor.process.thaw()?;
    let mut connection = Connection::open(floor.address)?;
    let frame = PreparedProduce::new("echo", 0, build(SHAPE, Some(1), now_ms(), 1)).frame;
    let watch = Watch::start(&floor.process)?;
    let mut echo = Latencies::new();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        let from = Instant::now();
        connection.exchange(&frame)?;
        echo.record(from.elapsed());
    }
    let observed = watch.stop(&floor.process)?;
    floor.process.freeze()?;
    let mut figures = observed.figures_of(echo.count());
    figures.extend([
        ("round trip p50 µs", echo.percentile_us(50.0)),
        ("round trip p99 µs", echo.percentile_us(99.0)),
    ]);
    if fsync {
        let sync = measure_fdatasync(&plan.places.work_dir, Appended::Growing, duration / 2)?;
        figures.insert("fdatasync p50 µs", sync.percentile_us(50.0));
        figures.insert("fdatasync p99 µs", sync.percentile_us(99.0));
        let preallocated = measure_fdatasync(&plan.places.work_dir, Appended::Preallocated, duration / 2)?;
        figures.insert("fdatasync preallocated p50 µs", preallocated.percentile_us(50.0));
        figures.insert("fdatasync preallocated p99 µs", preallocated.percentile_us(99.0));
        for (name, percent) in [("round trip p50 µs", 50.0), ("round trip p99 µs", 99.0)] {
            let least = sync.percentile_us(percent).min(preallocated.percentile_us(percent));
            figures.entry(name).and_modify(|figure| *figure += least);
        }
    }
    Ok((figures, observed.foreign_share))
}

/// One connection that sends single records to one topic and remembers what was acknowledged.
struct Load {
    system: System,
    connection: Connection,
    prepared: PreparedProduce,
    written: Ledger,
}

impl Load {
    fn create(broker: &Broker, topic: &str, config: Option<(&str, &str)>) -> Result<Self> {
        let mut connection = broker.connect()?;
        let configs: Vec<(&str, &str)> = config.into_iter().collect();
        connection.create_topic(topic, 1, &configs)?;
        let prepared = PreparedProduce::new(topic, 0, build(SHAPE, Some(1), now_ms(), 1));
        let mut load = Self { system: broker.system, connection, prepared, written: Ledger::default() };
        load.connection.produce_until_acked(&load.prepared, Duration::from_secs(30))?;
        load.note_ack();
        let enough = Instant::now() + WARM_UP_MAX;
        for _ in 0..500 {
            load.send_and_wait()?;
            if Instant::now() > enough {
                break;
            }
        }
        Ok(load)
    }

    fn note_ack(&mut self) {
        self.written.add(self.prepared.batch.record_count, self.prepared.batch.crc);
    }

    fn send_and_wait(&mut self) -> Result<()> {
        self.connection.send_produce(&self.prepared)?;
        self.connection.receive_ack()?;
        self.note_ack();
        Ok(())
    }

    fn closed_loop(&mut self, duration: Duration) -> Result<Figures> {
        let mut latencies = Latencies::new();
        let end = Instant::now() + duration;
        while Instant::now() < end {
            let from = Instant::now();
            self.send_and_wait()?;
            latencies.record(from.elapsed());
        }
        Ok(Figures::from([
            ("round trip p50 µs", latencies.percentile_us(50.0)),
            ("round trip p99 µs", latencies.percentile_us(99.0)),
        ]))
    }

    fn open_loop(&mut self, duration: Duration) -> Result<Figures> {
        let gap = Duration::from_secs(1) / RECORDS_PER_SECOND;
        let count = (duration.as_secs_f64() * f64::from(RECORDS_PER_SECOND)) as u32;
        let mut reader = self.connection.reader()?;
        let start = Instant::now() + Duration::from_millis(20);
        let receiver = std::thread::spawn(move || -> Result<(Latencies, Duration)> {
            let mut latencies = Latencies::new();
            for index in 0..count {
                reader.receive_ack()?;
                latencies.record(Instant::now().saturating_duration_since(start + gap * index));
            }
            Ok((latencies, start.elapsed()))
        });
        // A sleep may otherwise end 50 µs late, which would be counted against the broker.
        let _ = prctl::set_timerslack(1);
        for index in 0..count {
            if let Some(wait) = (start + gap * index).checked_duration_since(Instant::now()) {
                std::thread::sleep(wait);
            }
            self.connection.send_produce(&self.prepared)?;
        }
        let (latencies, took) =
            receiver.join().map_err(|_| BenchError::Void("the receiving thread panicked".to_owned()))??;
        for _ in 0..latencies.count() {
            self.note_ack();
        }
        Ok(Figures::from([
            ("2,000/s p50 ms", latencies.percentile_us(50.0) / 1e3),
            ("2,000/s p99 ms", latencies.percentile_us(99.0) / 1e3),
            ("2,000/s p99.99 ms", latencies.percentile_us(99.99) / 1e3),
            ("held rate /s", f64::from(count) / took.as_secs_f64()),
        ]))
    }

    fn audit(&mut self, topic: &str) -> Result<()> {
        let read = self.connection.audit(topic, 0, self.written.records as i64)?;
        if read == self.written {
            return Ok(());
        }
        Err(BenchError::Void(format!("{}: wrote {:?}, read {read:?}", self.system, self.written)))
    }
}
