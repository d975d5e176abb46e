//! Conducts one run: starts members, lets the plan's cards happen to them, waits until the group settles, drains it.
//!
//! It acts and takes notes; whether what happened was right is the checker's business. What it sees itself, it reports
//! in the same list: a member that ends without being told to, and a group that does not settle in time.

use super::clients::Clients;
use super::clock;
use super::history::{End, Event, Life, Moment, Story};
use super::member::{Member, Process, Slot};
use super::plan::{Act, Kind, Plan};
use super::settings::{Protocol, Settings};
use crate::broker::Broker;
use crate::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often histories are read.
const TICK: Duration = Duration::from_millis(50);
/// A group is settled when every partition has had its owner for so long.
const STILL_NS: u64 = 1_000_000_000;
/// What a loaded machine may take on top of the group's own time-outs: processes start, rebalances run.
const SLACK: Duration = Duration::from_secs(25);

/// What was done to the members of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fates {
    /// Processes started.
    pub(super) joined: u64,
    /// Ended by SIGTERM.
    pub(super) left: u64,
    /// Ended by SIGKILL.
    pub(super) killed: u64,
    /// Frozen for less than a session.
    pub(super) paused: u64,
    /// Frozen for longer than a session.
    pub(super) frozen: u64,
}

/// What a run left behind.
pub(super) struct Outcome {
    /// For the checker.
    pub(super) story: Story,
    /// By kind.
    pub(super) fates: BTreeMap<Kind, Fates>,
    /// How often the broker died.
    pub(super) broker_kills: u64,
    /// The longest that the group took to settle, in seconds.
    pub(super) longest_unsettled: f64,
    /// What the conductor saw that must not be.
    pub(super) broken: Vec<String>,
}

/// One run.
pub(super) struct Conductor<'a> {
    clients: &'a Clients<'a>,
    broker: &'a mut Broker,
    settings: Settings,
    directory: PathBuf,
    plan: Plan,
    slots: Vec<Slot>,
    producer: Process,
    processed: BTreeMap<i32, i64>,
    lives: Vec<Life>,
    fates: BTreeMap<Kind, Fates>,
    broker_kills: u64,
    settled: Vec<Moment>,
    longest_unsettled: f64,
    broken: Vec<String>,
}

impl<'a> Conductor<'a> {
    /// Creates the topic and starts the producer and two members of each kind, one of them static.
    pub(super) fn start(
        clients: &'a Clients<'a>,
        broker: &'a mut Broker,
        settings: Settings,
        plan: Plan,
        directory: PathBuf,
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(&directory).map_err(Failure::file(&directory))?;
        clients.create_topic(&settings.topic, settings.partition_count)?;
        let mut producer = clients.producer(&settings, &directory.join("producer.jsonl"));
        let producer = Process::start(&mut producer, &directory.join("producer.jsonl"))?;
        let kinds = plan.kinds().to_vec();
        let mut conductor = Self {
            clients,
            broker,
            plan,
            slots: Vec::new(),
            producer,
            processed: BTreeMap::new(),
            lives: Vec::new(),
            fates: BTreeMap::new(),
            broker_kills: 0,
            settled: Vec::new(),
            longest_unsettled: 0.0,
            broken: Vec::new(),
            settings,
            directory,
        };
        for number in 0..2 {
            for kind in &kinds {
                let instance = (number == 0 && conductor.settings.static_members)
                    .then(|| format!("{}-static", kind.name()));
                conductor.slots.push(Slot { kind: *kind, number, instance, member: None });
                conductor.act(Act::Join(*kind))?;
            }
        }
        conductor.settle()?;
        Ok(conductor)
    }

