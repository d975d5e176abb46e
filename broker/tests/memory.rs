//! What hostile input costs in memory, measured in a process of its own: one test, because the measure is the process's.

#![allow(clippy::print_stdout, reason = "the figures are what a person wants to see")]
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test stands outside of the broker and its seams")]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::frame::encode_request;
use ottla_protocol::records::Compression;
use support::batches::{batch, compressed};
use support::client::frame;
use support::requests::fetch;
use support::{Client, TestBroker};

const MIB: usize = 1 << 20;

/// Memory that belongs to this process alone, in bytes; there is none to be seen where there is no `/proc`.
fn anonymous_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() * 1024
}

/// Runs an attack, which gives back what must stay alive while it is measured, and bounds its cost.
#[track_caller]
fn bounded<T>(what: &str, broker: &TestBroker, bytes_max: usize, attack: impl FnOnce() -> T) {
    broker.connect().expect_service();
    let before = anonymous_memory();
    let alive = attack();
    broker.connect().expect_service();
    let grown = anonymous_memory().saturating_sub(before);
    println!("{what}: {} KiB", grown / 1024);
    assert!(grown <= bytes_max, "{what}: {grown} bytes");
    drop(alive);
}

/// A null client id and a body that claims this many topics.
fn claims(count: u32) -> Bytes {
    frame(3, 1, &[&[0xff, 0xff][..], &count.to_be_bytes()].concat())
}

#[test]
fn hostile_input_costs_no_more_memory_than_what_was_sent() {
    let broker = TestBroker::start(&[]);
    bounded("warm-up", &broker, usize::MAX, || (0..50).map(|_| broker.connect()).collect::<Vec<Client>>());

    bounded("a 4-byte Metadata body that claims 2³¹ topics, a hundred times", &broker, 8 * MIB, || {
        for count in [0x7fff_ffff, 0x7fff_fff0, 1_000_000, 100_000_000].repeat(25) {
            let mut client = broker.connect();
            client.send_bytes(&claims(count));
            client.expect_close();
        }
    });

    bounded("a hundred connections that declare 100 MiB and send a byte", &broker, 24 * MIB, || {
        let declare = |_| {
            let mut client = broker.connect();
            client.send_bytes(&(100_u32 << 20).to_be_bytes());
            client.send_bytes(&[0]);
            client
        };
        let mut declarers: Vec<Client> = (0..100).map(declare).collect();
        assert!(declarers[0].stays_open(Duration::from_millis(200)), "they are waited for");
        declarers
    });

    bounded("twenty connections that send 1 MiB of a declared 100 MiB", &broker, 60 * MIB, || {
        let declare = |_| {
            let mut client = broker.connect();
            client.send_bytes(&(100_u32 << 20).to_be_bytes());
            client.send_bytes(&vec![0; MIB]);
            client
        };
        (0..20).map(declare).collect::<Vec<Client>>()
    });

    let mut producer = broker.connect();
    let topic = producer.new_topic(1, &[]);
    producer.append(&topic, batch(&[&"v".repeat(1_000_000)]));
    bounded("a client that asks for a gigabyte and reads nothing", &broker, 24 * MIB, || {
        let mut deaf = broker.connect();
        deaf.set_patience(Duration::from_millis(300));
        let flood = encode_request(1, None, 12, fetch(&topic, 0)).unwrap().repeat(1_000);
        let _ = deaf.try_send_bytes(&flood);
        deaf
    });

    // What the test itself holds while it builds the bomb is gone before the measure begins.
    let bomb = {
        let zeros = "\0".repeat(64 << 20);
        compressed(Compression::Zstd, &[&zeros, &zeros, &zeros])
    };
    let packed = producer.new_topic(1, &[("compression.type", "uncompressed")]);
    bounded("a batch that unpacks to 192 MiB, ten times", &broker, 140 * MIB, || {
        for _ in 0..10 {
            let code = producer.produce(&packed, -1, bomb.clone()).error_code;
            assert_eq!(code, ErrorCode::MESSAGE_TOO_LARGE);
        }
    });
}
