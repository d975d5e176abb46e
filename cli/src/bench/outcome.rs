//! What a bench tells at its end: only what was measured, also when the run broke off.

use std::time::Duration;

use ottla_client::ErrorCode;
use ottla_load::{LoadError, Tally};
use serde_json::{Value, json};

use super::watch::stopped;
use crate::arguments::{OutputArguments, OutputFormat};
use crate::failure::{Failure, advice_on_code};
use crate::report::{Report, print_json, print_text};
use crate::units::grouped;

/// Below this share of the wanted rate it was not held.
const HELD_SHARE: f64 = 0.99;

/// EMFILE: this process may open no more.
const TOO_MANY_FILES: i32 = 24;

/// What one role did: producers, consumers, or records on their way between them.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) role: &'static str,
    pub(crate) tally: Tally,
    pub(crate) measured: Duration,
    /// Records a second that were to be held.
    pub(crate) wanted: Option<u32>,
}

impl Outcome {
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.measured.as_secs_f64()
    }

    /// What to say of a rate that was not held.
    fn not_held(&self) -> Option<String> {
        let wanted = self.wanted?;
        let held = self.per_second(self.tally.records);
        (held < f64::from(wanted) * HELD_SHARE).then(|| {
            let (wanted, held) = (grouped(u64::from(wanted)), grouped(held as u64));
            format!("the rate was not held: {held} records/s of {wanted} came through in time")
        })
    }

    fn row(&self) -> [Value; 12] {
        let ms = |percent: f64| {
            let latency = self.tally.percentile(percent);
            latency.map_or(Value::Null, |latency| rounded(latency.as_secs_f64() * 1e3, 3))
        };
        [
            json!(self.role),
            json!(self.per_second(self.tally.records) as u64),
            rounded(self.per_second(self.tally.bytes) / 1e6, 1),
            ms(50.0),
            ms(90.0),
            ms(99.0),
            ms(99.9),
            ms(99.99),
            ms(100.0),
            json!(self.tally.records),
            json!(self.tally.requests),
            json!(self.tally.unanswered()),
        ]
    }
}

const COLUMNS: [&str; 12] = [
    "role",
    "records/s",
    "MB/s",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "p99.9_ms",
    "p99.99_ms",
    "max_ms",
    "records",
    "requests",
    "unanswered",
];

/// Prints all outcomes, then what went wrong, if something did: `broken_off`, Ctrl-C, or a topic that `stays`.
pub(crate) fn tell(
    outcomes: &[Outcome],
    broken_off: Option<LoadError>,
    interrupted: bool,
    stays: Option<String>,
    output: OutputArguments,
) -> Result<(), Failure> {
    let measured = outcomes.iter().map(|outcome| outcome.measured).max().unwrap_or_default();
    let failure = broken_off.map(|error| {
        let until = if measured.is_zero() {
            "nothing was measured".to_owned()
        } else {
            format!("measured until then: {:.3} s", measured.as_secs_f64())
        };
        failed(error).with(&until)
    });
    let also = |failure: Failure| stays.iter().fold(failure, |failure, stays| failure.with(stays));
    if measured.is_zero() {
        return Err(also(failure.unwrap_or_else(stopped)));
    }
    let failure = failure.map(also);
    let mut report = Report::new(&COLUMNS);
    outcomes.iter().for_each(|outcome| report.row(outcome.row()));
    match output.output {
        OutputFormat::Table => print_text(&report.to_table())?,
        OutputFormat::Json => print_json(&json!({
            "measured_s": rounded(measured.as_secs_f64(), 3),
            "wanted_records_per_second": outcomes.iter().find_map(|outcome| outcome.wanted),
            "rate_held": outcomes.iter().all(|outcome| outcome.not_held().is_none()),
            "interrupted": interrupted,
            "broken_off": failure.as_ref().map(ToString::to_string),
            "roles": report.to_json(),
        }))?,
    }
    let Some(failure) = failure else {
        if interrupted {
            eprintln!("ottla: stopped after {:.1} s", measured.as_secs_f64());
        }
        outcomes.iter().filter_map(Outcome::not_held).for_each(|line| eprintln!("ottla: {line}"));
        stays.iter().for_each(|line| eprintln!("ottla: {line}"));
        return Ok(());
    };
    Err(failure)
}

/// Why a load broke off, and what to do next.
pub(crate) fn failed(error: LoadError) -> Failure {
    let advice = match &error {
        LoadError::Client(error) if error.code() != Some(ErrorCode::MESSAGE_TOO_LARGE) => {
            return Failure::from(error.clone());
        }
        LoadError::Connect { error, .. } if error.raw_os_error() == Some(TOO_MANY_FILES) => {
            "each client takes one: raise the limit of open files (ulimit -n)"
        }
        LoadError::Connect { .. } => "is a broker running there, and open to so many connections?",
        LoadError::Wire(_) => "is that a Kafka port?",
        LoadError::Silent { .. } => {
            "the broker may be gone or overloaded: see whether it answers, or raise --timeout"
        }
        LoadError::Client(_) | LoadError::Refused { code: ErrorCode::MESSAGE_TOO_LARGE, .. } => {
            "send less at once (--record-size, --batch-bytes), or raise the limit: --set max.message.bytes=N"
        }
        LoadError::Refused { code, .. } => advice_on_code(*code),
        _ => "",
    };
    match advice {
        "" => Failure::new(error.to_string()),
        advice => Failure::new(format!("{error}; {advice}")),
    }
}

fn rounded(number: f64, digits: i32) -> Value {
    let scale = 10f64.powi(digits);
    json!((number * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(wanted: Option<u32>) -> Outcome {
        let mut tally = Tally::default();
        (tally.records, tally.bytes, tally.requests) = (1_000, 2_000_000, 10);
        Outcome { role: "produce", tally, measured: Duration::from_secs(1), wanted }
    }

    #[test]
    fn a_rate_that_was_missed_by_more_than_one_percent_is_told() {
        assert_eq!(outcome(None).not_held(), None);
        assert_eq!(outcome(Some(1_005)).not_held(), None);
        assert!(outcome(Some(1_200)).not_held().unwrap().contains("1,000 records/s of 1,200"));
    }

    #[test]
    fn latencies_that_nobody_measured_are_not_printed_as_figures() {
        let row = outcome(None).row();
        assert_eq!(row[1], json!(1_000));
        assert_eq!(row[2], json!(2.0));
        assert_eq!(row[3], Value::Null);
    }
}
