//! Every example runs, and says what it promises.

use std::process::Command;

#[track_caller]
fn output_of(program: &str) -> String {
    let output = Command::new(program).env_remove("OTTLA_BOOTSTRAP").output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn an_embedded_broker_keeps_what_was_acknowledged_over_a_restart() {
    assert_eq!(output_of(env!("CARGO_BIN_EXE_embedded_broker")), "found \"one bicycle\" again\n");
}

#[test]
fn records_are_sent_and_read_back() {
    assert_eq!(
        output_of(env!("CARGO_BIN_EXE_produce_and_consume")),
        "sent 1000 records\nread 1000 records\n"
    );
}

#[test]
fn topics_are_administered() {
    let output = output_of(env!("CARGO_BIN_EXE_administer_topics"));
    let lines: Vec<&str> = output.lines().collect();
    assert!(
        lines[0].starts_with("example-inventory has id ") && lines[0].ends_with(" and 2 partitions"),
        "{output}"
    );
    assert_eq!(
        &lines[1..],
        ["cleanup.policy = compact", "delete.retention.ms = 60000", "deleted example-inventory"]
    );
}
