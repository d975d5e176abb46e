//! Rows 18 to 21: the same brokers under loads that are not ours. Apache Kafka's own `kafka-producer-perf-test` and
//! `kafka-consumer-perf-test` (the classes that those scripts start), and librdkafka, fill a topic of one partition and read
//! it back. On two processors they are what is measured as much as the broker is, so the broker's CPU says more than the rate.
//!
//! A generator is believed about its own rate and latency, not about what arrived: the log is read back afterwards, must hold
//! as many records as the generator says it sent, and every batch must be intact.

mod librdkafka;
mod perf_tools;

use std::path::Path;
use std::time::Duration;

use crate::batch::Shape;
use crate::error::{BenchError, Result};
use crate::process::ended_children_cpu_s;
use crate::rows::clients::Action;
use crate::rows::produce::{compare, measure_floor, prepare};
use crate::rows::{Figures, Plan, Row, Sample};
use crate::system::Broker;
use crate::watch::Watch;

/// The largest batch that the generators are told to make.
const BATCH_BYTES: usize = 128 << 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// One generator with one size of records.
struct Load {
    row: Row,
    generator: Generator,
    value_bytes: usize,
    /// Some seconds of work for the slower of the brokers.
    records: u64,
}

/// A program that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Generator {
    PerfTools,
    Librdkafka,
}

const LOADS: [Load; 4] = [
    Load { row: Row(18), generator: Generator::PerfTools, value_bytes: 100, records: 2_000_000 },
    Load { row: Row(19), generator: Generator::PerfTools, value_bytes: 1024, records: 500_000 },
    Load { row: Row(20), generator: Generator::Librdkafka, value_bytes: 100, records: 3_000_000 },
    Load { row: Row(21), generator: Generator::Librdkafka, value_bytes: 1024, records: 600_000 },
];

/// What a generator says of itself after it has moved `records`.
struct Said {
    records: u64,
    elapsed_s: f64,
    /// Latencies, where it tells any.
    more: Figures,
}

/// Measures row 18, 19, 20 or 21.
pub(crate) fn row(plan: &Plan, row: Row) -> Result<Vec<Sample>> {
    let load = LOADS.iter().find(|load| load.row == row);
    let load = load.ok_or_else(|| BenchError::Void(format!("row {} has no generator", row.0)))?;
    if load.generator == Generator::Librdkafka && !cfg!(feature = "librdkafka") {
        return Err(BenchError::Absent(
            "built without the feature `librdkafka`, which takes a C compiler".to_owned(),
        ));
    }
    if load.generator == Generator::PerfTools && !plan.places.has_kafka() {
        return Err(BenchError::Absent("its generator takes `java` and Apache Kafka's jars".to_owned()));
    }
    let records = if plan.quick { load.records / 2 } else { load.records };
    // Each turn starts programs that take a second or more to get going.
    let plan = &plan.with_at_most(if plan.quick { 2 } else { 3 });
    let bytes = records * load.value_bytes as u64;
    compare(plan, row, bytes, |broker, round| {
        let Some(broker) = broker else { return load.floor(plan, bytes) };
        let topic = format!("row-{}-{round}", row.0);
        broker.connect()?.create_topic(&topic, 1, &[])?;
        let libs = &plan.places.kafka_libs;
        let (mut figures, share) = load.act(Action::Produce, broker, libs, &topic, records)?;
        let (consumed, consuming_share) = load.act(Action::Consume, broker, libs, &topic, records)?;
        figures.extend(consumed);
        audit(broker, &topic, records)?;
        broker.connect()?.delete_topic(&topic)?;
        Ok((figures, share.max(consuming_share)))
    })
}

