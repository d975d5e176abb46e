//! The files of a partition's directory by kind, and the removal of what an interrupted job left there.
//!
//! Names and sizes only; no file is opened but for a compaction that was interrupted. A file that is none of Kafka's is left alone.

use std::collections::BTreeMap;
use std::path::Path;

use ottla_protocol::Offset;

use crate::compaction::finish_swaps;
use crate::error::LogError;
use crate::maintenance::NEXT_PREPARED;
use crate::segment::{base_offset_of, suffix};
use crate::storage::{Storage, remove_if_present};

/// The files of a partition: sizes by base offset, or offsets in order.
#[derive(Debug, Default)]
pub(crate) struct PartitionFiles {
    pub(crate) logs: BTreeMap<Offset, u64>,
    pub(crate) offset_indexes: BTreeMap<Offset, u64>,
    pub(crate) time_indexes: BTreeMap<Offset, u64>,
    pub(crate) snapshots: Vec<Offset>,
    pub(crate) txn_indexes: Vec<Offset>,
}

impl PartitionFiles {
    /// Lists a directory and removes the leftovers in it: temporary and retired files, and indexes without a log.
    pub(crate) fn list(storage: &dyn Storage, directory: &Path) -> Result<Self, LogError> {
        let list = || storage.list(directory).map_err(|error| LogError::io("list", directory, error));
        let mut entries = list()?;
        if finish_swaps(storage, directory, &entries)? {
            entries = list()?;
        }
        let mut files = Self::default();
        let mut leftovers = Vec::new();
        for entry in entries.into_iter().filter(|entry| !entry.is_directory) {
            let base = |suffix| base_offset_of(&entry.name, suffix);
            if let Some(base) = base(suffix::LOG) {
                files.logs.insert(base, entry.len);
            } else if let Some(base) = base(suffix::OFFSET_INDEX) {
                files.offset_indexes.insert(base, entry.len);
            } else if let Some(base) = base(suffix::TIME_INDEX) {
                files.time_indexes.insert(base, entry.len);
            } else if let Some(offset) = base(suffix::SNAPSHOT) {
                files.snapshots.push(offset);
            } else if let Some(base) = base(suffix::TXN_INDEX) {
                files.txn_indexes.push(base);
            } else if is_leftover(&entry.name) {
                leftovers.push(entry.name);
            }
        }
        let name = |base: &Offset, suffix| format!("{:020}{suffix}", base.get());
        // Indexes come in pairs: the time index is written first, and alone it is what a crash has left of a pair.
        let orphan =
            |base: &Offset| !files.logs.contains_key(base) || !files.offset_indexes.contains_key(base);
        let time_orphans: Vec<Offset> = files.time_indexes.keys().copied().filter(orphan).collect();
        for base in time_orphans {
            files.time_indexes.remove(&base);
            leftovers.push(name(&base, suffix::TIME_INDEX));
        }
        let orphans = files.offset_indexes.keys().filter(|base| !files.logs.contains_key(base));
        leftovers.extend(orphans.map(|base| name(base, suffix::OFFSET_INDEX)));
        for path in leftovers.into_iter().map(|name| directory.join(name)) {
            remove_if_present(storage, &path).map_err(|error| LogError::io("remove", &path, error))?;
        }
        files.snapshots.sort_unstable();
        Ok(files)
    }
}

fn is_leftover(name: &str) -> bool {
    name == NEXT_PREPARED || [suffix::DELETED, ".tmp"].iter().any(|suffix| name.ends_with(suffix))
}
