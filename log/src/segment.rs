//! One segment: a file of batches from a base offset on, with its two sparse indexes.
//!
//! The writer (the holder of the partition's lock) appends to the last segment and publishes `(size, next offset)`;
//! readers look at no more than was published and take no lock. A segment that is rolled gets its index files written and
//! is then replaced by a sealed one over the same file. It does not decide when to roll. Invariant: bytes below the
//! published size never change while a reader can reach them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ottla_protocol::Offset;
use ottla_protocol::records::{BatchHeader, NO_TIMESTAMP};
use parking_lot::Mutex;

use crate::error::LogError;
use crate::file_slice::FileSlice;
use crate::home::Home;
use crate::offset_index::{OFFSET_INDEX_ENTRY_BYTES, OffsetIndex, OffsetPosition};
use crate::open_files::OpenFile;
use crate::published_pair::PublishedPair;
use crate::recent_batches::{BatchStart, RecentBatches};
use crate::room::Room;
use crate::scan::{FoundBatch, HeaderScan};
use crate::sealed_index::SealedIndex;
use crate::storage::{Access, StorageFile};
use crate::time_index::{TIME_INDEX_ENTRY_BYTES, TimeIndex, TimestampOffset};

/// The kinds of file a segment consists of, by their suffix.
pub(crate) mod suffix {
    pub(crate) const LOG: &str = ".log";
    pub(crate) const OFFSET_INDEX: &str = ".index";
    pub(crate) const TIME_INDEX: &str = ".timeindex";
    pub(crate) const TXN_INDEX: &str = ".txnindex";
    pub(crate) const SNAPSHOT: &str = ".snapshot";
    pub(crate) const DELETED: &str = ".deleted";
    /// Being compacted, worth nothing yet.
    pub(crate) const CLEANED: &str = ".cleaned";
    /// Compacted and complete.
    pub(crate) const SWAP: &str = ".swap";

    /// The path with a second suffix.
    pub(crate) fn with(path: &std::path::Path, suffix: &str) -> std::path::PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    }
}

/// The path of a segment's file: its base offset in 20 digits and the suffix.
pub(crate) fn segment_path(directory: &Path, base_offset: Offset, suffix: &str) -> PathBuf {
    directory.join(format!("{:020}{suffix}", base_offset.get()))
}

/// The base offset in the name of a segment's file.
pub(crate) fn base_offset_of(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix)?;
    let is_offset = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_offset { digits.parse().ok().map(Offset::new) } else { None }
}

/// The file of batches, opened when needed.
#[derive(Debug)]
pub(crate) struct LogFile {
    shared: Arc<Home>,
    path: PathBuf,
    opened: Arc<OpenFile>,
    /// Held while the file is opened by its name, which it may lose to another.
    opening: Mutex<()>,
    /// The file, once its name is about to be another's.
    pinned: OnceLock<Arc<dyn StorageFile>>,
    synced_bytes: AtomicU64,
    name_is_synced: AtomicBool,
    room: Room,
}

impl LogFile {
    /// A file that was found; `synced_bytes` of it are durable, or nothing is known to be. With a first byte its name is
    /// durable, too; a file that was empty when the log was closed has never been synced.
    pub(crate) fn existing(shared: Arc<Home>, path: PathBuf, synced_bytes: Option<u64>) -> Arc<Self> {
        let name_is_synced = AtomicBool::new(synced_bytes.is_some_and(|bytes| bytes > 0));
        let synced_bytes = AtomicU64::new(synced_bytes.unwrap_or(0));
        let (opened, opening, pinned) = (Arc::default(), Mutex::new(()), OnceLock::new());
        let room = Room::default();
        Arc::new(Self { shared, path, opened, opening, pinned, synced_bytes, name_is_synced, room })
    }

    /// A file that was just created or renamed; its name is not durable yet.
    pub(crate) fn created(shared: Arc<Home>, path: PathBuf, file: Arc<dyn StorageFile>) -> Arc<Self> {
        let created = Self::existing(shared, path, None);
        created.shared.open_files().keep(&created.opened, file);
        created
    }

