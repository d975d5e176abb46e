//! `ottla serve` as a supervisor meets it: the ready line, signals, and what stands in the way of a start.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Serving {
    child: Child,
    address: String,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Serving {
    fn start(arguments: &[&str]) -> Serving {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .arg("serve")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut ready = String::new();
        stdout.read_line(&mut ready).expect("a line");
        let address = ready.split(" is ready on ").nth(1).and_then(|rest| rest.split(',').next());
        let address = address.unwrap_or_else(|| panic!("no ready line: {ready}")).to_owned();
        Serving { child, address, stdout }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("runs").success());
    }

    fn ended(mut self) -> (Option<i32>, String) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("ours") {
                let (mut out, mut err) = (String::new(), String::new());
                self.stdout.read_to_string(&mut out).expect("text");
                self.child.stderr.take().expect("piped").read_to_string(&mut err).expect("text");
                assert_eq!(out, "", "the ready line is the only one");
                return (status.code(), err);
            }
            assert!(started.elapsed() < Duration::from_secs(30), "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn ottla(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ottla")).args(arguments).output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_signal_stops_the_broker_cleanly_and_its_records_are_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data").display().to_string();
    for (signal, expected) in [("-TERM", 1), ("-INT", 2)] {
        let serving = Serving::start(&["--data", &data, "--port", "0"]);
        let produced = Command::new(env!("CARGO_BIN_EXE_ottla"))
            .args(["produce", "kept", "-b", &serving.address, "-q", "-n", "1"])
            .stdin(Stdio::piped())
            .spawn()
            .and_then(|mut child| {
                use std::io::Write;
                child.stdin.take().expect("piped").write_all(b"a record\n")?;
                child.wait()
            });
        assert!(produced.expect("runs").success());
        let (code, read, error) = ottla(&["consume", "kept", "-b", &serving.address, "-e", "-q"]);
        assert_eq!((code, read.lines().count()), (Some(0), expected), "{error}");
        serving.signal(signal);
        let (code, error) = serving.ended();
        assert_eq!(code, Some(0), "{error}");
        assert!(error.contains("stopping"), "{error}");
        assert!(std::path::Path::new(&data).join(".kafka_cleanshutdown").exists());
    }
}

#[test]
fn what_stands_in_the_way_of_a_start_is_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data").display().to_string();
    let other = directory.path().join("other").display().to_string();
    let serving = Serving::start(&["--data", &data, "--port", "0"]);
    let port = serving.address.rsplit(':').next().expect("a port").to_owned();
    let (code, _, error) = ottla(&["serve", "--data", &data, "--port", "0"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.starts_with("ottla: ") && error.lines().count() == 1 && error.contains("data"), "{error}");
    let (code, _, error) = ottla(&["serve", "--data", &other, "--port", &port]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.lines().count() == 1 && error.contains(&port), "{error}");
    serving.signal("-TERM");
    assert_eq!(serving.ended().0, Some(0));
}

#[test]
fn settings_come_from_a_file_the_environment_and_the_command_line_in_this_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data").display().to_string();
    let file = directory.path().join("server.properties");
    let text = format!(
        "log.dirs={data}\nlisteners=PLAINTEXT://127.0.0.1:0\nnum.partitions=2\nlog.retention.hours=5\nlog.cleaner.threads=1\n"
    );
    std::fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    let serving = Serving::start(&["--config", &file, "--set", "log.retention.hours=7"]);
    let (code, configs, error) = ottla(&["config", "describe", "--broker", "1", "-b", &serving.address]);
    assert_eq!(code, Some(0), "{error}");
    let row = |key: &str| {
        configs.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap_or_default().to_owned()
    };
    assert!(row("num.partitions").contains(" 2 "), "{configs}");
    assert!(row("log.retention.hours").contains(" 7 "), "{configs}");
    serving.signal("-TERM");
    assert_eq!(serving.ended().0, Some(0));
}
