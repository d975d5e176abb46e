//! Whether a partition's files agree with themselves and with each other; nothing is changed.
//!
//! Every batch is read and its CRC checked; offsets must grow, leader epochs must not fall, every index entry must meet
//! its batch, a snapshot's CRC must match. Kafka's directories pass: its followers index a run of batches by the first
//! position and the last offset, its active indexes end in zeros, and its preallocated logs too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ottla_protocol::records::BatchHeader;
use ottla_protocol::{LeaderEpoch, Offset};

use crate::error::LogError;
use crate::inspect::{self, LogFileReader, SegmentFile, SegmentFileKind};
use crate::storage::Storage;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// What [`verify_partition`] has read and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Segments.
    pub segments: usize,
    /// Batches whose CRC was right.
    pub batches: u64,
    /// Records in them, as their headers say.
    pub records: u64,
    /// Bytes of log.
    pub bytes: u64,
    /// Index entries that met their batch.
    pub index_entries: u64,
    /// The first offset, if there is a batch.
    pub first_offset: Option<Offset>,
    /// The offset behind the last batch.
    pub end_offset: Option<Offset>,
    /// What is wrong, in the order of the files.
    pub findings: Vec<Finding>,
}

/// Reads and checks every file of a partition's directory.
///
/// # Errors
/// Only if the files cannot be read; what is wrong in them is a finding.
pub fn verify_partition(storage: &dyn Storage, directory: &Path) -> Result<Verification, LogError> {
    let files = inspect::segment_files(storage, directory)?;
    let mut verifier = Verifier { storage, result: Verification::default(), epoch: None };
    for log in files.iter().filter(|file| file.kind == SegmentFileKind::Log) {
        let batches = verifier.log(log)?;
        for index in files.iter().filter(|file| file.offset == log.offset) {
            match index.kind {
                SegmentFileKind::OffsetIndex => verifier.offset_index(index, &batches)?,
                SegmentFileKind::TimeIndex => verifier.time_index(index, &batches)?,
                SegmentFileKind::Log | SegmentFileKind::TxnIndex | SegmentFileKind::ProducerSnapshot => {}
            }
        }
    }
    for file in files.iter().filter(|file| file.kind == SegmentFileKind::ProducerSnapshot) {
        match inspect::producer_snapshot(storage, &file.path) {
            Ok(_) => {}
            Err(LogError::Malformed { path, reason }) => verifier.found(&path, reason),
            Err(error) => return Err(error),
        }
    }
    match inspect::leader_epochs(storage, directory) {
        Ok(_) => {}
        Err(LogError::Malformed { path, reason }) => verifier.found(&path, reason),
        Err(error) => return Err(error),
    }
    Ok(verifier.result)
}

struct Verifier<'a> {
    storage: &'a dyn Storage,
    result: Verification,
    epoch: Option<LeaderEpoch>,
}

/// The batches of a segment by position: last offset and largest timestamp.
type Batches = BTreeMap<u64, (Offset, i64)>;

impl Verifier<'_> {
    fn found(&mut self, path: &Path, what: String) {
        self.result.findings.push(Finding { path: path.to_owned(), what });
    }

    fn log(&mut self, file: &SegmentFile) -> Result<Batches, LogError> {
        let mut batches = Batches::new();
        let mut reader = LogFileReader::open(self.storage, &file.path)?;
        self.result.segments += 1;
        let mut expected = file.offset.max(self.result.end_offset.unwrap_or(Offset::ZERO));
        let read = reader.each_batch(|placed| {
            let header = placed.batch.header();
            self.order(&file.path, placed.position, header, expected);
            expected = header.next_offset();
            self.result.first_offset.get_or_insert(header.base_offset);
            self.result.end_offset = Some(expected);
            self.result.batches += 1;
            self.result.records += u64::try_from(header.records_count).unwrap_or(0);
            batches.insert(placed.position, (header.last_offset(), header.max_timestamp));
            true
        });
        self.result.bytes += reader.position();
        match read {
            Ok(()) => {}
            Err(LogError::Corrupt { position, reason, .. }) => {
                if !reader.rest_is_zeros()? {
                    self.found(&file.path, format!("at byte {position}: {reason}"));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(batches)
    }

    fn order(&mut self, path: &Path, position: u64, header: &BatchHeader, expected: Offset) {
        if header.base_offset < expected {
            let what = format!("at byte {position}: offset {} after {expected} was next", header.base_offset);
            self.found(path, what);
        }
        let falls = |before: &LeaderEpoch| header.partition_leader_epoch.is_some_and(|epoch| epoch < *before);
        if let Some(before) = self.epoch.filter(falls) {
            self.found(path, format!("at byte {position}: the leader epoch falls from {before}"));
        }
        self.epoch = header.partition_leader_epoch.or(self.epoch);
    }

    fn offset_index(&mut self, file: &SegmentFile, batches: &Batches) -> Result<(), LogError> {
        let entries = inspect::offset_index(self.storage, &file.path, file.offset)?;
        for (place, entry) in entries.iter().enumerate() {
            let before = place.checked_sub(1).map(|before| entries[before]);
            if before.is_some_and(|before| before.offset >= entry.offset || before.position >= entry.position)
            {
                self.found(&file.path, format!("entry {place} does not grow: {entry:?}"));
                return Ok(());
            }
            let until = entries.get(place + 1).map_or(u64::MAX, |next| u64::from(next.position));
            let position = u64::from(entry.position);
            let meets = batches.contains_key(&position)
                && batches.range(position..until).any(|(_, (last, _))| *last == entry.offset);
            match meets {
                true => self.result.index_entries += 1,
                false => self.found(&file.path, format!("entry {place} meets no batch: {entry:?}")),
            }
        }
        Ok(())
    }

    fn time_index(&mut self, file: &SegmentFile, batches: &Batches) -> Result<(), LogError> {
        let entries = inspect::time_index(self.storage, &file.path, file.offset)?;
        let by_offset: BTreeMap<Offset, i64> = batches.values().copied().collect();
        for (place, entry) in entries.iter().enumerate() {
            let before = place.checked_sub(1).map(|before| entries[before]);
            if before
                .is_some_and(|before| before.timestamp >= entry.timestamp || before.offset > entry.offset)
            {
                self.found(&file.path, format!("entry {place} does not grow: {entry:?}"));
                return Ok(());
            }
            // Kafka names any offset of the batch, depending on its version and on who wrote it.
            let batch = by_offset.range(entry.offset..).next().map(|(_, timestamp)| *timestamp);
            match batch == Some(entry.timestamp) {
                true => self.result.index_entries += 1,
                false => self
                    .found(&file.path, format!("entry {place} meets no batch of its timestamp: {entry:?}")),
            }
        }
        Ok(())
    }
}
