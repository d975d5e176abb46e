//! A compacted segment takes the place of the old ones: `.cleaned` → `.swap` → the name itself, as Kafka names them.
//!
//! The order of renames and fsyncs is drawn in docs/internals/log.md §7; [`finish_swaps`] is what opening does about every
//! state in between. Invariant: from the fsync behind the first renames on, the compacted segment is what the log has,
//! however the process ends; before it, the old ones are.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ottla_protocol::Offset;

use super::output::Finished;
use crate::error::LogError;
use crate::log::Log;
use crate::maintenance::{Background, write_whole};
use crate::scan::HeaderScan;
use crate::segment::{LogFile, Segment, base_offset_of, segment_path, suffix};
use crate::storage::{Access, DirectoryEntry, Storage, remove_if_present};

/// The files of a segment in the order in which they change their names. The log comes last: with it the step is done.
const RENAMED: [&str; 4] = [suffix::TIME_INDEX, suffix::OFFSET_INDEX, suffix::TXN_INDEX, suffix::LOG];
const WITHOUT_SNAPSHOT: [&str; 4] =
    [suffix::OFFSET_INDEX, suffix::TIME_INDEX, suffix::TXN_INDEX, suffix::LOG];

impl Log {
    /// Puts `finished` in the place of `group`. False if the log has changed meanwhile; then nothing is different.
    pub(crate) fn swap(
        &self,
        group: &[Arc<Segment>],
        finished: Finished,
        dropped_markers: &[Offset],
        now_ms: i64,
    ) -> Result<bool, LogError> {
        let mut background = self.background.lock();
        self.check_open()?;
        let base = finished.segment.base_offset();
        if !self.segments.load().holds_run(group) {
            self.remove_cleaned(base)?;
            return Ok(false);
        }
        let prepared = self.write_cleaned_indexes(group, &finished.segment, dropped_markers);
        if let Err(error) = prepared {
            // The first error is the one to tell.
            let _also_failed = self.remove_cleaned(base);
            return Err(error);
        }
        self.commit(base)?;
        let sealed = self.complete(&mut background, group, finished, now_ms);
        let sealed = sealed.inspect_err(|error| {
            // What is in memory and what the next opening will find are not the same any more.
            self.writer.lock().refusal = Some(LogError::Poisoned(Arc::new(error.clone())));
        })?;
        let _writer = self.writer.lock();
        // First, so that nobody reads new segments without a marker and is told of its transaction: see §7.
        self.transactions.forget(dropped_markers);
        let segments = self.segments.load().with_run_replaced(group, Arc::new(sealed));
        self.segments.store(Arc::new(segments));
        Ok(true)
    }

    /// Removes what an earlier compaction of this process may have failed to remove: a `.cleaned` file beside a `.swap` is
    /// a sign that the latter was not committed.
    pub(crate) fn remove_all_cleaned(&self) -> Result<(), LogError> {
        let entries = self.storage().list(&self.directory);
        let entries = entries.map_err(|error| self.io("list", &self.directory, error))?;
        for entry in entries.into_iter().filter(|entry| entry.name.ends_with(suffix::CLEANED)) {
            let path = self.directory.join(entry.name);
            remove_if_present(self.storage(), &path).map_err(|error| self.io("remove", &path, error))?;
        }
        Ok(())
    }

    /// Removes the files of a compaction that came to nothing.
    pub(crate) fn remove_cleaned(&self, base: Offset) -> Result<(), LogError> {
        for kind in RENAMED {
            let path = suffix::with(&segment_path(&self.directory, base, kind), suffix::CLEANED);
            remove_if_present(self.storage(), &path).map_err(|error| self.io("remove", &path, error))?;
        }
        Ok(())
    }

