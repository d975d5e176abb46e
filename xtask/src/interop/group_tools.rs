//! `kafka-consumer-groups.sh` on ottla and on Apache Kafka: one script, and the same answer to every command of it.
//!
//! Both brokers are fresh and get the same topics, records, idle groups and live members. What must differ (addresses,
//! generated member ids, the order of rows, which is that of a hash table, and the width of columns) is made equal first.

use super::group_script::{BASE_MS, STEPS, Step};
use crate::apache::Apache;
use crate::clients::Python;
use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::{Background, capture, capture_with_input};
use crate::scoreboard::Scoreboard;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The groups with a member: name and protocol.
const LIVE: [(&str, &str); 2] = [("active", "classic"), ("modern", "consumer")];
/// A member has joined, read and committed by then.
const READY_MAX: Duration = Duration::from_secs(40);

/// The programs of the comparison.
pub(crate) struct GroupTools<'a> {
    /// Kafka's tool, and the oracle.
    pub(crate) apache: &'a Apache,
    /// Who fills the brokers.
    pub(crate) python: &'a Python,
    /// Where files go.
    pub(crate) scratch: &'a Path,
}

impl GroupTools<'_> {
    /// Runs the script on both and compares; without `ottla`, on two brokers of Apache's.
    pub(crate) fn run(&self, ottla: Option<&Ottla>, board: &mut Scoreboard) -> Result<(), Failure> {
        let expected = {
            let broker = self.apache.start(&self.scratch.join("groups-expected"), &[])?;
            self.answers(broker.address)?
        };
        let directory = self.scratch.join("groups-found");
        let found = match ottla {
            Some(ottla) => self.answers(ottla.serve(&directory, &[])?.address)?,
            None => self.answers(self.apache.start(&directory, &[])?.address)?,
        };
        for (step, (expected, found)) in STEPS.iter().zip(expected.iter().zip(&found)) {
            board.step(&format!("kafka-consumer-groups {}", step.words), || compare(expected, found));
        }
        Ok(())
    }

    /// The normalised answer to every step.
    fn answers(&self, broker: SocketAddr) -> Result<Vec<Vec<String>>, Failure> {
        let address = broker.to_string();
        let script = |words: &[&str]| {
            let mut command = self.python.script("group_script.py");
            command.args(words);
            command
        };
        capture(&mut script(&["seed", &address, &BASE_MS.to_string()]))?;
        let mut members = Vec::new();
        for (group, protocol) in LIVE {
            let log = self.scratch.join(format!("{group}.log"));
            let member = Background::start(&mut script(&["stay", &address, group, protocol]), &log)?;
            wait_until_ready(&log)?;
            members.push(member);
        }
        let plan = self.scratch.join("offsets.csv");
        std::fs::write(&plan, "orders,0,2\norders,1,3\n").map_err(Failure::file(&plan))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let since = since.saturating_sub(BASE_MS / 1_000 + 45 * 60);
        let input: String = STEPS.iter().map(|step| line(step, &address, &plan, since)).collect();
        let printed = capture_with_input(&mut self.apache.java("GroupTools"), &input)?.expect_success()?;
        for member in members {
            member.stop()?;
        }
        let answers: Vec<_> = printed.split("\u{c}\n").map(|text| normalised(text, &address)).collect();
        if answers.len() < STEPS.len() {
            return Err(Failure::Claim(format!(
                "{} of {} commands were answered",
                answers.len(),
                STEPS.len()
            )));
        }
        Ok(answers)
    }
}

fn wait_until_ready(log: &Path) -> Result<(), Failure> {
    let started = Instant::now();
    while !std::fs::read_to_string(log).is_ok_and(|text| text.contains("ready\n")) {
        if started.elapsed() > READY_MAX {
            let printed = std::fs::read_to_string(log).unwrap_or_default();
            return Err(Failure::Claim(format!("{} is not ready:\n{printed}", log.display())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// One line for `GroupTools`, its words divided by tabs.
fn line(step: &Step, address: &str, plan: &Path, since: u64) -> String {
    let words =
        step.words.replace("PLAN", &plan.display().to_string()).replace("SINCE", &format!("PT{since}S"));
    let mut line: Vec<&str> = words.split(' ').collect();
    if step.asks_broker() {
        line.extend(["--bootstrap-server", address]);
    }
    line.join("\t") + "\n"
}

/// The lines of an answer without what must differ, sorted.
fn normalised(text: &str, address: &str) -> Vec<String> {
    let text = text.replace(address, "BROKER");
    let line = |line: &str| {
        let of_member = LIVE.iter().any(|(group, _)| line.contains(&format!("{group}-client")));
        let words = line.split_whitespace().map(|it| if of_member { word(it) } else { it.to_owned() });
        words.collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<String> = text.lines().map(line).filter(|line| !line.is_empty()).collect();
    lines.sort();
    lines
}

/// A generated member id loses what chance gave it: a UUID after the client's id, or a whole one in base 64.
fn word(word: &str) -> String {
    const UUID: usize = 36;
    const UUID_IN_BASE_64: usize = 22;
    let dashed = |id: &str| {
        id.char_indices().all(|(at, letter)| match at {
            8 | 13 | 18 | 23 => letter == '-',
            _ => letter.is_ascii_hexdigit(),
        })
    };
    if let Some(from) = word.len().checked_sub(UUID).filter(|from| word.is_char_boundary(*from))
        && dashed(&word[from..])
    {
        return format!("{}ID", &word[..from]);
    }
    if word.len() == UUID_IN_BASE_64 { "ID".to_owned() } else { word.to_owned() }
}

fn compare(expected: &[String], found: &[String]) -> Result<(), Failure> {
    if expected == found {
        println!("{} lines, the same", found.len());
        return Ok(());
    }
    let mut text = "the answers differ".to_owned();
    for (sign, lines, others) in [("-", expected, found), ("+", found, expected)] {
        for line in lines.iter().filter(|line| !others.contains(line)) {
            text.push_str(&format!("\n  {sign} {line}"));
        }
    }
    Err(Failure::Claim(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_differ_is_made_equal() {
        let text = "g 127.0.0.1:5 active-client-b257880a-78cd-4011-821a-39bde2256bfb   7\n\n\
                    yQkCabrYRdClxjCXT/Pl1g  /127.0.0.1 modern-client\n";
        let lines = ["ID /127.0.0.1 modern-client", "g BROKER active-client-ID 7"];
        assert_eq!(normalised(text, "127.0.0.1:5"), lines);
    }

    #[test]
    fn other_lines_keep_every_word() {
        assert_eq!(normalised("a\tGroupNotEmptyException", "127.0.0.1:5"), ["a GroupNotEmptyException"]);
    }

    #[test]
    fn a_difference_is_shown_line_by_line() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let failure = compare(&lines("a b"), &lines("a c")).expect_err("they differ").to_string();
        assert!(failure.contains("- b") && failure.contains("+ c"));
    }
}
