//! Consumer groups under random joins, leaves, silences, lost answers, failed writes, changing topics and restarts.
//!
//! Always (I13): no two members use a partition at once, and the coordinator never believes that two own it. After a
//! restart the group is what it was, to the letter. Left alone, it becomes stable and every partition is in use once.

use std::collections::BTreeSet;

use ottla_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use proptest::prelude::*;

use super::consumer_client::Client;
use super::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A heartbeat, which joins if need be.
    Beat(usize),
    /// A heartbeat whose answer is lost.
    BeatUnheard(usize),
    /// The client does what it was last told.
    Obey(usize),
    /// It leaves for good, or for a while.
    Leave(usize, bool),
    /// It forgets all and begins anew.
    Crash(usize),
    /// A heartbeat that cannot be written.
    BeatUnwritten(usize),
    Pass(u64),
    Topics(u32, u32),
    Restart,
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let client = 0..NAMES.len();
    prop_oneof![
        8 => client.clone().prop_map(Event::Beat),
        6 => client.clone().prop_map(Event::Obey),
        2 => client.clone().prop_map(Event::BeatUnheard),
        1 => client.clone().prop_map(Event::BeatUnwritten),
        1 => (client.clone(), any::<bool>()).prop_map(|(client, for_good)| Event::Leave(client, for_good)),
        1 => client.prop_map(Event::Crash),
        2 => prop_oneof![Just(1_000u64), Just(19_000), Just(46_000)].prop_map(Event::Pass),
        1 => (0u32..7, 0u32..3).prop_map(|(t, u)| Event::Topics(t, u)),
        1 => Just(Event::Restart),
    ]
}

/// A client, and what it was last told to own. As long as it has not done that it says nothing of what it owns; after an
/// answer was lost it says all, as Kafka's clients do.
pub(super) struct Model {
    pub(super) client: Client,
    told: Option<Vec<(&'static str, i32)>>,
    says_all: bool,
}

impl Model {
    fn next_request(&mut self) -> ConsumerGroupHeartbeatRequest {
        if self.says_all
            && let Some(told) = self.told.take()
        {
            self.client.owned = told;
        }
        let mut request = self.client.next_request(&["t", "u"]);
        if self.says_all {
            request = self.client.with_all(&["t", "u"], request);
        } else if self.told.is_some() && self.client.epoch > 0 {
            request.topic_partitions = None;
        }
        request
    }

