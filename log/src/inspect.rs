//! Looking at a partition's files without opening the log: for `ottla log dump` and `ottla log verify`, Kafka's own
//! directories included.
//!
//! Nothing here writes, locks or repairs, and a running broker may own the directory: what is read is then a moment's
//! view. Index files that Kafka has preallocated end in zeros, which are no entries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_protocol::records::ValidBatch;
use ottla_protocol::{Offset, ProducerId, TopicPartition};

use crate::epoch_cache::{EpochCache, EpochStart};
use crate::error::LogError;
use crate::log::LEADER_EPOCHS;
use crate::offset_index::{self, OFFSET_INDEX_ENTRY_BYTES, OffsetPosition};
use crate::producer_snapshot;
use crate::producer_state::ProducerEntry;
use crate::scan::{BatchScan, end_of_data};
use crate::segment::{base_offset_of, segment_path, suffix};
use crate::storage::{Access, Storage, StorageFile, read_file};
use crate::time_index::{self, TIME_INDEX_ENTRY_BYTES, TimestampOffset};
use crate::txn_index::{AbortedTransaction, parse_entries};

/// The kinds of file that belong to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentFileKind {
    /// Record batches.
    Log,
    /// Offsets to positions.
    OffsetIndex,
    /// Timestamps to offsets.
    TimeIndex,
    /// Aborted transactions.
    TxnIndex,
    /// The producer state before the offset in its name.
    ProducerSnapshot,
}

impl SegmentFileKind {
    /// The kind of a file of this name, and the offset in it.
    pub fn of(name: &str) -> Option<(SegmentFileKind, Offset)> {
        [
            (SegmentFileKind::Log, suffix::LOG),
            (SegmentFileKind::OffsetIndex, suffix::OFFSET_INDEX),
            (SegmentFileKind::TimeIndex, suffix::TIME_INDEX),
            (SegmentFileKind::TxnIndex, suffix::TXN_INDEX),
            (SegmentFileKind::ProducerSnapshot, suffix::SNAPSHOT),
        ]
        .into_iter()
        .find_map(|(kind, suffix)| Some((kind, base_offset_of(name, suffix)?)))
    }
}

/// A file of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// What it holds.
    pub kind: SegmentFileKind,
    /// The offset in its name.
    pub offset: Offset,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The partition that a directory is named for, if it is.
pub fn partition_of(directory: &Path) -> Option<TopicPartition> {
    crate::dir::partition_of(directory.file_name()?.to_str()?)
}

/// The segment files of a partition's directory, by offset and kind; other files are left out.
pub fn segment_files(storage: &dyn Storage, directory: &Path) -> Result<Vec<SegmentFile>, LogError> {
    let entries = storage.list(directory).map_err(|error| LogError::io("list", directory, error))?;
    let mut files: Vec<SegmentFile> = entries
        .into_iter()
        .filter(|entry| !entry.is_directory)
        .filter_map(|entry| {
            let (kind, offset) = SegmentFileKind::of(&entry.name)?;
            Some(SegmentFile { kind, offset, path: directory.join(entry.name), bytes: entry.len })
        })
        .collect();
    files.sort_by_key(|file| (file.offset, file.kind as u8));
    Ok(files)
}

/// The batches of a `.log` file in order. After damage there are none, for nothing says where the next would begin.
#[derive(Debug)]
pub struct LogFileReader {
    file: Arc<dyn StorageFile>,
    path: PathBuf,
    position: u64,
    end: u64,
}

/// A batch and where it stands in its file.
#[derive(Clone, Debug)]
pub struct PlacedBatch {
    /// Where it begins.
    pub position: u64,
    /// The batch, its CRC checked.
    pub batch: ValidBatch,
}

impl LogFileReader {
    /// Opens a `.log` file.
    pub fn open(storage: &dyn Storage, path: &Path) -> Result<LogFileReader, LogError> {
        let open = || {
            let file = storage.open(path, Access::Read)?;
            let end = file.len()?;
            Ok((file, end))
        };
        let (file, end) = open().map_err(|error| LogError::io("open", path, error))?;
        Ok(LogFileReader { file, path: path.to_owned(), position: 0, end })
    }

