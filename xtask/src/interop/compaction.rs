//! Compaction judged from outside: the same records through ottla and through Apache Kafka, the last value of each key
//! counted, and each side's offline tool on the other side's compacted files.
//!
//! One topic per codec, with small segments and a cleaner that does not rest. Compaction is over when the checkpoint that
//! both brokers keep, `cleaner-offset-checkpoint`, has reached the last segment.

use super::{dumps, segments};
use crate::apache::Apache;
use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::capture;
use crate::scoreboard::Scoreboard;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const RECORDS: u64 = 40_000;
const KEYS: u64 = 3_000;
const PATIENCE: Duration = Duration::from_secs(120);
const EAGER: &str = "log.cleaner.backoff.ms=100";

/// The last value of each key; none for one that was deleted.
type LastValues = BTreeMap<String, Option<String>>;

/// What is compared.
pub(crate) struct Compaction<'a> {
    pub(crate) ottla: &'a Ottla,
    pub(crate) apache: &'a Apache,
    pub(crate) scratch: &'a Path,
}

impl Compaction<'_> {
    /// Runs on both brokers.
    pub(crate) fn run(&self, board: &mut Scoreboard) {
        board.step("a compacted topic on ottla, its files read by DumpLogSegments", || {
            let broker = self.ottla.serve(&self.scratch.join("compaction"), &[EAGER])?;
            self.fill(broker.address, &broker.data)?;
            let data = broker.data.clone();
            broker.stop()?;
            let count = dumps::apache_reads_compacted(self.apache, &data, &CODECS.map(topic))?;
            println!("{count} files without a complaint");
            println!("{} partitions in order", dumps::ottla_reads(self.ottla, &data)?);
            Ok(())
        });
        board.step("a compacted topic on Apache Kafka, its files read by ottla log verify", || {
            let broker = self.apache.start(&self.scratch.join("apache-compaction"), &[EAGER.to_owned()])?;
            self.fill(broker.address, &broker.data)?;
            let data = broker.data.clone();
            broker.stop()?;
            println!("{} partitions in order", dumps::ottla_reads(self.ottla, &data)?);
            Ok(())
        });
    }

    fn fill(&self, address: SocketAddr, data: &Path) -> Result<(), Failure> {
        let input = self.scratch.join("keyed.jsonl");
        let expected = write_input(&input)?;
        for codec in CODECS {
            self.create_topic(address, &topic(codec))?;
            capture(&mut self.ottla.produce(&address.to_string(), &topic(codec), codec, &input))?;
        }
        for codec in CODECS {
            wait_until_clean(data, &topic(codec))?;
            let output = self.scratch.join("compacted.jsonl");
            capture(&mut self.ottla.consume(&address.to_string(), &topic(codec), &output))?;
            let (found, count) = read_output(&output)?;
            if found != expected {
                let wrong = expected.iter().find(|(key, value)| found.get(*key) != Some(value));
                return Err(Failure::Claim(format!("{codec}: expected {wrong:?}, {} keys", found.len())));
            }
            // The active segment is not compacted, and before it each key may be once.
            if count >= RECORDS / 2 {
                return Err(Failure::Claim(format!("{codec}: {count} of {RECORDS} records are left")));
            }
            println!("{codec}: {count} of {RECORDS} records hold the last values of {} keys", found.len());
        }
        Ok(())
    }

    fn create_topic(&self, address: SocketAddr, topic: &str) -> Result<(), Failure> {
        let mut command = self.apache.tool("topics")?;
        command.args(["--bootstrap-server", &address.to_string(), "--create", "--topic", topic]);
        for config in ["cleanup.policy=compact", "segment.bytes=1048576", "min.cleanable.dirty.ratio=0.0"] {
            command.args(["--config", config]);
        }
        capture(&mut command).map(drop)
    }
}

fn topic(codec: &str) -> String {
    format!("compacted-{codec}")
}

/// Records whose values no codec packs well; every seventh of a key's is a tombstone.
fn write_input(path: &Path) -> Result<LastValues, Failure> {
    let mixed = |number: u64| {
        let mixed = (number ^ number >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let mut lines = String::new();
    let mut last = LastValues::new();
    for number in 0..RECORDS {
        let key = format!("key-{}", (mixed(number) >> 33) % KEYS);
        let value = (!mixed(number + 7).is_multiple_of(7)).then(|| {
            let words = (0..16).map(|word| format!("{:016x}", mixed(number * 16 + word)));
            words.collect::<String>()
        });
        let _never_fails = writeln!(lines, "{}", json!({ "key": key, "value": value }));
        last.insert(key, value);
    }
    std::fs::write(path, lines).map_err(Failure::file(path))?;
    Ok(last)
}

/// The last value of each key in what was consumed, and how many records there were.
fn read_output(path: &Path) -> Result<(LastValues, u64), Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
    let mut last = LastValues::new();
    let mut count = 0;
    for line in text.lines() {
        let record: Value = serde_json::from_str(line)
            .map_err(|error| Failure::Claim(format!("{}: {error}", path.display())))?;
        let field = |name: &str| record[name].as_str().map(str::to_owned);
        last.insert(field("key").unwrap_or_default(), field("value"));
        count += 1;
    }
    Ok((last, count))
}

/// Waits until everything but the last segment of partition 0 is compacted.
fn wait_until_clean(data: &Path, topic: &str) -> Result<(), Failure> {
    let path = data.join("cleaner-offset-checkpoint");
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{topic} 0 ")));
        let clean_end: Option<u64> = line.and_then(|offset| offset.parse().ok());
        let logs = segments::files_of(data, topic, "log")?;
        let last_base = logs.last().and_then(|path: &PathBuf| path.file_stem()?.to_str()?.parse().ok());
        if clean_end.is_some() && clean_end == last_base {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(Failure::Claim(format!("{topic} is clean up to {clean_end:?} of {last_base:?}")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
