//! The small text files of a log directory: a version, a count, and lines of words; or lines of `key=value`.
//!
//! `recovery-point-offset-checkpoint` and `log-start-offset-checkpoint` (topic, partition, offset),
//! `leader-epoch-checkpoint` (epoch, start offset), `partition.metadata` and `meta.properties`, all in Kafka's formats.
//! Each is replaced whole. Invariant: after a crash the old or the new contents are read, never a mixture; a file that
//! makes no sense is an error here, and whether that matters is the caller's decision.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use ottla_protocol::{Offset, PartitionIndex, TopicId, TopicName, TopicPartition};

use crate::error::LogError;
use crate::storage::{Storage, read_file, replace_file};

/// Offsets by partition.
pub(crate) type OffsetCheckpoint = BTreeMap<TopicPartition, Offset>;

/// Reads a file of `topic partition offset` lines; an absent file is an empty one.
pub(crate) fn read_offsets(storage: &dyn Storage, path: &Path) -> Result<OffsetCheckpoint, LogError> {
    read_lines(storage, path)?
        .iter()
        .map(|words| {
            let [topic, partition, offset] = words.as_slice() else {
                return Err(malformed(path, format!("{words:?} is not topic, partition, offset")));
            };
            let topic = TopicName::new(topic).map_err(|error| malformed(path, error.to_string()))?;
            let partition = PartitionIndex::new(number(path, partition)?);
            Ok((TopicPartition::new(topic, partition), Offset::new(number(path, offset)?)))
        })
        .collect()
}

/// Replaces a file of `topic partition offset` lines.
pub(crate) fn write_offsets(
    storage: &dyn Storage,
    path: &Path,
    offsets: &OffsetCheckpoint,
) -> Result<(), LogError> {
    let lines = offsets.iter().map(|(of, offset)| format!("{} {} {offset}", of.topic, of.partition));
    write_lines(storage, path, lines)
}

/// Reads the lines behind version and count, each split at spaces; an absent file has none.
pub(crate) fn read_lines(storage: &dyn Storage, path: &Path) -> Result<Vec<Vec<String>>, LogError> {
    let Some(text) = read_text(storage, path)? else {
        return Ok(Vec::new());
    };
    let mut lines = text.lines();
    if lines.next() != Some("0") {
        return Err(malformed(path, "its version is not 0".to_owned()));
    }
    let count: usize = number(path, lines.next().unwrap_or_default())?;
    let lines: Vec<Vec<String>> = lines
        .filter(|line| !line.is_empty())
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .collect();
    if lines.len() != count {
        return Err(malformed(path, format!("it claims {count} lines and has {}", lines.len())));
    }
    Ok(lines)
}

/// Replaces a file of version, count and lines.
pub(crate) fn write_lines(
    storage: &dyn Storage,
    path: &Path,
    lines: impl ExactSizeIterator<Item = String>,
) -> Result<(), LogError> {
    let mut text = format!("0\n{}\n", lines.len());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    write_text(storage, path, &text)
}

/// Reads `partition.metadata`; `None` if there is none.
pub(crate) fn read_topic_id(storage: &dyn Storage, path: &Path) -> Result<Option<TopicId>, LogError> {
    let Some(text) = read_text(storage, path)? else {
        return Ok(None);
    };
    let mut lines = text.lines();
    match (lines.next(), lines.next().and_then(|line| line.strip_prefix("topic_id: "))) {
        (Some("version: 0"), Some(id)) => {
            id.parse().map(Some).map_err(|_| malformed(path, format!("{id:?} is not a topic id")))
        }
        _ => Err(malformed(path, "it is not version 0 with a topic_id".to_owned())),
    }
}

/// The contents of a `partition.metadata`.
pub(crate) fn partition_metadata(id: TopicId) -> String {
    format!("version: 0\ntopic_id: {id}\n")
}

