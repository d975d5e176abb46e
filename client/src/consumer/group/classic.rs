//! Membership in a classic group: join, let the leader assign, sync, send heartbeats, join again (KIP-62, KIP-345,
//! KIP-394, KIP-429).
//!
//! One question is open at a time. What is owned goes back before the group is joined again: all of it under an eager
//! assignor, only what the new generation gives to others under a cooperative one. Invariants: a partition counts as
//! owned from its `Give` until its `Take`, and every `Take` and `Give` is done before JoinGroup is asked; a generation
//! that the coordinator has forgotten takes everything away as lost. Not here: the leader's assignment (`leader`), the
//! meaning of answers (`answers`), commits.

mod answers;
mod leader;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Instant;

use ottla_assignors::Assignor;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_protocol::{self, ConsumerProtocolSubscription};
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ottla_protocol::{TopicName, TopicPartition};

use super::effect::{Answer, Effect, Identity, Membership, Question, Settings, Taking, Topics};
use super::partitions::by_topic;
use super::poll_watch::PollWatch;
use super::sticky::{self, Memory};
use crate::error::ClientError;

/// The protocol type of consumers.
const PROTOCOL_TYPE: &str = "consumer";

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// Nothing is wanted, or the program does not poll.
    Out,
    /// About to join: once everything that must go back has, and the backoff is over.
    Preparing,
    Joining,
    /// The leader waits for metadata of the group's topics.
    Describing(Box<JoinGroupResponse>),
    Syncing,
    Stable,
    /// About to leave: once everything has gone back.
    Departing(Departure),
    Leaving,
    /// It makes no sense to try again.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Departure {
    /// The program wants nothing any more.
    Unsubscribed,
    /// The program did not poll for too long.
    Stalled,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Classic {
    settings: Settings,
    state: State,
    /// What is wanted, if anything is.
    wanted: Option<BTreeSet<TopicName>>,
    /// What was wanted when it joined.
    joined_for: BTreeSet<TopicName>,
    topics: Topics,
    /// What the leader's assignment was made from; none if it is not the leader.
    assigned_from: Option<Topics>,
    member_id: Str,
    generation: Option<i32>,
    owned: BTreeSet<TopicPartition>,
    /// The last assignment, for the sticky assignor.
    memory: Option<Memory>,
    is_asking: bool,
    /// Takes and gives under way.
    jobs: usize,
    /// Something happened that only another generation can settle.
    must_rejoin: bool,
    heartbeat_at: Instant,
    session_ends: Instant,
    retry_at: Instant,
    attempts: u32,
    polls: PollWatch,
    effects: Vec<Effect>,
}

impl Classic {
    pub(crate) fn new(settings: Settings, now: Instant) -> Self {
        Classic {
            polls: PollWatch::new(now, settings.rebalance_timeout),
            settings,
            state: State::Out,
            wanted: None,
            joined_for: BTreeSet::new(),
            topics: Topics::new(),
            assigned_from: None,
            member_id: Str::default(),
            generation: None,
            owned: BTreeSet::new(),
            memory: None,
            is_asking: false,
            jobs: 0,
            must_rejoin: false,
            heartbeat_at: now,
            session_ends: now,
            retry_at: now,
            attempts: 0,
            effects: Vec::new(),
        }
    }

    /// Whether what a member owns stays with it through a rebalance: only if every assignor that it offers can do that.
    fn is_cooperative(&self) -> bool {
        self.settings.assignors.iter().all(|assignor| *assignor == Assignor::CooperativeSticky)
    }

    fn ask(&mut self, question: Question) {
        self.is_asking = true;
        self.effects.push(Effect::Ask(Box::new(question)));
    }

    fn take(&mut self, partitions: BTreeSet<TopicPartition>, taking: Taking) {
        if partitions.is_empty() {
            return;
        }
        self.owned.retain(|partition| !partitions.contains(partition));
        self.jobs += 1;
        self.effects.push(Effect::Take(partitions.into_iter().collect(), taking));
    }

    fn give(&mut self, partitions: BTreeSet<TopicPartition>) {
        self.owned.extend(partitions.iter().cloned());
        self.jobs += 1;
        self.effects.push(Effect::Give(partitions.into_iter().collect()));
    }

    fn take_all(&mut self, taking: Taking) {
        let owned = self.owned.clone();
        self.take(owned, taking);
    }

