//! Rows 11 and 12: what a thousand connections cost. Each is opened and has one record acknowledged; then all are silent
//! while the broker's CPU and memory are read, beside 10,000 partitions; then one record at a time goes over each in turn,
//! against the same over one connection.

use std::time::{Duration, Instant};

use crate::batch::{Ledger, Shape, build};
use crate::error::{BenchError, Result};
use crate::floor::FloorKind;
use crate::rows::launch::{create_partitions, idle_cpu_percent};
use crate::rows::{Figures, Plan, Row, Sample, now_ms};
use crate::stats::Latencies;
use crate::system::{Broker, Floor, Launcher, Meanwhile, System};
use crate::watch::Watch;
use crate::wire::{Connection, PreparedProduce};

const ROW: Row = Row(12);
const TOPIC: &str = "row-12";
const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
const CONNECTIONS: usize = 1_000;

/// Measures rows 11 and 12.
pub(crate) fn row_12(plan: &Plan) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for round in plan.rounds_anew() {
        for system in plan.order(round.number) {
            if system == System::Floor {
                let (figures, share) = measure_floor(plan)?;
                samples.push(round.sample(ROW, system, figures, share));
                continue;
            }
            let launcher = Launcher::prepare(system, &plan.places, "row-12", Meanwhile::Running)?;
            let broker = launcher.start()?;
            let (connected, idle, share) = measure(&broker, plan.quick)?;
            broker.discard()?;
            samples.push(round.sample(ROW, system, connected, share));
            samples.push(round.sample(Row(11), system, idle, share));
        }
    }
    Ok(samples)
}

/// The same turns with an echo at the other end.
fn measure_floor(plan: &Plan) -> Result<(Figures, f64)> {
    let floor = Floor::start(FloorKind::Echo, &plan.places)?;
    let frame = PreparedProduce::new(TOPIC, 0, build(SHAPE, Some(1), now_ms(), 1)).frame;
    let open = |_| Connection::open(floor.address);
    let mut all = (0..CONNECTIONS).map(open).collect::<Result<Vec<Connection>>>()?;
    let watch = Watch::start(&floor.process)?;
    let mut echo = |connection: &mut Connection| connection.exchange(&frame).map(drop);
    let one = turns(&mut all[..1], duration(plan.quick), &mut echo)?;
    let many = turns(&mut all, duration(plan.quick), &mut echo)?;
    let observed = watch.stop(&floor.process)?;
    floor.process.kill()?;
    let mut figures = observed.figures_of(one.count() + many.count());
    figures.extend(figures_of_turns(&one, &many));
    Ok((figures, observed.foreign_share))
}

fn duration(quick: bool) -> Duration {
    Duration::from_secs(if quick { 3 } else { 6 })
}

fn figures_of_turns(one: &Latencies, many: &Latencies) -> Figures {
    Figures::from([
        ("1 connection: round trip p50 µs", one.percentile_us(50.0)),
        ("1 connection: round trip p99 µs", one.percentile_us(99.0)),
        ("1,000 connections: round trip p50 µs", many.percentile_us(50.0)),
        ("1,000 connections: round trip p99 µs", many.percentile_us(99.0)),
        ("1,000 ÷ 1, p50", many.percentile_us(50.0) / one.percentile_us(50.0)),
    ])
}

/// What the connections cost, what idling costs, and the share of others.
fn measure(broker: &Broker, quick: bool) -> Result<(Figures, Figures, f64)> {
    let mut written = Ledger::default();
    let mut first = broker.connect()?;
    first.create_topic(TOPIC, 1, &[])?;
    let record = PreparedProduce::new(TOPIC, 0, build(SHAPE, Some(1), now_ms(), 1));
    first.produce_until_acked(&record, Duration::from_secs(60))?;
    let mut round_trip = |connection: &mut Connection| -> Result<()> {
        connection.send_produce(&record)?;
        connection.receive_ack()?;
        written.add(record.batch.record_count, record.batch.crc);
        Ok(())
    };
    // Before the partitions: what their creation leaves to be given back would be taken off the connections.
    let before = settled_mib(broker)?;
    let mut all = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut connection = broker.connect()?;
        round_trip(&mut connection)?;
        all.push(connection);
    }
    let held = settled_mib(broker)? - before;
    create_partitions(&mut first)?;
    let idle_cpu = idle_cpu_percent(&broker.process)?;
    let watch = Watch::start(&broker.process)?;
    let one = turns(&mut all[..1], duration(quick), &mut round_trip)?;
    let many = turns(&mut all, duration(quick), &mut round_trip)?;
    let observed = watch.stop(&broker.process)?;
    written.add(record.batch.record_count, record.batch.crc);
    let read = broker.connect()?.audit(TOPIC, 0, written.records as i64)?;
    if read != written {
        return Err(BenchError::Void(format!("{}: wrote {written:?}, read {read:?}", broker.system)));
    }
    let mut connected = observed.figures_of(one.count() + many.count());
    connected.extend(figures_of_turns(&one, &many));
    connected.insert("RssAnon per idle connection KiB", held * 1024.0 / CONNECTIONS as f64);
    let idle = Figures::from([("idle CPU %, 10,000 partitions and 1,000 connections", idle_cpu)]);
    Ok((connected, idle, observed.foreign_share))
}

/// What the broker holds once that changes no more, or after six seconds.
fn settled_mib(broker: &Broker) -> Result<f64> {
    let mut held = broker.process.memory()?.rss_anon;
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(2));
        let now = broker.process.memory()?.rss_anon;
        if (now - held).abs() < 0.1 {
            return Ok(now);
        }
        held = now;
    }
    Ok(held)
}

/// One round trip at a time, over each connection in turn.
fn turns(
    connections: &mut [Connection],
    duration: Duration,
    round_trip: &mut impl FnMut(&mut Connection) -> Result<()>,
) -> Result<Latencies> {
    let mut latencies = Latencies::new();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        for connection in &mut *connections {
            let from = Instant::now();
            round_trip(connection)?;
            latencies.record(from.elapsed());
        }
    }
    Ok(latencies)
}
