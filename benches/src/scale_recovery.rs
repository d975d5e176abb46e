//! How long a start takes that finds a long log: as long as its unflushed tail, however long the rest is.
//!
//! The log is simulated. A real segment of 1 GiB is written through the broker, which then ends; its indexes are copied
//! beneath as many more names as there shall be segments, and the segments themselves become holes of the same length:
//! whoever reads a record of them finds zeros, which are no batch, and the measurement is void. The recovery point is moved
//! behind them. A broker that starts on this goes on where the last segment ends, gets a tail, and is killed; what the next
//! start reads, by calls and from the disk, is what the kernel says of it. It is ottla's directory that is shaped, so there
//! is no figure of Apache Kafka here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::batch::{Ledger, Shape};
use crate::error::{BenchError, Doing, Result};
use crate::process::{ServerProcess, bytes_read_of};
use crate::rows::cold::forget;
use crate::rows::produce::{prepare, pump};
use crate::scale::Figure;
use crate::system::{Launcher, Meanwhile, Places, System};
use crate::wire::{Connection, PreparedProduce};

const TOPIC: &str = "long";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const SHAPE: Shape = Shape { value_bytes: 1024, batch_bytes_max: 16 << 10 };
/// Somewhat more than a segment, which is the default of `segment.bytes`.
const FIRST_BYTES: u64 = (1 << 30) + (1 << 20);
/// What no fsync has seen when the broker is killed.
const TAIL_BYTES: u64 = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts on a log of so many segments, after an orderly end and after a kill.
pub(crate) fn measure(places: &Places, segments: usize) -> Result<Vec<Figure>> {
    let launcher = Launcher::prepare(System::Ottla, places, "scale-recovery", Meanwhile::Running)?;
    let broker = launcher.start()?;
    let mut connection = broker.connect()?;
    connection.create_topic(TOPIC, 1, &[])?;
    let batches = prepare(TOPIC, 0, SHAPE);
    connection.produce_until_acked(&batches[0], PATIENCE)?;
    pump(&mut connection, &batches, FIRST_BYTES)?;
    drop(connection);
    broker.process.terminate(PATIENCE)?;

    let log = Shaped { directory: launcher.data_dir().join(format!("{TOPIC}-0")) };
    let end = log.shape(segments)?;
    move_recovery_point(&launcher.data_dir().join(RECOVERY_POINTS), end)?;
    forget(&log.directory)?;
    let mut figures = vec![("apparent GiB", log.apparent_bytes()? as f64 / (1u64 << 30) as f64)];
    figures.push(("segments", segments as f64));

    let mut written = Ledger::default();
    let process = start(
        &launcher,
        (&batches[0], end),
        &mut figures,
        ["clean start → first ack: ms", "clean start: read by calls MiB", "clean start: from disk MiB"],
    )?;
    written.add(batches[0].batch.record_count, batches[0].batch.crc);
    let mut connection = Connection::open(launcher.address())?;
    written.merge(pump(&mut connection, &batches, TAIL_BYTES)?.ledger);
    drop(connection);
    process.kill()?;

    forget(&log.directory)?;
    let tail_end = end + written.records as i64;
    let process = start(
        &launcher,
        (&batches[0], tail_end),
        &mut figures,
        ["kill -9 → first ack: ms", "kill -9: read by calls MiB", "kill -9: from disk MiB"],
    )?;
    figures.push(("kill -9: broker CPU-s", process.cpu_s()?));
    written.add(batches[0].batch.record_count, batches[0].batch.crc);
    let mut connection = Connection::open(launcher.address())?;
    let read = connection.audit_from(TOPIC, 0, end, end + written.records as i64)?;
    if read != written {
        return Err(BenchError::Void(format!("the tail was {written:?}, read {read:?}")));
    }
    process.kill()?;
    launcher.remove();
    Ok(figures)
}