/// Reads a file of `key=value` lines; `None` if there is none.
pub(crate) fn read_properties(
    storage: &dyn Storage,
    path: &Path,
) -> Result<Option<BTreeMap<String, String>>, LogError> {
    let Some(text) = read_text(storage, path)? else {
        return Ok(None);
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            None => Err(malformed(path, format!("{line:?} is not key=value"))),
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Replaces a file of `key=value` lines.
pub(crate) fn write_properties(
    storage: &dyn Storage,
    path: &Path,
    properties: &BTreeMap<String, String>,
) -> Result<(), LogError> {
    let text: String = properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    write_text(storage, path, &text)
}

fn read_text(storage: &dyn Storage, path: &Path) -> Result<Option<String>, LogError> {
    let contents = read_file(storage, path).map_err(|error| LogError::io("read", path, error))?;
    contents
        .map(|bytes| String::from_utf8(bytes).map_err(|_| malformed(path, "it is not UTF-8".to_owned())))
        .transpose()
}

fn write_text(storage: &dyn Storage, path: &Path, text: &str) -> Result<(), LogError> {
    replace_file(storage, path, text.as_bytes()).map_err(|error| LogError::io("replace", path, error))
}

fn number<N: FromStr>(path: &Path, word: &str) -> Result<N, LogError> {
    word.parse().map_err(|_| malformed(path, format!("{word:?} is not a number")))
}

fn malformed(path: &Path, reason: String) -> LogError {
    LogError::Malformed { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    fn storage_with(text: &str) -> MemoryStorage {
        let storage = MemoryStorage::new();
        storage.create_directory(Path::new("/d")).unwrap();
        replace_file(&storage, Path::new("/d/c"), text.as_bytes()).unwrap();
        storage
    }

    #[test]
    fn an_offset_checkpoint_is_kafkas_text_and_reads_back() {
        let storage = storage_with("");
        let flights = TopicPartition::new(TopicName::new("flights").unwrap(), PartitionIndex::new(3));
        let offsets = OffsetCheckpoint::from([(flights, Offset::new(4711))]);
        write_offsets(&storage, Path::new("/d/c"), &offsets).unwrap();
        assert_eq!(read_file(&storage, Path::new("/d/c")).unwrap().unwrap(), b"0\n1\nflights 3 4711\n");
        assert_eq!(read_offsets(&storage, Path::new("/d/c")).unwrap(), offsets);
        assert!(read_offsets(&storage, Path::new("/d/absent")).unwrap().is_empty());
    }

    #[test]
    fn a_checkpoint_that_makes_no_sense_is_an_error() {
        for text in [
            "",
            "1\n0\n",
            "0\n2\nflights 0 1\n",
            "0\n1\nflights 0\n",
            "0\n1\nflights x 1\n",
            "0\n1\n../x 0 1\n",
        ] {
            let read = read_offsets(&storage_with(text), Path::new("/d/c"));
            assert!(matches!(read, Err(LogError::Malformed { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_topic_id_is_read_as_kafka_wrote_it() {
        let storage = storage_with("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
        let id = read_topic_id(&storage, Path::new("/d/c")).unwrap().unwrap();
        assert_eq!(id.get().as_u128(), 1);
        replace_file(&storage, Path::new("/d/c"), partition_metadata(id).as_bytes()).unwrap();
        assert_eq!(read_topic_id(&storage, Path::new("/d/c")).unwrap(), Some(id));
        assert_eq!(read_topic_id(&storage, Path::new("/d/absent")).unwrap(), None);
    }

    #[test]
    fn properties_skip_comments_and_empty_lines() {
        let storage = storage_with("#\n#Sat Nov 22\nversion=1\n\ncluster.id = abc\n");
        let properties = read_properties(&storage, Path::new("/d/c")).unwrap().unwrap();
        assert_eq!(properties["cluster.id"], "abc");
        assert_eq!(properties.len(), 2);
    }
}
