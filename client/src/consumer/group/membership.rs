//! The task of a consumer's membership: tells the machine what happens and does what it asks.
//!
//! Whatever waits for a broker or for the program runs in a task of its own and comes back as an event, so signs of life
//! go on meanwhile: one question to the coordinator, one handover, one look at topics, one of positions and one automatic
//! commit at a time. Decisions are the machine's. It ends when the consumer is closed or dropped and the group is left,
//! or cannot be left in time.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ottla_protocol::{TopicId, TopicName};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::commit::{Extent, commit, fetch_committed};
use super::effect::{Answer, Effect, Identity, Membership, Taking};
use super::handover::{Handover, Kind};
use super::question::ask;
use super::subscription::Subscription;
use super::topics::{Learned, known, learn};
use super::{Group, Handle, Inner, Seen};
use crate::consumer::assignment::{Awaited, Consumed};
use crate::consumer::config::GroupProtocol;
use crate::error::Result;

/// A topic that is wanted but does not exist is looked for this often.
const MISSING_TOPIC_AGE_MAX: Duration = Duration::from_secs(2);

/// After an error that is not expected to pass, positions are asked for again after this.
const POSITIONS_RETRY: Duration = Duration::from_secs(5);

enum Event {
    Answered(u64, Result<Answer>),
    HandedOver,
    Learned(Result<Learned>),
    Settled(Vec<(Awaited, Result<Option<Consumed>>)>),
    Committed(Result<()>),
}

struct Shell {
    inner: Arc<Inner>,
    handle: Weak<Handle>,
    machine: Box<dyn Membership>,
    events: mpsc::UnboundedSender<Event>,
    subscription: Option<Arc<Subscription>>,
    version: u64,
    is_out: bool,
    /// The open question: its number, and how to give it up.
    question: (u64, Option<AbortHandle>),
    handovers: VecDeque<Handover>,
    hurry: Option<CancellationToken>,
    to_learn: BTreeSet<TopicName>,
    to_learn_by_id: BTreeSet<TopicId>,
    is_learning: bool,
    learn_at: Instant,
    seen_metadata: u64,
    is_settling: bool,
    settle_at: Option<Instant>,
    is_committing: bool,
    commit_at: Option<Instant>,
    /// By when it ends, whether or not the group could be left.
    ends_at: Option<Instant>,
}

/// Runs until the consumer is closed, or its last handle is gone, and the group is left.
pub(in crate::consumer) async fn run(inner: Arc<Inner>, handle: Weak<Handle>) {
    let Some(group) = &inner.group else { return };
    let (events, mut incoming) = mpsc::unbounded_channel();
    let mut shell = Shell::new(Arc::clone(&inner), group, handle, events);
    while let Some(wake_at) = shell.work(group, Instant::now()) {
        tokio::select! {
            () = group.wake.notified() => {}
            Some(event) = incoming.recv() => shell.handle(group, event),
            () = sleep_until(wake_at.into()) => {}
        }
    }
    if let Some(question) = shell.question.1.take() {
        question.abort();
    }
    *group.identity.lock() = Identity::none();
    group.seen.send_replace(Seen { version: u64::MAX, is_out: true });
}

