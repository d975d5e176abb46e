//! `ottla bench` against a broker that stands still for a while, or for good: what an open loop must show of it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{ottla, stdout_of};

/// A broker in a process of its own, which can be frozen.
struct Freezable {
    child: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl Freezable {
    fn start() -> Freezable {
        let data = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(["serve", "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        let (_, rest) = line.split_once("ready on ").expect("a ready broker");
        let address = rest.split(',').next().expect("an address").to_owned();
        Freezable { child, address, _data: data }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("runs").success());
    }

    /// Makes the topic.
    fn topic(&self, name: &str) {
        stdout_of(ottla(&["topic", "create", name]).env("OTTLA_BOOTSTRAP", &self.address));
    }

    /// Waits until so many records are in the topic.
    fn wait_for_records(&self, topic: &str, count: &str) {
        let arguments = ["consume", topic, "--count", count, "--quiet", "--format", "json"];
        stdout_of(ottla(&arguments).env("OTTLA_BOOTSTRAP", &self.address));
    }

    /// Starts a bench against it.
    fn bench(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_ottla"))
            .arg("bench")
            .args(arguments)
            .args(["--warm-up", "0", "--output", "json", "--quiet"])
            .env("OTTLA_BOOTSTRAP", &self.address)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs")
    }
}

impl Drop for Freezable {
    fn drop(&mut self) {
        // A frozen process dies of it, too.
        self.child.kill().expect("it was ours");
        self.child.wait().expect("ends");
    }
}

/// Exit code, outcome and standard error of a bench.
fn outcome(bench: Child) -> (Option<i32>, Value, String) {
    let output = bench.wait_with_output().expect("ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    (output.status.code(), told, stderr)
}

#[test]
fn a_stall_of_two_seconds_in_eight_is_in_a_quarter_of_the_latencies() {
    let broker = Freezable::start();
    let modes: [(&str, &[&str]); 4] = [
        ("raw", &["produce"]),
        ("client", &["produce", "--via", "client"]),
        ("arrival", &["latency"]),
        ("client-arrival", &["latency", "--via", "client"]),
    ];
    modes.iter().for_each(|(topic, _)| broker.topic(topic));
    let start = |(topic, mode): &(&str, &[&str])| {
        broker.bench(&[mode, &[topic, "--rate", "250", "--duration", "8s"][..]].concat())
    };
    let benches: Vec<Child> = modes.iter().map(start).collect();
    modes.iter().for_each(|(topic, _)| broker.wait_for_records(topic, "20"));
    broker.signal("-STOP");
    // The stall itself.
    std::thread::sleep(Duration::from_secs(2));
    broker.signal("-CONT");
    for ((topic, _), bench) in modes.iter().zip(benches) {
        let (code, told, stderr) = outcome(bench);
        assert_eq!(code, Some(0), "{topic}: {stderr}");
        let figure = |name: &str| told["roles"][0][name].as_f64().unwrap_or(0.0);
        // What has no latency, because it was due at the very end, is too little to hide the stall in.
        assert!(figure("records") > 1_900.0, "{topic}: {told}");
        // Latencies of what was due during the stall lie evenly between nothing and two seconds: a quarter of all. Nine
        // tenths of all end where six tenths of those do. Counted from the sending, one request would show it.
        assert!(figure("p90_ms") > 900.0, "{topic}: {told}");
        assert!(figure("p99_ms") > 1_700.0, "{topic}: {told}");
        assert!(figure("max_ms") > 1_900.0, "{topic}: {told}");
    }
}

#[test]
fn a_broker_that_stands_still_is_given_up_at_ctrl_c_with_what_was_measured_until_then() {
    let broker = Freezable::start();
    broker.topic("load");
    for mode in [&["produce"][..], &["produce", "--via", "client"], &["latency"]] {
        let bench = broker.bench(&[mode, &["load", "--rate", "250", "--duration", "60s"]].concat());
        // Also those of the mode before; then some of this one.
        broker.wait_for_records("load", "100");
        let mut consume = ottla(&["consume", "load", "--from", "latest", "--count", "20", "--quiet"]);
        consume.env("OTTLA_BOOTSTRAP", &broker.address).assert().success();
        broker.signal("-STOP");
        let pid = bench.id().to_string();
        // So that something is due that nobody answers.
        std::thread::sleep(Duration::from_millis(200));
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("runs").success());
        let pressed = Instant::now();
        let (code, told, stderr) = outcome(bench);
        assert!(pressed.elapsed() < Duration::from_secs(20), "{mode:?} took {:?}", pressed.elapsed());
        assert_eq!((code, &told["interrupted"]), (Some(0), &Value::Bool(true)), "{mode:?}: {stderr}");
        assert!(told["roles"][0]["records"].as_f64() > Some(0.0), "{told}");
        assert!(told["roles"][0]["unanswered"].as_f64() > Some(0.0), "{mode:?}: {told}");
        assert!(stderr.contains("stopped after "), "{stderr}");
        broker.signal("-CONT");
    }
}

#[test]
fn through_the_client_a_broker_that_is_gone_for_good_is_given_up_too() {
    let broker = Freezable::start();
    let fill = ["produce", "full", "--keep", "--duration", "300ms"];
    assert_eq!(outcome(broker.bench(&fill)).0, Some(0));
    broker.topic("load");
    let ways: [(&[&str], &str); 2] = [
        (&["consume", "full"], "nothing was read for 2 s"),
        (&["produce", "load", "--rate", "250"], "no record was delivered for 2.005 s"),
    ];
    for (mode, why) in ways {
        let bench =
            broker.bench(&[mode, &["--via", "client", "--duration", "60s", "--timeout", "2s"]].concat());
        if mode[0] == "produce" {
            broker.wait_for_records("load", "20");
        } else {
            // A reader leaves nothing behind that could be waited for: time enough to connect.
            std::thread::sleep(Duration::from_secs(3));
        }
        broker.signal("-STOP");
        let stopped = Instant::now();
        let (code, told, stderr) = outcome(bench);
        broker.signal("-CONT");
        assert!(stopped.elapsed() < Duration::from_secs(30), "{mode:?} took {:?}", stopped.elapsed());
        assert_eq!(code, Some(1), "{mode:?}: {stderr}");
        assert!(stderr.contains(why) && stderr.lines().count() == 1, "{mode:?}: {stderr}");
        assert!(told["roles"][0]["records"].as_f64() > Some(0.0), "{mode:?}: {told}");
    }
}

#[test]
fn a_broker_that_never_answers_again_is_told_after_the_patience_with_it() {
    let broker = Freezable::start();
    broker.topic("load");
    let arguments = ["produce", "load", "--rate", "250", "--duration", "1s", "--timeout", "2s"];
    let bench = broker.bench(&arguments);
    broker.wait_for_records("load", "20");
    broker.signal("-STOP");
    let (code, told, stderr) = outcome(bench);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("it was silent for 2 s") && stderr.lines().count() == 1, "{stderr}");
    assert!(told["roles"][0]["unanswered"].as_f64() > Some(0.0), "{told}");
}
