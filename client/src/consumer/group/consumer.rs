//! Membership in a group of the consumer protocol: one heartbeat joins, stays, hands over and leaves, and the broker
//! decides who reads what (KIP-848, KIP-1082).
//!
//! The broker tells what this member may own; the member gives back what it may not and takes what it may, one step at a
//! time, and says in its next heartbeat what it owns now. Invariants: what is owned is only told while nothing is on its
//! way; after an error everything is told again; a member that is fenced loses everything before it joins again. Not
//! here: the session, which the broker counts, and commits.

mod reconciliation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use ottla_protocol::{ErrorCode, TopicId, TopicName};

use self::reconciliation::{Ownership, listed};
use super::effect::{Answer, Effect, Identity, Membership, Question, Settings, Taking, Topics};
use super::poll_watch::PollWatch;
use crate::error::ClientError;

const HEARTBEAT: &str = "consumer group heartbeat";

/// The epoch that asks to join.
const JOIN_EPOCH: i32 = 0;
/// The epoch that says that the member leaves for good.
const LEAVE_EPOCH: i32 = -1;
/// The epoch that says that a static member leaves and may come back.
const LEAVE_STATIC_EPOCH: i32 = -2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is wanted, or the program does not poll.
    Out,
    /// Lost everything and joins once that is gone, or joins.
    Joining,
    /// A member with an epoch.
    Member,
    /// About to leave: once everything has gone back.
    Departing,
    Leaving,
    /// It makes no sense to try again.
    Failed,
}

/// What the program wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Wanted {
    names: BTreeSet<TopicName>,
    pattern: Option<String>,
}

/// What the coordinator was told last and need not be told again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Told {
    wanted: Option<Wanted>,
    owned: Option<Vec<TopicPartitions>>,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct ConsumerMembership {
    settings: Settings,
    state: State,
    wanted: Option<Wanted>,
    member_id: Str,
    epoch: i32,
    ownership: Ownership,
    told: Told,
    /// The coordinator may still know a pattern.
    has_told_pattern: bool,
    is_asking: bool,
    /// Takes and gives under way.
    jobs: usize,
    heartbeat_at: Instant,
    heartbeat_interval: Duration,
    attempts: u32,
    polls: PollWatch,
    effects: Vec<Effect>,
}

impl ConsumerMembership {
    /// A member that will call itself `member_id`, which must be like nobody else's.
    pub(crate) fn new(settings: Settings, member_id: &str, now: Instant) -> Self {
        ConsumerMembership {
            heartbeat_interval: settings.heartbeat_interval,
            polls: PollWatch::new(now, settings.rebalance_timeout),
            settings,
            state: State::Out,
            wanted: None,
            member_id: member_id.into(),
            epoch: JOIN_EPOCH,
            ownership: Ownership::default(),
            told: Told::default(),
            has_told_pattern: false,
            is_asking: false,
            jobs: 0,
            heartbeat_at: now,
            attempts: 0,
            effects: Vec::new(),
        }
    }

    fn take_all(&mut self, taking: Taking) {
        let owned = self.ownership.take_all();
        if !owned.is_empty() {
            self.jobs += 1;
            self.effects.push(Effect::Take(owned, taking));
        }
    }

    /// The coordinator does not know this member, or not in this epoch.
    fn fenced(&mut self, now: Instant) {
        self.epoch = JOIN_EPOCH;
        self.told = Told::default();
        self.take_all(Taking::Lost);
        self.state = State::Joining;
        self.heartbeat_at = now;
    }

    fn fail(&mut self, error: ClientError) {
        self.state = State::Failed;
        self.epoch = JOIN_EPOCH;
        self.take_all(Taking::Lost);
        self.effects.push(Effect::Fail(error));
    }

    fn depart(&mut self) {
        if self.polls.is_stalled() {
            // Who is too slow gets no time to finish.
            self.take_all(Taking::Lost);
            self.leave();
        } else {
            let taking = if self.state == State::Member { Taking::Revoked } else { Taking::Lost };
            self.take_all(taking);
            self.state = State::Departing;
        }
    }

