//! Rows 2, 3, 4 and 13: how fast acknowledged batches go in over one connection with five requests in flight, `acks=all`,
//! no fsync (the default of Kafka and ours). The floor receives the same frames, checks the CRC and writes them. Row 4
//! sends batches packed by lz4 beside those of row 2, row 13 sends to many partitions in turn.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::batch::{Batch, Ledger, Shape, build, build_lz4};
use crate::error::{BenchError, Doing, Result};
use crate::floor::FloorKind;
use crate::rows::{Observed, Plan, Row, Sample, Watch, now_ms, progress, transfer_figures};
use crate::system::{Broker, Floor, Launcher, Meanwhile};
use crate::warm::touch_page_cache;
use crate::wire::{Connection, PreparedProduce};

/// Requests in flight on the one connection.
const IN_FLIGHT: usize = 5;
/// Different batches that the generator cycles through.
const DISTINCT: u64 = 16;

/// The shape of row 2, and of row 4 before it is packed.
const ROW_2: Shape = Shape { value_bytes: 1024, batch_bytes_max: 256 << 10 };

/// Row 2: 1 KiB records in batches of 256 KiB.
pub(crate) fn row_2(plan: &Plan) -> Result<Vec<Sample>> {
    run(plan, Row(2), ROW_2, if plan.quick { 1 << 30 } else { 2 << 30 })
}

/// Row 3: 100 B records in batches of 16 KiB.
pub(crate) fn row_3(plan: &Plan) -> Result<Vec<Sample>> {
    let shape = Shape { value_bytes: 100, batch_bytes_max: 16 << 10 };
    run(plan, Row(3), shape, if plan.quick { 256 << 20 } else { 512 << 20 })
}

/// Row 4: as row 2, packed by lz4 and plain in one round.
pub(crate) fn row_4(plan: &Plan) -> Result<Vec<Sample>> {
    let bytes = if plan.quick { 512 << 20 } else { 1 << 30 };
    compare(plan, Row(4), bytes, |broker, round| {
        let topic = |name: &str| format!("row-4-{name}-{round}");
        let plain =
            measure_partitions(broker, &topic("plain"), 1, prepare(&topic("plain"), 0, ROW_2), bytes)?;
        let packed = (0..DISTINCT).map(|seed| {
            let batch = build_lz4(ROW_2, now_ms(), seed + 1)?;
            Ok(PreparedProduce::new(&topic("lz4"), 0, batch))
        });
        let lz4 = measure_partitions(broker, &topic("lz4"), 1, packed.collect::<Result<_>>()?, bytes)?;
        let cpu = |(observed, sent): &(Observed, Pumped)| observed.server_cpu_s / (sent.bytes as f64 / 1e9);
        let figures = BTreeMap::from([
            ("lz4: MB/s on the wire", lz4.1.bytes as f64 / 1e6 / lz4.0.elapsed_s),
            ("lz4: CPU-s per wire GB", cpu(&lz4)),
            ("plain: CPU-s/GB", cpu(&plain)),
            ("lz4 ÷ plain, CPU per wire GB", cpu(&lz4) / cpu(&plain)),
        ]);
        Ok((figures, plain.0.foreign_share.max(lz4.0.foreign_share)))
    })
}

/// Row 13: 1 KiB records in batches of 16 KiB, each to the next of many partitions.
pub(crate) fn row_13(plan: &Plan) -> Result<Vec<Sample>> {
    let bytes = if plan.quick { 256 << 20 } else { 512 << 20 };
    let counts: &[(i32, &'static str, &'static str)] = &[
        (1, "1 partition: MB/s", ""),
        (2_000, "2,000 partitions: MB/s", "2,000 ÷ 1"),
        (10_000, "10,000 partitions: MB/s", "10,000 ÷ 1"),
    ];
    let counts = if plan.quick { &counts[..2] } else { counts };
    compare(plan, Row(13), bytes, |broker, round| {
        let (mut figures, mut foreign_share, mut alone) = (BTreeMap::new(), 0f64, 0.0);
        for (partitions, name, ratio) in counts {
            let topic = format!("row-13-{partitions}-{round}");
            let requests = prepare(&topic, 0, Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 });
            let (observed, sent) = measure_partitions(broker, &topic, *partitions, requests, bytes)?;
            let rate = sent.bytes as f64 / 1e6 / observed.elapsed_s;
            figures.insert(*name, rate);
            if *partitions == 1 {
                alone = rate;
            } else {
                figures.insert(*ratio, rate / alone);
            }
            foreign_share = foreign_share.max(observed.foreign_share);
        }
        Ok((figures, foreign_share))
    })
}