    /// Plays decks until the time is over; at least one.
    pub(super) fn churn(&mut self, time: Duration) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            for step in self.plan.deck() {
                self.wait(step.pause)?;
                self.act(step.act)?;
                let enough = step.act == Act::Settle && self.everybody_had_everything();
                if enough && started.elapsed() >= time {
                    return Ok(());
                }
            }
        }
    }

    /// Restarts one member after the other with another protocol, while records flow.
    pub(super) fn roll(&mut self, protocol: Protocol) -> Result<(), Failure> {
        self.settings.protocol = protocol;
        self.settings.assignor = self.settings.assignor_of(protocol);
        for index in 0..self.slots.len() {
            self.leave(index)?;
            while self.slots[index].member.is_some() {
                self.tick()?;
            }
            self.join(index)?;
            self.wait(Duration::from_millis(1_500))?;
        }
        self.settle()
    }

    /// Ends the producer, lets the group read everything, and lets all members leave.
    pub(super) fn finish(mut self) -> Result<Outcome, Failure> {
        self.thaw_all()?;
        self.settle()?;
        self.producer.signal("TERM")?;
        while !self.producer.ended()? {
            self.tick()?;
        }
        let producer = super::history::read(self.producer.file())?;
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        for line in &producer {
            if let Event::Acknowledged { partition, offset, .. } = line.event {
                let end = ends.entry(partition).or_insert(0);
                *end = (*end).max(offset + 1);
            }
        }
        let read = |processed: &BTreeMap<i32, i64>| {
            ends.iter().all(|(partition, end)| processed.get(partition).is_some_and(|at| at >= end))
        };
        let started = Instant::now();
        while !read(&self.processed) && started.elapsed() < SLACK {
            self.tick()?;
        }
        // Two commit intervals, so that whatever was read is committed before anybody leaves.
        self.wait(Duration::from_millis(2 * self.settings.commit_interval_ms))?;
        for index in 0..self.slots.len() {
            self.leave(index)?;
        }
        let started = Instant::now();
        while self.slots.iter().any(|slot| slot.member.is_some()) {
            if started.elapsed() > SLACK {
                let left = self.slots.iter().filter_map(|slot| Some(slot.member.as_ref()?.name.as_str()));
                let what = format!("still there after SIGTERM: {}", left.collect::<Vec<_>>().join(", "));
                self.broken.push(what);
                break;
            }
            self.tick()?;
        }
        let story = Story {
            partition_count: self.settings.partition_count,
            session_timeout_ms: self.settings.session_timeout_ms,
            producer,
            lives: self.lives,
            settled: self.settled,
        };
        let (fates, broken) = (self.fates, self.broken);
        let (broker_kills, longest_unsettled) = (self.broker_kills, self.longest_unsettled);
        Ok(Outcome { story, fates, broker_kills, longest_unsettled, broken })
    }

    fn everybody_had_everything(&self) -> bool {
        let all = |fates: &Fates| fates.joined > 2 && fates.left > 0 && fates.killed > 0 && fates.frozen > 0;
        let broker = self.broker_kills > 0 || !self.plan.kills_broker();
        broker && self.slots.iter().all(|slot| self.fates.get(&slot.kind).is_some_and(all))
    }

    fn act(&mut self, act: Act) -> Result<(), Failure> {
        match act {
            Act::Join(kind) => {
                match self.slots.iter().position(|it| it.kind == kind && it.member.is_none()) {
                    Some(index) => self.join(index),
                    None => Ok(()),
                }
            }
            Act::Leave(kind) => match self.pick(kind, |_| true) {
                Some(index) => self.leave(index),
                None => Ok(()),
            },
            Act::Kill(kind) => {
                // A killed static member of the newer protocol may come back only after its session; see KIP-848.
                let classic = self.settings.protocol == Protocol::Classic;
                match self.pick(kind, |slot| classic || slot.instance.is_none()) {
                    Some(index) => self.kill(index),
                    None => Ok(()),
                }
            }
            Act::Freeze(kind, time) => match self.pick(kind, |_| true) {
                Some(index) => self.freeze(index, time),
                None => Ok(()),
            },
            Act::KillBroker => {
                self.broker_kills += 1;
                self.broker.kill_and_restart()
            }
            Act::Settle => self.settle(),
        }
    }

    /// One of the kind's members that live, thaw and stay.
    fn pick(&mut self, kind: Kind, also: impl Fn(&Slot) -> bool) -> Option<usize> {
        let here = |slot: &Slot| {
            slot.member.as_ref().is_some_and(|member| member.frozen.is_none() && !member.leaving)
        };
        let fits =
            |(index, slot): (usize, &Slot)| (slot.kind == kind && here(slot) && also(slot)).then_some(index);
        let candidates: Vec<usize> = self.slots.iter().enumerate().filter_map(fits).collect();
        let chosen = self.plan.choose(candidates.len());
        candidates.get(chosen).copied()
    }

    fn join(&mut self, index: usize) -> Result<(), Failure> {
        let slot = &mut self.slots[index];
        let fates = self.fates.entry(slot.kind).or_default();
        fates.joined += 1;
        let name = format!("{}-{}.{}", slot.kind.name(), slot.number, fates.joined);
        let file = self.directory.join(format!("{name}.jsonl"));
        let mut command = self.clients.member(slot.kind, &self.settings, slot.instance.as_deref(), &file);
        slot.member = Some(Member::new(Process::start(&mut command, &file)?, name));
        Ok(())
    }

    fn leave(&mut self, index: usize) -> Result<(), Failure> {
        let slot = &mut self.slots[index];
        if let Some(member) = slot.member.as_mut().filter(|member| !member.leaving) {
            self.fates.entry(slot.kind).or_default().left += 1;
            member.leaving = true;
            member.process.signal("TERM")?;
        }
        Ok(())
    }

    fn kill(&mut self, index: usize) -> Result<(), Failure> {
        let slot = &mut self.slots[index];
        if let Some(mut member) = slot.member.take() {
            self.fates.entry(slot.kind).or_default().killed += 1;
            member.process.kill()?;
            self.lives.push(member.life(slot.instance.clone(), End::Killed)?);
        }
        Ok(())
    }

    fn freeze(&mut self, index: usize, time: Duration) -> Result<(), Failure> {
        let slot = &mut self.slots[index];
        if let Some(member) = slot.member.as_mut() {
            let fates = self.fates.entry(slot.kind).or_default();
            let long = time.as_millis() as u64 > self.settings.session_timeout_ms;
            *(if long { &mut fates.frozen } else { &mut fates.paused }) += 1;
            let now = clock::now();
            member.process.signal("STOP")?;
            member.frozen = Some((now, now + time.as_nanos() as u64));
        }
        Ok(())
    }

    fn thaw_all(&mut self) -> Result<(), Failure> {
        while self.slots.iter().any(|slot| slot.member.as_ref().is_some_and(|it| it.frozen.is_some())) {
            self.tick()?;
        }
        Ok(())
    }

    fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        let started = Instant::now();
        while started.elapsed() < time {
            self.tick()?;
        }
        Ok(())
    }

    /// Reads histories, takes freezes back that are over, and notices who has ended.
    fn tick(&mut self) -> Result<(), Failure> {
        std::thread::sleep(TICK);
        let now = clock::now();
        for slot in &mut self.slots {
            let Some(mut member) = slot.member.take() else { continue };
            if member.frozen.is_some_and(|(_, until)| until <= now) {
                member.thaw()?;
            }
            // Ended first, read then: whatever it wrote is there.
            let ended = member.process.ended();
            let followed = member.follow(|partition, end| {
                let furthest = self.processed.entry(partition).or_insert(0);
                *furthest = (*furthest).max(end);
            });
            match (ended, followed) {
                (Ok(false), Ok(())) => slot.member = Some(member),
                (Ok(true), Ok(())) if member.leaving => {
                    self.lives.push(member.life(slot.instance.clone(), End::Left)?);
                }
                (ended, followed) => {
                    let why = ended
                        .err()
                        .or(followed.err())
                        .map_or("for no reason".to_owned(), |it| it.to_string());
                    self.broken.push(format!("{} ended by itself: {why}", member.name));
                    println!("{} ended by itself: {why}", member.name);
                    member.process.kill()?;
                    self.lives.push(member.life(slot.instance.clone(), End::Killed)?);
                }
            }
        }
        Ok(())
    }

    /// Waits until every partition has one owner and every member has a partition, and nothing has moved for a second.
    fn settle(&mut self) -> Result<(), Failure> {
        self.thaw_all()?;
        let timeouts = self.settings.session_timeout_ms + self.settings.rebalance_timeout_ms;
        let limit = Duration::from_millis(timeouts) + SLACK;
        let (started, from) = (Instant::now(), clock::now());
        while !self.is_settled() {
            if started.elapsed() > limit {
                let owners = self.slots.iter().filter_map(|slot| {
                    let member = slot.member.as_ref()?;
                    Some(format!("{} {:?}", member.name, member.owned))
                });
                let owners = owners.collect::<Vec<_>>().join(", ");
                let what = format!("the group has not settled in {} s: {owners}", limit.as_secs());
                println!("{what}");
                self.broken.push(what);
                return Ok(());
            }
            self.tick()?;
        }
        let moved = self.members().map(|member| member.changed).max().unwrap_or(from);
        self.longest_unsettled = self.longest_unsettled.max(clock::seconds(from, moved));
        self.settled.push(clock::now());
        Ok(())
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.slots.iter().filter_map(|slot| slot.member.as_ref())
    }

    fn is_settled(&self) -> bool {
        let mut owned = BTreeSet::<i32>::new();
        let mut count = 0;
        for member in self.members() {
            count += member.owned.len();
            owned.extend(&member.owned);
            if member.leaving || member.owned.is_empty() || member.changed + STILL_NS > clock::now() {
                return false;
            }
        }
        count == owned.len() && owned.len() == self.settings.partition_count as usize
    }
}
