//! Row 6: from the moment a record should have been sent to the moment a consumer has it. 2,000 records a second, each a
//! request of its own (linger 0), `acks=all`, one partition; the consumer waits in a long poll of its own connection.
//!
//! Records keep their order, so the n-th to arrive is the n-th that was due. The floor is a tokio echo of the same frames at
//! the same rate.

use std::time::{Duration, Instant};

use nix::sys::prctl;

use crate::batch::{Ledger, Shape, build};
use crate::error::{BenchError, Result};
use crate::rows::produce::discard_frozen;
use crate::rows::round_trip::{on_first_processor, start_with_echo};
use crate::rows::{Figures, Plan, Round, Row, Sample, now_ms};
use crate::stats::Latencies;
use crate::system::{Broker, Floor};
use crate::watch::{Observed, Watch};
use crate::wire::{Connection, PreparedProduce};

const ROW: Row = Row(6);
const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
const RECORDS_PER_SECOND: u32 = 2_000;
/// Records before those that count.
const WARM_UP: u32 = 1_000;

/// Measures row 6.
pub(crate) fn row_6(plan: &Plan) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for sitting in plan.sittings() {
        let start = || start_with_echo(plan, ROW);
        samples.extend(on_first_processor(start, |servers| measure_all(plan, &sitting, servers))?);
    }
    Ok(samples)
}

fn measure_all(
    plan: &Plan,
    sitting: &[Round],
    (floor, brokers): (Floor, Vec<Broker>),
) -> Result<Vec<Sample>> {
    let duration = Duration::from_secs(if plan.quick { 3 } else { 6 });
    let mut samples = Vec::new();
    for round in sitting {
        for system in plan.order(round.number) {
            let found = brokers.iter().find(|broker| broker.system == system);
            let process = found.map_or(&floor.process, |broker| &broker.process);
            process.thaw()?;
            let (figures, foreign_share) = match found {
                Some(broker) => measure(broker, &format!("row-6-{}", round.number), duration)?,
                None => measure_floor(&floor, duration)?,
            };
            process.freeze()?;
            samples.push(round.sample(ROW, system, figures, foreign_share));
        }
    }
    discard_frozen(brokers)?;
    floor.process.kill()?;
    Ok(samples)
}

/// The same records at the same times to an echo and back: what the machine alone does to a latency.
fn measure_floor(floor: &Floor, duration: Duration) -> Result<(Figures, f64)> {
    let mut sender = Connection::open(floor.address)?;
    let frame = PreparedProduce::new("echo", 0, build(SHAPE, Some(1), now_ms(), 1)).frame;
    let pace = Pace::of(duration);
    let mut echoes = sender.reader()?;
    let arriving = std::thread::spawn(move || -> Result<Latencies> {
        let mut latencies = Latencies::new();
        for index in 0..pace.count {
            echoes.receive()?;
            pace.enter(&mut latencies, index);
        }
        Ok(latencies)
    });
    let watch = Watch::start(&floor.process)?;
    pace.keep(|| sender.send(&frame))?;
    let latencies = arriving.join().map_err(panicked)??;
    let observed = watch.stop(&floor.process)?;
    Ok((figures(&latencies, &observed, pace.count), observed.foreign_share))
}

#[allow(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn panicked(_: Box<dyn std::any::Any + Send>) -> BenchError {
    BenchError::Void("a measuring thread panicked".to_owned())
}

fn figures(latencies: &Latencies, observed: &Observed, records: u32) -> Figures {
    let mut figures = observed.figures_of(u64::from(records));
    figures.extend([
        ("p50 ms", latencies.percentile_us(50.0) / 1e3),
        ("p99 ms", latencies.percentile_us(99.0) / 1e3),
        ("p99.9 ms", latencies.percentile_us(99.9) / 1e3),
        ("p99.99 ms", latencies.percentile_us(99.99) / 1e3),
        ("CPU-s in 10 s", observed.server_cpu_s / observed.elapsed_s * 10.0),
    ]);
    figures
}

/// When each record is due.
#[derive(Debug, Clone, Copy)]
struct Pace {
    start: Instant,
    gap: Duration,
    /// Those before the ones that count, and those.
    count: u32,
}

impl Pace {
    /// Begins in a moment and counts for `duration`.
    fn of(duration: Duration) -> Self {
        Self {
            start: Instant::now() + Duration::from_millis(20),
            gap: Duration::from_secs(1) / RECORDS_PER_SECOND,
            count: WARM_UP + (duration.as_secs_f64() * f64::from(RECORDS_PER_SECOND)) as u32,
        }
    }

    fn due(self, index: u32) -> Instant {
        self.start + self.gap * index
    }

    /// Sends every record when it is due, or as soon after as may be.
    fn keep(self, mut send: impl FnMut() -> Result<()>) -> Result<()> {
        // A sleep may otherwise end 50 µs late, which would be counted against the broker.
        let _ = prctl::set_timerslack(1);
        for index in 0..self.count {
            if let Some(wait) = self.due(index).checked_duration_since(Instant::now()) {
                std::thread::sleep(wait);
            }
            send()?;
        }
        Ok(())
    }

    /// Enters a record that has just arrived, if it is one that counts.
    fn enter(self, latencies: &mut Latencies, index: u32) {
        if index >= WARM_UP {
            latencies.record(Instant::now().saturating_duration_since(self.due(index)));
        }
    }
}

fn measure(broker: &Broker, topic: &str, duration: Duration) -> Result<(Figures, f64)> {
    let mut sender = broker.connect()?;
    sender.create_topic(topic, 1, &[])?;
    let record = PreparedProduce::new(topic, 0, build(SHAPE, Some(1), now_ms(), 1));
    let first = sender.produce_until_acked(&record, Duration::from_secs(30))? + 1;
    let reader = Arrivals { connection: broker.connect()?, topic: topic.to_owned(), first };
    let pace = Pace::of(duration);
    let count = pace.count;
    let mut acks = sender.reader()?;
    let acknowledging = std::thread::spawn(move || (0..count).try_for_each(|_| acks.receive_ack().map(drop)));
    let arriving = std::thread::spawn(move || reader.read(pace));
    let watch = Watch::start(&broker.process)?;
    pace.keep(|| sender.send_produce(&record))?;
    acknowledging.join().map_err(panicked)??;
    let latencies = arriving.join().map_err(panicked)??;
    let observed = watch.stop(&broker.process)?;
    let mut written = Ledger::default();
    (0..=count).for_each(|_| written.add(record.batch.record_count, record.batch.crc));
    let read = broker.connect()?.audit(topic, 0, written.records as i64)?;
    if read != written {
        return Err(BenchError::Void(format!("{}: wrote {written:?}, read {read:?}", broker.system)));
    }
    Ok((figures(&latencies, &observed, count), observed.foreign_share))
}

/// The consumer's side.
struct Arrivals {
    connection: Connection,
    topic: String,
    first: i64,
}

impl Arrivals {
    fn read(mut self, pace: Pace) -> Result<Latencies> {
        let mut latencies = Latencies::new();
        let mut offset = self.first;
        let end = self.first + i64::from(pace.count);
        while offset < end {
            let fetched = self.connection.fetch(&self.topic, 0, offset, 1 << 20, |_| {})?;
            let next = fetched.next_offset.unwrap_or(offset);
            for arrived in offset..next.min(end) {
                pace.enter(&mut latencies, (arrived - self.first) as u32);
            }
            offset = next;
        }
        Ok(latencies)
    }
}
