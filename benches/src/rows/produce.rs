//! Rows 2, 3, 4 and 13: how fast acknowledged batches go in over one connection with five requests in flight, `acks=all`,
//! no fsync (the default of Kafka and ours). The floor receives the same frames, checks the CRC and writes them. Row 4
//! sends batches packed by lz4 beside those of row 2, row 13 sends to many partitions in turn.

use std::fs;
use std::time::Duration;

use crate::batch::{Batch, Ledger, Shape, build, build_lz4};
use crate::error::{BenchError, Doing, Result};
use crate::floor::FloorKind;
use crate::rows::{Figures, Plan, Row, Sample, now_ms};
use crate::system::{Broker, Floor, Launcher, Meanwhile};
use crate::warm::touch_page_cache;
use crate::watch::{Observed, Watch};
use crate::wire::{Connection, PreparedProduce};

/// Requests in flight on the one connection.
const IN_FLIGHT: usize = 5;
/// Different batches that the generator cycles through.
const DISTINCT: u64 = 16;

/// The shape of row 2, and of row 4 before it is packed.
const ROW_2: Shape = Shape { value_bytes: 1024, batch_bytes_max: 256 << 10 };

/// Row 2: 1 KiB records in batches of 256 KiB.
pub(crate) fn row_2(plan: &Plan) -> Result<Vec<Sample>> {
    run(plan, Row(2), ROW_2, if plan.quick { 768 << 20 } else { 1536 << 20 })
}

/// Row 3: 100 B records in batches of 16 KiB.
pub(crate) fn row_3(plan: &Plan) -> Result<Vec<Sample>> {
    let shape = Shape { value_bytes: 100, batch_bytes_max: 16 << 10 };
    run(plan, Row(3), shape, if plan.quick { 256 << 20 } else { 512 << 20 })
}