    /// Joins again as soon as what must go back has.
    fn rejoin(&mut self) {
        self.must_rejoin = false;
        self.state = State::Preparing;
        if self.generation.is_none() {
            self.take_all(Taking::Lost);
        } else if self.is_cooperative() {
            let wanted = self.wanted.clone().unwrap_or_default();
            let unwanted = self.owned.iter().filter(|partition| !wanted.contains(&partition.topic));
            let unwanted = unwanted.cloned().collect();
            self.take(unwanted, Taking::Revoked);
        } else {
            self.take_all(Taking::Revoked);
        }
    }

    /// The coordinator does not know this generation; `forgotten`: nor this member.
    fn lose_generation(&mut self, forgotten: bool) {
        self.generation = None;
        if forgotten {
            self.member_id = Str::default();
        }
        self.rejoin();
    }

    fn retry_later(&mut self, now: Instant) {
        self.retry_at = now + self.settings.backoff.delay(self.attempts, 0.5);
        self.attempts = self.attempts.saturating_add(1);
    }

    fn fail(&mut self, error: ClientError) {
        self.state = State::Failed;
        self.generation = None;
        self.assigned_from = None;
        self.take_all(Taking::Lost);
        self.effects.push(Effect::Fail(error));
    }

    fn depart(&mut self, departure: Departure) {
        let taking = if departure == Departure::Stalled || self.generation.is_none() {
            Taking::Lost
        } else {
            Taking::Revoked
        };
        self.must_rejoin = false;
        self.assigned_from = None;
        self.take_all(taking);
        // Who is too slow gets no time to finish.
        if departure == Departure::Stalled {
            self.leave(departure);
        } else {
            self.state = State::Departing(departure);
        }
    }

    fn leave(&mut self, departure: Departure) {
        self.generation = None;
        let member_id = std::mem::take(&mut self.member_id);
        // A static member keeps its place for as long as its session: it may come back.
        if member_id.is_empty() || self.settings.group_instance_id.is_some() {
            self.is_asking = false;
            self.departed();
            return;
        }
        self.state = State::Leaving;
        let reason = match departure {
            Departure::Unsubscribed => "the consumer is being closed",
            Departure::Stalled => "the program did not poll within max.poll.interval.ms",
        };
        self.ask(Question::Leave { member_id, reason });
    }

    fn departed(&mut self) {
        self.state = State::Out;
        if self.wanted.is_none() {
            self.effects.push(Effect::Left);
        }
    }

    /// Does what can be done now.
    fn advance(&mut self, now: Instant) {
        if let State::Departing(departure) = self.state
            && self.jobs == 0
        {
            self.leave(departure);
        }
        if self.state == State::Out && self.wanted.is_some() && !self.polls.is_stalled() {
            self.rejoin();
        }
        if self.state == State::Stable && self.must_rejoin && self.jobs == 0 {
            self.rejoin();
        }
        if self.state == State::Preparing && self.jobs == 0 && !self.is_asking && now >= self.retry_at {
            // The generation may have been lost while partitions went back.
            if self.generation.is_none() && !self.owned.is_empty() {
                self.take_all(Taking::Lost);
            } else {
                self.join();
            }
        }
        self.beat(now);
    }

    fn join(&mut self) {
        self.joined_for = self.wanted.clone().unwrap_or_default();
        let request = JoinGroupRequest {
            group_id: self.settings.group_id.as_str().into(),
            session_timeout_ms: millis(self.settings.session_timeout),
            rebalance_timeout_ms: millis(self.settings.rebalance_timeout),
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            protocol_type: PROTOCOL_TYPE.into(),
            protocols: self.settings.assignors.iter().map(|assignor| self.protocol(*assignor)).collect(),
            reason: None,
        };
        self.state = State::Joining;
        self.ask(Question::Join(request));
    }

    fn instance_id(&self) -> Option<Str> {
        self.settings.group_instance_id.as_deref().map(Str::from)
    }

    /// What this member tells the leader under an assignor.
    fn protocol(&self, assignor: Assignor) -> JoinGroupRequestProtocol {
        let user_data = match (assignor, &self.memory) {
            (Assignor::Sticky, Some(memory)) => sticky::encode_sticky(memory).ok(),
            (Assignor::CooperativeSticky, memory) => {
                Some(sticky::encode_cooperative(memory.as_ref().and_then(|memory| memory.generation)))
            }
            _ => None,
        };
        let subscription = ConsumerProtocolSubscription {
            topics: self.joined_for.iter().map(Str::from).collect(),
            user_data,
            owned_partitions: by_topic(&self.owned),
            generation_id: self.generation.unwrap_or(-1),
            rack_id: self.settings.rack.as_deref().map(Str::from),
        };
        // Only a name of more than 32 KiB could not be written, and topic names are checked.
        let metadata = consumer_protocol::encode(subscription, consumer_protocol::VERSION_MAX);
        JoinGroupRequestProtocol { name: assignor.name().into(), metadata: metadata.unwrap_or_default() }
    }

