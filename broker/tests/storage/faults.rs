//! A file system that loses what was not synced, fails an fsync, or fills up, under a running broker.

use std::io;

use ottla_log::storage::{FaultyStorage, Operation};
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::produce::ProduceRequest;

use crate::support::batches::{batch, values};
use crate::support::requests::{create_topic, produce};
use crate::support::{Client, TestBroker};

/// Everything that was not synced is lost.
fn power_loss(storage: &FaultyStorage) -> FaultyStorage {
    storage.after_power_loss(|| 0)
}

#[test]
fn with_flush_messages_1_an_acknowledged_record_survives_a_power_loss() {
    let storage = FaultyStorage::new();
    let broker = TestBroker::start_on(&storage, &[]).unwrap();
    let mut client = broker.connect();
    client.create_topic("synced", 1, &[("flush.messages", "1")]);
    for (offset, acks) in (0..).zip([-1, 1, -1, 1]) {
        let row = client.produce("synced", acks, batch(&[&format!("v{offset}")]));
        assert_eq!((row.error_code, row.base_offset), (ErrorCode::NONE, offset));
        // At each moment at which the client has its acknowledgement.
        let after = TestBroker::start_on(&power_loss(&storage), &[]).unwrap();
        let found = values(&after.connect().fetch("synced", 0));
        assert_eq!(found.len() as i64, offset + 1, "acks={acks}: {found:?}");
    }
}

#[test]
fn with_flush_messages_1_pipelined_records_survive_a_power_loss_once_acknowledged() {
    let storage = FaultyStorage::new();
    let broker = TestBroker::start_on(&storage, &[]).unwrap();
    let mut client = broker.connect();
    client.create_topic("synced", 1, &[("flush.messages", "1")]);
    for round in 0..20 {
        client.send(9, produce("synced", 0, -1, batch(&[&format!("v{round}")])));
    }
    let (_, response) = client.receive::<ProduceRequest>(9);
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
    for _ in 1..20 {
        client.receive::<ProduceRequest>(9);
    }
    let after = TestBroker::start_on(&power_loss(&storage), &[]).unwrap();
    assert_eq!(after.connect().list_offset("synced", -1), 20);
}

#[test]
fn flush_ms_makes_records_durable_without_another_append() {
    let storage = FaultyStorage::new();
    // Deadlines are looked at four times in the shortest idle time.
    let broker = TestBroker::start_on(&storage, &[("connections.max.idle.ms", "2000")]).unwrap();
    let mut client = broker.connect();
    client.create_topic("flushed", 1, &[("flush.ms", "50")]);
    client.append("flushed", batch(&["a"]));
    let began = std::time::Instant::now();
    loop {
        let after = TestBroker::start_on(&power_loss(&storage), &[]).unwrap();
        if after.connect().list_offset("flushed", -1) == 1 {
            break;
        }
        assert!(began.elapsed() < crate::support::client::PATIENCE, "flush.ms=50 is long over");
    }
}

/// Kafka's rule, and the proof that the tests above could fail.
#[test]
fn without_flush_messages_a_power_loss_may_take_what_was_acknowledged() {
    let storage = FaultyStorage::new();
    let broker = TestBroker::start_on(&storage, &[]).unwrap();
    let mut client = broker.connect();
    client.create_topic("cached", 1, &[]);
    client.append("cached", batch(&["a"]));
    let after = TestBroker::start_on(&power_loss(&storage), &[]).unwrap();
    assert_eq!(after.connect().list_offset("cached", -1), 0, "nothing was synced");
    let after = TestBroker::start_on(&storage.after_kill(), &[]).unwrap();
    assert_eq!(values(&after.connect().fetch("cached", 0)), ["a"], "a kill takes nothing");
}

