//! Groups of both protocols at random: classic members that come and go among members of the consumer protocol, so that
//! the group changes its protocol to and fro while it runs, is restarted, and cannot always write.
//!
//! The invariants are those of [`super::properties`]: never two who use a partition, and in the end each is in use once.

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::messages::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use proptest::prelude::*;

use super::properties::{Event, Play, event};
use super::*;

const CLASSIC: [&str; 2] = ["x", "y"];

/// More than can come about: whoever loses its connection in a restart leaves a member behind that is dead for a minute.
const MEMBERS_MAX: usize = 100;

#[derive(Clone, Debug)]
enum Mixed {
    /// Something that concerns the consumer members, the first two of which take part, or all.
    Other(Event),
    /// A classic member does its next step.
    Step(usize),
    /// It leaves.
    LeaveClassic(usize),
}

fn mixed() -> impl Strategy<Value = Mixed> {
    prop_oneof![
        4 => event().prop_map(Mixed::Other),
        5 => (0..CLASSIC.len()).prop_map(Mixed::Step),
        1 => (0..CLASSIC.len()).prop_map(Mixed::LeaveClassic),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Doing {
    Nothing,
    Joining,
    Syncing,
    Reading,
}

/// A member of the classic protocol that rebalances eagerly: it gives all up before it joins again.
struct Classic {
    name: &'static str,
    id: Str,
    generation: i32,
    doing: Doing,
    owned: Vec<(String, i32)>,
}

impl Classic {
    fn join(&mut self, world: &mut World) {
        self.owned.clear();
        self.doing = Doing::Joining;
        let subscription = ConsumerProtocolSubscription {
            topics: vec!["t".into(), "u".into()],
            ..ConsumerProtocolSubscription::default()
        };
        let metadata = consumer_protocol::encode(subscription, 1).unwrap();
        let protocol = JoinGroupRequestProtocol { name: "range".into(), metadata };
        let request = JoinGroupRequest {
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 60_000,
            protocols: vec![protocol],
            ..request(&self.id)
        };
        world.join(self.name, &request);
        world.commit(Ok(()));
    }

    fn step(&mut self, world: &mut World, topics: &[(&'static str, u32)]) {
        match self.doing {
            Doing::Nothing => self.join(world),
            Doing::Reading => match world.beat(self.generation, &self.id) {
                ErrorCode::NONE => {}
                code => self.begin_anew(code, world),
            },
            Doing::Joining => match world.answer(self.name) {
                None => {}
                Some(Answer::Join(response)) if response.error_code == ErrorCode::NONE => {
                    (self.id, self.generation) = (response.member_id.clone(), response.generation_id);
                    self.sync(world, &response, topics);
                }
                Some(Answer::Join(response)) if response.error_code == ErrorCode::MEMBER_ID_REQUIRED => {
                    self.id = response.member_id;
                    self.join(world);
                }
                Some(Answer::Join(response)) => self.begin_anew(response.error_code, world),
                Some(other) => panic!("{other:?} to a JoinGroup"),
            },
            Doing::Syncing => match world.answer(self.name) {
                None => {}
                Some(Answer::Sync(response)) if response.error_code == ErrorCode::NONE => {
                    let blob = response.assignment;
                    let read = consumer_protocol::decode::<ConsumerProtocolAssignment>(blob);
                    for topic in read.map(|(_, read)| read.assigned_partitions).unwrap_or_default() {
                        let name = topic.topic.to_string();
                        self.owned.extend(topic.partitions.into_iter().map(|it| (name.clone(), it)));
                    }
                    self.doing = Doing::Reading;
                }
                Some(Answer::Sync(response)) => self.begin_anew(response.error_code, world),
                Some(other) => panic!("{other:?} to a SyncGroup"),
            },
        }
    }

    fn sync(&mut self, world: &mut World, joined: &JoinGroupResponse, topics: &[(&'static str, u32)]) {
        self.doing = Doing::Syncing;
        let mut rows: BTreeMap<&Str, Vec<TopicPartition>> = BTreeMap::new();
        let all = topics.iter().flat_map(|(name, count)| (0..*count as i32).map(move |it| (*name, it)));
        for ((name, partition), member) in all.zip(joined.members.iter().cycle()) {
            let partitions = vec![partition];
            rows.entry(&member.member_id)
                .or_default()
                .push(TopicPartition { topic: name.into(), partitions });
        }
        let part = |(id, assigned_partitions): (&Str, Vec<TopicPartition>)| {
            let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
            let assignment = consumer_protocol::encode(assignment, 1).unwrap();
            SyncGroupRequestAssignment { member_id: id.clone(), assignment }
        };
        let request = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: rows.into_iter().map(part).collect(),
            ..SyncGroupRequest::default()
        };
        let now = world.now();
        world.shard.handle_sync(now, &request, self.name);
        world.commit(Ok(()));
    }

    fn begin_anew(&mut self, code: ErrorCode, world: &mut World) {
        match code {
            ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION => {}
            ErrorCode::UNKNOWN_MEMBER_ID => self.id = Str::EMPTY,
            other => panic!("{other:?}"),
        }
        self.join(world);
    }
}

fn allow_members(play: &mut Play) {
    let config = &mut play.world.shard.config;
    (config.members_max, config.consumer.members_max) = (MEMBERS_MAX, MEMBERS_MAX);
}

struct MixedPlay {
    play: Play,
    classics: Vec<Classic>,
}

impl MixedPlay {
    fn new() -> MixedPlay {
        let classic = |name: &&'static str| Classic {
            name,
            id: Str::EMPTY,
            generation: -1,
            doing: Doing::Nothing,
            owned: Vec::new(),
        };
        let mut play = Play::new();
        allow_members(&mut play);
        MixedPlay { play, classics: CLASSIC.iter().map(classic).collect() }
    }

    fn carry_out(&mut self, mixed: &Mixed) {
        match mixed {
            Mixed::Other(event) => {
                self.play.carry_out(event);
                if matches!(event, Event::Restart) {
                    allow_members(&mut self.play);
                    // Connections are gone, and with them the answers that somebody waited for.
                    for classic in self.classics.iter_mut().filter(|it| it.doing != Doing::Reading) {
                        classic.doing = Doing::Nothing;
                        classic.id = Str::EMPTY;
                    }
                }
            }
            Mixed::Step(index) => {
                let topics = self.play.topics;
                self.classics[*index].step(&mut self.play.world, &topics);
            }
            Mixed::LeaveClassic(index) => {
                let classic = &mut self.classics[*index];
                classic.owned.clear();
                if classic.doing == Doing::Reading {
                    let id = std::mem::take(&mut classic.id);
                    classic.doing = Doing::Nothing;
                    let identity = MemberIdentity { member_id: id, ..MemberIdentity::default() };
                    let request = LeaveGroupRequest {
                        group_id: "g".into(),
                        members: vec![identity],
                        ..LeaveGroupRequest::default()
                    };
                    let now = self.play.world.now();
                    self.play.world.shard.handle_leave(now, &request, "leave");
                    self.play.world.commit(Ok(()));
                    self.play.world.answer("leave");
                }
            }
        }
        self.play.world.commit(Ok(()));
        self.play.forget_removed();
        self.forget_removed();
        self.check();
    }

    /// Whoever was removed for its silence has noticed that by now.
    fn forget_removed(&mut self) {
        let Some(group) = self.play.world.shard.groups.get("g") else {
            self.classics.iter_mut().for_each(|classic| classic.owned.clear());
            return;
        };
        for classic in &mut self.classics {
            let is_member = match (group.classic(), group.consumer()) {
                (Some(group), _) => group.members.contains_key(&classic.id),
                (_, Some(consumer)) => consumer.group.members.contains_key(&classic.id),
                (None, None) => false,
            };
            if !is_member {
                classic.owned.clear();
            }
        }
    }

    fn check(&self) {
        self.play.check();
        let mut used = BTreeSet::new();
        let consumers = self.play.models.iter().flat_map(|model| &model.client.owned);
        let consumers = consumers.map(|(topic, partition)| ((*topic).to_owned(), *partition));
        for partition in consumers.chain(self.classics.iter().flat_map(|classic| classic.owned.clone())) {
            assert!(used.insert(partition.clone()), "{partition:?} is in use twice");
        }
    }

    fn settle_down(&mut self) {
        let topics = self.play.topics;
        self.play.world.show_topics(&topics);
        for _ in 0..40 {
            for index in 0..self.play.models.len() {
                self.play.beat(index, true);
                self.play.obey(index);
                self.check();
            }
            for classic in &mut self.classics {
                classic.step(&mut self.play.world, &topics);
            }
            self.check();
            self.play.world.pass(6_000);
            self.play.world.commit(Ok(()));
            self.play.forget_removed();
            self.forget_removed();
        }
        let described = self.play.world.described();
        assert_eq!(described.group_state, "Stable", "{described:?}");
        let consumers: usize = self.play.models.iter().map(|model| model.client.owned.len()).sum();
        let classics: usize = self.classics.iter().map(|classic| classic.owned.len()).sum();
        let wanted: u32 = topics.iter().map(|(_, count)| count).sum();
        assert_eq!(consumers + classics, wanted as usize, "{described:?}");
    }
}

/// The case in which a limit of ten was reached: members that nobody answers for any more.
#[test]
fn three_restarts_leave_members_behind_and_the_group_gets_over_it() {
    use Mixed::{Other, Step};
    let mut play = MixedPlay::new();
    let (beat, restart) = (Other(Event::Beat(0)), Other(Event::Restart));
    let before =
        [Step(1), Step(1), Step(1), Step(1), Step(0), beat.clone(), Step(1), Step(0), restart.clone()];
    let after = [beat, Step(0), Step(0), restart.clone(), Step(0), Step(0), Step(1), Step(1), restart];
    before.iter().chain(&after).for_each(|event| play.carry_out(event));
    play.settle_down();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_group_of_both_protocols_never_has_two_owners_and_in_the_end_it_has_one(
        events in proptest::collection::vec(mixed(), 1..60)
    ) {
        let mut play = MixedPlay::new();
        events.iter().for_each(|event| play.carry_out(event));
        play.settle_down();
    }
}