impl Shell {
    fn new(
        inner: Arc<Inner>,
        group: &Group,
        handle: Weak<Handle>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Shell {
        let now = Instant::now();
        Shell {
            machine: group.membership(),
            commit_at: inner.config.auto_commit.map(|interval| now + interval),
            inner,
            handle,
            events,
            subscription: None,
            version: 0,
            is_out: true,
            question: (0, None),
            handovers: VecDeque::new(),
            hurry: None,
            to_learn: BTreeSet::new(),
            to_learn_by_id: BTreeSet::new(),
            is_learning: false,
            learn_at: now,
            seen_metadata: 0,
            is_settling: false,
            settle_at: None,
            is_committing: false,
            ends_at: None,
        }
    }

    /// Does all that can be done now and says when to look again at the latest; none when it is over.
    fn work(&mut self, group: &Group, now: Instant) -> Option<Instant> {
        self.hear_program(group, now);
        self.machine.polled(now, group.polled_at(now));
        self.machine.tick(now);
        self.look_at_metadata(now);
        self.obey(group);
        self.learn(now);
        self.settle(now);
        self.commit(now);
        *group.identity.lock() = self.machine.identity();
        group.program.lock().is_awaited = self.machine.awaits_poll();
        let seen = Seen { version: self.version, is_out: self.is_out && self.hurry.is_none() };
        group.seen.send_if_modified(|before| std::mem::replace(before, seen) != seen);
        if self.ends_at.is_some_and(|at| seen.is_out || now >= at) {
            return None;
        }
        let mut wake_at = now + self.inner.client.config().metadata_max_age;
        let learn_at = Some(self.learn_at).filter(|_| self.subscription.is_some() && !self.is_learning);
        let wakes = [self.machine.next_wake(), learn_at, self.settle_at, self.commit_at, self.ends_at];
        for wake in wakes.into_iter().flatten() {
            // What is due but cannot go yet is woken by the event it waits for.
            if wake > now {
                wake_at = wake_at.min(wake);
            }
        }
        Some(wake_at)
    }

    fn hear_program(&mut self, group: &Group, now: Instant) {
        let (subscription, version) = {
            let desired = group.desired.lock();
            (desired.subscription.clone(), desired.version)
        };
        if self.inner.is_closed.load(Ordering::Acquire) && self.ends_at.is_none() {
            self.ends_at = Some(now + self.inner.client.config().api_timeout);
            self.want(None, now);
            // Nobody polls any more.
            self.hurry_up();
        } else if version != self.version && self.ends_at.is_none() {
            self.want(subscription, now);
        }
        self.version = version;
    }

    fn want(&mut self, subscription: Option<Arc<Subscription>>, now: Instant) {
        self.is_out = false;
        self.learn_at = now;
        match subscription.as_deref() {
            None => self.machine.subscribe(now, None, None),
            Some(names @ Subscription::Names(_)) => {
                self.machine.subscribe(now, Some(names.topics(&[])), None);
            }
            Some(Subscription::Pattern(pattern))
                if self.inner.config.group_protocol == GroupProtocol::Consumer =>
            {
                self.machine.subscribe(now, Some(BTreeSet::new()), Some(pattern.text()));
            }
            // Once it is known what matches.
            Some(Subscription::Pattern(_)) => {}
        }
        self.subscription = subscription;
    }

    fn hurry_up(&mut self) {
        if let Some(hurry) = &self.hurry {
            hurry.cancel();
        }
    }

    /// Carries out what the machine asks, until it asks nothing more.
    fn obey(&mut self, group: &Group) {
        loop {
            let effects = self.machine.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.carry_out(group, effect);
            }
        }
    }

    fn carry_out(&mut self, group: &Group, effect: Effect) {
        tracing::trace!(group = group.settings.group_id, ?effect, "the membership asks");
        match effect {
            Effect::Ask(question) => {
                let number = self.question.0 + 1;
                let (inner, events) = (Arc::clone(&self.inner), self.events.clone());
                // The commits of what goes back must find the identity that the question does.
                *group.identity.lock() = self.machine.identity();
                let task = tokio::spawn(async move {
                    let Some(group) = &inner.group else { return };
                    let _ = events.send(Event::Answered(number, ask(&inner, group, *question).await));
                });
                if let Some(before) = self.question.1.replace(task.abort_handle()) {
                    before.abort();
                }
                self.question.0 = number;
            }
            Effect::ForgetCoordinator => group.coordinator.forget(),
            Effect::LearnTopics(topics) => {
                self.to_learn.extend(topics);
                self.learn_at = Instant::now();
            }
            Effect::LearnTopicIds(ids) => {
                self.learn_at = Instant::now();
                self.to_learn_by_id.extend(ids);
            }
            Effect::Take(partitions, taking) => {
                if taking == Taking::Lost {
                    self.hurry_up();
                }
                self.hand_over(Handover { partitions, kind: Kind::Take(taking) });
            }
            Effect::Give(partitions) => self.hand_over(Handover { partitions, kind: Kind::Give }),
            Effect::Fail(error) => {
                tracing::error!(%error, group = group.settings.group_id, "the group cannot be joined");
                group.program.lock().failure = Some(error);
                self.inner.filled.notify_waiters();
                self.inner.filled.notify_one();
            }
            Effect::Left => self.is_out = true,
        }
    }

