//! The second half of row 16: a producer at a fixed rate, alone and beside a reader of a log that is not in the page cache.
//!
//! The log is synced and the kernel told to forget it, again before each pass of the reader; what the broker then read
//! from the disk is a figure of its own, so that a reader that was not cold shows. The reader keeps a rate too, or it would
//! be its appetite for processors that is measured. Alone and beside take turns.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::batch::build;
use crate::error::{BenchError, Doing, Result};
use crate::process::bytes_read_of;
use crate::rows::produce::{prepare, pump};
use crate::rows::soak::SHAPE;
use crate::rows::steady::Steady;
use crate::rows::{Figures, now_ms};
use crate::stats::Latencies;
use crate::system::Broker;
use crate::wire::PreparedProduce;

const OLD: &str = "row-16-old";
const NEW: &str = "row-16-new";
const RECORDS_PER_SECOND: f64 = 2_000.0;
const READER_BYTES_PER_SECOND: f64 = 100e6;
const FETCH_BYTES: i32 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// What a pass of the reader brought.
#[derive(Debug, Clone, Copy, Default)]
struct Brought {
    bytes: u64,
    from_disk: u64,
    seconds: f64,
}

/// p99 with and without the reader.
pub(crate) fn measure(broker: &Broker, quick: bool) -> Result<Figures> {
    let old_bytes: u64 = if quick { 512 << 20 } else { 2 << 30 };
    let (turns, seconds) = if quick { (2, 4) } else { (3, 10) };
    let duration = Duration::from_secs(seconds);
    let mut connection = broker.connect()?;
    connection.create_topic(OLD, 1, &[])?;
    connection.create_topic(NEW, 1, &[])?;
    let batches = prepare(OLD, 0, SHAPE);
    connection.produce_until_acked(&batches[0], PATIENCE)?;
    let mut old = pump(&mut connection, &batches, old_bytes)?.ledger;
    old.add(batches[0].batch.record_count, batches[0].batch.crc);
    let record = PreparedProduce::new(NEW, 0, build(SHAPE, Some(1), now_ms(), 1));
    connection.produce_until_acked(&record, PATIENCE)?;

    let (mut alone, mut beside, mut brought) = (Latencies::new(), Latencies::new(), Brought::default());
    for _ in 0..turns {
        let mut steady =
            Steady { connection: &mut connection, request: &record, per_second: RECORDS_PER_SECOND };
        steady.run(duration, 1)?.iter().for_each(|part| alone.merge(part));
        forget(&broker.data_dir().join(format!("{OLD}-0")))?;
        let is_over = AtomicBool::new(false);
        let pass = std::thread::scope(|scope| -> Result<Brought> {
            let reading = scope.spawn(|| read_until(broker, old.records as i64, &is_over));
            let produced = steady.run(duration, 1);
            is_over.store(true, Ordering::Relaxed);
            let pass = reading.join().map_err(|_| BenchError::Void("the reader panicked".to_owned()))??;
            produced?.iter().for_each(|part| beside.merge(part));
            Ok(pass)
        })?;
        brought.bytes += pass.bytes;
        brought.from_disk += pass.from_disk;
        brought.seconds += pass.seconds;
    }
    let written = 1 + alone.count() + beside.count();
    let read =
        (connection.audit(NEW, 0, written as i64)?.records, connection.audit(OLD, 0, old.records as i64)?);
    if read != (written, old) {
        return Err(BenchError::Void(format!(
            "{}: wrote {written} and {old:?}, read {read:?}",
            broker.system
        )));
    }
    let p99_ms = |of: &Latencies| of.percentile_us(99.0) / 1e3;
    Ok(Figures::from([
        ("alone: p50 ms", alone.percentile_us(50.0) / 1e3),
        ("alone: p99 ms", p99_ms(&alone)),
        ("beside a cold reader: p50 ms", beside.percentile_us(50.0) / 1e3),
        ("beside a cold reader: p99 ms", p99_ms(&beside)),
        ("beside a cold reader: p99.9 ms", beside.percentile_us(99.9) / 1e3),
        ("cold reader: p99 with ÷ without", p99_ms(&beside) / p99_ms(&alone)),
        ("cold reader: MB/s", brought.bytes as f64 / 1e6 / brought.seconds),
        ("cold reader: from disk %", brought.from_disk as f64 / brought.bytes as f64 * 100.0),
    ]))
}

/// Reads the old log at its rate from the start, and once more when it ends, until it is over.
fn read_until(broker: &Broker, end: i64, is_over: &AtomicBool) -> Result<Brought> {
    let mut connection = broker.connect()?;
    let (mut brought, mut offset) = (Brought::default(), 0);
    let (from, disk_from) = (Instant::now(), bytes_read_of(broker.process.pid())?.from_disk);
    while !is_over.load(Ordering::Relaxed) {
        if offset >= end {
            forget(&broker.data_dir().join(format!("{OLD}-0")))?;
            offset = 0;
        }
        let due = from + Duration::from_secs_f64(brought.bytes as f64 / READER_BYTES_PER_SECOND);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let fetched = connection.fetch(OLD, 0, offset, FETCH_BYTES, |_| {})?;
        brought.bytes += fetched.frame_bytes as u64;
        offset = fetched.next_offset.ok_or_else(|| BenchError::Void(format!("{OLD} ends at {offset}")))?;
    }
    brought.seconds = from.elapsed().as_secs_f64();
    brought.from_disk = bytes_read_of(broker.process.pid())?.from_disk - disk_from;
    Ok(brought)
}

/// Has the kernel write and then forget the files of a directory. What it has not written yet it would keep.
pub(crate) fn forget(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).doing(|| format!("read {}", directory.display()))?.flatten() {
        let path = entry.path();
        let file = File::open(&path).doing(|| format!("open {}", path.display()))?;
        file.sync_data().doing(|| format!("sync {}", path.display()))?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
            .doing(|| format!("forget {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_forgotten_is_still_there() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("0.log");
        File::create(&file).unwrap().write_all(&[7; 10_000]).unwrap();
        forget(directory.path()).unwrap();
        assert_eq!(fs::read(&file).unwrap(), vec![7; 10_000]);
        assert!(forget(&directory.path().join("none")).is_err());
    }
}