    /// The indexes of the new segment, durable; and every old segment readable without its name.
    fn write_cleaned_indexes(
        &self,
        group: &[Arc<Segment>],
        segment: &Segment,
        dropped_markers: &[Offset],
    ) -> Result<(), LogError> {
        let base = segment.base_offset();
        let write = |kind: &str, bytes: &[u8]| {
            let path = suffix::with(&segment_path(&self.directory, base, kind), suffix::CLEANED);
            let file = write_whole(self.storage(), &path, bytes);
            let file = file.map_err(|error| self.io("write", &path, error))?;
            self.shared.durable(file.sync_data().map_err(|error| self.io("sync", &path, error)))
        };
        write(suffix::TIME_INDEX, &segment.time_index().bytes_from(0)?)?;
        write(suffix::OFFSET_INDEX, &segment.offset_index().bytes_from(0)?)?;
        let end = group.last().expect("a group is not empty").end().1;
        let aborted = self.transactions.bytes_without(base..end, dropped_markers);
        let old = segment_path(&self.directory, base, suffix::TXN_INDEX);
        // An empty one, too, where it has to replace one that is not.
        if !aborted.is_empty() || self.storage().open(&old, Access::Read).is_ok() {
            write(suffix::TXN_INDEX, &aborted)?;
        }
        group.iter().try_for_each(|old| old.pin())
    }

    fn commit(&self, base: Offset) -> Result<(), LogError> {
        // First the names, so that after a power loss every file of the segment is there under one name or the other.
        self.sync_directory()?;
        self.rename_all(base, suffix::CLEANED, suffix::SWAP, &RENAMED)?;
        self.sync_directory()
    }

    fn complete(
        &self,
        background: &mut Background,
        group: &[Arc<Segment>],
        finished: Finished,
        now_ms: i64,
    ) -> Result<Segment, LogError> {
        let base = finished.segment.base_offset();
        let due_ms = now_ms.saturating_add_unsigned(self.config.load().file_delete_delay_ms);
        // The producer state before the first segment is what it was.
        self.retire_files(background, base, &WITHOUT_SNAPSHOT, due_ms)?;
        for old in &group[1..] {
            match background.last_snapshot == Some(old.base_offset()) {
                true => {
                    self.retire_files(background, old.base_offset(), &WITHOUT_SNAPSHOT, due_ms)?;
                    background.stray_snapshot = background.last_snapshot;
                }
                false => self.retire(background, old.base_offset(), due_ms)?,
            }
        }
        self.rename_all(base, suffix::SWAP, "", &RENAMED[..3])?;
        self.sync_directory()?;
        self.rename_all(base, suffix::SWAP, "", &RENAMED[3..])?;
        self.sync_directory()?;
        let path = segment_path(&self.directory, base, suffix::LOG);
        let log = LogFile::replaced(self.shared.clone(), path, finished.file, finished.size);
        let end = group.last().expect("a group is not empty").end().1;
        Ok(finished.segment.to_sealed_over(log, end))
    }

    fn rename_all(&self, base: Offset, from: &str, to: &str, kinds: &[&str]) -> Result<(), LogError> {
        for kind in kinds {
            let path = segment_path(&self.directory, base, kind);
            let (from, to) = (suffix::with(&path, from), suffix::with(&path, to));
            match self.storage().rename(&from, &to) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && *kind == suffix::TXN_INDEX => {}
                renamed => renamed.map_err(|error| self.io("rename", &from, error))?,
            }
        }
        Ok(())
    }
}

