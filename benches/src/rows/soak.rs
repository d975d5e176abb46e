//! Row 16: what lasts. First a producer at half of what the broker can take, while retention removes what it has written:
//! does it wait longer at the end than at the beginning? Then ([`super::cold`]) a reader of what is not in memory.
//!
//! The load is single records, so that a processor is the limit and no disk. It is not a search for leaks: that is the
//! long run of `cargo xtask soak`.

use std::time::{Duration, Instant};

use crate::batch::{Shape, build};
use crate::error::{BenchError, Result};
use crate::rows::cold;
use crate::rows::produce::pump;
use crate::rows::steady::Steady;
use crate::rows::{Figures, Plan, Row, Sample, now_ms};
use crate::system::{Broker, Launcher, Meanwhile, System};
use crate::watch::Watch;
use crate::wire::PreparedProduce;

const ROW: Row = Row(16);
const TOPIC: &str = "row-16-soak";
pub(crate) const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
/// What shows a broker's capacity: so much in single records.
const CAPACITY_BYTES: u64 = 100 << 20;
/// The run is cut into so many parts, of which the first and the last are compared.
const PARTS: usize = 5;
/// A roll every 32 MiB, and removals as often.
const TOPIC_CONFIGS: &[(&str, &str)] = &[("segment.bytes", "33554432"), ("retention.bytes", "134217728")];
/// Retention looks each second instead of every five minutes, and does not wait half a minute before the first look.
const SETTINGS: &[(&str, &str)] =
    &[("log.retention.check.interval.ms", "1000"), ("log.initial.task.delay.ms", "1000")];
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures row 16. A round takes minutes, so there are few and no round is dropped.
pub(crate) fn row_16(plan: &Plan) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for round in plan.rounds_anew() {
        for system in plan.order(round.number).into_iter().filter(|system| *system != System::Floor) {
            let launcher = Launcher::prepare(system, &plan.places, "row-16", Meanwhile::Running)?;
            let broker = launcher.with_settings(SETTINGS)?.start()?;
            let watch = Watch::start(&broker.process)?;
            let mut figures = soak(&broker, Duration::from_secs(if plan.quick { 30 } else { 120 }))?;
            figures.extend(cold::measure(&broker, plan.quick)?);
            let observed = watch.stop(&broker.process)?;
            figures.extend(observed.figures_of(0));
            broker.discard()?;
            samples.push(round.sample(ROW, system, figures, observed.foreign_share));
        }
    }
    Ok(samples)
}

fn soak(broker: &Broker, duration: Duration) -> Result<Figures> {
    let mut connection = broker.connect()?;
    connection.create_topic(TOPIC, 1, TOPIC_CONFIGS)?;
    let request = PreparedProduce::new(TOPIC, 0, build(SHAPE, Some(1), now_ms(), 1));
    connection.produce_until_acked(&request, PATIENCE)?;
    let mut acked = 1;
    let mut capacity = 0.0;
    // The first time warms the broker up.
    for _ in 0..2 {
        let from = Instant::now();
        let batches = pump(&mut connection, std::slice::from_ref(&request), CAPACITY_BYTES)?.ledger.batches;
        capacity = batches as f64 / from.elapsed().as_secs_f64();
        acked += batches;
    }
    let mut steady = Steady { connection: &mut connection, request: &request, per_second: capacity / 2.0 };
    let parts = steady.run(duration, PARTS)?;
    acked += parts.iter().map(|part| part.count()).sum::<u64>();

    let earliest = connection.list_offset(TOPIC, 0, -2)?;
    if earliest == 0 {
        return Err(BenchError::Void(format!("{}: retention removed nothing", broker.system)));
    }
    let read = connection.audit_from(TOPIC, 0, earliest, acked as i64)?;
    if read.records != acked - earliest as u64 {
        return Err(BenchError::Void(format!(
            "{}: {acked} records from {earliest}, read {read:?}",
            broker.system
        )));
    }
    let p99_ms = |part: usize| parts[part].percentile_us(99.0) / 1e3;
    Ok(Figures::from([
        ("soak: records/s", capacity / 2.0),
        ("soak: first fifth p99 ms", p99_ms(0)),
        ("soak: last fifth p99 ms", p99_ms(PARTS - 1)),
        ("soak: last ÷ first, p99", p99_ms(PARTS - 1) / p99_ms(0)),
        ("soak: removed share %", earliest as f64 / acked as f64 * 100.0),
    ]))
}