    fn begin_anew(&mut self) {
        self.client.owned.clear();
        self.client.epoch = 0;
        self.told = None;
        self.says_all = false;
    }
}

pub(super) struct Play {
    pub(super) world: World,
    pub(super) models: Vec<Model>,
    pub(super) topics: [(&'static str, u32); 2],
}

impl Play {
    pub(super) fn new() -> Play {
        let topics = [("t", 5), ("u", 2)];
        let mut world = World::with_topics(&topics);
        world.shard.config.consumer.members_max = 10;
        let model = |(index, name): (usize, &&'static str)| {
            // The last one is a static member.
            let client = if index == 3 { Client::fixed(name, "i") } else { Client::new(name) };
            Model { client, told: None, says_all: false }
        };
        Play { world, models: NAMES.iter().enumerate().map(model).collect(), topics }
    }

    pub(super) fn carry_out(&mut self, event: &Event) {
        match *event {
            Event::Beat(index) => self.beat(index, true),
            Event::BeatUnheard(index) => self.beat(index, false),
            Event::BeatUnwritten(index) => {
                let request = self.models[index].next_request();
                self.world.send(&request, 1);
                self.world.commit(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
                self.world.answers.clear();
                self.models[index].says_all = true;
            }
            Event::Obey(index) => self.obey(index),
            Event::Leave(index, for_good) => {
                let model = &mut self.models[index];
                let epoch = if model.client.is_fixed() && !for_good { -2 } else { -1 };
                // A client gives up what it has before it says that it leaves.
                model.begin_anew();
                let request = model.client.leaving(epoch);
                self.world.ask(&request);
            }
            Event::Crash(index) => self.models[index].begin_anew(),
            Event::Pass(ms) => {
                self.world.pass(ms);
                self.world.commit(Ok(()));
            }
            Event::Topics(t, u) => {
                self.topics = [("t", t), ("u", u)];
                self.world.show_topics(&self.topics);
            }
            Event::Restart => {
                let before = self.world.shard.consumer(&"g".into()).map(|consumer| consumer.group.clone());
                let log = std::mem::take(&mut self.world.log);
                self.world.log = log.clone();
                let mut after = self.world.restarted();
                after.shard.config.consumer.members_max = 10;
                after.log = log;
                after.joins = self.world.joins;
                let replayed = after.shard.consumer(&"g".into()).map(|consumer| consumer.group.clone());
                assert_eq!(replayed, before);
                self.world = after;
                self.world.show_topics(&self.topics);
            }
        }
    }

    pub(super) fn beat(&mut self, index: usize, heard: bool) {
        let model = &mut self.models[index];
        let request = model.next_request();
        let response = self.world.ask(&request);
        model.says_all = !heard;
        if !heard {
            return;
        }
        match response.error_code {
            ErrorCode::NONE => {
                model.client.epoch = response.member_epoch;
                if let Some(assignment) = response.assignment {
                    model.told = Some(super::consumer_client::named(&assignment));
                }
            }
            ErrorCode::UNRELEASED_INSTANCE_ID => {}
            ErrorCode::FENCED_MEMBER_EPOCH | ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::GROUP_ID_NOT_FOUND => {
                model.begin_anew();
            }
            other => panic!("{other:?} to {request:?}"),
        }
    }

    pub(super) fn obey(&mut self, index: usize) {
        let model = &mut self.models[index];
        if let Some(told) = model.told.take() {
            model.client.owned = told;
        }
    }

    /// Whoever the coordinator has removed for its silence has noticed that by now.
    pub(super) fn forget_removed(&mut self) {
        let members: BTreeSet<Str> =
            self.world.described().members.into_iter().map(|member| member.member_id).collect();
        for model in &mut self.models {
            if !members.contains(model.client.id) {
                model.begin_anew();
            }
        }
    }

    pub(super) fn check(&self) {
        let mut used = BTreeSet::new();
        for model in &self.models {
            for partition in &model.client.owned {
                assert!(used.insert(*partition), "{partition:?} is in use twice");
            }
        }
        let Some(consumer) = self.world.shard.consumer(&"g".into()) else { return };
        let mut owned = BTreeSet::new();
        for member in consumer.group.members.values() {
            let current = &member.current;
            let partitions = super::super::consumer::partitions::each(&current.assigned);
            for partition in
                partitions.chain(super::super::consumer::partitions::each(&current.pending_revocation))
            {
                assert!(owned.insert(partition), "{partition:?} is owned twice");
            }
        }
    }

    /// Everybody behaves from now on.
    fn settle_down(&mut self) {
        self.world.show_topics(&self.topics);
        for _ in 0..20 {
            for index in 0..self.models.len() {
                self.beat(index, true);
                self.obey(index);
                self.check();
            }
            // A static place that somebody left without a word becomes free with its session.
            self.world.pass(12_000);
            self.world.commit(Ok(()));
            self.forget_removed();
        }
        assert_eq!(self.world.described().group_state, "Stable", "{:?}", self.world.described());
        let used: usize = self.models.iter().map(|model| model.client.owned.len()).sum();
        let wanted: u32 = self.topics.iter().map(|(_, count)| count).sum();
        assert_eq!(used, wanted as usize, "{:?}", self.world.described());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_partition_never_has_two_owners_and_in_the_end_it_has_one(
        events in proptest::collection::vec(event(), 1..60)
    ) {
        let mut play = Play::new();
        for event in &events {
            play.carry_out(event);
            play.forget_removed();
            play.check();
        }
        play.settle_down();
    }
}