impl Load {
    /// What must be done at least for the same records in batches of the same size.
    fn floor(&self, plan: &Plan, bytes: u64) -> Result<(Figures, f64)> {
        let shape = Shape { value_bytes: self.value_bytes, batch_bytes_max: BATCH_BYTES };
        let (observed, sent) = measure_floor(plan, prepare("floor", 0, shape), bytes)?;
        let names = names(Action::Produce);
        let (records, value_bytes) = (sent.ledger.records as f64, self.value_bytes as f64);
        let figures = Figures::from([
            (names.rate, records / 1e3 / observed.elapsed_s),
            (names.throughput, records * value_bytes / 1e6 / observed.elapsed_s),
            (names.cpu_per_gb, observed.server_cpu_s / (records * value_bytes / 1e9)),
            (names.cpu_per_million, observed.server_cpu_s / (records / 1e6)),
            (names.rss_anon, observed.peak.rss_anon),
            (names.high_water, observed.peak.high_water),
        ]);
        Ok((figures, observed.foreign_share))
    }

    /// One direction: the generator's rate, and what the broker used for it.
    fn act(
        &self,
        action: Action,
        broker: &Broker,
        libs: &Path,
        topic: &str,
        records: u64,
    ) -> Result<(Figures, f64)> {
        let watch = Watch::start(&broker.process)?;
        let ended_s = ended_children_cpu_s()?;
        let said = match (self.generator, action) {
            (Generator::PerfTools, Action::Produce) => {
                perf_tools::produce(libs, broker.address, topic, records, self.value_bytes)?
            }
            (Generator::PerfTools, Action::Consume) => {
                perf_tools::consume(libs, broker.address, topic, records, self.value_bytes)?
            }
            (Generator::Librdkafka, _) => {
                librdkafka::run(action, broker.address, topic, records, self.value_bytes)?
            }
        };
        let generator_cpu_s = ended_children_cpu_s()? - ended_s;
        let observed = watch.stop(&broker.process)?;
        let bytes = records * self.value_bytes as u64;
        let rate = said.records as f64 / said.elapsed_s;
        let names = names(action);
        let mut figures = said.more;
        figures.extend([
            (names.rate, rate / 1e3),
            (names.throughput, rate * self.value_bytes as f64 / 1e6),
            (names.cpu_per_gb, observed.cpu_s_per_gb(bytes)),
            (names.cpu_per_million, observed.server_cpu_s / (records as f64 / 1e6)),
            (names.generator_cpu, generator_cpu_s / (records as f64 / 1e6)),
            (names.rss_anon, observed.peak.rss_anon),
            (names.high_water, observed.peak.high_water),
        ]);
        Ok((figures, observed.foreign_share))
    }
}

/// What the figures of one direction are called.
struct Names {
    rate: &'static str,
    throughput: &'static str,
    cpu_per_gb: &'static str,
    cpu_per_million: &'static str,
    generator_cpu: &'static str,
    rss_anon: &'static str,
    high_water: &'static str,
}

const fn names(action: Action) -> Names {
    match action {
        Action::Produce => Names {
            rate: "produce: k records/s",
            throughput: "produce: MB/s",
            cpu_per_gb: "produce: CPU-s/GB",
            cpu_per_million: "produce: CPU-s/M records",
            generator_cpu: "produce: generator's CPU-s/M records",
            rss_anon: "produce: RssAnon peak MiB",
            high_water: "produce: VmHWM MiB",
        },
        Action::Consume => Names {
            rate: "consume: k records/s",
            throughput: "consume: MB/s",
            cpu_per_gb: "consume: CPU-s/GB",
            cpu_per_million: "consume: CPU-s/M records",
            generator_cpu: "consume: generator's CPU-s/M records",
            rss_anon: "consume: RssAnon peak MiB",
            high_water: "consume: VmHWM MiB",
        },
    }
}

/// Whether the log holds so many records, dense and intact, and no more.
fn audit(broker: &Broker, topic: &str, records: u64) -> Result<()> {
    let mut connection = broker.connect()?;
    let end_offset = connection.high_watermark(topic, 0)?;
    let read = connection.audit(topic, 0, records as i64)?;
    if end_offset == records as i64 && read.records == records {
        return Ok(());
    }
    let system = broker.system;
    Err(BenchError::Void(format!(
        "{system}: sent {records} records, the log ends at {end_offset}, read {read:?}"
    )))
}
