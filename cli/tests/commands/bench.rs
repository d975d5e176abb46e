//! `ottla bench` against a broker in this process: that its figures are those of what happened. How large they are is
//! nobody's test.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::Value;

use crate::cluster::{TestCluster, ottla, stderr_of, stdout_of};

/// A short run with JSON output, and what it printed.
fn bench(cluster: &TestCluster, arguments: &[&str]) -> Value {
    let short = ["--duration", "600ms", "--warm-up", "100ms", "--quiet", "--output", "json"];
    let output = stdout_of(cluster.ottla(&[&["bench"], arguments, &short[..]].concat()));
    serde_json::from_str(&output).expect("JSON")
}

fn figure(outcome: &Value, role: usize, name: &str) -> f64 {
    outcome["roles"][role][name].as_f64().unwrap_or_else(|| panic!("{name} in {outcome}"))
}

#[test]
fn produced_records_are_in_the_topic_and_every_request_is_answered() {
    let cluster = TestCluster::start();
    for via in ["raw", "client"] {
        let arguments = ["produce", via, "--keep", "--partitions", "3", "--clients", "2", "--via", via];
        let outcome =
            bench(&cluster, &[&arguments[..], &["--record-size", "50-150", "--keys", "7"]].concat());
        assert_eq!(figure(&outcome, 0, "unanswered"), 0.0);
        assert!(figure(&outcome, 0, "p50_ms") <= figure(&outcome, 0, "max_ms"));
        let counted = figure(&outcome, 0, "records");
        assert!(counted > 0.0);
        let there =
            stdout_of(cluster.ottla(&["consume", via, "--exit-at-end", "--quiet", "--format", "json"]));
        let there = there.lines().count();
        assert!(there as f64 >= counted, "{there} records of at least {counted}, {via}");
    }
}

#[test]
fn a_topic_that_was_made_for_it_is_filled_read_and_deleted() {
    let cluster = TestCluster::start();
    for via in ["raw", "client"] {
        let outcome = bench(&cluster, &["consume", "--fill", "4M", "--verify", "--via", via]);
        assert!(figure(&outcome, 0, "records") > 0.0);
    }
    assert_eq!(stdout_of(cluster.ottla(&["topic", "list", "--output", "json"])).trim(), "[]");
}

#[test]
fn latency_from_end_to_end_is_measured_once_for_every_record_of_a_rate_that_is_held() {
    let cluster = TestCluster::start();
    for via in ["raw", "client"] {
        let arguments = ["latency", "--rate", "500", "--partitions", "2", "--clients", "5", "--via", via];
        let outcome = bench(&cluster, &arguments);
        assert_eq!(outcome["wanted_records_per_second"], 500);
        // On a busy machine the last ones may come too late to be counted as answered.
        let due = figure(&outcome, 0, "records") + figure(&outcome, 0, "unanswered");
        assert!((270.0..=310.0).contains(&due), "{due} of 300 records {via}: {outcome}");
        assert!(figure(&outcome, 0, "records") > 150.0, "{via}: {outcome}");
        assert!(figure(&outcome, 0, "p99_ms") > 0.0);
    }
}

#[test]
fn a_low_rate_is_many_small_requests_and_not_a_batch_now_and_then() {
    let cluster = TestCluster::start();
    let outcome = bench(&cluster, &["produce", "--rate", "20"]);
    let records = figure(&outcome, 0, "records");
    assert!((11.0..=13.0).contains(&records), "{records} of 12");
    assert_eq!(figure(&outcome, 0, "requests"), records);
}

#[test]
fn the_clock_of_a_thousand_clients_begins_when_the_last_is_connected() {
    let cluster = TestCluster::start();
    let outcome = bench(&cluster, &["produce", "--clients", "1000", "--rate", "1000"]);
    assert_eq!(outcome["measured_s"], 0.6);
    let latencies = figure(&outcome, 0, "p50_ms");
    let late = figure(&outcome, 0, "unanswered");
    assert!(latencies > 0.0 && late < 600.0, "{outcome}");
}

#[test]
fn a_topic_that_is_made_for_it_is_filled_no_further_than_asked() {
    let cluster = TestCluster::start();
    bench(&cluster, &["consume", "made", "--fill", "1M", "--keep", "--partitions", "4"]);
    let there = stdout_of(cluster.ottla(&["topic", "describe", "made", "--output", "json"]));
    let there: Value = serde_json::from_str(&there).expect("JSON");
    let partitions = there[0]["partitions"].as_array().expect("partitions");
    let records: f64 = partitions.iter().filter_map(|partition| partition["end_offset"].as_f64()).sum();
    // A record is a kilobyte and a little; a batch is 256 of them.
    assert!((700.0..1_600.0).contains(&records), "{records} records");
}

