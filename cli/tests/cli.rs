//! The command line as a user meets it: every command against a broker in this process, every mistake with its exit code
//! and its one line.

#[path = "commands/bench.rs"]
mod bench;
#[path = "commands/bench_stall.rs"]
mod bench_stall;
#[path = "cluster/mod.rs"]
mod cluster;
#[path = "commands/consume_group.rs"]
mod consume_group;
#[path = "commands/group.rs"]
mod group;

use cluster::{TestCluster, lines, ottla, stderr_of, stdout_of};
use serde_json::Value;

#[test]
fn topics_are_created_listed_described_altered_and_deleted() {
    let cluster = TestCluster::start();
    let created =
        stdout_of(cluster.ottla(&["topic", "create", "flights", "-p", "3", "--set", "retention.ms=1000"]));
    assert!(created.contains("flights") && created.contains("created"), "{created}");
    stdout_of(cluster.ottla(&["topic", "create", "flights", "--if-not-exists"]));
    let listed: Value =
        serde_json::from_str(&stdout_of(cluster.ottla(&["topic", "list", "-o", "json"]))).expect("JSON");
    assert_eq!(listed[0]["topic"], "flights");
    assert_eq!(listed[0]["partitions"], 3);
    stdout_of(cluster.ottla(&[
        "topic",
        "alter",
        "flights",
        "-p",
        "5",
        "--set",
        "retention.bytes=7",
        "--unset",
        "retention.ms",
    ]));
    let described = stdout_of(cluster.ottla(&["topic", "describe", "flights", "-o", "json"]));
    let described: Value = serde_json::from_str(&described).expect("JSON");
    assert_eq!(described[0]["partitions"].as_array().map(Vec::len), Some(5));
    assert_eq!(described[0]["configs"], serde_json::json!({"retention.bytes": "7"}));
    assert!(
        stdout_of(cluster.ottla(&["topic", "describe", "flights"]))
            .contains("own configs: retention.bytes=7")
    );
    stdout_of(cluster.ottla(&["topic", "delete", "flights"]));
    let gone = stderr_of(cluster.ottla(&["topic", "delete", "flights"]), 1);
    assert!(gone.contains("UNKNOWN_TOPIC_OR_PARTITION") && gone.contains("ottla topic list"), "{gone}");
    stdout_of(cluster.ottla(&["topic", "delete", "flights", "--if-exists"]));
}

#[test]
fn text_lines_with_keys_come_back_as_they_went_in() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "text", "-p", "1"]));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let mut produce = cluster.ottla(&["produce", "text", "-K", ":", "-z", codec, "--null", "NULL"]);
        stdout_of(produce.write_stdin(format!("a:{codec}\nno separator\nc:d:e\nk:NULL")));
    }
    let read = stdout_of(cluster.ottla(&["consume", "text", "-e", "-K", "=", "--null", "~"]));
    let expected: Vec<String> = ["none", "gzip", "snappy", "lz4", "zstd"]
        .iter()
        .flat_map(|codec| [format!("a={codec}"), "~=no separator".into(), "c=d:e".into(), "k=~".into()])
        .collect();
    assert_eq!(lines(&read), expected);
}