#[test]
fn a_created_or_deleted_topic_survives_a_power_loss_once_acknowledged() {
    let storage = FaultyStorage::new();
    let broker = TestBroker::start_on(&storage, &[]).unwrap();
    let mut client = broker.connect();
    client.create_topic("made", 2, &[("retention.ms", "5000")]);
    client.create_topic("unmade", 1, &[]);
    let id = client.wait_for_leaders("made").topic_id;
    client.delete_topic("unmade");
    let after = TestBroker::start_on(&power_loss(&storage), &[]).unwrap();
    let mut client = after.connect();
    let made = client.wait_for_leaders("made");
    assert_eq!((made.topic_id, made.partitions.len()), (id, 2));
    assert_eq!(client.fetch("unmade", 0).error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(client.append("made", batch(&["a"])), 0);
}

#[test]
fn a_clean_stop_leaves_nothing_for_a_power_loss_to_take() {
    let storage = FaultyStorage::new();
    let mut broker = TestBroker::start_on(&storage, &[]).unwrap();
    let mut client = broker.connect();
    client.create_topic("kept", 1, &[]);
    client.append("kept", batch(&["a", "b"]));
    broker.stop();
    let after = TestBroker::start_on(&power_loss(&storage), &[]).unwrap();
    assert_eq!(values(&after.connect().fetch("kept", 0)), ["a", "b"]);
}

#[test]
fn a_failed_fsync_is_never_acknowledged_and_takes_the_directory_offline() {
    let storage = FaultyStorage::new();
    let broker = TestBroker::start_on(&storage, &[]).unwrap();
    let mut client = broker.connect();
    client.create_topic("synced", 1, &[("flush.messages", "1")]);
    client.append("synced", batch(&["a"]));
    storage.fail_next(Operation::SyncData, io::ErrorKind::Other);
    let row = client.produce("synced", -1, batch(&["lost"]));
    assert_ne!(row.error_code, ErrorCode::NONE, "what is not on disk is not acknowledged");
    assert!(row.error_code.is_retriable());
    // No second try of the fsync: its success would say nothing about the pages of the first.
    for _ in 0..3 {
        let row = client.produce("synced", -1, batch(&["later"]));
        assert_eq!(row.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    }
    broker.connect().expect_service();
    let after = TestBroker::start_on(&power_loss(&storage), &[]).unwrap();
    let mut client = after.connect();
    assert_eq!(values(&client.fetch("synced", 0))[0], "a");
    client.append("synced", batch(&["again"]));
}

#[test]
fn a_full_file_system_refuses_appends_and_keeps_serving_the_rest() {
    let storage = FaultyStorage::new();
    let broker = TestBroker::start_on(&storage, &[]).unwrap();
    let mut client = broker.connect();
    client.create_topic("full", 1, &[]);
    let acknowledged = fill(&storage, &mut client);
    let row = client.fetch("full", 0);
    assert_eq!((row.error_code, row.high_watermark), (ErrorCode::NONE, acknowledged));
    assert_eq!(values(&row).len() as i64, acknowledged, "fetch goes on");
    storage.set_capacity(None);
    assert_eq!(client.append("full", batch(&["after"])), acknowledged, "it resumes by itself");
    let after = TestBroker::start_on(&storage.after_kill(), &[]).unwrap();
    assert_eq!(values(&after.connect().fetch("full", 0)).len() as i64, acknowledged + 1);
}

/// Takes the room away and appends until the broker refuses; gives how much it has acknowledged.
fn fill(storage: &FaultyStorage, client: &mut Client) -> i64 {
    client.append("full", batch(&["first"]));
    storage.set_capacity(Some(1));
    let mut acknowledged = 1;
    for _ in 0..10 {
        let row = client.produce("full", -1, batch(&[&"x".repeat(10_000)]));
        if row.error_code == ErrorCode::NONE {
            acknowledged += 1;
        } else {
            assert!(row.error_code.is_retriable(), "{:?}", row.error_code);
            assert_eq!(row.base_offset, -1);
        }
    }
    assert!(acknowledged < 10, "there was no room");
    acknowledged
}

#[test]
fn a_topic_that_had_no_room_for_its_logs_gets_them_when_there_is_some() {
    for operation in [Operation::Create, Operation::Write] {
        let storage = FaultyStorage::new();
        let broker = TestBroker::start_on(&storage, &[]).unwrap();
        let mut client = broker.connect();
        storage.fail_next(operation, io::ErrorKind::StorageFull);
        let began = std::time::Instant::now();
        // The first write is that of the metadata log, which has no room either.
        while client.call(7, create_topic("late", 2, &[])).topics[0].error_code.is_retriable() {}
        for partition in 0..2 {
            loop {
                let request = produce("late", partition, -1, batch(&["a"]));
                let row = client.call(9, request).responses.remove(0).partition_responses.remove(0);
                if row.error_code == ErrorCode::NONE {
                    assert_eq!(row.base_offset, 0);
                    break;
                }
                assert_eq!(row.error_code, ErrorCode::KAFKA_STORAGE_ERROR);
                assert!(began.elapsed() < crate::support::client::PATIENCE, "there is room");
            }
        }
        let after = TestBroker::start_on(&storage.after_kill(), &[]).unwrap();
        assert_eq!(values(&after.connect().fetch("late", 0)), ["a"]);
    }
}

#[test]
fn a_write_that_fails_once_poisons_nothing_for_others() {
    let storage = FaultyStorage::new();
    let broker = TestBroker::start_on(&storage, &[]).unwrap();
    let mut client = broker.connect();
    for topic in ["hit", "beside"] {
        client.create_topic(topic, 1, &[]);
        client.append(topic, batch(&["a"]));
    }
    storage.fail_next(Operation::Write, io::ErrorKind::Other);
    let row = client.produce("hit", -1, batch(&["lost"]));
    assert!(row.error_code.is_error() && row.error_code.is_retriable(), "{:?}", row.error_code);
    assert_eq!(client.append("beside", batch(&["b"])), 1);
    assert_eq!(values(&client.fetch("hit", 0)), ["a"], "what was acknowledged is still read");
    let after = TestBroker::start_on(&storage.after_kill(), &[]).unwrap();
    let mut client = after.connect();
    assert_eq!(values(&client.fetch("hit", 0)), ["a"]);
    assert_eq!(client.append("hit", batch(&["b"])), 1);
}

#[test]
fn a_crash_at_every_operation_of_a_small_life_loses_nothing_acknowledged() {
    let whole = {
        let storage = FaultyStorage::new();
        storage.crash_at(u64::MAX);
        live(&storage);
        storage.operation_count()
    };
    assert!(whole > 20, "{whole}");
    // The later ones are alike; every one of them is the log crate's own test.
    for at in (1..=whole).step_by(3) {
        let storage = FaultyStorage::new();
        storage.crash_at(at);
        let acknowledged = live(&storage);
        let after = TestBroker::start_on(&power_loss(&storage), &[]).unwrap();
        let mut client = after.connect();
        let row = client.fetch("lived", 0);
        let found = if row.error_code.is_error() { Vec::new() } else { values(&row) };
        assert!(found.len() >= acknowledged, "crash at {at}: {acknowledged} acknowledged, found {found:?}");
        assert!(found.iter().enumerate().all(|(place, value)| *value == format!("v{place}")), "{found:?}");
    }
}

/// Starts, creates a topic, appends to it; gives how many appends were acknowledged before the crash.
fn live(storage: &FaultyStorage) -> usize {
    let Ok(broker) = TestBroker::start_on(storage, &[]) else { return 0 };
    let mut client = broker.connect();
    let created =
        client.call(7, crate::support::requests::create_topic("lived", 1, &[("flush.messages", "1")]));
    if created.topics[0].error_code.is_error() {
        return 0;
    }
    (0..5)
        .take_while(|round| {
            let row = client.produce("lived", -1, batch(&[&format!("v{round}")]));
            row.error_code == ErrorCode::NONE
        })
        .count()
}
