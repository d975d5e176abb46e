//! Reduces what was sent, or what was read back, to a few numbers that are equal only if the records are.
//!
//! One digester for all clients: they write plain lines, and this file alone says what "the same" means. Counted are the
//! records, their content regardless of order, the order of the values under each key, and the partition of each key.
//! Records without a key may lie in any partition, so they take part in the count and the content only.

use crate::failure::Failure;
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// What stands in a line in place of a null key.
pub(crate) const NULL_KEY: &str = "~";

/// What must be equal everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    /// The number of records.
    pub(crate) count: u64,
    /// The sum of the hashes of (timestamp, key, value).
    pub(crate) content: u64,
    /// The sum over all keys of the hash of their records in order.
    pub(crate) order: u64,
    /// The sum over all keys of the hash of (key, partition).
    pub(crate) placement: u64,
}

/// Collects records one after the other.
#[derive(Default)]
struct Collector {
    count: u64,
    content: u64,
    keys: HashMap<Box<str>, (u64, i32)>,
}

/// `DefaultHasher::new` has fixed keys: the same value in every run of one build, which is all that is needed.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Collector {
    fn add(&mut self, partition: i32, timestamp: &str, key: &str, value: &str) -> Result<(), Failure> {
        self.count += 1;
        self.content = self.content.wrapping_add(hash((timestamp, key, value)));
        if key == NULL_KEY {
            return Ok(());
        }
        let (chain, home) = self.keys.entry(key.into()).or_insert((0, partition));
        if *home != partition {
            return Err(Failure::Claim(format!("key {key} lies in partitions {home} and {partition}")));
        }
        *chain = hash((*chain, timestamp, value));
        Ok(())
    }

    fn digest(&self) -> Digest {
        let mut digest = Digest { count: self.count, content: self.content, ..Digest::default() };
        for (key, (chain, partition)) in &self.keys {
            digest.order = digest.order.wrapping_add(hash((key, chain)));
            digest.placement = digest.placement.wrapping_add(hash((key, partition)));
        }
        digest
    }
}

/// Kafka's murmur2, by which a key chooses its partition in every client that agrees with the Java one.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut h = 0x9747_b28c_u32 ^ length;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * at);
        }
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

fn partition_of(key: &str, partition_count: i32) -> i32 {
    i32::try_from(murmur2(key.as_bytes()) & 0x7fff_ffff).unwrap_or(0) % partition_count
}

fn lines(path: &Path, mut line: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(Failure::file(path))?);
    let mut text = String::new();
    loop {
        text.clear();
        if reader.read_line(&mut text).map_err(Failure::file(path))? == 0 {
            return Ok(());
        }
        line(text.trim_end_matches('\n'))?;
    }
}

/// The digest that every topic must show: the input file, each key placed by murmur2.
pub(crate) fn of_input(path: &Path, partition_count: i32) -> Result<Digest, Failure> {
    let mut collector = Collector::default();
    lines(path, |line| {
        let mut parts = line.splitn(3, '\t');
        let (Some(timestamp), Some(key), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Failure::Claim(format!("not `timestamp key value`: {line}")));
        };
        collector.add(partition_of(key, partition_count), timestamp, key, value)
    })?;
    Ok(collector.digest())
}

/// What came out of a topic, in the order in which a consumer handed it over.
#[derive(Default)]
struct Consumed {
    collector: Collector,
    next_offsets: HashMap<i32, i64>,
}

impl Consumed {
    /// Takes a record; the offsets of a partition must be dense from zero.
    fn add(&mut self, place: (i32, i64), timestamp: &str, key: &str, value: &str) -> Result<(), Failure> {
        let (partition, offset) = place;
        let next = self.next_offsets.entry(partition).or_insert(0);
        if offset != *next {
            return Err(Failure::Claim(format!(
                "partition {partition}: offset {offset} came where {next} was due"
            )));
        }
        *next += 1;
        self.collector.add(partition, timestamp, key, value)
    }
}

/// The digest of what the Python and Java programs wrote: `partition offset timestamp key value`.
pub(crate) fn of_lines(path: &Path) -> Result<Digest, Failure> {
    let mut consumed = Consumed::default();
    lines(path, |line| {
        let wrong = || Failure::Claim(format!("not `partition offset timestamp key value`: {line}"));
        let parts: Vec<&str> = line.splitn(5, '\t').collect();
        let [partition, offset, timestamp, key, value] = parts[..] else {
            return Err(wrong());
        };
        let place = (partition.parse().map_err(|_| wrong())?, offset.parse().map_err(|_| wrong())?);
        consumed.add(place, timestamp, key, value)
    })?;
    Ok(consumed.collector.digest())
}

/// A line of `ottla consume --format json`.
#[derive(serde::Deserialize)]
struct JsonRecord<'a> {
    partition: i32,
    offset: i64,
    timestamp: i64,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

/// The digest of what `ottla consume --format json` wrote.
pub(crate) fn of_json(path: &Path) -> Result<Digest, Failure> {
    let mut consumed = Consumed::default();
    lines(path, |line| {
        let record: JsonRecord<'_> = serde_json::from_str(line)
            .map_err(|error| Failure::Claim(format!("not a record as JSON ({error}): {line}")))?;
        let key = record.key.as_deref().unwrap_or(NULL_KEY);
        let place = (record.partition, record.offset);
        consumed.add(place, &record.timestamp.to_string(), key, &record.value)
    })?;
    Ok(consumed.collector.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_gives_the_values_of_kafkas_own_unit_test() {
        let cases: [(&str, i32); 5] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ];
        for (text, expected) in cases {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        }
    }

    fn digest_of(records: &[(i32, &str, &str)]) -> Digest {
        let mut collector = Collector::default();
        for (partition, key, value) in records {
            collector.add(*partition, "1", key, value).expect("one partition per key");
        }
        collector.digest()
    }

    #[test]
    fn order_across_keys_does_not_matter_but_order_under_a_key_does() {
        let sent = digest_of(&[(0, "a", "1"), (1, "b", "1"), (0, "a", "2")]);
        assert_eq!(sent, digest_of(&[(0, "a", "1"), (0, "a", "2"), (1, "b", "1")]));
        assert_ne!(sent.order, digest_of(&[(0, "a", "2"), (0, "a", "1"), (1, "b", "1")]).order);
    }

    #[test]
    fn a_key_in_two_partitions_is_an_error() {
        let mut collector = Collector::default();
        collector.add(0, "1", "a", "1").expect("the first one chooses");
        assert!(collector.add(1, "1", "a", "2").is_err());
    }
}
