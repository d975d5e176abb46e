//! What the messages of groups cost: heartbeats, joins, assignments, commits, decoded as a broker meets them and encoded as it
//! answers.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ottla_protocol::codec::{Message, Request, Str, decode_request, encode};
use ottla_protocol::frame::{decode_request_header, encode_request};
use ottla_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use ottla_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse, JoinGroupResponseMember,
};
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use std::hint::black_box;

const GROUP: &str = "nightly-report";
const TOPIC: &str = "nycflights13";
/// What a member tells of itself, and what it is told, is about so long.
const METADATA: &[u8] = &[7; 64];

fn member(number: usize) -> Str {
    Str::from(format!("consumer-{GROUP}-{number}-0f3c2a9e-5d61-4b0e-9c57-2f1f8f2c6a11"))
}

fn heartbeat() -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: GROUP.into(),
        generation_id: 7,
        member_id: member(1),
        ..HeartbeatRequest::default()
    }
}

fn join() -> JoinGroupRequest {
    let protocol =
        |name: &str| JoinGroupRequestProtocol { name: name.into(), metadata: Bytes::from_static(METADATA) };
    JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        member_id: member(1),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range"), protocol("cooperative-sticky")],
        ..JoinGroupRequest::default()
    }
}

fn joined(members: usize) -> JoinGroupResponse {
    let one = |number| JoinGroupResponseMember {
        member_id: member(number),
        metadata: Bytes::from_static(METADATA),
        ..JoinGroupResponseMember::default()
    };
    JoinGroupResponse {
        generation_id: 7,
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        leader: member(0),
        member_id: member(0),
        members: (0..members).map(one).collect(),
        ..JoinGroupResponse::default()
    }
}

fn sync(members: usize) -> SyncGroupRequest {
    let one = |number| SyncGroupRequestAssignment {
        member_id: member(number),
        assignment: Bytes::from_static(METADATA),
    };
    SyncGroupRequest {
        group_id: GROUP.into(),
        generation_id: 7,
        member_id: member(0),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: (0..members).map(one).collect(),
        ..SyncGroupRequest::default()
    }
}

fn commit(partitions: i32) -> OffsetCommitRequest {
    let one = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 1 << 40,
        committed_metadata: Some(Str::EMPTY),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: TOPIC.into(),
        partitions: (0..partitions).map(one).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest {
        group_id: GROUP.into(),
        generation_id_or_member_epoch: 7,
        member_id: member(1),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    }
}

fn committed(partitions: i32) -> OffsetCommitResponse {
    let one = |partition_index| OffsetCommitResponsePartition {
        partition_index,
        ..OffsetCommitResponsePartition::default()
    };
    let topic = OffsetCommitResponseTopic {
        name: TOPIC.into(),
        partitions: (0..partitions).map(one).collect(),
        ..OffsetCommitResponseTopic::default()
    };
    OffsetCommitResponse { topics: vec![topic], ..OffsetCommitResponse::default() }
}

fn requests(criterion: &mut Criterion) {
    one_request(criterion, "heartbeat", 4, heartbeat());
    let consumer = ConsumerGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: member(1),
        member_epoch: 7,
        ..ConsumerGroupHeartbeatRequest::default()
    };
    one_request(criterion, "consumer group heartbeat", 1, consumer);
    one_request(criterion, "join group", 9, join());
    one_request(criterion, "sync group, 100 assignments", 5, sync(100));
    one_request(criterion, "offset commit, 1 partition", 9, commit(1));
    one_request(criterion, "offset commit, 100 partitions", 9, commit(100));
}

fn one_request<R: Request>(criterion: &mut Criterion, name: &str, version: i16, request: R) {
    let frame =
        encode_request(1, Some(Str::from("bench")), version, request).expect("a legal request").slice(4..);
    criterion.benchmark_group("decode group request").bench_function(name, |bencher| {
        bencher.iter(|| {
            let (_, body) = decode_request_header(black_box(frame.clone())).expect("our own");
            decode_request::<R>(body, version).expect("our own")
        });
    });
}

fn responses(criterion: &mut Criterion) {
    one_response(criterion, "heartbeat", 4, HeartbeatResponse::default());
    one_response(criterion, "join group, a follower", 9, joined(0));
    one_response(criterion, "join group, the leader of 100", 9, joined(100));
    let assignment = Bytes::from_static(METADATA);
    one_response(criterion, "sync group", 5, SyncGroupResponse { assignment, ..Default::default() });
    one_response(criterion, "offset commit, 100 partitions", 9, committed(100));
}

fn one_response<M: Message>(criterion: &mut Criterion, name: &str, version: i16, response: M) {
    criterion.benchmark_group("encode group response").bench_function(name, |bencher| {
        bencher.iter_batched(
            || response.clone(),
            |response| encode(response, version, true).expect("a legal response"),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, requests, responses);
criterion_main!(benches);