    fn hand_over(&mut self, handover: Handover) {
        self.handovers.push_back(handover);
        self.begin_handover();
    }

    fn begin_handover(&mut self) {
        if self.hurry.is_some() {
            return;
        }
        let Some(handover) = self.handovers.pop_front() else { return };
        let hurry = CancellationToken::new();
        let loses = |waiting: &Handover| waiting.kind == Kind::Take(Taking::Lost);
        if self.ends_at.is_some() || self.handovers.iter().any(loses) {
            hurry.cancel();
        }
        let work = handover.run(Arc::clone(&self.inner), Weak::clone(&self.handle), hurry.clone());
        self.hurry = Some(hurry);
        let (task, events) = (tokio::spawn(work), self.events.clone());
        tokio::spawn(async move {
            // A listener that panics has had its chance.
            let _ = task.await;
            let _ = events.send(Event::HandedOver);
        });
    }

    /// Tells the machine what others have learned of its topics meanwhile.
    fn look_at_metadata(&mut self, now: Instant) {
        let generation = self.inner.client.metadata().generation();
        if generation != self.seen_metadata {
            self.seen_metadata = generation;
            let topics = known(&self.inner.client, &self.machine.topics());
            self.machine.topics_learned(now, topics);
        }
    }

    fn learn(&mut self, now: Instant) {
        if self.is_learning || now < self.learn_at {
            return;
        }
        let Some(subscription) = self.subscription.clone() else { return };
        self.is_learning = true;
        let mut wanted = self.machine.topics();
        wanted.extend(self.to_learn.iter().cloned());
        let ids = std::mem::take(&mut self.to_learn_by_id);
        let (client, events) = (self.inner.client.clone(), self.events.clone());
        // Brokers of the consumer protocol match patterns themselves.
        let subscription =
            Some(subscription).filter(|_| self.inner.config.group_protocol == GroupProtocol::Classic);
        tokio::spawn(async move {
            let _ = events.send(Event::Learned(learn(&client, wanted, ids, subscription.as_deref()).await));
        });
    }

    fn settle(&mut self, now: Instant) {
        if self.is_settling || self.settle_at.is_none_or(|at| now < at) {
            return;
        }
        self.settle_at = None;
        let awaited = self.inner.assignment.lock().awaited();
        if awaited.is_empty() {
            return;
        }
        self.is_settling = true;
        let (inner, events) = (Arc::clone(&self.inner), self.events.clone());
        tokio::spawn(async move {
            let Some(group) = &inner.group else { return };
            let _ = events.send(Event::Settled(settled(&inner, group, awaited).await));
        });
    }

    /// Commits what is acknowledged, when it is time.
    fn commit(&mut self, now: Instant) {
        let Some(interval) = self.inner.config.auto_commit else { return };
        if self.is_committing || self.commit_at.is_some_and(|at| now < at) {
            return;
        }
        self.is_committing = true;
        self.commit_at = Some(now + interval);
        let (inner, events) = (Arc::clone(&self.inner), self.events.clone());
        tokio::spawn(async move {
            let Some(group) = &inner.group else { return };
            let _ = events.send(Event::Committed(commit(&inner, group, Extent::Acknowledged).await));
        });
    }

