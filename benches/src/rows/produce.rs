//! Rows 2 and 3: how fast acknowledged batches go in over one connection with five requests in flight, `acks=all`,
//! no fsync (the default of Kafka and ours). The floor receives the same frames, checks the CRC and writes them.

use std::fs;
use std::time::Duration;

use crate::batch::{Ledger, Shape, build};
use crate::error::{BenchError, Doing, Result};
use crate::floor::FloorKind;
use crate::rows::{Observed, Plan, Row, Sample, Watch, now_ms, progress, transfer_figures};
use crate::system::{Broker, Floor, Launcher, Meanwhile};
use crate::warm::touch_page_cache;
use crate::wire::{Connection, PreparedProduce};

/// Requests in flight on the one connection.
const IN_FLIGHT: u64 = 5;
/// Different batches that the generator cycles through.
const DISTINCT: u64 = 16;

/// Row 2: 1 KiB records in batches of 256 KiB.
pub(crate) fn row_2(plan: &Plan) -> Result<Vec<Sample>> {
    let shape = Shape { value_bytes: 1024, batch_bytes_max: 256 << 10 };
    run(plan, Row(2), shape, if plan.quick { 1 << 30 } else { 2 << 30 })
}

/// Row 3: 100 B records in batches of 16 KiB.
pub(crate) fn row_3(plan: &Plan) -> Result<Vec<Sample>> {
    let shape = Shape { value_bytes: 100, batch_bytes_max: 16 << 10 };
    run(plan, Row(3), shape, if plan.quick { 256 << 20 } else { 512 << 20 })
}

fn run(plan: &Plan, row: Row, shape: Shape, bytes: u64) -> Result<Vec<Sample>> {
    let mut brokers = Vec::new();
    for system in plan.brokers() {
        let broker =
            Launcher::prepare(system, &plan.places, &format!("row-{}", row.0), Meanwhile::Frozen)?.start()?;
        broker.process.freeze()?;
        brokers.push(broker);
    }
    let mut samples = Vec::new();
    for round in 0..=plan.rounds {
        for system in plan.order(round) {
            // Room for the data and for what the previous round's deletion has not given back yet.
            touch_page_cache(&plan.places.work_dir, bytes + (256 << 20))?;
            let (observed, records, bytes) = match brokers.iter().find(|broker| broker.system == system) {
                None => measure_floor(plan, shape, bytes)?,
                Some(broker) => {
                    broker.process.thaw()?;
                    let measured = measure_broker(broker, &format!("row-{}-{round}", row.0), shape, bytes)?;
                    broker.process.freeze()?;
                    measured
                }
            };
            let mut figures = transfer_figures(observed, bytes, records);
            if let Some(broker) = brokers.iter().find(|broker| broker.system == system) {
                let memory = broker.process.memory()?;
                figures.insert("RssAnon MiB", memory.rss_anon);
                figures.insert("VmHWM MiB", memory.high_water);
            }
            progress(row, system, round, &figures);
            samples.push(Sample { row, system, round, figures, foreign_share: observed.foreign_share });
        }
    }
    brokers.into_iter().try_for_each(|broker| broker.process.thaw().and_then(|()| broker.discard()))?;
    Ok(samples)
}

/// The batches to cycle through, as ready frames.
pub(crate) fn prepare(topic: &str, partition: i32, shape: Shape) -> Vec<PreparedProduce> {
    (0..DISTINCT)
        .map(|seed| PreparedProduce::new(topic, partition, build(shape, None, now_ms(), seed + 1)))
        .collect()
}

fn measure_floor(plan: &Plan, shape: Shape, bytes: u64) -> Result<(Observed, u64, u64)> {
    let floor = Floor::start(FloorKind::Produce, &plan.places)?;
    let mut connection = Connection::open(floor.address)?;
    let prepared = prepare("floor", 0, shape);
    pump(&mut connection, &prepared, warm_up_bytes(bytes))?;
    let watch = Watch::start(&floor.process)?;
    let sent = pump(&mut connection, &prepared, bytes)?;
    let observed = watch.stop(&floor.process)?;
    let file = floor.file.clone();
    floor.process.kill()?;
    fs::remove_file(&file).doing(|| format!("remove {}", file.display()))?;
    Ok((observed, sent.ledger.records, sent.bytes))
}

fn measure_broker(broker: &Broker, topic: &str, shape: Shape, bytes: u64) -> Result<(Observed, u64, u64)> {
    let mut connection = broker.connect()?;
    connection.create_topic(topic, 1, &[])?;
    let prepared = prepare(topic, 0, shape);
    let mut written = Ledger::default();
    connection.produce_until_acked(&prepared[0], Duration::from_secs(30))?;
    written.add(prepared[0].batch.record_count, prepared[0].batch.crc);
    written.merge(pump(&mut connection, &prepared, warm_up_bytes(bytes))?.ledger);
    let watch = Watch::start(&broker.process)?;
    let sent = pump(&mut connection, &prepared, bytes)?;
    let observed = watch.stop(&broker.process)?;
    written.merge(sent.ledger);
    let read = connection.audit(topic, 0, written.records as i64)?;
    if read != written {
        return Err(BenchError::Void(format!("{}: wrote {written:?}, read {read:?}", broker.system)));
    }
    connection.delete_topic(topic)?;
    Ok((observed, sent.ledger.records, sent.bytes))
}

fn warm_up_bytes(bytes: u64) -> u64 {
    bytes / 8
}

/// What a pump sent and saw acknowledged.
pub(crate) struct Pumped {
    pub(crate) ledger: Ledger,
    /// Bytes of batches, without the frames around them.
    pub(crate) bytes: u64,
}

/// Sends at least `bytes` of batches, five in flight, and returns when all are acknowledged.
pub(crate) fn pump(connection: &mut Connection, prepared: &[PreparedProduce], bytes: u64) -> Result<Pumped> {
    let mut pumped = Pumped { ledger: Ledger::default(), bytes: 0 };
    let (mut sent, mut acked) = (0u64, 0u64);
    while pumped.bytes < bytes {
        let next = &prepared[sent as usize % prepared.len()];
        connection.send_produce(next)?;
        sent += 1;
        pumped.bytes += next.batch.bytes.len() as u64;
        pumped.ledger.add(next.batch.record_count, next.batch.crc);
        if sent - acked == IN_FLIGHT {
            connection.receive_ack()?;
            acked += 1;
        }
    }
    while acked < sent {
        connection.receive_ack()?;
        acked += 1;
    }
    Ok(pumped)
}