    fn leave(&mut self) {
        let is_known = self.epoch != JOIN_EPOCH || self.is_asking;
        self.told = Told::default();
        if !is_known {
            return self.departed();
        }
        self.state = State::Leaving;
        self.epoch = match self.settings.group_instance_id {
            Some(_) => LEAVE_STATIC_EPOCH,
            None => LEAVE_EPOCH,
        };
        let request = self.request();
        self.ask(request);
        self.epoch = JOIN_EPOCH;
    }

    fn departed(&mut self) {
        self.state = State::Out;
        self.epoch = JOIN_EPOCH;
        if self.wanted.is_none() {
            self.effects.push(Effect::Left);
        }
    }

    fn ask(&mut self, request: ConsumerGroupHeartbeatRequest) {
        self.is_asking = true;
        self.effects.push(Effect::Ask(Box::new(Question::ConsumerHeartbeat(request))));
    }

    /// What every heartbeat says.
    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.settings.group_id.as_str().into(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.settings.group_instance_id.as_deref().map(Str::from),
            ..Default::default()
        }
    }

    /// Does what can be done now.
    fn advance(&mut self, now: Instant) {
        if self.state == State::Departing && self.jobs == 0 {
            self.leave();
        }
        if self.state == State::Out && self.wanted.is_some() && !self.polls.is_stalled() {
            self.state = State::Joining;
            self.heartbeat_at = self.heartbeat_at.min(now);
        }
        if self.state == State::Member && self.jobs == 0 {
            self.reconcile();
        }
        if !self.is_asking && self.is_due(now) {
            self.beat(now);
        }
    }

    /// Whether a heartbeat is to be sent.
    fn is_due(&self, now: Instant) -> bool {
        match self.state {
            State::Joining => self.jobs == 0 && now >= self.heartbeat_at,
            State::Member => now >= self.heartbeat_at || (self.attempts == 0 && self.has_news()),
            State::Departing => self.epoch != JOIN_EPOCH && now >= self.heartbeat_at,
            State::Out | State::Leaving | State::Failed => false,
        }
    }

    fn has_news(&self) -> bool {
        self.told.wanted != self.wanted || (self.jobs == 0 && self.told.owned != Some(self.ownership.owned()))
    }

    /// Sends a heartbeat with what changed since the last; one that joins says everything.
    fn beat(&mut self, now: Instant) {
        self.heartbeat_at = now + self.heartbeat_interval;
        let mut request = self.request();
        if self.told == Told::default() {
            request.rebalance_timeout_ms = millis(self.settings.rebalance_timeout);
            request.rack_id = self.settings.rack.as_deref().map(Str::from);
            request.server_assignor = self.settings.server_assignor.as_deref().map(Str::from);
        }
        if self.told.wanted != self.wanted
            && let Some(wanted) = &self.wanted
        {
            request.subscribed_topic_names = Some(wanted.names.iter().map(Str::from).collect());
            // Empty takes back a pattern that was told before.
            request.subscribed_topic_regex = match &wanted.pattern {
                None if self.has_told_pattern => Some(Str::default()),
                pattern => pattern.as_deref().map(Str::from),
            };
            self.has_told_pattern |= wanted.pattern.is_some();
            self.told.wanted = self.wanted.clone();
        }
        let owned = self.ownership.owned();
        if self.jobs == 0 && self.told.owned.as_ref() != Some(&owned) {
            request.topic_partitions = Some(owned.clone());
            self.told.owned = Some(owned);
        }
        self.ask(request);
    }

    /// Gives back what it may not own, and takes what it may.
    fn reconcile(&mut self) {
        let step = self.ownership.next_step();
        if !step.unknown.is_empty() {
            self.effects.push(Effect::LearnTopicIds(step.unknown));
        }
        for (partitions, effect) in
            [(step.revoked, Effect::Take as fn(_, _) -> _), (step.added, |added, _| Effect::Give(added))]
        {
            if !partitions.is_empty() {
                self.jobs += 1;
                self.effects.push(effect(partitions, Taking::Revoked));
            }
        }
    }

    fn heartbeat_answered(&mut self, now: Instant, response: ConsumerGroupHeartbeatResponse) {
        if !matches!(self.state, State::Joining | State::Member | State::Departing) {
            return;
        }
        if response.error_code.is_error() {
            return self.refused(now, response.error_code, response.error_message.as_deref());
        }
        self.attempts = 0;
        self.ownership.ask_again();
        self.epoch = response.member_epoch;
        if let Ok(interval @ 1..) = u64::try_from(response.heartbeat_interval_ms) {
            self.heartbeat_interval = Duration::from_millis(interval);
        }
        self.heartbeat_at = now + self.heartbeat_interval;
        if self.state == State::Joining {
            self.state = State::Member;
        }
        if let Some(assignment) = response.assignment {
            match listed(&assignment.topic_partitions) {
                Ok(target) => self.ownership.set_target(target),
                Err(reason) => {
                    let kind = crate::ErrorKind::Malformed { reason };
                    self.fail(ClientError::new(HEARTBEAT, kind));
                }
            }
        }
    }

    fn refused(&mut self, now: Instant, code: ErrorCode, message: Option<&str>) {
        match code {
            _ if self.state == State::Departing => {}
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH => self.fenced(now),
            ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => {
                self.effects.push(Effect::ForgetCoordinator);
                self.again(now);
            }
            code if code.is_retriable() => self.again(now),
            code => self.fail(ClientError::broker(HEARTBEAT, code, message)),
        }
    }

    /// Says everything again, after a while: it is not known what arrived.
    fn again(&mut self, now: Instant) {
        self.told = Told::default();
        self.heartbeat_at = now + self.settings.backoff.delay(self.attempts, 0.5);
        self.attempts = self.attempts.saturating_add(1);
    }

    fn is_taking_part(&self) -> bool {
        matches!(self.state, State::Joining | State::Member)
    }
}

