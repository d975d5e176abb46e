//! A partition's directory as a crash, a bad disk or somebody's editor may have left it.
//!
//! The input is a list of files: the first byte says whether the clean-shutdown marker is there (bit 0) and whether the
//! batches are signed before they are looked at (bit 1); then, for each file, a byte for its name (see [`NAMES`]), two
//! for its length, and its bytes. Properties: opening, reading and looking up never panic; what was appended afterwards
//! is read back; what was closed is opened again with the same offsets.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ottla_log::storage::{Access, MemoryStorage, Storage, read_file, write_all_at};
use ottla_log::{AppendOrigin, DirectoryOwner, Log, LogConfig, LogDir, Stamp};
use ottla_protocol::records::{BatchBuilder, Compression, Rules, ValidBatch, batches};
use ottla_protocol::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicName, TopicPartition};

use crate::record_batch;

/// Where the log directory is.
pub const ROOT: &str = "/logs";

/// The files that an input may bring; the second segment begins at offset 10.
pub const NAMES: [&str; 16] = [
    "t-0/00000000000000000000.log",
    "t-0/00000000000000000000.index",
    "t-0/00000000000000000000.timeindex",
    "t-0/00000000000000000000.txnindex",
    "t-0/00000000000000000010.log",
    "t-0/00000000000000000010.index",
    "t-0/00000000000000000010.timeindex",
    "t-0/00000000000000000010.txnindex",
    "t-0/00000000000000000010.snapshot",
    "t-0/00000000000000000020.snapshot",
    "t-0/leader-epoch-checkpoint",
    "t-0/partition.metadata",
    "t-0/next.prepared",
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "meta.properties",
];

const ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
const CLEAN: u8 = 1;
const SIGN: u8 = 2;
const NOW_MS: i64 = 1_700_000_100_000;

/// Lays the directory out, opens it and uses it.
pub fn run(input: &[u8]) {
    let Some((&mode, mut rest)) = input.split_first() else { return };
    let storage = empty();
    if mode & CLEAN != 0 {
        write(&storage, ".kafka_cleanshutdown", b"");
    }
    while let Some((head, behind)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([head[1], head[2]])).min(behind.len());
        let name = NAMES[usize::from(head[0]) % NAMES.len()];
        let mut contents = behind[..length].to_vec();
        if mode & SIGN != 0 && name.ends_with(".log") {
            sign_all(&mut contents);
        }
        write(&storage, name, &contents);
        rest = &behind[length..];
    }
    let Some(end) = open_and_use(&storage) else { return };
    let (_directory, log) = open(&storage).expect("what was closed cleanly opens again");
    assert_eq!(log.log_end_offset(), end);
}

/// A log directory that is ours, with a partition that has no files yet.
pub fn empty() -> MemoryStorage {
    let storage = MemoryStorage::new();
    storage.create_directory(&Path::new(ROOT).join("t-0")).expect("memory");
    let properties = format!("version=1\ncluster.id=fuzz\nnode.id=1\ndirectory.id={ID}\n");
    write(&storage, "meta.properties", properties.as_bytes());
    storage
}

/// The partition that everything happens in.
pub fn partition() -> TopicPartition {
    TopicPartition::new(TopicName::new("t").expect("a legal name"), PartitionIndex::new(0))
}

/// The settings that everything happens under.
pub fn config() -> LogConfig {
    LogConfig { index_interval_bytes: 64, ..LogConfig::default() }
}

/// Opens the directory in `storage` and its partition.
pub fn open(storage: &MemoryStorage) -> Option<(LogDir, Arc<Log>)> {
    let owner = DirectoryOwner {
        cluster_id: "fuzz".to_owned(),
        node_id: BrokerId::new(1),
        new_directory_id: ID.parse().expect("a legal id"),
    };
    let directory = LogDir::open(Arc::new(storage.clone()), Path::new(ROOT), &owner).ok()?;
    let (log, _) = directory.open_log(&partition(), None, config(), NOW_MS).ok()?;
    Some((directory, log))
}

/// One record, as a producer sends it.
pub fn batch(timestamp: i64) -> ValidBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(timestamp, Some(b"key"), Some(b"value"), &[]).expect("it fits");
    ValidBatch::check(builder.build(), &Rules::client(1000)).expect("our own batch")
}