/// Row 4: as row 2, packed by lz4 and plain in one round.
pub(crate) fn row_4(plan: &Plan) -> Result<Vec<Sample>> {
    let bytes = 512 << 20;
    let packed = |topic: &str| -> Result<Vec<PreparedProduce>> {
        let request = |seed| Ok(PreparedProduce::new(topic, 0, build_lz4(ROW_2, now_ms(), seed + 1)?));
        (0..DISTINCT).map(request).collect()
    };
    compare(plan, Row(4), 2 * bytes, |broker, round| {
        let topic = |name: &str| format!("row-4-{name}-{round}");
        let send = |name: &str, requests| match broker {
            None => measure_floor(plan, requests, bytes),
            Some(broker) => measure_partitions(broker, &topic(name), 1, requests, bytes),
        };
        let plain = send("plain", prepare(&topic("plain"), 0, ROW_2))?;
        let lz4 = send("lz4", packed(&topic("lz4"))?)?;
        let cpu = |(observed, sent): &(Observed, Pumped)| observed.cpu_s_per_gb(sent.bytes);
        let mut figures = lz4.0.figures_of(lz4.1.ledger.records);
        figures.extend([
            ("lz4: MB/s on the wire", lz4.1.bytes as f64 / 1e6 / lz4.0.elapsed_s),
            ("lz4: k records/s", lz4.1.ledger.records as f64 / 1e3 / lz4.0.elapsed_s),
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
    let plan = &plan.with_at_most(2);
    let shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
    compare_with(plan, Row(13), SMALL_INDEXES, bytes, |broker, round| {
        let Some(broker) = broker else {
            let (observed, sent) = measure_floor(plan, prepare("floor", 0, shape), bytes)?;
            let (mut figures, one) = (observed.figures_of(sent.ledger.records), &SPREADS[0]);
            figures.insert(one.rate, sent.bytes as f64 / 1e6 / observed.elapsed_s);
            figures.insert(one.cpu, observed.cpu_s_per_gb(sent.bytes));
            return Ok((figures, observed.foreign_share));
        };
        // Ten thousand partitions take Kafka minutes to create, to fill and to read back: one warm round has them.
        let spreads = if plan.quick || round != 1 { &SPREADS[..2] } else { SPREADS };
        let (mut figures, mut foreign_share, mut alone) = (Figures::new(), 0f64, 0.0);
        for spread in spreads {
            let topic = format!("row-13-{}-{round}", spread.partitions);
            let requests = prepare(&topic, 0, shape);
            // Once around for each partition's first batch, once to warm up, and what counts.
            let around = shape.batch_bytes_max as u64 * u64::from(spread.partitions.unsigned_abs());
            touch_page_cache(&plan.places.work_dir, bytes + 2 * around + (256 << 20))?;
            let (observed, sent) = measure_partitions(broker, &topic, spread.partitions, requests, bytes)?;
            broker.wait_for_deletions()?;
            let rate = sent.bytes as f64 / 1e6 / observed.elapsed_s;
            figures.insert(spread.rate, rate);
            figures.insert(spread.cpu, observed.cpu_s_per_gb(sent.bytes));
            match spread.ratio {
                None => alone = rate,
                Some(ratio) => {
                    figures.insert(ratio, rate / alone);
                }
            }
            // Of the last: the most partitions.
            figures.extend(observed.figures_of(sent.ledger.records));
            foreign_share = foreign_share.max(observed.foreign_share);
        }
        Ok((figures, foreign_share))
    })
}

/// Apache Kafka maps two indexes of this size for each partition, as holes; by default they have 10 MiB. At the first use of
/// one, the kernel fills as much of it as the disk's read-ahead says. Where that is megabytes, thousands of partitions fill
/// the memory with zeros: half a minute of processor time for Kafka, and slow memory for whoever comes next. 512 KiB are
/// enough for what is written here.
const SMALL_INDEXES: Settings = &[("log.index.size.max.bytes", "524288")];

/// Over how many partitions row 13 spreads its batches, and what its figures are called.
struct SpreadOver {
    partitions: i32,
    rate: &'static str,
    cpu: &'static str,
    ratio: Option<&'static str>,
}

const SPREADS: &[SpreadOver] = &[
    SpreadOver { partitions: 1, rate: "1 partition: MB/s", cpu: "1 partition: CPU-s/GB", ratio: None },
    SpreadOver {
        partitions: 2_000,
        rate: "2,000 partitions: MB/s",
        cpu: "2,000 partitions: CPU-s/GB",
        ratio: Some("2,000 ÷ 1"),
    },
    SpreadOver {
        partitions: 10_000,
        rate: "10,000 partitions: MB/s",
        cpu: "10,000 partitions: CPU-s/GB",
        ratio: Some("10,000 ÷ 1"),
    },
];

/// Broker settings beside those that every row has.
type Settings = &'static [(&'static str, &'static str)];

/// All brokers of the plan on empty directories, frozen until they have their turn.
pub(crate) fn start_frozen(plan: &Plan, row: Row) -> Result<Vec<Broker>> {
    start_frozen_with(plan, row, &[])
}

fn start_frozen_with(plan: &Plan, row: Row, settings: Settings) -> Result<Vec<Broker>> {
    let start = |system| {
        let name = format!("row-{}", row.0);
        let launcher = Launcher::prepare(system, &plan.places, &name, Meanwhile::Frozen)?;
        let broker = launcher.with_settings(settings)?.start()?;
        broker.process.freeze().map(|()| broker)
    };
    plan.brokers().map(start).collect()
}

/// Ends them.
pub(crate) fn discard_frozen(brokers: Vec<Broker>) -> Result<()> {
    brokers.into_iter().try_for_each(|broker| broker.process.thaw().and_then(|()| broker.discard()))
}

/// Rounds over the systems, each with `measure`, whose broker is missing when the floor has its turn.
pub(crate) fn compare(
    plan: &Plan,
    row: Row,
    bytes: u64,
    measure: impl Fn(Option<&Broker>, u32) -> Result<(Figures, f64)>,
) -> Result<Vec<Sample>> {
    compare_with(plan, row, &[], bytes, measure)
}

fn compare_with(
    plan: &Plan,
    row: Row,
    settings: Settings,
    bytes: u64,
    measure: impl Fn(Option<&Broker>, u32) -> Result<(Figures, f64)>,
) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for sitting in plan.sittings() {
        let brokers = start_frozen_with(plan, row, settings)?;
        for round in sitting {
            for system in plan.order(round.number) {
                let found = brokers.iter().find(|broker| broker.system == system);
                // What the last round's topic leaves behind is removed before the clock runs.
                found.map_or(Ok(()), |broker| {
                    broker.process.thaw().and_then(|()| broker.wait_for_deletions())
                })?;
                touch_page_cache(&plan.places.work_dir, bytes + (256 << 20))?;
                let (figures, foreign_share) = measure(found, round.number)?;
                found.map_or(Ok(()), |broker| broker.process.freeze())?;
                samples.push(round.sample(row, system, figures, foreign_share));
            }
        }
        discard_frozen(brokers)?;
    }
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
    compare(plan, row, bytes, |broker, round| {
        let (observed, sent) = match broker {
            None => measure_floor(plan, prepare("floor", 0, shape), bytes)?,
            Some(broker) => measure_broker(broker, &format!("row-{}-{round}", row.0), shape, bytes)?,
        };
        Ok((observed.transfer_figures(sent.bytes, sent.ledger.records), observed.foreign_share))
    })
}

/// The batches to cycle through, as ready frames.
pub(crate) fn prepare(topic: &str, partition: i32, shape: Shape) -> Vec<PreparedProduce> {
    (0..DISTINCT)
        .map(|seed| PreparedProduce::new(topic, partition, build(shape, None, now_ms(), seed + 1)))
        .collect()
}

/// Receive, CRC-32C, write, acknowledge: the floor of everything that is produced.
pub(crate) fn measure_floor(
    plan: &Plan,
    prepared: Vec<PreparedProduce>,
    bytes: u64,
) -> Result<(Observed, Pumped)> {
    let floor = Floor::start(FloorKind::Produce, &plan.places)?;
    let mut connection = Connection::open(floor.address)?;
    pump(&mut connection, &prepared, warm_up_bytes(bytes))?;
    let watch = Watch::start(&floor.process)?;
    let sent = pump(&mut connection, &prepared, bytes)?;
    let observed = watch.stop(&floor.process)?;
    let file = floor.file.clone();
    floor.process.kill()?;
    fs::remove_file(&file).doing(|| format!("remove {}", file.display()))?;
    Ok((observed, sent))
}

fn measure_broker(broker: &Broker, topic: &str, shape: Shape, bytes: u64) -> Result<(Observed, Pumped)> {
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
    Ok((observed, sent))
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
