//! Row 6: from the moment a record should have been sent to the moment a consumer has it. 2,000 records a second, each a
//! request of its own (linger 0), `acks=all`, one partition; the consumer waits in a long poll of its own connection.
//!
//! Records keep their order, so the n-th to arrive is the n-th that was due.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::prctl;

use crate::batch::{Ledger, Shape, build};
use crate::error::{BenchError, Result};
use crate::rows::round_trip::on_first_processor;
use crate::rows::{Plan, Row, Sample, Watch, now_ms, progress};
use crate::stats::Latencies;
use crate::system::{Broker, Launcher, Meanwhile};
use crate::wire::{Connection, PreparedProduce};

const ROW: Row = Row(6);
const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
const RECORDS_PER_SECOND: u32 = 2_000;
/// Records before those that count.
const WARM_UP: u32 = 1_000;

/// Measures row 6.
pub(crate) fn row_6(plan: &Plan) -> Result<Vec<Sample>> {
    on_first_processor(
        || {
            let mut brokers = Vec::new();
            for system in plan.brokers() {
                let broker = Launcher::prepare(system, &plan.places, "row-6", Meanwhile::Frozen)?.start()?;
                broker.process.freeze()?;
                brokers.push(broker);
            }
            Ok(brokers)
        },
        |brokers| measure_all(plan, brokers),
    )
}

fn measure_all(plan: &Plan, brokers: Vec<Broker>) -> Result<Vec<Sample>> {
    let duration = Duration::from_secs(if plan.quick { 4 } else { 10 });
    let mut samples = Vec::new();
    for round in 0..=plan.rounds {
        for system in plan.order(round) {
            let Some(broker) = brokers.iter().find(|broker| broker.system == system) else { continue };
            broker.process.thaw()?;
            let (figures, foreign_share) = measure(broker, &format!("row-6-{round}"), duration)?;
            broker.process.freeze()?;
            progress(ROW, system, round, &figures);
            samples.push(Sample { row: ROW, system, round, figures, foreign_share });
        }
    }
    brokers.into_iter().try_for_each(|broker| broker.process.thaw().and_then(|()| broker.discard()))?;
    Ok(samples)
}

fn measure(broker: &Broker, topic: &str, duration: Duration) -> Result<(BTreeMap<&'static str, f64>, f64)> {
    let mut sender = broker.connect()?;
    sender.create_topic(topic, 1, &[])?;
    let record = PreparedProduce::new(topic, 0, build(SHAPE, Some(1), now_ms(), 1));
    let first = sender.produce_until_acked(&record, Duration::from_secs(30))? + 1;
    let count = WARM_UP + (duration.as_secs_f64() * f64::from(RECORDS_PER_SECOND)) as u32;
    let gap = Duration::from_secs(1) / RECORDS_PER_SECOND;
    let start = Instant::now() + Duration::from_millis(20);
    let mut acks = sender.reader()?;
    let acknowledging = std::thread::spawn(move || (0..count).try_for_each(|_| acks.receive_ack().map(drop)));
    let reader =
        Arrivals { connection: broker.connect()?, topic: topic.to_owned(), first, count, start, gap };
    let arriving = std::thread::spawn(move || reader.read());
    let watch = Watch::start(&broker.process)?;
    // A sleep may otherwise end 50 µs late, which would be counted against the broker.
    let _ = prctl::set_timerslack(1);
    for index in 0..count {
        if let Some(wait) = (start + gap * index).checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        sender.send_produce(&record)?;
    }
    let panicked = |_| BenchError::Void("a measuring thread panicked".to_owned());
    acknowledging.join().map_err(panicked)??;
    let latencies = arriving.join().map_err(panicked)??;
    let observed = watch.stop(&broker.process)?;
    let mut written = Ledger::default();
    (0..=count).for_each(|_| written.add(record.batch.record_count, record.batch.crc));
    let read = broker.connect()?.audit(topic, 0, written.records as i64)?;
    if read != written {
        return Err(BenchError::Void(format!("{}: wrote {written:?}, read {read:?}", broker.system)));
    }
    let figures = BTreeMap::from([
        ("p50 ms", latencies.percentile_us(50.0) / 1e3),
        ("p99 ms", latencies.percentile_us(99.0) / 1e3),
        ("p99.9 ms", latencies.percentile_us(99.9) / 1e3),
        ("broker CPU, % of one", observed.server_cpu_s / observed.elapsed_s * 100.0),
    ]);
    Ok((figures, observed.foreign_share))
}

/// The consumer's side.
struct Arrivals {
    connection: Connection,
    topic: String,
    first: i64,
    count: u32,
    start: Instant,
    gap: Duration,
}

impl Arrivals {
    fn read(mut self) -> Result<Latencies> {
        let mut latencies = Latencies::new();
        let mut offset = self.first;
        let end = self.first + i64::from(self.count);
        while offset < end {
            let fetched = self.connection.fetch(&self.topic, 0, offset, 1 << 20, |_| {})?;
            let now = Instant::now();
            let next = fetched.next_offset.unwrap_or(offset);
            for arrived in offset..next.min(end) {
                let index = (arrived - self.first) as u32;
                if index >= WARM_UP {
                    latencies.record(now.saturating_duration_since(self.start + self.gap * index));
                }
            }
            offset = next;
        }
        Ok(latencies)
    }
}