fn open_and_use(storage: &MemoryStorage) -> Option<Offset> {
    let (directory, log) = open(storage)?;
    assert!(log.log_start_offset() <= log.log_end_offset());
    read_all(&log);
    look_up(&log);
    let before = log.log_end_offset();
    let sent = batch(NOW_MS);
    let outcome = Arc::new(Mutex::new(None));
    let told = outcome.clone();
    let stamp = Stamp {
        leader_epoch: log.latest_epoch().map_or(LeaderEpoch::ZERO, |latest| latest.epoch),
        now_ms: NOW_MS,
        origin: AppendOrigin::Client,
    };
    log.append(sent.clone(), stamp, move |result| *told.lock().expect("one thread") = Some(result));
    let appended = outcome.lock().expect("one thread").take().expect("the callback was called");
    if let Ok(appended) = appended {
        assert_eq!(appended.base_offset, before);
        let read = log.read(before, log.log_end_offset(), 1 << 20, true).expect("in range");
        let bytes = read.slice.expect("it is there").to_bytes().expect("memory");
        let found =
            batches(bytes).find_map(|batch| batch.ok().filter(|batch| batch.header().base_offset == before));
        assert_eq!(found.expect("it is there").bytes()[16..], sent.bytes()[16..]);
    }
    let _ = log.sync();
    look_up(&log);
    let end = log.log_end_offset();
    directory.close().ok()?;
    Some(end)
}

fn read_all(log: &Log) {
    let mut from = log.log_start_offset();
    for _ in 0..10_000 {
        let Ok(read) = log.read(from, log.log_end_offset(), 1 << 20, true) else { return };
        let Some(slice) = read.slice else { return };
        let Ok(bytes) = slice.to_bytes() else { return };
        let Some(next) = next_offset(bytes) else { return };
        if next <= from {
            return;
        }
        from = next;
    }
}

fn next_offset(bytes: Bytes) -> Option<Offset> {
    batches(bytes).map_while(Result::ok).last().map(|batch| batch.header().next_offset())
}

fn look_up(log: &Log) {
    for timestamp in [i64::MIN, -1, 0, 1_700_000_000_005, NOW_MS, i64::MAX] {
        let _ = log.offset_for_timestamp(timestamp);
    }
    let _ = log.max_timestamp();
    for epoch in [0, 1, 7, i32::MAX] {
        let _ = log.epoch_end_offset(LeaderEpoch::new(epoch));
    }
    let _ = log.producers();
    let _ = log.aborted_transactions(log.log_start_offset(), log.log_end_offset());
}

/// Makes the checksum of every batch right, as far as the lengths lead.
fn sign_all(log: &mut [u8]) {
    let mut start = 0;
    while log.len() - start >= 61 {
        let length =
            u32::from_be_bytes([log[start + 8], log[start + 9], log[start + 10], log[start + 11]]) as usize;
        let end = start.saturating_add(12).saturating_add(length).min(log.len());
        if end - start < 61 {
            return;
        }
        let (magic, claimed) = (log[start + 16], log[start + 8..start + 12].to_vec());
        record_batch::sign(&mut log[start..end]);
        // Only the checksum is to be right: length and magic are for the fuzzer to break.
        log[start + 16] = magic;
        log[start + 8..start + 12].copy_from_slice(&claimed);
        start = end;
    }
}

fn write(storage: &MemoryStorage, name: &str, contents: &[u8]) {
    let file = storage.open(&Path::new(ROOT).join(name), Access::Create).expect("memory");
    file.truncate(0).expect("memory");
    write_all_at(&*file, &mut [std::io::IoSlice::new(contents)], 0).expect("memory");
}

/// A seed: the files of a directory that a log has really written.
pub fn seed(storage: &MemoryStorage, clean: bool, signed: bool) -> Vec<u8> {
    let mut seed = vec![if clean { CLEAN } else { 0 } | if signed { SIGN } else { 0 }];
    for (index, name) in NAMES.iter().enumerate() {
        if let Ok(Some(contents)) = read_file(storage, &Path::new(ROOT).join(name)) {
            seed.push(index as u8);
            seed.extend_from_slice(&(contents.len() as u16).to_be_bytes());
            seed.extend_from_slice(&contents);
        }
    }
    seed
}