    /// Calls `visit` for each batch from the current position on, until it says to stop.
    ///
    /// # Errors
    /// `Corrupt` at the first batch that does not hold; the position stays there.
    pub fn each_batch(&mut self, mut visit: impl FnMut(PlacedBatch) -> bool) -> Result<(), LogError> {
        let mut scan = BatchScan::new(self.file.clone(), &self.path, self.position, self.end);
        let mut next_offset = Offset::ZERO;
        while let Some(batch) = scan.next()? {
            let batch = batch.map_err(|reason| LogError::Corrupt {
                path: self.path.clone(),
                position: self.position,
                offset: next_offset,
                reason,
            })?;
            next_offset = batch.header().next_offset();
            let position = self.position;
            self.position += batch.size_in_bytes() as u64;
            if !visit(PlacedBatch { position, batch }) {
                break;
            }
        }
        Ok(())
    }

    /// The position behind the last batch that was visited.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The size of the file.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether only zeros follow: room that was made ahead and not filled.
    pub fn rest_is_zeros(&self) -> Result<bool, LogError> {
        let end = end_of_data(&*self.file, self.position, self.end);
        Ok(end.map_err(|error| LogError::io("read", &self.path, error))? == self.position)
    }
}

/// The entries of an `.index` file of the segment that begins at `base`, without the zeros of a preallocated one.
pub fn offset_index(
    storage: &dyn Storage,
    path: &Path,
    base: Offset,
) -> Result<Vec<OffsetPosition>, LogError> {
    let bytes = contents(storage, path)?;
    let entries = bytes.chunks_exact(OFFSET_INDEX_ENTRY_BYTES);
    Ok(entries
        .take_while(|entry| entry.iter().any(|byte| *byte != 0))
        .map(|entry| offset_index::parse_entry(base, entry))
        .collect())
}

/// The entries of a `.timeindex` file of the segment that begins at `base`, without the zeros of a preallocated one.
pub fn time_index(
    storage: &dyn Storage,
    path: &Path,
    base: Offset,
) -> Result<Vec<TimestampOffset>, LogError> {
    let bytes = contents(storage, path)?;
    let entries = bytes.chunks_exact(TIME_INDEX_ENTRY_BYTES);
    Ok(entries
        .take_while(|entry| entry.iter().any(|byte| *byte != 0))
        .map(|entry| time_index::parse_entry(base, entry))
        .collect())
}

/// The entries of a `.txnindex` file.
pub fn txn_index(storage: &dyn Storage, path: &Path) -> Result<Vec<AbortedTransaction>, LogError> {
    Ok(parse_entries(&contents(storage, path)?).collect())
}

/// The producers in a `.snapshot` file.
///
/// # Errors
/// `Malformed` if its CRC does not match or it is no snapshot.
pub fn producer_snapshot(
    storage: &dyn Storage,
    path: &Path,
) -> Result<Vec<(ProducerId, ProducerEntry)>, LogError> {
    producer_snapshot::decode(&contents(storage, path)?)
        .map_err(|reason| LogError::Malformed { path: path.to_owned(), reason: reason.to_owned() })
}

/// The epochs in a partition's `leader-epoch-checkpoint`; none if there is no such file.
pub fn leader_epochs(storage: &dyn Storage, directory: &Path) -> Result<Vec<EpochStart>, LogError> {
    Ok(EpochCache::read(storage, &directory.join(LEADER_EPOCHS))?.entries().to_vec())
}

/// The path of a file of a segment, whether it is there or not.
pub fn path_of(directory: &Path, kind: SegmentFileKind, offset: Offset) -> PathBuf {
    let suffix = match kind {
        SegmentFileKind::Log => suffix::LOG,
        SegmentFileKind::OffsetIndex => suffix::OFFSET_INDEX,
        SegmentFileKind::TimeIndex => suffix::TIME_INDEX,
        SegmentFileKind::TxnIndex => suffix::TXN_INDEX,
        SegmentFileKind::ProducerSnapshot => suffix::SNAPSHOT,
    };
    segment_path(directory, offset, suffix)
}

fn contents(storage: &dyn Storage, path: &Path) -> Result<Vec<u8>, LogError> {
    let contents =
        read_file(storage, path).and_then(|found| found.ok_or(std::io::ErrorKind::NotFound.into()));
    contents.map_err(|error| LogError::io("read", path, error))
}