#[test]
fn what_makes_no_sense_is_told_in_one_line_before_anything_runs() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "there", "--partitions", "3"]));
    let refused: [(&[&str], &str); 12] = [
        (&["produce", "--rate", "0"], "--rate"),
        (&["produce", "--rate", "-5"], "-5"),
        (&["produce", "--partitions", "0"], "--partitions"),
        (&["produce", "--duration", "0"], "no time"),
        (&["produce", "--batch-bytes", "0"], "--batch-bytes"),
        (&["produce", "--batch-bytes", "1G"], "more than a request can carry"),
        (&["produce", "--compression", "rar"], "zstd"),
        (&["latency", "--record-size", "3"], "16 bytes"),
        (&["produce", "there", "--partitions", "5"], "with 3 partitions and not 5"),
        (&["produce", "there", "--set", "retention.ms=1"], "--set"),
        (&["consume", "there", "--fill", "1M"], "--fill"),
        (&["produce", "--clients", "20000"], "--clients"),
    ];
    for (arguments, told) in refused {
        let line = stderr_of(cluster.ottla(&[&["bench"], arguments].concat()), 2);
        assert!(line.starts_with("ottla: ") && line.contains(told), "{arguments:?}: {line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    let many = ["bench", "produce", "--idle-connections", "4000000000"];
    let told = stderr_of(cluster.ottla(&many), 1);
    assert!(told.contains("ulimit -n") && told.lines().count() == 1, "{told}");
    let empty = stderr_of(cluster.ottla(&["bench", "consume", "there"]), 1);
    assert!(empty.contains("there is empty"), "{empty}");
    assert_eq!(stdout_of(cluster.ottla(&["topic", "list"])).lines().count(), 2);
}

#[test]
fn a_batch_that_the_topic_does_not_take_ends_the_run_and_its_topic_goes() {
    let cluster = TestCluster::start();
    let arguments = ["bench", "produce", "--batch-bytes", "4M", "--quiet", "--warm-up", "10s"];
    let told = stderr_of(cluster.ottla(&arguments), 1);
    assert!(told.contains("MESSAGE_TOO_LARGE") && told.contains("nothing was measured"), "{told}");
    assert_eq!(told.lines().count(), 1);
    assert_eq!(stdout_of(cluster.ottla(&["topic", "list", "--output", "json"])).trim(), "[]");
}

#[test]
fn readers_and_writers_at_once_are_told_apart() {
    let cluster = TestCluster::start();
    let outcome = bench(&cluster, &["mixed", "--batch-bytes", "16K", "--compression", "lz4"]);
    assert_eq!(outcome["roles"][0]["role"], "produce");
    assert_eq!(outcome["roles"][1]["role"], "consume");
    assert!(figure(&outcome, 1, "records") > 0.0);
}

#[test]
fn a_rate_beyond_the_brokers_reach_is_told_in_one_line() {
    let cluster = TestCluster::start();
    let arguments = [
        "bench",
        "produce",
        "--rate",
        "2000000000",
        "--batch-records",
        "1",
        "--duration",
        "300ms",
        "--warm-up",
        "0",
    ];
    let told = stderr_of(cluster.ottla(&[&arguments[..], &["--quiet"]].concat()), 0);
    assert!(told.starts_with("ottla: the rate was not held: ") && told.lines().count() == 1, "{told}");
}

#[test]
fn what_is_no_broker_is_called_so_in_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its number").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let told = stderr_of(ottla(&["bench", "produce", "--bootstrap", &address, "--timeout", "2s"]), 1);
    assert!(told.contains("Kafka port?") && told.lines().count() == 1, "{told}");
}

#[test]
fn a_broker_that_dies_in_the_middle_leaves_what_was_measured_until_then() {
    let mut cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "load"]));
    let arguments = ["bench", "produce", "load", "--rate", "200", "--duration", "60s", "--warm-up", "0"];
    let running = cluster.spawn(&[&arguments[..], &["--output", "json", "--quiet"]].concat());
    // Once forty records are there, some were measured.
    stdout_of(cluster.ottla(&["consume", "load", "--count", "40", "--quiet", "--format", "json"]));
    cluster.stop();
    let (code, stdout) = running.ended();
    assert_eq!(code, Some(1), "{stdout}");
    let outcome: Value = serde_json::from_str(&stdout).expect("JSON");
    assert!(figure(&outcome, 0, "records") > 0.0);
    assert!(
        outcome["broken_off"].as_str().is_some_and(|why| why.contains("measured until then")),
        "{outcome}"
    );
}