    /// A file that has taken this name from another one; all of it is durable.
    pub(crate) fn replaced(
        shared: Arc<Home>,
        path: PathBuf,
        file: Arc<dyn StorageFile>,
        size: u64,
    ) -> Arc<Self> {
        let replaced = Self::existing(shared, path, Some(size));
        replaced.shared.open_files().keep(&replaced.opened, file);
        replaced
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The zeros that may stand behind the last batch.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    pub(crate) fn file(&self) -> Result<Arc<dyn StorageFile>, LogError> {
        if let Some(file) = self.opened.get() {
            return Ok(file);
        }
        let _nobody_pins_meanwhile = self.opening.lock();
        if let Some(file) = self.pinned.get() {
            return Ok(file.clone());
        }
        let file = self.open_by_name()?;
        self.shared.open_files().keep(&self.opened, file.clone());
        Ok(file)
    }

    /// Keeps the file open from here on: its name is about to be that of another file.
    pub(crate) fn pin(&self) -> Result<(), LogError> {
        let _nobody_opens_meanwhile = self.opening.lock();
        if self.pinned.get().is_none() {
            let file = self.open_by_name()?;
            self.pinned.get_or_init(|| file);
        }
        Ok(())
    }

    fn open_by_name(&self) -> Result<Arc<dyn StorageFile>, LogError> {
        self.shared.open(&self.path, Access::Write)
    }

    /// Makes the first `size` bytes durable, and the file's name if it is new.
    pub(crate) fn sync(&self, size: u64) -> Result<(), LogError> {
        if !self.name_is_synced.load(Ordering::Acquire) {
            // The partition's directory may be as new as the file.
            for directory in self.path.ancestors().skip(1).take(2) {
                self.shared
                    .storage()
                    .sync_directory(directory)
                    .map_err(|error| self.io("sync the directory of", error))?;
            }
            self.name_is_synced.store(true, Ordering::Release);
        }
        let synced = self.synced_bytes.load(Ordering::Acquire);
        if synced < size {
            self.room.note_sync_of(size - synced);
            self.file()?.sync_data().map_err(|error| self.io("sync", error))?;
            self.synced_bytes.fetch_max(size, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Cuts the file, durably at once: what was cut off must not come back behind what is appended in its place.
    pub(crate) fn cut(&self, size: u64) -> Result<(), LogError> {
        let file = self.file()?;
        file.truncate(size).and_then(|()| file.sync_data()).map_err(|error| self.io("cut", error))?;
        // From here on the next bytes are others than those that were synced.
        self.synced_bytes.store(size, Ordering::Release);
        self.room.note_cut();
        Ok(())
    }

    /// Cuts the room behind the last batch off, durably, for a file that will not be appended to.
    pub(crate) fn cut_room(&self, size: u64) -> Result<(), LogError> {
        if self.room.end() > size { self.cut(size) } else { Ok(()) }
    }

    fn io(&self, action: &'static str, error: std::io::Error) -> LogError {
        LogError::io(action, &self.path, error)
    }
}

#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: Offset,
    log: Arc<LogFile>,
    /// Published size in bytes, and the offset behind the last batch.
    end: PublishedPair,
    /// Largest timestamp, and the last offset of the batch that brought it.
    largest: PublishedPair,
    offset_index: OffsetIndex,
    time_index: TimeIndex,
    recent: RecentBatches,
    created_ms: i64,
    first_timestamp: OnceLock<i64>,
}

impl Segment {
    /// An empty segment to append to.
    pub(crate) fn empty(base_offset: Offset, log: Arc<LogFile>, created_ms: i64) -> Self {
        Self {
            base_offset,
            log,
            end: PublishedPair::new(0, base_offset.get()),
            largest: PublishedPair::new(NO_TIMESTAMP, base_offset.get()),
            offset_index: OffsetIndex::growing(base_offset),
            time_index: TimeIndex::growing(base_offset),
            recent: RecentBatches::default(),
            created_ms,
            first_timestamp: OnceLock::new(),
        }
    }

    /// A segment that is not appended to any more, with index files of these sizes.
    pub(crate) fn sealed(
        base_offset: Offset,
        log: Arc<LogFile>,
        (size, next_offset): (u64, Offset),
        (offset_index_bytes, time_index_bytes): (u64, u64),
        created_ms: i64,
    ) -> Self {
        let index_path = |suffix: &str| log.path().with_extension(&suffix[1..]);
        let offsets: SealedIndex<OFFSET_INDEX_ENTRY_BYTES> =
            SealedIndex::new(log.shared.clone(), index_path(suffix::OFFSET_INDEX), offset_index_bytes);
        let times: SealedIndex<TIME_INDEX_ENTRY_BYTES> =
            SealedIndex::new(log.shared.clone(), index_path(suffix::TIME_INDEX), time_index_bytes);
        Self {
            base_offset,
            end: PublishedPair::new(size as i64, next_offset.get()),
            // Not looked at: the last entry of a sealed time index says it.
            largest: PublishedPair::new(NO_TIMESTAMP, base_offset.get()),
            offset_index: OffsetIndex::sealed(base_offset, offsets),
            time_index: TimeIndex::sealed(base_offset, times),
            recent: RecentBatches::default(),
            created_ms,
            first_timestamp: OnceLock::new(),
            log,
        }
    }

    /// This segment with its index files, which were just written, in place of the indexes on the heap.
    pub(crate) fn to_sealed(&self) -> Self {
        self.to_sealed_over(self.log.clone(), self.end().1)
    }

    /// The same over another `LogFile` of the same contents, for a segment that ends at `next_offset`.
    pub(crate) fn to_sealed_over(&self, log: Arc<LogFile>, next_offset: Offset) -> Self {
        let end = (self.size(), next_offset);
        Self::sealed(self.base_offset, log, end, self.index_bytes(), self.created_ms)
    }

    /// The bytes of both index files: offsets, then times.
    pub(crate) fn index_bytes(&self) -> (u64, u64) {
        (
            (self.offset_index.len() * OFFSET_INDEX_ENTRY_BYTES) as u64,
            (self.time_index.len() * TIME_INDEX_ENTRY_BYTES) as u64,
        )
    }

    /// Keeps the files open: another segment is about to take their names, and readers may still be here.
    pub(crate) fn pin(&self) -> Result<(), LogError> {
        self.offset_index.pin()?;
        self.time_index.pin()?;
        self.log.pin()
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    pub(crate) fn log(&self) -> &Arc<LogFile> {
        &self.log
    }

    pub(crate) fn offset_index(&self) -> &OffsetIndex {
        &self.offset_index
    }

    pub(crate) fn time_index(&self) -> &TimeIndex {
        &self.time_index
    }

    /// The published size, and the offset behind the last published batch.
    pub(crate) fn end(&self) -> (u64, Offset) {
        let (size, next_offset) = self.end.load();
        (size as u64, Offset::new(next_offset))
    }

    pub(crate) fn size(&self) -> u64 {
        self.end().0
    }

    pub(crate) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    /// Makes all published bytes durable.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        self.log.sync(self.size())
    }

    pub(crate) fn publish(&self, size: u64, next_offset: Offset) {
        self.end.publish(size as i64, next_offset.get());
    }

    pub(crate) fn publish_largest(&self, largest: TimestampOffset) {
        self.largest.publish(largest.timestamp, largest.offset.get());
    }

    /// Writer only: takes a batch that was written into the indexes, `bytes_since_index_entry` as in Kafka.
    pub(crate) fn index_batch(
        &self,
        header: &BatchHeader,
        (position, last_offset): (u64, Offset),
        largest: &mut TimestampOffset,
        bytes_since_index_entry: &mut u64,
        index_interval_bytes: u32,
    ) {
        if position == 0 {
            // Set once; a second call is for a log that was cut to nothing and has a new segment.
            let _ = self.first_timestamp.set(header.max_timestamp);
        }
        // A batch that compaction has emptied keeps its time, but nobody can find a record by it.
        if header.max_timestamp > largest.timestamp && header.records_count > 0 {
            *largest = TimestampOffset { timestamp: header.max_timestamp, offset: last_offset };
        }
        if *bytes_since_index_entry > u64::from(index_interval_bytes) {
            let position = u32::try_from(position).expect("a segment is smaller than 4 GiB");
            self.offset_index.append(OffsetPosition { offset: last_offset, position });
            self.time_index.append_if_later(*largest);
            *bytes_since_index_entry = 0;
        }
        *bytes_since_index_entry += header.size_in_bytes() as u64;
        let base_offset = last_offset - header.last_offset_delta;
        self.recent.note((base_offset - self.base_offset).get(), position);
    }

    /// The largest timestamp, if any batch has one.
    pub(crate) fn largest_timestamp(&self) -> Result<Option<TimestampOffset>, LogError> {
        let (timestamp, offset) = self.largest.load();
        let published = TimestampOffset { timestamp, offset: Offset::new(offset) };
        Ok(self
            .time_index
            .last()?
            .into_iter()
            .chain((timestamp > NO_TIMESTAMP).then_some(published))
            .max_by_key(
                // Of equal timestamps the earlier offset is the one that brought it.
                |entry| (entry.timestamp, std::cmp::Reverse(entry.offset)),
            ))
    }

    /// The largest timestamp of the first batch, from which the age for rolling is counted.
    pub(crate) fn first_timestamp(&self) -> Result<Option<i64>, LogError> {
        if let Some(timestamp) = self.first_timestamp.get() {
            return Ok(Some(*timestamp));
        }
        let Some(first) = self.scan_from(0)?.next()? else {
            return Ok(None);
        };
        Ok(Some(*self.first_timestamp.get_or_init(|| first.header.max_timestamp)))
    }

    /// Headers from a position on, which must be the start of a batch, up to what is published.
    pub(crate) fn scan_from(&self, position: u64) -> Result<HeaderScan<'_>, LogError> {
        Ok(HeaderScan::new(self.log.file()?, self.log.path(), position, self.size(), self.base_offset))
    }

    /// The first batch that ends at or behind `offset`.
    pub(crate) fn find(&self, offset: Offset) -> Result<Option<FoundBatch>, LogError> {
        let mut scan = self.scan_from(u64::from(self.offset_index.lookup(offset)?))?;
        while let Some(found) = scan.next()? {
            if found.header.last_offset() >= offset {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Where the first batch begins that ends at or behind `offset`: known, or found.
    fn locate(&self, offset: Offset) -> Result<Option<BatchStart>, LogError> {
        if let Some(position) = self.recent.position_of((offset - self.base_offset).get()) {
            return Ok(Some(BatchStart { position, base_offset: offset }));
        }
        let found = self.find(offset)?;
        Ok(found.map(|found| BatchStart { position: found.position, base_offset: found.header.base_offset }))
    }

    /// Where a read from `from` begins to look, at most `len` bytes of it; `None` if no more than `recent` bytes follow.
    pub(crate) fn start_of_read(
        &self,
        from: Offset,
        len: u32,
        recent: u64,
    ) -> Result<Option<FileSlice>, LogError> {
        let position = u64::from(self.offset_index.lookup(from)?);
        let left = self.size().saturating_sub(position);
        if left <= recent {
            return Ok(None);
        }
        let len = u32::try_from(left).map_or(len, |left| left.min(len));
        FileSlice::new(&self.log, position, len).map(Some)
    }

    /// Whole batches from the one with `from` on, none of which reaches to `ceiling`; `None` if there is no such batch.
    pub(crate) fn read(&self, request: &ReadRequest) -> Result<Option<FoundSlice>, LogError> {
        let (size, next_offset) = self.end();
        // What is noted but not published yet lies behind the ceiling.
        let end = match request.ceiling < next_offset {
            true => self.locate(request.ceiling)?.map_or(size, |beyond| beyond.position),
            false => size,
        };
        let Some(first) = self.locate(request.from)?.filter(|first| first.position < end) else {
            return Ok(None);
        };
        let len = (end - first.position).min(u64::from(request.bytes_max));
        let len = match first.position + len == end {
            true => len,
            false => self.whole_batches(first.position, len)?,
        };
        let len = match (len, request.at_least_one) {
            (0, true) => self.batch_bytes_at(first.position)?,
            _ => len,
        };
        let len = u32::try_from(len).expect("a slice lies within one segment");
        let slice = FileSlice::new(&self.log, first.position, len)?;
        Ok(Some(FoundSlice { slice, base_offset: first.base_offset }))
    }

    /// The size of the batch that begins at `position`.
    fn batch_bytes_at(&self, position: u64) -> Result<u64, LogError> {
        Ok(self.scan_from(position)?.next()?.map_or(0, |batch| batch.header.size_in_bytes() as u64))
    }

    /// How many of `len` bytes from `first`, the start of a batch, on are whole batches.
    fn whole_batches(&self, first: u64, len: u64) -> Result<u64, LogError> {
        let limit = first + len;
        let indexed = u64::from(self.offset_index.batch_start_at_or_before(limit)?);
        if indexed > first {
            return Ok(indexed - first);
        }
        let mut scan = self.scan_from(first)?;
        let mut whole = first;
        while let Some(found) = scan.next()?.filter(|found| found.end_position() <= limit) {
            whole = found.end_position();
        }
        Ok(whole - first)
    }
}

/// What to read of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRequest {
    pub(crate) from: Offset,
    pub(crate) ceiling: Offset,
    pub(crate) bytes_max: u32,
    pub(crate) at_least_one: bool,
}

#[derive(Debug)]
pub(crate) struct FoundSlice {
    pub(crate) slice: FileSlice,
    pub(crate) base_offset: Offset,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_file_is_named_by_twenty_digits() {
        let path = segment_path(Path::new("/d"), Offset::new(4711), suffix::LOG);
        assert_eq!(path, Path::new("/d/00000000000000004711.log"));
        assert_eq!(base_offset_of("00000000000000004711.log", suffix::LOG), Some(Offset::new(4711)));
        for name in
            ["4711.log", "00000000000000004711.log.deleted", "0000000000000000471x.log", "next.prepared"]
        {
            assert_eq!(base_offset_of(name, suffix::LOG), None, "{name}");
        }
    }
}
