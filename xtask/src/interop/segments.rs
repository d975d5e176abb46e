//! Looks at the batches in segment files: how many there are of each codec.
//!
//! A matrix can be green while a client silently sent everything uncompressed; this is what would tell. It reads batch
//! headers only, with nothing of ottla's, so that it judges ottla's files and Apache's alike.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// From the start of a batch to the end of its attributes.
const ATTRIBUTES_END: usize = 23;
/// The base offset and the length field, which the length does not count.
const LENGTH_END: usize = 12;

/// The segment, index or time-index files of a topic, in order of name.
pub(crate) fn files_of(data: &Path, topic: &str, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for directory in std::fs::read_dir(data).map_err(Failure::file(data))? {
        let directory = directory.map_err(Failure::file(data))?;
        let name = directory.file_name().to_string_lossy().into_owned();
        if name.rsplit_once('-').map(|(name, _)| name) != Some(topic) {
            continue;
        }
        let path = directory.path();
        for file in std::fs::read_dir(&path).map_err(Failure::file(&path))? {
            let file = file.map_err(Failure::file(&path))?.path();
            if file.extension().is_some_and(|it| it == extension) {
                found.push(file);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Counts the batches of a topic by codec.
pub(crate) fn batches_by_codec(data: &Path, topic: &str) -> Result<BTreeMap<&'static str, u64>, Failure> {
    let mut counts = BTreeMap::new();
    for file in files_of(data, topic, "log")? {
        let bytes = std::fs::read(&file).map_err(Failure::file(&file))?;
        let mut rest = bytes.as_slice();
        while rest.len() >= ATTRIBUTES_END {
            let length = u32::from_be_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
            if length == 0 {
                break; // Preallocated space behind the last batch.
            }
            let codec = usize::from(rest[22] & 7);
            *counts.entry(CODECS.get(codec).copied().unwrap_or("unknown")).or_insert(0) += 1;
            rest = rest.get(LENGTH_END + length..).unwrap_or_default();
        }
    }
    Ok(counts)
}
