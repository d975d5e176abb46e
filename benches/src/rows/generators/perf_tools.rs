//! Apache Kafka's own load generators, started as their scripts start them, and read as a person reads them.
//!
//! Both print one line of results. The producer's percentiles count from `send` to the acknowledgement and so hold the time in
//! its own buffer, which at full speed is nearly all of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{PATIENCE, Said};
use crate::error::{BenchError, Doing, Result};
use crate::rows::Figures;
use crate::rows::clients::SETTINGS;

/// `kafka-producer-perf-test --throughput -1`, of which the first quarter warms up. The rate is that of the rest.
pub(super) fn produce(
    libs: &Path,
    address: SocketAddr,
    topic: &str,
    records: u64,
    value_bytes: usize,
) -> Result<Said> {
    let mut command = java(libs, "org.apache.kafka.tools.ProducerPerformance");
    command.args(["--bootstrap-server", &address.to_string(), "--topic", topic, "--throughput", "-1"]);
    command.args(["--num-records", &records.to_string(), "--warmup-records", &(records / 4).to_string()]);
    command.args(["--record-size", &value_bytes.to_string(), "--command-property"]);
    command.args(SETTINGS.iter().map(|(key, value)| format!("{key}={value}")));
    let printed = run(command, "kafka-producer-perf-test")?;
    let said = read_produced(&printed);
    said.ok_or_else(|| BenchError::Void(format!("kafka-producer-perf-test said {printed:?}")))
}

/// `kafka-consumer-perf-test`, in a group of its own. The rate leaves out joining the group.
pub(super) fn consume(
    libs: &Path,
    address: SocketAddr,
    topic: &str,
    records: u64,
    value_bytes: usize,
) -> Result<Said> {
    let mut command = java(libs, "org.apache.kafka.tools.ConsumerPerformance");
    command.args(["--bootstrap-server", &address.to_string(), "--topic", topic, "--hide-header"]);
    command.args(["--num-records", &records.to_string(), "--timeout", &PATIENCE.as_millis().to_string()]);
    let printed = run(command, "kafka-consumer-perf-test")?;
    let wrong = || BenchError::Void(format!("kafka-consumer-perf-test said {printed:?}"));
    let (said, mebibytes) = read_consumed(&printed).ok_or_else(wrong)?;
    let expected = (records * value_bytes as u64) as f64 / f64::from(1 << 20);
    // It prints four digits after the point.
    if said.records != records || (mebibytes - expected).abs() > 0.001 {
        return Err(wrong());
    }
    Ok(said)
}

/// A JVM as `kafka-run-class.sh` and the two scripts set it up.
fn java(libs: &Path, main: &str) -> Command {
    let mut command = Command::new("java");
    command.args([
        "-Xmx512M",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35",
    ]);
    command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"]);
    command.arg(format!("{}/*", libs.display())).arg(main);
    command
}

/// What the program printed, if it ended well.
fn run(mut command: Command, name: &str) -> Result<String> {
    let output = command.output().doing(|| format!("run {name}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(BenchError::Void(format!("{name} ended with {}: {printed}{complaint}", output.status)))
}

/// `3000 steady state records sent, 1000.5 records/sec (… MB/sec), 59.37 ms avg latency, 175.00 ms max latency, 52 ms 50th, …`
fn read_produced(printed: &str) -> Option<Said> {
    let line = printed.lines().rev().find(|line| line.contains(" steady state records sent, "))?;
    let parts: Vec<&str> = line.split(", ").collect();
    let number_before = |what: &str| -> Option<f64> {
        parts.iter().find_map(|part| part.trim_end_matches('.').split_once(what)?.0.trim().parse().ok())
    };
    let records = number_before(" steady state records sent")?;
    let rate = number_before(" records/sec")?;
    let more = Figures::from([
        ("produce: avg ms", number_before(" ms avg latency")?),
        ("produce: p50 ms", number_before(" ms 50th")?),
        ("produce: p95 ms", number_before(" ms 95th")?),
        ("produce: p99 ms", number_before(" ms 99th")?),
        ("produce: p99.9 ms", number_before(" ms 99.9th")?),
    ]);
    Some(Said { records: records as u64, elapsed_s: records / rate, more })
}

/// `start, end, MiB, MiB/s, records, records/s, rebalance ms, fetch ms, MiB/s, records/s`; and how many MiB it read.
fn read_consumed(printed: &str) -> Option<(Said, f64)> {
    let line = printed.lines().rev().find(|line| line.matches(", ").count() == 9)?;
    let fields: Vec<&str> = line.split(", ").collect();
    let field = |index: usize| fields.get(index)?.trim().parse::<f64>().ok();
    let (mebibytes, records, fetching_ms) = (field(2)?, field(4)?, field(7)?);
    let said = Said { records: records as u64, elapsed_s: fetching_ms / 1e3, more: Figures::new() };
    Some((said, mebibytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_state_is_read_and_not_the_whole() {
        let printed = "Warmup first 200000 records. Steady state results will print after the complete test summary.\n\
            1000000 records sent, 346380.325598 records/sec (33.03 MB/sec), 50.15 ms avg latency, 577.00 ms max latency, 32 ms 50th, 136 ms 95th, 167 ms 99th, 174 ms 99.9th.\n\
            800000 steady state records sent, 457142.857143 records/sec (43.60 MB/sec), 59.37 ms avg latency, 175.00 ms max latency, 52 ms 50th, 145 ms 95th, 168 ms 99th, 174 ms 99.9th.\n";
        let said = read_produced(printed).unwrap();
        assert_eq!(said.records, 800_000);
        assert!((said.elapsed_s - 1.75).abs() < 1e-6, "{}", said.elapsed_s);
        assert_eq!((said.more["produce: p50 ms"], said.more["produce: p99 ms"]), (52.0, 168.0));
        assert_eq!((said.more["produce: avg ms"], said.more["produce: p99.9 ms"]), (59.37, 174.0));
        assert!(read_produced("1000 records sent, 5 records/sec").is_none());
    }

    #[test]
    fn the_consumer_is_timed_without_its_rebalance() {
        let printed = "2026-11-22 13:12:43:414, 2026-11-22 13:12:45:893, 95.3674, 38.4701, 1000000, 403388.4631, 781, 1698, 56.1646, 588928.1508\n";
        let (said, mebibytes) = read_consumed(printed).unwrap();
        assert_eq!((said.records, said.elapsed_s, mebibytes), (1_000_000, 1.698, 95.3674));
        assert!(read_consumed("WARNING: Exiting before consuming the expected number of records").is_none());
    }
}
