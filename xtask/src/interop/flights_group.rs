//! The flights read by three `ottla consume --group`, one of which is killed half-way, and the lag as
//! `ottla group describe --watch` tells it: it grows while the flights come and the dead one is missed, and falls to 0.
//!
//! What the three have written, without what came twice, must be the flights.

use super::digest::{self, Digest};
use super::speakers::Speakers;
use crate::failure::Failure;
use crate::process::{Background, capture, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const TOPIC: &str = "flights-shared";
const GROUP: &str = "departures";
const PARTITION_COUNT: i32 = 12;
const MEMBER_COUNT: usize = 3;
/// The shortest that brokers allow.
const SESSION_TIMEOUT: &str = "6s";
/// Slow enough that half-way is a moment, and not so slow that anybody waits long.
const RECORDS_PER_SECOND: &str = "30000";
/// The session of the dead one, and time to read what it left.
const PATIENCE: Duration = Duration::from_secs(60);

/// One run; `input` is the file of the flights.
pub(crate) fn run_three(speakers: &Speakers<'_>, input: &Path, scratch: &Path) -> Result<(), Failure> {
    let expected = digest::of_input(input, PARTITION_COUNT)?;
    speakers.create_topics(&[TOPIC.to_owned()], PARTITION_COUNT)?;
    let shared = Shared { speakers, directory: scratch.join("flights-shared"), count: expected.count };
    std::fs::create_dir_all(&shared.directory).map_err(Failure::file(&shared.directory))?;
    let mut members = Vec::new();
    for number in 0..MEMBER_COUNT {
        let log = shared.directory.join(format!("member-{number}.log"));
        members.push(Background::start(&mut shared.member(number), &log)?);
    }
    shared.wait_until("all have joined", |group| is_stable_with(group, MEMBER_COUNT))?;
    let watch = shared.directory.join("watch");
    let mut watching = shared.ottla(&["group", "describe", GROUP, "--watch", "--interval", "500ms"]);
    let watching = Background::start(&mut watching, &watch)?;
    let mut producer =
        shared.ottla(&["produce", TOPIC, "--format", "json", "--rate", RECORDS_PER_SECOND, "--quiet"]);
    producer.arg(input.with_extension("jsonl"));
    let producer = std::thread::spawn(move || run(&mut producer));
    shared.wait_until("half is read", |group| committed(group) >= shared.count / 2)?;
    drop(members.remove(1));
    println!("one of {MEMBER_COUNT} is killed");
    producer.join().map_err(|_| Failure::Claim("the producer's thread died".to_owned()))??;
    shared.wait_until("all is committed", |group| committed(group) == shared.count)?;
    shared.wait_until("the dead one is missed", |group| is_stable_with(group, MEMBER_COUNT - 1))?;
    shared.wait_for_lag(&watch, 0)?;
    drop(watching);
    for member in members {
        member.stop()?;
    }
    let (found, duplicates) = shared.digest_of_all()?;
    println!("{} flights, {duplicates} of them twice; lag {}", found.count, lags(&watch)?);
    if found == expected {
        return Ok(());
    }
    Err(Failure::Claim(format!("the three have read {found:?} instead of {expected:?}")))
}

/// What all parts of the run need.
struct Shared<'a> {
    speakers: &'a Speakers<'a>,
    directory: PathBuf,
    count: u64,
}

impl Shared<'_> {
    fn ottla(&self, words: &[&str]) -> Command {
        let mut command = self.speakers.ottla.command();
        command.args(words).args(["--bootstrap", &self.speakers.bootstrap.to_string()]);
        command
    }

    fn member(&self, number: usize) -> Command {
        let mut command = self.ottla(&["consume", TOPIC, "--group", GROUP, "--format", "json", "--quiet"]);
        command.args(["--session-timeout", SESSION_TIMEOUT, "--output-file"]).arg(self.output(number));
        command
    }

    fn output(&self, number: usize) -> PathBuf {
        self.directory.join(format!("member-{number}.jsonl"))
    }

    /// Asks for the group until the answer fits.
    fn wait_until(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            let printed = capture(&mut self.ottla(&["group", "describe", GROUP, "--output", "json"]));
            let group = printed.as_deref().unwrap_or_default().parse::<Value>().unwrap_or_default();
            let group = group.get(0).unwrap_or(&group);
            if fits(group) {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(Failure::Claim(format!("not in {} s: {what}: {group}", PATIENCE.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn wait_for_lag(&self, watch: &Path, wanted: u64) -> Result<(), Failure> {
        let started = Instant::now();
        while lag_lines(watch)?.last() != Some(&wanted) {
            if started.elapsed() > PATIENCE {
                return Err(Failure::Claim(format!("the lag did not fall to {wanted}: {}", lags(watch)?)));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// All records that were written, each once and in the order of the partitions, and how many came again.
    fn digest_of_all(&self) -> Result<(Digest, u64), Failure> {
        let mut records: BTreeMap<(i64, i64), String> = BTreeMap::new();
        let mut duplicates = 0;
        for number in 0..MEMBER_COUNT {
            let path = self.output(number);
            let text = std::fs::read_to_string(&path).map_err(Failure::file(&path))?;
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            for line in whole.lines() {
                let record: Value = serde_json::from_str(line)
                    .map_err(|error| Failure::Claim(format!("{}: {error} in {line}", path.display())))?;
                let place = (record["partition"].as_i64(), record["offset"].as_i64());
                let (Some(partition), Some(offset)) = place else {
                    return Err(Failure::Claim(format!("{}: no place in {line}", path.display())));
                };
                if records.insert((partition, offset), line.to_owned()).is_some() {
                    duplicates += 1;
                }
            }
        }
        let merged = self.directory.join("all.jsonl");
        let mut text = String::new();
        for line in records.values() {
            text.push_str(line);
            text.push('\n');
        }
        std::fs::write(&merged, text).map_err(Failure::file(&merged))?;
        Ok((digest::of_json(&merged)?, duplicates))
    }
}

fn is_stable_with(group: &Value, member_count: usize) -> bool {
    group["state"] == "Stable" && group["members"].as_array().is_some_and(|them| them.len() == member_count)
}

fn committed(group: &Value) -> u64 {
    let partitions = group["partitions"].as_array().into_iter().flatten();
    partitions.filter_map(|partition| partition["committed"].as_u64()).sum()
}

/// The `lag=` of every line that `--watch` has printed.
fn lag_lines(watch: &Path) -> Result<Vec<u64>, Failure> {
    let text = std::fs::read_to_string(watch).map_err(Failure::file(watch))?;
    let of_line = |line: &str| line.split(' ').find_map(|word| word.strip_prefix("lag=")?.parse().ok());
    Ok(text.lines().filter_map(of_line).collect())
}

/// The same for people: one number per change.
fn lags(watch: &Path) -> Result<String, Failure> {
    let mut lags = lag_lines(watch)?;
    lags.dedup();
    let mut text = String::new();
    for (number, lag) in lags.iter().enumerate() {
        let arrow = if number == 0 { "" } else { " → " };
        write!(text, "{arrow}{lag}").map_err(|error| Failure::Claim(error.to_string()))?;
    }
    Ok(text)
}