    /// Sends a sign of life when one is due; also while partitions go back, because that may take long.
    fn beat(&mut self, now: Instant) {
        let Some(generation_id) = self.generation else { return };
        if !matches!(self.state, State::Stable | State::Preparing | State::Departing(_)) {
            return;
        }
        if now >= self.session_ends {
            tracing::warn!(group = self.settings.group_id, "no answer to heartbeats for a whole session");
            self.session_ends = now + self.settings.session_timeout;
            self.is_asking = false;
            self.effects.push(Effect::ForgetCoordinator);
        }
        if self.is_asking || now < self.heartbeat_at {
            return;
        }
        self.heartbeat_at = now + self.settings.heartbeat_interval;
        let request = HeartbeatRequest {
            group_id: self.settings.group_id.as_str().into(),
            generation_id,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
        };
        self.ask(Question::Heartbeat(request));
    }

    fn is_taking_part(&self) -> bool {
        matches!(
            self.state,
            State::Preparing | State::Joining | State::Describing(_) | State::Syncing | State::Stable
        )
    }
}

impl Membership for Classic {
    fn subscribe(&mut self, now: Instant, topics: Option<BTreeSet<TopicName>>, _pattern: Option<&str>) {
        self.wanted = topics;
        match &self.wanted {
            None if self.is_taking_part() => self.depart(Departure::Unsubscribed),
            None if matches!(self.state, State::Out | State::Failed) => {
                self.state = State::Out;
                self.effects.push(Effect::Left);
            }
            None => {}
            Some(_) if self.state == State::Failed => self.state = State::Out,
            Some(wanted) => {
                let is_under_way = matches!(
                    self.state,
                    State::Joining | State::Describing(_) | State::Syncing | State::Stable
                );
                self.must_rejoin |= is_under_way && *wanted != self.joined_for;
            }
        }
        self.advance(now);
    }

    fn topics_learned(&mut self, now: Instant, topics: Topics) {
        self.topics.extend(topics);
        if matches!(self.state, State::Describing(_)) {
            if let State::Describing(joined) = std::mem::replace(&mut self.state, State::Joining) {
                self.lead(now, *joined);
            }
        } else if let Some(before) = &self.assigned_from {
            let has_changed = before.iter().any(|(name, shape)| self.topics.get(name) != Some(shape));
            self.must_rejoin |= has_changed;
        }
        self.advance(now);
    }

    fn answered(&mut self, now: Instant, answer: Result<Answer, ClientError>) {
        self.is_asking = false;
        match answer {
            Ok(Answer::Join(response)) => self.joined(now, response),
            Ok(Answer::Sync(response)) => self.synced(now, response),
            Ok(Answer::Heartbeat(response)) => self.heartbeat_answered(now, response.error_code),
            Ok(Answer::Leave) => self.left(),
            // It was never asked.
            Ok(Answer::ConsumerHeartbeat(_)) => {}
            Err(error) => self.unanswered(now, error),
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
            self.depart(Departure::Stalled);
        }
        self.advance(now);
    }

    fn next_wake(&self) -> Option<Instant> {
        let mut wakes = Vec::new();
        if self.is_taking_part() {
            wakes.extend(self.polls.next_wake());
        }
        if self.state == State::Preparing && self.jobs == 0 && !self.is_asking {
            wakes.push(self.retry_at);
        }
        let beats = matches!(self.state, State::Stable | State::Preparing | State::Departing(_));
        if beats && self.generation.is_some() {
            wakes.push(self.session_ends);
            if !self.is_asking {
                wakes.push(self.heartbeat_at);
            }
        }
        wakes.into_iter().min()
    }

    fn topics(&self) -> BTreeSet<TopicName> {
        let led = self.assigned_from.iter().flat_map(|topics| topics.keys());
        self.wanted.iter().flatten().chain(led).cloned().collect()
    }

    fn identity(&self) -> Identity {
        match self.generation {
            Some(generation) => Identity { member_id: self.member_id.clone(), generation },
            None => Identity::none(),
        }
    }

    fn awaits_poll(&self) -> bool {
        self.polls.is_stalled()
    }

    fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}

fn millis(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
