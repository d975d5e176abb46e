//! What one client process is asked to do, and what it reports: one line each way.
//!
//! A job warms up first (connections, buffers, a JIT compiler), then does what is measured. Its processor time is its
//! own, of all its threads, between those two moments; nobody else has to be told apart from it.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::Serialize;

use crate::error::{BenchError, Doing, Result};

/// A client that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Client {
    /// Ours.
    Ottla,
    /// librdkafka, through the crate `rdkafka`.
    Librdkafka,
    /// Apache Kafka's own.
    Java,
}

impl fmt::Display for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Client::Ottla => "ottla",
            Client::Librdkafka => "librdkafka",
            Client::Java => "java",
        })
    }
}

/// Which way the records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// Into the topic, until all are acknowledged.
    Produce,
    /// Out of the topic, which holds `warm + records` of them.
    Consume,
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Action::Produce => "produce",
            Action::Consume => "consume",
        })
    }
}

/// One client process.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Job {
    pub(crate) client: Client,
    pub(crate) action: Action,
    pub(crate) bootstrap: String,
    pub(crate) topic: String,
    /// Records that are measured.
    pub(crate) records: u64,
    /// Records before them that are not.
    pub(crate) warm: u64,
    /// The size of a value.
    pub(crate) value_bytes: usize,
}

/// Settings that all clients get alike, in Kafka's words; what is not named here is each client's default.
pub(crate) const SETTINGS: &[(&str, &str)] =
    &[("acks", "all"), ("enable.idempotence", "true"), ("linger.ms", "5"), ("batch.size", "131072")];

impl Job {
    /// The arguments that say the same again.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let Job { client, action, bootstrap, topic, records, warm, value_bytes } = self;
        let numbers = [records.to_string(), warm.to_string(), value_bytes.to_string()];
        let words = [client.to_string(), action.to_string(), bootstrap.clone(), topic.clone()];
        words.into_iter().chain(numbers).collect()
    }

    /// The value of every record.
    pub(crate) fn value(&self) -> Vec<u8> {
        (0..self.value_bytes).map(|place| (place * 31 % 251) as u8).collect()
    }
}

/// What a job took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Report {
    pub(crate) records: u64,
    /// Bytes of values.
    pub(crate) bytes: u64,
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "report {} {} {} {}", self.records, self.bytes, self.wall_s, self.cpu_s)
    }
}

impl FromStr for Report {
    type Err = BenchError;

    fn from_str(line: &str) -> Result<Report> {
        let void = || BenchError::Void(format!("a client reported {line:?}"));
        let mut words = line.strip_prefix("report ").ok_or_else(void)?.split(' ');
        let mut next = || words.next().and_then(|word| word.parse::<f64>().ok()).ok_or_else(void);
        Ok(Report { records: next()? as u64, bytes: next()? as u64, wall_s: next()?, cpu_s: next()? })
    }
}

/// A moment, in wall time and in this process's processor time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    wall: Instant,
    cpu_s: f64,
}

impl Moment {
    /// Now.
    pub(crate) fn now() -> Result<Moment> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).doing(|| "ask for the processor time".to_owned())?;
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Ok(Moment { wall: Instant::now(), cpu_s: seconds(usage.user_time()) + seconds(usage.system_time()) })
    }

    /// What happened since.
    pub(crate) fn report(self, records: u64, bytes: u64) -> Result<Report> {
        let now = Moment::now()?;
        let wall_s = now.wall.duration_since(self.wall).as_secs_f64();
        Ok(Report { records, bytes, wall_s, cpu_s: now.cpu_s - self.cpu_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_its_line() {
        let report = Report { records: 5, bytes: 500, wall_s: 0.25, cpu_s: 1.5 };
        assert_eq!(report.to_string().parse::<Report>().unwrap(), report);
        assert!("report 5 500".parse::<Report>().is_err());
    }
}
