//! Row 1: how fast a hot partition is read in fetches of 1 MiB, one at a time, over one connection. The floor answers
//! each request with a `sendfile` of 1 MiB from a file with the same bytes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use crate::batch::{Ledger, Shape, build};
use crate::error::{BenchError, Doing, Result};
use crate::floor::{FETCH_BYTES, FloorKind};
use crate::rows::produce::{prepare, pump};
use crate::rows::{Plan, Row, Sample, now_ms};
use crate::system::{Broker, Floor, Launcher, Meanwhile, System, fetch_floor_file};
use crate::warm::touch_page_cache;
use crate::watch::{Observed, Watch};
use crate::wire::{Connection, fetch_frame};

const ROW: Row = Row(1);
const TOPIC: &str = "row-1";
/// Four batches of this shape fill a fetch of 1 MiB.
const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 256 << 10 };

/// Measures row 1.
pub(crate) fn row_1(plan: &Plan) -> Result<Vec<Sample>> {
    let stored_bytes: u64 = 1 << 30;
    let bytes: u64 = if plan.quick { 4 << 30 } else { 8 << 30 };
    let mut samples = Vec::new();
    for sitting in plan.sittings() {
        let mut floor = None;
        let mut brokers = Vec::new();
        for system in &plan.systems {
            touch_page_cache(&plan.places.work_dir, stored_bytes + (256 << 20))?;
            if *system == System::Floor {
                floor = Some(StoredFloor::start(plan, stored_bytes)?);
            } else {
                brokers.push(Loaded::start(plan, *system, stored_bytes)?);
            }
        }
        for round in sitting {
            for system in plan.order(round.number) {
                let found = brokers.iter().find(|loaded| loaded.broker.system == system);
                let (observed, moved, records) = match (found, &floor) {
                    (Some(loaded), _) => loaded.measure(bytes)?,
                    (None, Some(floor)) => floor.measure(bytes)?,
                    (None, None) => continue,
                };
                let figures = observed.transfer_figures(moved, records);
                samples.push(round.sample(ROW, system, figures, observed.foreign_share));
            }
        }
        for loaded in brokers {
            loaded.broker.process.thaw()?;
            loaded.audit()?;
            loaded.broker.discard()?;
        }
        floor.map_or(Ok(()), StoredFloor::discard)?;
    }
    Ok(samples)
}

/// The floor, and how many records lie in each of its bytes.
struct StoredFloor {
    floor: Floor,
    records_per_byte: f64,
}

impl StoredFloor {
    fn start(plan: &Plan, bytes: u64) -> Result<Self> {
        let path = fetch_floor_file(&plan.places.work_dir);
        let mut file = BufWriter::new(File::create(&path).doing(|| format!("create {}", path.display()))?);
        let batch = build(SHAPE, None, now_ms(), 1);
        for _ in 0..bytes.div_ceil(batch.bytes.len() as u64) {
            file.write_all(&batch.bytes).doing(|| format!("write {}", path.display()))?;
        }
        file.flush().doing(|| format!("write {}", path.display()))?;
        let records_per_byte = f64::from(batch.record_count) / batch.bytes.len() as f64;
        Ok(Self { floor: Floor::start(FloorKind::Fetch, &plan.places)?, records_per_byte })
    }

    fn measure(&self, bytes: u64) -> Result<(Observed, u64, u64)> {
        let mut connection = Connection::open(self.floor.address)?;
        let frame = fetch_frame(1, TOPIC, 0, 0, FETCH_BYTES as i32);
        let mut fetch = |bytes: u64| -> Result<u64> {
            let mut moved = 0;
            while moved < bytes {
                moved += connection.exchange(&frame)? as u64;
            }
            Ok(moved)
        };
        fetch(bytes / 8)?;
        let watch = Watch::start(&self.floor.process)?;
        let moved = fetch(bytes)?;
        let records = (moved as f64 * self.records_per_byte) as u64;
        Ok((watch.stop(&self.floor.process)?, moved, records))
    }

    fn discard(self) -> Result<()> {
        self.floor.process.kill()?;
        std::fs::remove_file(&self.floor.file).doing(|| "remove the floor's file".to_owned())
    }
}

/// A broker that holds the data.
struct Loaded {
    broker: Broker,
    written: Ledger,
}

impl Loaded {
    fn start(plan: &Plan, system: System, bytes: u64) -> Result<Self> {
        let broker = Launcher::prepare(system, &plan.places, "row-1", Meanwhile::Frozen)?.start()?;
        let mut connection = broker.connect()?;
        connection.create_topic(TOPIC, 1, &[])?;
        let prepared = prepare(TOPIC, 0, SHAPE);
        let mut written = Ledger::default();
        connection.produce_until_acked(&prepared[0], Duration::from_secs(30))?;
        written.add(prepared[0].batch.record_count, prepared[0].batch.crc);
        written.merge(pump(&mut connection, &prepared, bytes)?.ledger);
        broker.process.freeze()?;
        Ok(Self { broker, written })
    }

    fn measure(&self, bytes: u64) -> Result<(Observed, u64, u64)> {
        self.broker.process.thaw()?;
        let mut connection = self.broker.connect()?;
        let mut offset = 0i64;
        // Cached files are paged out while others are measured: one pass over all of it makes it hot again.
        let (_, stored) =
            self.fetch(&mut connection, &mut offset, |_, records| records < self.written.records)?;
        debug_assert_eq!(stored, self.written.records);
        offset = 0;
        let watch = Watch::start(&self.broker.process)?;
        let (moved, records) = self.fetch(&mut connection, &mut offset, |moved, _| moved < bytes)?;
        let observed = watch.stop(&self.broker.process)?;
        self.broker.process.freeze()?;
        Ok((observed, moved, records))
    }

    /// Fetches on, round and round, while `more(bytes, records)` says so; returns both counts.
    fn fetch(
        &self,
        connection: &mut Connection,
        offset: &mut i64,
        more: impl Fn(u64, u64) -> bool,
    ) -> Result<(u64, u64)> {
        let (mut moved, mut records) = (0u64, 0u64);
        while more(moved, records) {
            let fetched = connection.fetch(TOPIC, 0, *offset, FETCH_BYTES as i32, |batch| {
                records += u64::from(batch.record_count);
            })?;
            moved += fetched.frame_bytes as u64;
            let next = fetched.next_offset.ok_or_else(|| {
                BenchError::Void(format!("{} returned nothing at offset {offset}", self.broker.system))
            })?;
            *offset = if next as u64 >= self.written.records { 0 } else { next };
        }
        Ok((moved, records))
    }

    fn audit(&self) -> Result<()> {
        let read = self.broker.connect()?.audit(TOPIC, 0, self.written.records as i64)?;
        if read == self.written {
            return Ok(());
        }
        Err(BenchError::Void(format!("{}: wrote {:?}, read {read:?}", self.broker.system, self.written)))
    }
}