#[test]
fn json_records_survive_a_round_trip_byte_for_byte() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "one", "-p", "2"]));
    stdout_of(cluster.ottla(&["topic", "create", "two", "-p", "2"]));
    let input = concat!(
        r#"{"key":"N14228","value":"größe \"x\"","timestamp":1357016400000,"headers":[{"key":"h","value":"1"},{"key":"h","value":null}],"partition":1}"#,
        "\n",
        r#"{"key_base64":"/wA=","value_base64":"gAE=","timestamp":"2013-01-01T05:15:00Z","partition":1}"#,
        "\n",
        r#"{"key":null,"value":null,"timestamp":5,"partition":0}"#,
        "\n",
    );
    stdout_of(cluster.ottla(&["produce", "one", "--format", "json"]).write_stdin(input));
    let first = stdout_of(cluster.ottla(&["consume", "one", "-e", "--format", "json"]));
    stdout_of(cluster.ottla(&["produce", "two", "--format", "json"]).write_stdin(first.clone()));
    let second = stdout_of(cluster.ottla(&["consume", "two", "-e", "--format", "json"]));
    let sorted = |text: &str| {
        let mut lines = lines(text);
        lines.sort();
        lines
    };
    assert_eq!(sorted(&first), sorted(&second.replace("\"two\"", "\"one\"")));
    let records: Vec<Value> =
        sorted(&first).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(records[0]["value"], Value::Null);
    assert_eq!(records[1]["value"], "größe \"x\"");
    assert_eq!(records[1]["headers"][1], serde_json::json!({"key": "h", "value": null}));
    assert_eq!(records[2]["key_base64"], "/wA=");
    assert_eq!(records[2]["timestamp"], 1_357_017_300_000_i64);
}

#[test]
fn rows_of_a_table_become_json_records_keyed_and_timed_by_their_fields() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "csv", "-p", "1"]));
    let file = cluster.file(
        "flights.csv",
        "tailnum,time_hour,dep_delay\nN1,2013-01-01T10:00:00Z,2\nN2,2013-01-01T11:00:00Z,\n",
    );
    let arguments =
        ["produce", "csv", &file, "--format", "csv", "-k", "tailnum", "--timestamp-field", "time_hour"];
    stdout_of(cluster.ottla(&arguments));
    let read = stdout_of(cluster.ottla(&["consume", "csv", "-e", "--format", "json"]));
    let records: Vec<Value> =
        lines(&read).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(records[0]["key"], "N1");
    assert_eq!(records[0]["timestamp"], 1_357_034_400_000_i64);
    assert_eq!(records[0]["value"], r#"{"tailnum":"N1","time_hour":"2013-01-01T10:00:00Z","dep_delay":2}"#);
    assert_eq!(
        records[1]["value"],
        r#"{"tailnum":"N2","time_hour":"2013-01-01T11:00:00Z","dep_delay":null}"#
    );
}

#[test]
fn consuming_begins_and_ends_where_it_is_told() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "spans", "-p", "1"]));
    let input: String = (0..100)
        .map(|n| format!("{{\"value\":\"{n}\",\"timestamp\":{}}}\n", 1_000_000_000_000_i64 + n * 1000))
        .collect();
    stdout_of(
        cluster.ottla(&["produce", "spans", "--format", "json", "--batch-bytes", "500"]).write_stdin(input),
    );
    let read =
        |arguments: &[&str]| lines(&stdout_of(cluster.ottla(&[&["consume", "spans"], arguments].concat())));
    assert_eq!(read(&["--from", "90", "-e"]).len(), 10);
    assert_eq!(read(&["--from", "-3", "-e"]), ["97", "98", "99"]);
    assert_eq!(read(&["--from", "10", "--to", "13"]), ["10", "11", "12"]);
    assert_eq!(read(&["-n", "2"]), ["0", "1"]);
    assert_eq!(read(&["--from", "@1000000050000", "--to", "@1000000052000"]), ["50", "51"]);
    assert_eq!(read(&["--from", "latest", "-e"]), Vec::<String>::new());
    assert_eq!(read(&["--from", "@1000000098000", "--to", "2020-01-01"]), ["98", "99"]);
    assert_eq!(
        stdout_of(cluster.ottla(&["consume", "spans", "--from", "-2", "-e", "--format", "raw"])),
        "9899"
    );
    stdout_of(cluster.ottla(&["topic", "alter", "spans", "--delete-before", "95"]));
    assert_eq!(read(&["-e"]), ["95", "96", "97", "98", "99"]);
    let missing = stderr_of(cluster.ottla(&["consume", "spans", "-p", "0,3", "-e"]), 1);
    assert!(missing.contains("spans has 1 partitions, there is no partition 3"), "{missing}");
}

