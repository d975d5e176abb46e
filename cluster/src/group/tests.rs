//! Groups as their clients see them, event by event.

mod consumer;
mod consumer_client;
mod membership;
mod migration;
mod mixed_properties;
mod offsets;
mod properties;
mod static_members;

use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};

use super::*;

/// A shard with a clock, whose appends are committed when the test says so.
struct World {
    shard: GroupShard<&'static str>,
    now_ms: u64,
    /// The answers so far, by the request's token.
    answers: Vec<(&'static str, Answer)>,
    appended: Vec<(AppendId, Vec<GroupRecord>)>,
    /// Every record that was committed, in order.
    log: Vec<GroupRecord>,
    joins: u32,
}

fn config(initial_delay_ms: u64) -> GroupConfig {
    GroupConfig {
        session_timeout_min_ms: 6_000,
        session_timeout_max_ms: 1_800_000,
        members_max: 3,
        initial_rebalance_delay: Duration::from_millis(initial_delay_ms),
        offset_metadata_bytes_max: 10,
        offsets_retention_ms: 10_000,
        consumer: ConsumerGroupConfig {
            timeouts: ConsumerTimeouts { session_timeout_ms: 45_000, heartbeat_interval_ms: 5_000 },
            members_max: 3,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            migration: MigrationPolicy::Bidirectional,
        },
    }
}

impl World {
    fn new(initial_delay_ms: u64) -> World {
        World {
            shard: GroupShard::new(config(initial_delay_ms)),
            now_ms: 1_000,
            answers: Vec::new(),
            appended: Vec::new(),
            log: Vec::new(),
            joins: 0,
        }
    }

    fn now(&self) -> Now {
        Now {
            monotonic: Monotonic::from_millis(self.now_ms),
            unix_ms: 1_700_000_000_000 + self.now_ms as i64,
        }
    }

    fn settle(&mut self) {
        for effect in self.shard.drain_effects() {
            match effect {
                Effect::Answer(waiter, answer) => self.answers.push((waiter, answer)),
                Effect::Append { id, records } => self.appended.push((id, records)),
            }
        }
    }

    /// Says of every append so far what became of it, and of those that follow from that when all goes well.
    fn commit(&mut self, outcome: Result<(), ErrorCode>) {
        self.settle();
        while !self.appended.is_empty() {
            for (id, records) in std::mem::take(&mut self.appended) {
                if outcome.is_ok() {
                    self.log.extend(records);
                }
                self.shard.handle_appended(self.now(), id, outcome);
            }
            self.settle();
            if outcome.is_err() {
                return;
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(next) = self.shard.next_deadline().filter(|next| next.as_millis() <= end) {
            self.now_ms = next.as_millis().max(self.now_ms);
            self.shard.handle_deadlines(self.now());
        }
        self.now_ms = end;
        self.settle();
    }

    fn join(&mut self, waiter: &'static str, request: &JoinGroupRequest) {
        self.join_as(waiter, request, 9);
    }

    fn join_as(&mut self, waiter: &'static str, request: &JoinGroupRequest, api_version: i16) {
        self.joins += 1;
        let joining = Joining {
            api_version,
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            unique: Str::from(format!("{}", self.joins)),
        };
        let now = self.now();
        self.shard.handle_join(now, request, &joining, waiter);
        self.settle();
    }

    /// The one answer to this request so far; `None` while it waits.
    fn answer(&mut self, waiter: &str) -> Option<Answer> {
        let at = self.answers.iter().position(|(of, _)| *of == waiter)?;
        Some(self.answers.remove(at).1)
    }

    fn joined(&mut self, waiter: &str) -> JoinGroupResponse {
        match self.answer(waiter) {
            Some(Answer::Join(response)) => response,
            other => panic!("{waiter} has {other:?} instead of a JoinGroup response"),
        }
    }

    fn synced(&mut self, waiter: &str) -> SyncGroupResponse {
        match self.answer(waiter) {
            Some(Answer::Sync(response)) => response,
            other => panic!("{waiter} has {other:?} instead of a SyncGroup response"),
        }
    }

    /// Both steps of a dynamic member up to where it waits; returns its id.
    fn come(&mut self, waiter: &'static str) -> Str {
        self.join(waiter, &request(""));
        let id = self.joined(waiter);
        assert_eq!(id.error_code, ErrorCode::MEMBER_ID_REQUIRED);
        self.join(waiter, &request(&id.member_id));
        id.member_id
    }

    fn sync(&mut self, waiter: &'static str, generation: i32, member: &Str, parts: &[(&Str, &'static str)]) {
        let assignments = parts.iter().map(|(id, part)| SyncGroupRequestAssignment {
            member_id: (*id).clone(),
            assignment: Bytes::from_static(part.as_bytes()),
        });
        let request = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: generation,
            member_id: member.clone(),
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        let now = self.now();
        self.shard.handle_sync(now, &request, waiter);
        self.settle();
    }

    fn beat(&mut self, generation: i32, member: &Str) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: generation,
            member_id: member.clone(),
            group_instance_id: None,
        };
        self.shard.handle_heartbeat(self.now(), &request)
    }

    fn leave(&mut self, member: &Str) -> ErrorCode {
        let identity = MemberIdentity { member_id: member.clone(), ..MemberIdentity::default() };
        let request = LeaveGroupRequest {
            group_id: "g".into(),
            members: vec![identity],
            ..LeaveGroupRequest::default()
        };
        self.shard.handle_leave(self.now(), &request, "leave");
        self.settle();
        match self.answer("leave") {
            Some(Answer::Leave(responses)) => responses[0].error_code,
            other => panic!("{other:?} is no LeaveGroup response"),
        }
    }

    /// A stable group of two, "a" the leader: their ids.
    fn stable_pair(&mut self) -> (Str, Str) {
        let a = self.come("a");
        let b = self.come("b");
        // The delay, and the one more that the second member causes.
        self.pass(6_000);
        let leader = self.joined("a");
        assert_eq!((leader.leader.clone(), leader.generation_id, leader.members.len()), (a.clone(), 1, 2));
        assert_eq!(self.joined("b").members.len(), 0);
        self.sync("b", 1, &b, &[]);
        self.sync("a", 1, &a, &[(&a, "one"), (&b, "two")]);
        self.commit(Ok(()));
        assert_eq!(self.synced("a").assignment, "one");
        assert_eq!(self.synced("b").assignment, "two");
        (a, b)
    }

    /// The same groups in a new process.
    fn restarted(&self) -> World {
        let mut world = World::new(3_000);
        world.now_ms = 500;
        for record in &self.log {
            let (key, value) = record.encode();
            let record = GroupRecord::decode(Some(&key), value.as_ref()).unwrap().unwrap();
            world.shard.replay(world.now(), record);
        }
        world.shard.finish_replay(world.now());
        world
    }

    fn state(&self) -> String {
        self.shard.describe(&"g".into(), 6).group_state.to_string()
    }
}

fn request(member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        member_id: member_id.into(),
        protocol_type: "consumer".into(),
        protocols: vec![offer("range", "meta")],
        ..JoinGroupRequest::default()
    }
}

fn offer(name: &str, metadata: &'static str) -> JoinGroupRequestProtocol {
    JoinGroupRequestProtocol { name: name.into(), metadata: Bytes::from_static(metadata.as_bytes()) }
}
