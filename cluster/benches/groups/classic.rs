//! Classic groups: a heartbeat, and a rebalance in which all members join again and get their assignments.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use ottla_cluster::group::Answer;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use crate::shell::Shell;
use crate::{GROUP, member_counts};

const VERSION: i16 = 9;
/// What a member tells of itself, and what it is told, is about so long.
const METADATA: &[u8] = &[7; 64];

/// A stable group.
struct Members {
    shell: Shell,
    ids: Vec<Str>,
    leader: usize,
    generation: i32,
}

fn join(member_id: Str) -> JoinGroupRequest {
    let protocol =
        |name: &str| JoinGroupRequestProtocol { name: name.into(), metadata: Bytes::from_static(METADATA) };
    JoinGroupRequest {
        group_id: GROUP.into(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 300_000,
        member_id,
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range"), protocol("cooperative-sticky")],
        ..JoinGroupRequest::default()
    }
}

fn joined(answer: Answer) -> JoinGroupResponse {
    match answer {
        Answer::Join(response) => response,
        other => panic!("{other:?} is no answer to JoinGroup"),
    }
}

impl Members {
    /// Dynamic members: each is given an id and comes back with it.
    fn stable(count: usize) -> Members {
        let mut members = Members { shell: Shell::new(), ids: Vec::new(), leader: 0, generation: 0 };
        for number in 0..count {
            members.join(number, Str::EMPTY);
            let (_, answer) = members.shell.answers.pop().unwrap();
            members.ids.push(joined(answer).member_id);
            members.join(number, members.ids[number].clone());
        }
        while members.shell.answers.is_empty() {
            members.shell.wait();
        }
        members.sync();
        members
    }

    fn join(&mut self, number: usize, member_id: Str) {
        let joining = self.shell.joining(VERSION);
        self.shell.shard.handle_join(self.shell.now, &join(member_id), &joining, number);
        self.shell.settle();
    }

    /// All have joined: the leader assigns, and everybody hears of it.
    fn sync(&mut self) {
        let answers: Vec<(usize, JoinGroupResponse)> =
            self.shell.answers.drain(..).map(|(number, answer)| (number, joined(answer))).collect();
        assert_eq!(answers.len(), self.ids.len(), "all joined");
        for (number, answer) in &answers {
            assert_eq!(answer.error_code, ErrorCode::NONE);
            if !answer.members.is_empty() {
                (self.leader, self.generation) = (*number, answer.generation_id);
            }
        }
        for (number, _) in answers {
            let request = self.sync_request(number);
            self.shell.shard.handle_sync(self.shell.now, &request, number);
            self.shell.settle();
        }
        let told = self.shell.answers.drain(..);
        let told =
            told.filter(|(_, answer)| matches!(answer, Answer::Sync(sync) if !sync.assignment.is_empty()));
        assert_eq!(told.count(), self.ids.len(), "all are told");
    }

    fn sync_request(&self, number: usize) -> SyncGroupRequest {
        let one = |member_id: &Str| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: Bytes::from_static(METADATA),
        };
        let leads = number == self.leader;
        SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.ids[number].clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: if leads { self.ids.iter().map(one).collect() } else { Vec::new() },
            ..SyncGroupRequest::default()
        }
    }

    /// The leader joins again, and therefore all the others.
    fn rebalance(&mut self) {
        self.shell.log.clear();
        let leader = self.leader;
        self.join(leader, self.ids[leader].clone());
        for number in (0..self.ids.len()).filter(|number| *number != leader) {
            self.join(number, self.ids[number].clone());
        }
        self.sync();
    }
}

/// Every member after the other sends a heartbeat; and everybody joins again.
pub(crate) fn groups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classic group");
    for count in member_counts() {
        let mut members = Members::stable(count);
        let beat = |member_id: &Str| HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: members.generation,
            member_id: member_id.clone(),
            ..HeartbeatRequest::default()
        };
        let beats: Vec<HeartbeatRequest> = members.ids.iter().map(beat).collect();
        let mut turns = beats.iter().cycle();
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("heartbeat, {count} members"), |bencher| {
            bencher.iter(|| {
                let code = members.shell.shard.handle_heartbeat(members.shell.now, turns.next().unwrap());
                assert_eq!(code, ErrorCode::NONE);
            });
        });
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("rebalance, {count} members"), |bencher| {
            bencher.iter(|| members.rebalance());
        });
    }
    group.finish();
}