#[test]
fn bad_lines_name_their_place_and_can_be_skipped() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "bad", "-p", "1"]));
    let file = cluster.file("records.json", "{\"value\":\"1\"}\nnonsense\n{\"value\":\"3\"}\n");
    let error = stderr_of(cluster.ottla(&["produce", "bad", &file, "--format", "json"]), 1);
    assert!(error.contains("records.json:2: not JSON"), "{error}");
    stdout_of(cluster.ottla(&["produce", "bad", &file, "--format", "json", "--skip-bad"]));
    let read = stdout_of(cluster.ottla(&["consume", "bad", "-e"]));
    assert_eq!(lines(&read), ["1", "1", "3"], "what stood before the bad line was sent");
}

#[test]
fn configs_are_described_and_altered() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "tuned"]));
    stdout_of(cluster.ottla(&["config", "alter", "-t", "tuned", "-s", "cleanup.policy=compact"]));
    let own = stdout_of(cluster.ottla(&["config", "describe", "-t", "tuned", "-o", "json"]));
    let own: Value = serde_json::from_str(&own).expect("JSON");
    let policy = own.as_array().and_then(|rows| rows.iter().find(|row| row["name"] == "cleanup.policy"));
    assert_eq!(policy.map(|row| &row["source"]), Some(&Value::from("DYNAMIC_TOPIC_CONFIG")));
    let all = stdout_of(cluster.ottla(&["config", "describe", "-t", "tuned", "--all", "--explain"]));
    assert!(all.contains("max.message.bytes") && all.contains("1048588"), "{all}");
    let error = stderr_of(cluster.ottla(&["config", "alter", "-t", "tuned", "-s", "no.such.key=1"]), 1);
    assert!(error.contains("INVALID_CONFIG"), "{error}");
    let brokers = stdout_of(cluster.ottla(&["cluster", "describe", "-o", "json"]));
    let brokers: Value = serde_json::from_str(&brokers).expect("JSON");
    let id = brokers["brokers"][0]["broker"].to_string();
    assert!(stdout_of(cluster.ottla(&["config", "describe", "--broker", &id, "--all"])).contains("log.dirs"));
    assert!(stdout_of(cluster.ottla(&["cluster", "log-dirs"])).contains("tuned"));
}

#[test]
fn log_files_are_dumped_and_verified_without_a_broker() {
    let mut cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "dumped", "-p", "1"]));
    stdout_of(cluster.ottla(&["produce", "dumped", "-z", "zstd", "-K", ":"]).write_stdin("k1:v1\nk2:v2\n"));
    cluster.stop();
    let data = cluster.data();
    let verified = stdout_of(ottla(&["log", "verify", &data]));
    assert!(verified.lines().any(|line| line.starts_with("dumped-0") && line.ends_with("ok")), "{verified}");
    let partition = format!("{data}/dumped-0");
    let dumped = stdout_of(ottla(&["log", "dump", &partition, "--deep", "-o", "json"]));
    let rows: Vec<Value> =
        lines(&dumped).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let records: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "record").collect();
    assert_eq!((records.len(), &records[1]["value"]), (2, &Value::from("v2")));
    let batch = rows.iter().find(|row| row["kind"] == "batch").expect("a batch");
    assert_eq!((&batch["compression"], &batch["records"]), (&Value::from("zstd"), &Value::from(2)));
    assert!(stdout_of(ottla(&["log", "dump", &partition])).contains("batch base_offset 0 last_offset 1"));
    let log = format!("{partition}/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).expect("there");
    bytes[70] ^= 1;
    std::fs::write(&log, bytes).expect("written");
    let damaged = stderr_of(ottla(&["log", "verify", &data]), 1);
    assert!(
        damaged.contains("00000000000000000000.log") && damaged.contains("wrong, see above"),
        "{damaged}"
    );
    let nothing = stderr_of(ottla(&["log", "verify", "/nonexistent"]), 1);
    assert_eq!(nothing, "ottla: /nonexistent: No such file or directory\n");
}

