//! What a broker costs while nobody asks anything of it. One test, because the CPU time is the whole process's.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use bytes::Bytes;
use nix::sys::resource::{UsageWho, getrusage};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use support::TestBroker;

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process knows its usage");
    let micros =
        |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1_000);
    micros(usage.user_time()) + micros(usage.system_time())
}

#[test]
#[allow(clippy::disallowed_methods, reason = "silence is what is measured")]
fn a_group_whose_member_is_silent_keeps_no_core_busy() {
    let broker = TestBroker::start(&[
        ("group.initial.rebalance.delay.ms", "0"),
        ("offsets.topic.num.partitions", "3"),
    ]);
    let mut client = broker.connect();
    let group = Str::from("idle");
    let find = || FindCoordinatorRequest { key: group.clone(), ..Default::default() };
    let join = || JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: Str::from("consumer"),
        protocols: vec![JoinGroupRequestProtocol {
            name: Str::from("range"),
            metadata: Bytes::from_static(b"m"),
        }],
        ..Default::default()
    };
    while client.call(3, find()).error_code != ErrorCode::NONE || client.call(3, join()).error_code.is_error()
    {
    }

    let watched = Duration::from_millis(600);
    let before = cpu_time();
    std::thread::sleep(watched);
    let spent = cpu_time() - before;
    assert!(spent < watched / 4, "{spent:?} of CPU in {watched:?} of silence");
}
