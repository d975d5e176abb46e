//! A wall clock that jumps by a day, forward and back. Deadlines are not its business; what is, bears it.

use std::path::Path;
use std::time::{Duration, Instant};

use ottla_broker::rt::time::WallClock;
use ottla_log::storage::{FaultyStorage, Storage};
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_protocol::messages::sync_group::SyncGroupRequest;

use crate::support::batches::{batch, batch_at, idempotent, now_ms, offsets, values};
use crate::support::client::PATIENCE;
use crate::support::requests::{list_offsets, long_fetch};
use crate::support::{Client, TestBroker};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const EARLIEST: i64 = -2;
const LARGEST_TIMESTAMP: i64 = -3;

fn start(storage: &FaultyStorage, clock: &WallClock) -> TestBroker {
    // A shorter idle time has deadlines looked at more often.
    let settings = [
        ("log.retention.check.interval.ms", "50"),
        ("connections.max.idle.ms", "60000"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("offsets.topic.num.partitions", "1"),
    ];
    TestBroker::start_by_clock(storage, clock, &settings)
}

fn segment_count(storage: &FaultyStorage, topic: &str) -> usize {
    let files = storage.list(&Path::new("/data").join(format!("{topic}-0"))).unwrap();
    files.iter().filter(|file| file.name.ends_with(".log")).count()
}

/// Several passes of retention have gone by.
fn let_retention_run() {
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn records_that_are_suddenly_a_day_old_go_and_those_of_tomorrow_stay() {
    let (storage, clock) = (FaultyStorage::new(), WallClock::default());
    let broker = start(&storage, &clock);
    let mut client = broker.connect();
    client.create_topic("brief", 1, &[("retention.ms", "43200000")]);
    client.create_topic("long", 1, &[("retention.ms", "432000000")]);
    for topic in ["brief", "long"] {
        client.append(topic, batch(&["a", "b"]));
    }
    clock.set_ahead_ms(-DAY_MS);
    let_retention_run();
    assert_eq!(client.list_offset("brief", EARLIEST), 0, "no record is older than nothing");
    clock.set_ahead_ms(DAY_MS);
    let began = Instant::now();
    while client.list_offset("brief", EARLIEST) < 2 {
        assert!(began.elapsed() < PATIENCE, "half a day is kept, and a whole one has passed");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(client.list_offset("long", EARLIEST), 0);
    assert_eq!(client.append("brief", batch_at(now_ms() + DAY_MS, &["c"])), 2, "offsets go on");
}

#[test]
fn timestamps_that_the_broker_sets_may_go_back_and_records_are_still_found() {
    let (storage, clock) = (FaultyStorage::new(), WallClock::default());
    let mut broker = start(&storage, &clock);
    let mut client = broker.connect();
    let configs =
        [("message.timestamp.type", "LogAppendTime"), ("retention.ms", "-1"), ("index.interval.bytes", "1")];
    client.create_topic("stamped", 1, &configs);
    for (value, ahead_ms) in [("a", 0), ("b", DAY_MS), ("c", -DAY_MS), ("d", 0)] {
        clock.set_ahead_ms(ahead_ms);
        client.append("stamped", batch(&[value]));
    }
    let check = |client: &mut Client| {
        assert_eq!(values(&client.fetch("stamped", 0)), ["a", "b", "c", "d"]);
        assert_eq!(offsets(&client.fetch("stamped", 0)), [0, 1, 2, 3]);
        assert_eq!(client.list_offset("stamped", LARGEST_TIMESTAMP), 1);
        let response = client.call(7, list_offsets("stamped", now_ms() + HOUR_MS));
        assert_eq!(response.topics[0].partitions[0].offset, 1, "the first record of tomorrow");
    };
    check(&mut client);
    broker.try_stop();
    let broker = start(&storage, &clock);
    check(&mut broker.connect());
    let survivor = storage.after_kill();
    check(&mut start(&survivor, &clock).connect());
}

#[test]
fn a_segment_is_rolled_by_its_age_and_a_step_back_does_not_roll_each_batch() {
    let (storage, clock) = (FaultyStorage::new(), WallClock::default());
    let broker = start(&storage, &clock);
    let mut client = broker.connect();
    let configs = [("message.timestamp.type", "LogAppendTime"), ("segment.ms", "3600000")];
    client.create_topic("rolled", 1, &configs);
    client.append("rolled", batch(&["a"]));
    assert_eq!(segment_count(&storage, "rolled"), 1);
    clock.set_ahead_ms(DAY_MS);
    for _ in 0..5 {
        client.append("rolled", batch(&["b"]));
    }
    assert_eq!(segment_count(&storage, "rolled"), 2);
    clock.set_ahead_ms(-DAY_MS);
    for _ in 0..5 {
        client.append("rolled", batch(&["c"]));
    }
    assert_eq!(segment_count(&storage, "rolled"), 2);
}

#[test]
fn flush_ms_goes_on_when_the_clock_is_set_back() {
    let (storage, clock) = (FaultyStorage::new(), WallClock::default());
    let broker = start(&storage, &clock);
    let mut client = broker.connect();
    client.create_topic("flushed", 1, &[("flush.ms", "60000")]);
    client.append("flushed", batch(&["a"]));
    clock.set_ahead_ms(-DAY_MS);
    let began = Instant::now();
    loop {
        let after = TestBroker::start_on(&storage.after_power_loss(|| 0), &[]).unwrap();
        if after.connect().list_offset("flushed", -1) == 1 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it would wait until the clock is where it was");
    }
}

#[test]
fn records_from_a_clock_that_is_right_are_refused_by_one_that_is_a_day_late() {
    let (storage, clock) = (FaultyStorage::new(), WallClock::default());
    let broker = start(&storage, &clock);
    let mut client = broker.connect();
    client.create_topic("strict", 1, &[]);
    clock.set_ahead_ms(-DAY_MS);
    let row = client.produce("strict", -1, batch(&["a"]));
    assert_eq!(row.error_code, ErrorCode::INVALID_TIMESTAMP, "message.timestamp.after.max.ms is an hour");
    clock.set_ahead_ms(DAY_MS);
    assert_eq!(client.append("strict", batch(&["a"])), 0);
}

#[test]
fn a_producer_goes_on_with_its_sequence() {
    let (storage, clock) = (FaultyStorage::new(), WallClock::default());
    let broker = start(&storage, &clock);
    let mut client = broker.connect();
    let configs = [("message.timestamp.after.max.ms", "9223372036854775807"), ("retention.ms", "-1")];
    client.create_topic("sequenced", 1, &configs);
    for (sequence, ahead_ms) in (0..).zip([0, DAY_MS + HOUR_MS, 0, -DAY_MS, DAY_MS / 2]) {
        clock.set_ahead_ms(ahead_ms);
        let_retention_run();
        assert_eq!(client.append("sequenced", idempotent(7, 0, sequence, &["a"])), i64::from(sequence));
    }
    let repeated = client.produce("sequenced", -1, idempotent(7, 0, 4, &["a"]));
    assert_eq!((repeated.error_code, repeated.base_offset), (ErrorCode::NONE, 4), "and is still recognised");
}

#[test]
fn sessions_waits_and_connections_do_not_mind() {
    let (storage, clock) = (FaultyStorage::new(), WallClock::default());
    let broker = start(&storage, &clock);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let (member_id, generation_id) = join(&mut client);
    for ahead_ms in [DAY_MS, -DAY_MS, 0] {
        let mut waiting = broker.connect();
        let began = Instant::now();
        waiting.send(12, long_fetch(&topic, 0, 400, 1));
        clock.set_ahead_ms(ahead_ms);
        waiting.receive::<ottla_protocol::messages::fetch::FetchRequest>(12);
        let waited = began.elapsed();
        assert!((Duration::from_millis(350)..PATIENCE / 2).contains(&waited), "{waited:?}");
        // Expired sessions would be found by now: the group's timer is by the monotonic clock, too.
        let request = HeartbeatRequest {
            group_id: "clocked".into(),
            generation_id,
            member_id: member_id.clone(),
            ..Default::default()
        };
        assert_eq!(client.call(3, request).error_code, ErrorCode::NONE, "{ahead_ms}");
    }
}

fn join(client: &mut Client) -> (ottla_protocol::codec::Str, i32) {
    let began = Instant::now();
    let request = |member_id: &str| JoinGroupRequest {
        group_id: "clocked".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: Default::default() }],
        ..Default::default()
    };
    client.call(3, FindCoordinatorRequest { key: "clocked".into(), ..Default::default() });
    let joined = loop {
        let joined = client.call(5, request(""));
        let joined = match joined.error_code {
            ErrorCode::MEMBER_ID_REQUIRED => client.call(5, request(&joined.member_id)),
            _ => joined,
        };
        if joined.error_code == ErrorCode::NONE {
            break joined;
        }
        assert!(began.elapsed() < PATIENCE, "still {joined:?}");
        std::thread::sleep(Duration::from_millis(10));
    };
    let request = SyncGroupRequest {
        group_id: "clocked".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..Default::default()
    };
    assert_eq!(client.call(3, request).error_code, ErrorCode::NONE);
    (joined.member_id, joined.generation_id)
}