#[test]
fn wrong_usage_is_exit_code_two_and_a_failure_is_one_line() {
    for arguments in [
        &["topic"][..],
        &["consume"],
        &["consume", "t", "--from", "soon"],
        &["produce", "t", "--batch-bytes", "lots"],
        &["produce", "t", "--key-field", "a"],
        &["topic", "alter", "t"],
        &["topic", "list", "-b", "host:0"],
        &["serve", "--set", "no.such.config=1"],
        &["no-such-command"],
    ] {
        let error = stderr_of(ottla(arguments), 2);
        assert!(!error.contains("panicked"), "{error}");
    }
    let refused = stderr_of(ottla(&["topic", "list", "-b", "127.0.0.1:1"]), 1);
    assert_eq!(lines(&refused).len(), 1);
    assert!(refused.contains("is a broker running there?"), "{refused}");
    assert!(
        stderr_of(ottla(&["serve", "--set", "log.retention.mss=1", "-p", "0"]), 2).contains("did you mean")
    );
    assert!(
        stderr_of(ottla(&["serve", "--config", "/nonexistent"]), 1).contains("/nonexistent: No such file")
    );
}

#[test]
fn completions_and_the_manual_are_printed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(stdout_of(ottla(&["completions", shell])).contains("ottla"));
    }
    assert!(stdout_of(ottla(&["man"])).contains(".TH ottla 1"));
    let dir = tempfile::tempdir().expect("a directory");
    stdout_of(ottla(&["man", "--dir", &dir.path().display().to_string()]));
    assert!(dir.path().join("ottla-topic-create.1").exists());
}

#[test]
fn a_reader_that_goes_away_ends_the_command_without_a_word() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "piped", "-p", "1"]));
    let input = "a line that is long enough to fill the pipe after some of its kind\n".repeat(20_000);
    stdout_of(cluster.ottla(&["produce", "piped", "-q"]).write_stdin(input));
    let program = env!("CARGO_BIN_EXE_ottla");
    for command in ["consume piped -q", "consume piped -q --format json", "consume piped -q --exit-at-end"] {
        let script = format!(
            "{program} {command} -b {} | head -n 1 | wc -l; echo ${{PIPESTATUS[0]}}",
            cluster.bootstrap()
        );
        let output = std::process::Command::new("bash").args(["-c", &script]).output().expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n0\n", "{command}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command}");
    }
}

#[test]
fn an_interrupt_ends_consuming_and_producing_cleanly_with_a_summary() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "endless", "-p", "1"]));
    let mut producing = cluster.spawn(&["produce", "endless", "--linger", "0"]);
    producing.write_line("one");
    let mut consuming = cluster.spawn(&["consume", "endless"]);
    assert_eq!(consuming.read_line(), "one\n", "a record is shown as soon as it is there");
    producing.write_line("two");
    assert_eq!(consuming.read_line(), "two\n");
    let (code, error) = producing.interrupted();
    assert_eq!(
        (code, error.contains("sent 2 records"), error.contains("interrupted")),
        (Some(0), true, true),
        "{error}"
    );
    let (code, error) = consuming.interrupted();
    assert_eq!((code, error.contains("read 2 records")), (Some(0), true), "{error}");
}

#[test]
fn a_rate_limits_and_a_count_ends_producing() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "paced", "-p", "1"]));
    let started = std::time::Instant::now();
    let mut produce =
        cluster.ottla(&["produce", "paced", "--rate", "100/s", "-n", "21", "-H", "source=test"]);
    stdout_of(produce.write_stdin("x\n".repeat(1_000)));
    assert!(started.elapsed() >= std::time::Duration::from_millis(200), "twenty records' worth of waiting");
    let read = lines(&stdout_of(cluster.ottla(&["consume", "paced", "-e", "--format", "json"])));
    assert_eq!(read.len(), 21);
    assert!(read[0].contains(r#""headers":[{"key":"source","value":"test"}]"#), "{}", read[0]);
}
