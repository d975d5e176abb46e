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

#[test]
fn members_of_a_group_share_a_topic() {
    assert_eq!(
        output_of(env!("CARGO_BIN_EXE_share_a_topic")),
        "each member reads 2 of 4 partitions\ntogether they read 1000 orders\n"
    );
}

#[test]
fn every_record_is_processed_although_a_program_crashes() {
    let output = output_of(env!("CARGO_BIN_EXE_process_at_least_once"));
    let lines: Vec<&str> = output.lines().collect();
    assert!(
        lines[0].starts_with("crashed after ") && lines[0].ends_with(" payments, before the commit"),
        "{output}"
    );
    assert_eq!(&lines[1..], ["booked 100 payments, none left out"]);
}

#[test]
fn work_is_finished_before_a_rebalance() {
    assert_eq!(
        output_of(env!("CARGO_BIN_EXE_finish_before_a_rebalance")),
        "the second member took a partition over\nthe sum of 1 to 100 is 5050\n"
    );
}

#[test]
fn batches_come_as_a_stream() {
    assert_eq!(output_of(env!("CARGO_BIN_EXE_stream_of_batches")), "240 hours of rain\n");
}

#[test]
fn a_client_logs_in_over_a_transport_of_its_own() {
    assert_eq!(
        output_of(env!("CARGO_BIN_EXE_log_in_with_sasl")),
        "a wrong password: the broker refused the login\nthe right one: sent 100 records and read 100\n"
    );
}

#[test]
fn a_client_is_measured() {
    assert_eq!(
        output_of(env!("CARGO_BIN_EXE_measure_a_client")),
        "delivered 1000 records, 0 failed\nfetched 1000 records, lag 0\n"
    );
}