    fn handle(&mut self, group: &Group, event: Event) {
        let now = Instant::now();
        match event {
            Event::Answered(number, answer) => {
                if number == self.question.0 {
                    self.question.1 = None;
                    self.machine.answered(now, answer);
                }
            }
            Event::HandedOver => {
                self.hurry = None;
                self.begin_handover();
                self.settle_at = Some(now);
                self.inner.hungry.notify_one();
                self.machine.done(now);
            }
            Event::Learned(learned) => self.learned(group, now, learned),
            Event::Settled(settled) => self.settled(group, now, settled),
            Event::Committed(outcome) => {
                self.is_committing = false;
                if let Err(error) = outcome {
                    tracing::warn!(%error, group = group.settings.group_id, "an automatic commit failed");
                }
            }
        }
    }

    fn learned(&mut self, group: &Group, now: Instant, learned: Result<Learned>) {
        self.is_learning = false;
        let config = self.inner.client.config();
        let Learned { topics, matching } = match learned {
            Ok(learned) => learned,
            Err(error) => {
                tracing::debug!(%error, group = group.settings.group_id, "topics could not be looked at");
                self.learn_at = now + config.backoff.max;
                return;
            }
        };
        self.seen_metadata = self.inner.client.metadata().generation();
        let is_missing = topics.values().any(|shape| shape.partition_count == 0);
        let age_max = config.metadata_max_age;
        self.learn_at = now + if is_missing { age_max.min(MISSING_TOPIC_AGE_MAX) } else { age_max };
        self.to_learn.retain(|name| !topics.contains_key(name));
        if !self.to_learn.is_empty() {
            self.learn_at = now;
        }
        if let (Some(matching), Some(Subscription::Pattern(pattern))) =
            (matching, self.subscription.as_deref())
        {
            self.machine.subscribe(now, Some(matching), Some(pattern.text()));
        }
        self.machine.topics_learned(now, topics);
    }

    fn settled(&mut self, group: &Group, now: Instant, settled: Vec<(Awaited, Result<Option<Consumed>>)>) {
        self.is_settling = false;
        {
            let mut assignment = self.inner.assignment.lock();
            let mut committed = group.committed.lock();
            for (awaited, answer) in settled {
                match answer {
                    Ok(consumed) => {
                        if let Some(consumed) = consumed {
                            committed.insert(awaited.partition.clone(), consumed.offset);
                        }
                        assignment.settle(&awaited, consumed);
                    }
                    Err(error) => {
                        tracing::warn!(%error, group = group.settings.group_id, "no position");
                        self.settle_at = Some(now + POSITIONS_RETRY);
                        if !error.is_retriable() {
                            assignment.fail(error);
                        }
                    }
                }
            }
            if self.settle_at.is_none() && !assignment.awaited().is_empty() {
                self.settle_at = Some(now);
            }
        }
        self.inner.hungry.notify_one();
        self.inner.filled.notify_one();
    }
}

/// The group's answer for each partition; an error of the whole call is each partition's.
async fn settled(
    inner: &Inner,
    group: &Group,
    awaited: Vec<Awaited>,
) -> Vec<(Awaited, Result<Option<Consumed>>)> {
    let partitions: Vec<_> = awaited.iter().map(|one| one.partition.clone()).collect();
    let outcome = fetch_committed(inner, group, &partitions).await;
    let answer = |one: &Awaited| match &outcome {
        Err(error) => Err(error.clone()),
        Ok(known) => match known.get(&one.partition) {
            Some(Ok(committed)) => Ok(committed.as_ref().map(|committed| Consumed {
                offset: committed.offset,
                leader_epoch: committed.leader_epoch,
            })),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(None),
        },
    };
    awaited
        .into_iter()
        .map(|one| {
            let answer = answer(&one);
            (one, answer)
        })
        .collect()
}
