//! Row 9: how long after `kill -9`, with 5 GB that nobody has flushed, until the next record is acknowledged. What was
//! acknowledged before the kill must all be there afterwards (a process's death loses no page cache).

use std::time::Duration;

use crate::batch::{Ledger, Shape};
use crate::error::{BenchError, Result};
use crate::rows::produce::{prepare, pump};
use crate::rows::{Figures, Plan, Row, Sample};
use crate::system::{Launcher, Meanwhile, System};
use crate::warm::touch_page_cache;
use crate::watch::Watch;
use crate::wire::Connection;

const ROW: Row = Row(9);
const TOPIC: &str = "row-9";
/// Enough that no partition rolls a segment, because a roll flushes.
const PARTITIONS: i32 = 12;
const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 256 << 10 };
const PATIENCE: Duration = Duration::from_secs(240);

/// Measures row 9. Each round writes all its data anew, so there are few and no round is dropped.
pub(crate) fn row_9(plan: &Plan) -> Result<Vec<Sample>> {
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
    let bytes_per_partition = 5_000_000_000 / PARTITIONS as u64;
    touch_page_cache(&plan.places.work_dir, 5 << 30)?;
    let launcher = Launcher::prepare(system, &plan.places, "row-9", Meanwhile::Running)?;
    let broker = launcher.start()?;
    let mut connection = broker.connect()?;
    connection.create_topic(TOPIC, PARTITIONS, &[])?;
    let mut written = Vec::new();
    let mut probes = Vec::new();
    for partition in 0..PARTITIONS {
        let mut prepared = prepare(TOPIC, partition, SHAPE);
        let mut ledger = Ledger::default();
        connection.produce_until_acked(&prepared[0], PATIENCE)?;
        ledger.add(prepared[0].batch.record_count, prepared[0].batch.crc);
        ledger.merge(pump(&mut connection, &prepared, bytes_per_partition)?.ledger);
        written.push(ledger);
        probes.push(prepared.swap_remove(0));
    }
    drop(connection);
    broker.process.kill()?;

    let mut process = launcher.spawn()?;
    let watch = Watch::start(&process)?;
    launcher.wait_for_accept(&mut process)?;
    let mut connection = Connection::open(launcher.address())?;
    let mut figures = Figures::new();
    for (ledger, probe) in written.iter_mut().zip(&probes) {
        connection.produce_until_acked(probe, PATIENCE)?;
        ledger.add(probe.batch.record_count, probe.batch.crc);
        let since_exec_ms = process.started().elapsed().as_secs_f64() * 1e3;
        figures.entry("first ack ms").or_insert(since_exec_ms);
        figures.insert("all 12 acked ms", since_exec_ms);
    }
    let observed = watch.stop(&process)?;
    figures.insert("recovery CPU-s", observed.server_cpu_s);
    figures.extend(observed.figures_of(0));
    for (partition, expected) in (0..PARTITIONS).zip(written) {
        let read = connection.audit(TOPIC, partition, expected.records as i64)?;
        if read != expected {
            return Err(BenchError::Void(format!("{system}-{partition}: wrote {expected:?}, read {read:?}")));
        }
    }
    process.kill()?;
    launcher.remove();
    Ok((figures, observed.foreign_share))
}