/// Removes what an interrupted compaction left behind before its commit, and completes what it left behind after it.
/// Whether anything was there.
pub(crate) fn finish_swaps(
    storage: &dyn Storage,
    directory: &Path,
    entries: &[DirectoryEntry],
) -> Result<bool, LogError> {
    let remove =
        |path: &Path| remove_if_present(storage, path).map_err(|error| LogError::io("remove", path, error));
    let named = |end: &'static str| {
        entries.iter().map(|entry| entry.name.as_str()).filter(move |name| name.ends_with(end))
    };
    let bases = |end: &'static str| -> BTreeSet<Offset> {
        let stems = named(end).map(move |name| &name[..name.len() - end.len()]);
        let base = |stem: &str| RENAMED.iter().find_map(|kind| base_offset_of(stem, kind));
        stems.filter_map(base).collect()
    };
    let logs: BTreeSet<Offset> = named(suffix::SWAP)
        .filter_map(|name| base_offset_of(&name[..name.len() - suffix::SWAP.len()], suffix::LOG))
        .collect();
    let not_committed_from = bases(suffix::CLEANED).first().copied().unwrap_or(Offset::MAX);
    let swaps: Vec<Offset> = logs.into_iter().filter(|base| *base < not_committed_from).collect();
    // The log's .swap goes first and durably: alone it would be taken for one that was committed.
    let undone: Vec<Offset> = bases(suffix::SWAP).into_iter().filter(|base| !swaps.contains(base)).collect();
    for base in &undone {
        remove(&suffix::with(&segment_path(directory, *base, suffix::LOG), suffix::SWAP))?;
    }
    if !undone.is_empty() {
        storage.sync_directory(directory).map_err(|error| LogError::io("sync", directory, error))?;
    }
    for base in &undone {
        for kind in [suffix::TIME_INDEX, suffix::OFFSET_INDEX, suffix::TXN_INDEX] {
            remove(&suffix::with(&segment_path(directory, *base, kind), suffix::SWAP))?;
        }
    }
    named(suffix::CLEANED).try_for_each(|name| remove(&directory.join(name)))?;
    for base in &swaps {
        complete_swap(storage, directory, entries, *base)?;
    }
    Ok(named(suffix::CLEANED).chain(named(suffix::SWAP)).next().is_some())
}

/// Gives a committed segment its name, and takes away what it covers. May be repeated at any point.
fn complete_swap(
    storage: &dyn Storage,
    directory: &Path,
    entries: &[DirectoryEntry],
    base: Offset,
) -> Result<(), LogError> {
    let path = segment_path(directory, base, suffix::LOG);
    let swap = suffix::with(&path, suffix::SWAP);
    let end = end_of(storage, &swap, base)?;
    let is_there = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| entries.iter().any(|entry| entry.name == name))
    };
    let remove =
        |path: &Path| remove_if_present(storage, path).map_err(|error| LogError::io("remove", path, error));
    let rename = |from: &Path, to: &Path| {
        storage.rename(from, to).map_err(|error| LogError::io("rename", from, error))
    };
    let sync = || storage.sync_directory(directory).map_err(|error| LogError::io("sync", directory, error));
    for entry in entries {
        let covered =
            [suffix::LOG, suffix::OFFSET_INDEX, suffix::TIME_INDEX, suffix::TXN_INDEX, suffix::SNAPSHOT]
                .iter()
                .find_map(|kind| base_offset_of(&entry.name, kind));
        if covered.is_some_and(|old| old > base && old < end) {
            remove(&directory.join(&entry.name))?;
        }
    }
    for kind in [suffix::TIME_INDEX, suffix::OFFSET_INDEX, suffix::TXN_INDEX] {
        let path = segment_path(directory, base, kind);
        let swap = suffix::with(&path, suffix::SWAP);
        match is_there(&swap) {
            true => rename(&swap, &path)?,
            // It is the old one or the new one; an index is built again, and where the transactions have no `.swap`
            // they are the new ones, or there never were any.
            false if kind != suffix::TXN_INDEX => remove(&path)?,
            false => {}
        }
    }
    sync()?;
    rename(&swap, &path)?;
    sync()
}

/// The offset behind the last batch of a log file that is complete.
fn end_of(storage: &dyn Storage, path: &Path, base: Offset) -> Result<Offset, LogError> {
    let open = || {
        let file = storage.open(path, Access::Read)?;
        let len = file.len()?;
        Ok((file, len))
    };
    let (file, len) = open().map_err(|error| LogError::io("open", path, error))?;
    let mut scan = HeaderScan::new(file, path, 0, len, base);
    let mut end = base;
    while let Some(found) = scan.next()? {
        end = found.header.next_offset();
    }
    Ok(end)
}