impl Membership for ConsumerMembership {
    fn subscribe(&mut self, now: Instant, topics: Option<BTreeSet<TopicName>>, pattern: Option<&str>) {
        self.wanted = topics.map(|names| Wanted { names, pattern: pattern.map(str::to_owned) });
        match self.state {
            State::Joining | State::Member if self.wanted.is_none() => self.depart(),
            State::Out | State::Failed if self.wanted.is_none() => self.departed(),
            State::Failed => self.state = State::Out,
            _ => {}
        }
        self.advance(now);
    }

    fn topics_learned(&mut self, now: Instant, topics: Topics) {
        let ids: BTreeMap<TopicId, TopicName> =
            topics.into_iter().filter_map(|(name, shape)| Some((shape.id?, name))).collect();
        self.ownership.name(ids);
        self.advance(now);
    }

    fn answered(&mut self, now: Instant, answer: Result<Answer, ClientError>) {
        self.is_asking = false;
        match answer {
            _ if self.state == State::Leaving => self.departed(),
            Ok(Answer::ConsumerHeartbeat(response)) => self.heartbeat_answered(now, response),
            // They were never asked.
            Ok(Answer::Join(_) | Answer::Sync(_) | Answer::Heartbeat(_) | Answer::Leave) => {}
            Err(error) if error.is_retriable() => {
                self.effects.push(Effect::ForgetCoordinator);
                self.again(now);
            }
            Err(_) if !self.is_taking_part() => {}
            Err(error) => self.fail(error.during(HEARTBEAT)),
        }
        self.advance(now);
    }

    fn done(&mut self, now: Instant) {
        self.jobs = self.jobs.saturating_sub(1);
        self.advance(now);
    }

    fn polled(&mut self, now: Instant, at: Instant) {
        self.polls.polled(now, at);
        self.advance(now);
    }

    fn tick(&mut self, now: Instant) {
        if self.is_taking_part() && self.polls.has_become_late(now, &self.settings.group_id) {
            self.depart();
        }
        self.advance(now);
    }

    fn next_wake(&self) -> Option<Instant> {
        let beats = matches!(self.state, State::Joining | State::Member | State::Departing);
        let poll = self.polls.next_wake().filter(|_| self.is_taking_part());
        let heartbeat = (beats && !self.is_asking).then_some(self.heartbeat_at);
        poll.into_iter().chain(heartbeat).min()
    }

    fn topics(&self) -> BTreeSet<TopicName> {
        let wanted = self.wanted.iter().flat_map(|wanted| wanted.names.iter().cloned());
        wanted.chain(self.ownership.topics()).collect()
    }

    fn identity(&self) -> Identity {
        if self.epoch > JOIN_EPOCH {
            Identity { member_id: self.member_id.clone(), generation: self.epoch }
        } else {
            Identity::none()
        }
    }

    fn awaits_poll(&self) -> bool {
        self.polls.is_stalled()
    }

    fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