/// Starts the broker and sends one batch, which must come behind all that was there.
fn start(
    launcher: &Launcher,
    (batch, end): (&PreparedProduce, i64),
    figures: &mut Vec<Figure>,
    [first_ack, by_calls, from_disk]: [&'static str; 3],
) -> Result<ServerProcess> {
    let mut process = launcher.spawn()?;
    launcher.wait_for_accept(&mut process)?;
    let base = Connection::open(launcher.address())?.produce_until_acked(batch, PATIENCE)?;
    figures.push((first_ack, process.started().elapsed().as_secs_f64() * 1e3));
    let read = bytes_read_of(process.pid())?;
    figures.push((by_calls, read.by_calls as f64 / (1 << 20) as f64));
    figures.push((from_disk, read.from_disk as f64 / (1 << 20) as f64));
    if base != end {
        return Err(BenchError::Void(format!("the log ended at {end}, and the next batch is at {base}")));
    }
    Ok(process)
}

/// The directory of a log that has one full segment and a little in the next.
#[derive(Debug)]
struct Shaped {
    directory: PathBuf,
}

impl Shaped {
    fn path(&self, base: i64, suffix: &str) -> PathBuf {
        self.directory.join(format!("{base:020}.{suffix}"))
    }

    /// The base offsets of its segments, in order.
    fn bases(&self) -> Result<Vec<i64>> {
        let entries = fs::read_dir(&self.directory).doing(|| format!("read {}", self.directory.display()))?;
        let base = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok();
        let mut bases: Vec<i64> = entries.flatten().filter_map(base).collect();
        bases.sort_unstable();
        Ok(bases)
    }

    /// Makes it one of so many full segments, all of them holes with sound indexes, and an empty one; where it ends.
    fn shape(&self, segments: usize) -> Result<i64> {
        let [0, second] = self.bases()?[..] else {
            return Err(BenchError::Void(format!("{} has not two segments", self.directory.display())));
        };
        let log = self.path(0, "log");
        let bytes = fs::metadata(&log).doing(|| format!("look at {}", log.display()))?.len();
        let snapshot = self.path(second, "snapshot");
        let producers = fs::read(&snapshot).doing(|| format!("read {}", snapshot.display()))?;
        let read = |suffix| fs::read(self.path(0, suffix)).doing(|| format!("read the {suffix}"));
        let indexes = [("index", read("index")?), ("timeindex", read("timeindex")?)];
        self.remove_what_is_not_of(0)?;
        let end = second * segments as i64;
        for base in (0..end).step_by(second as usize) {
            let path = self.path(base, "log");
            let hole = File::create(&path).and_then(|file| file.set_len(bytes));
            hole.doing(|| format!("create {}", path.display()))?;
            // Their offsets are relative to the segment's.
            for (suffix, index) in &indexes {
                write(&self.path(base, suffix), index)?;
            }
            if base > 0 {
                write(&self.path(base, "snapshot"), &producers)?;
            }
        }
        write(&self.path(end, "log"), &[])?;
        write(&self.path(end, "snapshot"), &producers)?;
        Ok(end)
    }

    fn remove_what_is_not_of(&self, base: i64) -> Result<()> {
        let kept = format!("{base:020}.");
        let entries = fs::read_dir(&self.directory).doing(|| format!("read {}", self.directory.display()))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(|first: char| first.is_ascii_digit()) && !name.starts_with(&kept) {
                fs::remove_file(entry.path()).doing(|| format!("remove {name}"))?;
            }
        }
        Ok(())
    }

    fn apparent_bytes(&self) -> Result<u64> {
        let length = |base: i64| {
            let path = self.path(base, "log");
            fs::metadata(&path).doing(|| format!("look at {}", path.display())).map(|metadata| metadata.len())
        };
        self.bases()?.into_iter().map(length).sum()
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).doing(|| format!("write {}", path.display()))
}

/// Everything below `end` is durable.
fn move_recovery_point(checkpoint: &Path, end: i64) -> Result<()> {
    let text = fs::read_to_string(checkpoint).doing(|| format!("read {}", checkpoint.display()))?;
    let partition = format!("{TOPIC} 0 ");
    let moved = |line: &str| match line.starts_with(&partition) {
        true => format!("{partition}{end}\n"),
        false => format!("{line}\n"),
    };
    if !text.lines().any(|line| line.starts_with(&partition)) {
        return Err(BenchError::Void(format!("{} does not know {TOPIC}", checkpoint.display())));
    }
    write(checkpoint, text.lines().map(moved).collect::<String>().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shaped_log_is_holes_with_the_indexes_of_the_first_segment() {
        let directory = tempfile::tempdir().unwrap();
        let log = Shaped { directory: directory.path().to_owned() };
        for (base, suffix, bytes) in [
            (0, "log", &[1u8; 5_000][..]),
            (0, "index", &[2; 16]),
            (0, "timeindex", &[3; 24]),
            (100, "log", &[1; 10]),
            (100, "snapshot", &[4; 14]),
            (103, "snapshot", &[5; 14]),
        ] {
            fs::write(log.path(base, suffix), bytes).unwrap();
        }
        assert_eq!(log.shape(3).unwrap(), 300);
        assert_eq!(log.bases().unwrap(), [0, 100, 200, 300]);
        assert_eq!(log.apparent_bytes().unwrap(), 15_000);
        assert_eq!(fs::read(log.path(0, "log")).unwrap(), vec![0; 5_000]);
        assert_eq!(fs::read(log.path(200, "index")).unwrap(), [2; 16]);
        assert_eq!(fs::read(log.path(300, "snapshot")).unwrap(), [4; 14]);
        assert!(!log.path(103, "snapshot").exists());
    }

    #[test]
    fn only_the_recovery_point_of_the_long_log_is_moved() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(RECOVERY_POINTS);
        fs::write(&path, "0\n2\nlong 0 7\nother 0 9\n").unwrap();
        move_recovery_point(&path, 300).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0\n2\nlong 0 300\nother 0 9\n");
        fs::write(&path, "0\n1\nother 0 9\n").unwrap();
        assert!(move_recovery_point(&path, 300).is_err());
    }
}
