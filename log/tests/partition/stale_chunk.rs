//! A disk that gives back an old piece of a file, or one of another place: sound bytes where others belong.
//!
//! A checksum alone says nothing here, since what comes back was written once. Above the recovery point such a piece ends
//! the log; below it the log is refused or the piece is found; no record is ever read at an offset that is not its own.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_log::storage::{Access, FaultyStorage, Storage, read_file};
use ottla_log::{LogConfig, LogError, verify_partition};

use crate::fixture::{Partition, append, batch, flights};

const DATA: &str = "/data";
const BATCHES: usize = 40;
const RECORDS: usize = 3;

fn config() -> LogConfig {
    LogConfig { index_interval_bytes: 200, ..LogConfig::default() }
}

fn open(storage: &Arc<dyn Storage>) -> Result<Partition, LogError> {
    Partition::open(storage, Path::new(DATA), config())
}

fn file(name: &str) -> PathBuf {
    Path::new(DATA).join(flights().to_string()).join(name)
}

fn log_file() -> PathBuf {
    file("00000000000000000000.log")
}

fn overwrite(storage: &Arc<dyn Storage>, path: &Path, position: usize, bytes: &[u8]) {
    let file = storage.open(path, Access::Write).unwrap();
    file.write_vectored_at(&[IoSlice::new(bytes)], position as u64).unwrap();
}

/// Forty batches of equal size, of four epochs, killed; with the bytes of the log and its values.
fn killed() -> (FaultyStorage, Vec<u8>, Vec<(i64, String)>) {
    let disk = FaultyStorage::new();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let partition = open(&storage).unwrap();
    for number in 0..BATCHES {
        append(&partition.log, batch(&format!("b{number:02}"), RECORDS), (number / 10) as i32).unwrap();
    }
    let values = partition.values();
    drop(partition);
    let bytes = read_file(&*storage, &log_file()).unwrap().unwrap();
    assert_eq!(bytes.len() % BATCHES, 0, "batches are of equal size");
    (disk, bytes, values)
}

#[test]
fn a_batch_of_another_place_ends_the_log_before_it() {
    let (disk, bytes, values) = killed();
    let size = bytes.len() / BATCHES;
    for place in 1..BATCHES {
        for other in [0, place - 1, (place + 1) % BATCHES, BATCHES - 1] {
            if other == place {
                continue;
            }
            let storage: Arc<dyn Storage> = Arc::new(disk.after_kill());
            overwrite(&storage, &log_file(), place * size, &bytes[other * size..(other + 1) * size]);
            let again = open(&storage).unwrap();
            assert_eq!(again.values(), values[..place * RECORDS], "{other} in the place of {place}");
            append(&again.log, batch("on", 1), 9).unwrap();
        }
    }
}

#[test]
fn a_batch_that_was_truncated_and_comes_back_ends_the_log_before_it() {
    let (disk, bytes, values) = killed();
    let size = bytes.len() / BATCHES;
    // From the tenth batch on everything is written anew, in a later epoch, by another leader.
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let partition = open(&storage).unwrap();
    partition.log.truncate_to(values[10 * RECORDS].0.into()).unwrap();
    for number in 10..BATCHES {
        append(&partition.log, batch(&format!("n{number:02}"), RECORDS), 7).unwrap();
    }
    let rewritten = partition.values();
    drop(partition);
    for place in 11..BATCHES {
        let storage: Arc<dyn Storage> = Arc::new(disk.after_kill());
        overwrite(&storage, &log_file(), place * size, &bytes[place * size..(place + 1) * size]);
        let again = open(&storage).unwrap();
        assert_eq!(again.values(), rewritten[..place * RECORDS], "the old batch {place} is back");
    }
}

#[test]
fn a_sector_that_was_never_written_or_holds_its_neighbour_ends_the_log_in_its_batch() {
    const SECTOR: usize = 512;
    let (disk, bytes, values) = killed();
    let size = bytes.len() / BATCHES;
    for start in (SECTOR..bytes.len()).step_by(SECTOR) {
        let end = (start + SECTOR).min(bytes.len());
        for stale in [&[0; SECTOR][..end - start], &bytes[start - SECTOR..end - SECTOR]] {
            let storage: Arc<dyn Storage> = Arc::new(disk.after_kill());
            overwrite(&storage, &log_file(), start, stale);
            let again = open(&storage).unwrap();
            assert_eq!(again.values(), values[..start / size * RECORDS], "the sector at {start}");
        }
    }
}

#[test]
fn below_the_recovery_point_it_is_an_error_or_found_by_verification_and_never_another_record() {
    let (disk, bytes, _) = killed();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let partition = open(&storage).unwrap();
    partition.log.sync().unwrap();
    partition.dir.checkpoint().unwrap();
    drop(partition);
    let size = bytes.len() / BATCHES;
    for place in 1..BATCHES {
        let storage: Arc<dyn Storage> = Arc::new(disk.after_kill());
        overwrite(&storage, &log_file(), place * size, &bytes[(place - 1) * size..place * size]);
        let directory = Path::new(DATA).join(flights().to_string());
        let findings = verify_partition(&*storage, &directory).unwrap().findings;
        assert!(findings.iter().any(|finding| finding.path == log_file()), "batch {place}: {findings:?}");
        if let Err(refused) = open(&storage) {
            assert!(matches!(refused, LogError::Corrupt { .. }), "{refused}");
            assert_eq!(
                read_file(&*storage, &log_file()).unwrap().unwrap().len(),
                bytes.len(),
                "nothing is cut"
            );
        }
    }
}

#[test]
fn an_old_checkpoint_and_old_indexes_only_cost_time() {
    let (disk, _, values) = killed();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let checkpoint = Path::new(DATA).join("recovery-point-offset-checkpoint");
    let partition = open(&storage).unwrap();
    partition.log.sync().unwrap();
    partition.dir.checkpoint().unwrap();
    let old: Vec<(PathBuf, Vec<u8>)> =
        [checkpoint, file("00000000000000000000.index"), file("00000000000000000000.timeindex")]
            .into_iter()
            .map(|path| (path.clone(), read_file(&*storage, &path).unwrap().unwrap_or_default()))
            .collect();
    for number in 0..BATCHES {
        append(&partition.log, batch(&format!("c{number:02}"), RECORDS), 9).unwrap();
    }
    partition.log.sync().unwrap();
    partition.dir.checkpoint().unwrap();
    let values = [values, partition.values().split_off(BATCHES * RECORDS)].concat();
    drop(partition);
    for (path, contents) in old {
        let storage: Arc<dyn Storage> = Arc::new(disk.after_kill());
        let file = storage.open(&path, Access::Create).unwrap();
        file.truncate(0).unwrap();
        file.write_vectored_at(&[IoSlice::new(&contents)], 0).unwrap();
        assert_eq!(open(&storage).unwrap().values(), values, "{}", path.display());
    }
}