/// Rounds over the brokers alone, each with `measure`.
fn compare(
    plan: &Plan,
    row: Row,
    bytes: u64,
    measure: impl Fn(&Broker, u32) -> Result<(BTreeMap<&'static str, f64>, f64)>,
) -> Result<Vec<Sample>> {
    let mut brokers = Vec::new();
    for system in plan.brokers() {
        let name = format!("row-{}", row.0);
        let broker = Launcher::prepare(system, &plan.places, &name, Meanwhile::Frozen)?.start()?;
        broker.process.freeze()?;
        brokers.push(broker);
    }
    let mut samples = Vec::new();
    for round in 0..=plan.rounds {
        for system in plan.order(round) {
            let Some(broker) = brokers.iter().find(|broker| broker.system == system) else { continue };
            touch_page_cache(&plan.places.work_dir, 2 * bytes + (256 << 20))?;
            broker.process.thaw()?;
            let (figures, foreign_share) = measure(broker, round)?;
            broker.process.freeze()?;
            progress(row, system, round, &figures);
            samples.push(Sample { row, system, round, figures, foreign_share });
        }
    }
    brokers.into_iter().try_for_each(|broker| broker.process.thaw().and_then(|()| broker.discard()))?;
    Ok(samples)
}

/// Sends to the partitions of a new topic in turn, once around without counting, and audits them all.
fn measure_partitions(
    broker: &Broker,
    topic: &str,
    partitions: i32,
    mut requests: Vec<PreparedProduce>,
    bytes: u64,
) -> Result<(Observed, Pumped)> {
    let mut connection = broker.connect()?;
    connection.create_topic(topic, partitions, &[])?;
    let mut written = vec![Ledger::default(); usize::try_from(partitions).unwrap_or_default()];
    // Right after a creation a broker answers "not yet", partition by partition.
    for partition in 0..partitions {
        requests[0].address_to(partition);
        connection.produce_until_acked(&requests[0], Duration::from_secs(60))?;
        written[partition as usize].add(requests[0].batch.record_count, requests[0].batch.crc);
    }
    let around = requests[0].batch.bytes.len() as u64 * u64::from(partitions.unsigned_abs());
    pump_in_turn(&mut connection, &mut requests, &mut written, around.max(warm_up_bytes(bytes)))?;
    let watch = Watch::start(&broker.process)?;
    let sent = pump_in_turn(&mut connection, &mut requests, &mut written, bytes)?;
    let observed = watch.stop(&broker.process)?;
    for (partition, written) in (0..partitions).zip(&written) {
        let read = connection.audit(topic, partition, written.records as i64)?;
        if read != *written {
            return Err(BenchError::Void(format!("{}: wrote {written:?}, read {read:?}", broker.system)));
        }
    }
    connection.delete_topic(topic)?;
    Ok((observed, sent))
}

/// As [`pump`], to each partition in turn; what each got is entered into its ledger.
fn pump_in_turn(
    connection: &mut Connection,
    requests: &mut [PreparedProduce],
    ledgers: &mut [Ledger],
    bytes: u64,
) -> Result<Pumped> {
    pump_each(connection, bytes, |connection, number| {
        let partition = number % ledgers.len();
        let turn = number % requests.len();
        requests[turn].address_to(partition as i32);
        connection.send_produce(&requests[turn])?;
        let batch = &requests[turn].batch;
        ledgers[partition].add(batch.record_count, batch.crc);
        Ok(Pumped::of(batch))
    })
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

impl Pumped {
    /// One batch.
    fn of(batch: &Batch) -> Self {
        let mut ledger = Ledger::default();
        ledger.add(batch.record_count, batch.crc);
        Self { ledger, bytes: batch.bytes.len() as u64 }
    }
}

/// Sends at least `bytes` of batches, five in flight, and returns when all are acknowledged.
pub(crate) fn pump(connection: &mut Connection, prepared: &[PreparedProduce], bytes: u64) -> Result<Pumped> {
    pump_each(connection, bytes, |connection, number| {
        let next = &prepared[number % prepared.len()];
        connection.send_produce(next)?;
        Ok(Pumped::of(&next.batch))
    })
}

/// `send` sends the batch of this number and says which it was.
fn pump_each(
    connection: &mut Connection,
    bytes: u64,
    mut send: impl FnMut(&mut Connection, usize) -> Result<Pumped>,
) -> Result<Pumped> {
    let mut pumped = Pumped { ledger: Ledger::default(), bytes: 0 };
    let (mut sent, mut acked) = (0, 0);
    while pumped.bytes < bytes {
        let batch = send(connection, sent)?;
        sent += 1;
        pumped.bytes += batch.bytes;
        pumped.ledger.merge(batch.ledger);
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
