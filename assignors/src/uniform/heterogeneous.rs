//! `uniform` where subscriptions differ: keep what may be kept, spread the rest, then even out topic by topic.
//!
//! A perfect answer would be a flow problem; this is Kafka's approximation, and like it, it stops after a fixed number of
//! rounds over all topics. What one topic's subscribers could pass on through another topic is not looked for.

use super::load::Load;
use super::{kept, nobody, ranks};
use crate::input::{Member, Partition, Topic, TopicIndex};
use crate::order::{members_by_id, topics_by_name};

/// Rounds over all topics. Each about halves what is uneven, so this evens out what a u16 can count.
const ROUNDS_MAX: usize = 16;

pub(super) fn assign(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Vec<Partition>> {
    let order = members_by_id(members);
    let mut group = Group::new(topics, members, &order);
    group.keep(topics, members, &order);
    group.spread();
    group.even_out();

    let mut rows = vec![Vec::new(); members.len()];
    for (topic, owners) in group.owners.iter().enumerate() {
        for (owner, partition) in owners.iter().zip(0..) {
            if let Some(place) = owner {
                rows[order[*place]].push(Partition::new(topic as u32, partition));
            }
        }
    }
    rows
}

/// Members are places in the order of their ids here.
struct Group {
    /// Subscribed topics that exist; those with most partitions per subscriber first.
    topics: Vec<usize>,
    /// Per topic, ascending.
    subscribers: Vec<Vec<usize>>,
    /// Per topic and partition.
    owners: Vec<Vec<Option<usize>>>,
    /// How many partitions each member has.
    loads: Vec<u32>,
}

impl Group {
    fn new(topics: &[Topic<'_>], members: &[Member<'_>], order: &[usize]) -> Group {
        let mut subscribers = vec![Vec::new(); topics.len()];
        for (place, member) in order.iter().enumerate() {
            for topic in &members[*member].topics {
                let of_topic: &mut Vec<usize> = &mut subscribers[topic.at()];
                if of_topic.last() != Some(&place) {
                    of_topic.push(place);
                }
            }
        }
        let mut wanted = topics_by_name(topics);
        wanted.retain(|topic| topics[*topic].partitions > 0 && !subscribers[*topic].is_empty());
        wanted.sort_by(|left, right| {
            let share = |topic: usize| f64::from(topics[topic].partitions) / subscribers[topic].len() as f64;
            let fewer = || subscribers[*left].len().cmp(&subscribers[*right].len());
            share(*right).total_cmp(&share(*left)).then_with(fewer)
        });
        Group {
            topics: wanted,
            subscribers,
            owners: topics.iter().map(|topic| vec![None; topic.partitions as usize]).collect(),
            loads: vec![0; members.len()],
        }
    }

    /// What members hold of topics that they still want stays.
    fn keep(&mut self, topics: &[Topic<'_>], members: &[Member<'_>], order: &[usize]) {
        let rank = ranks(&topics_by_name(topics));
        let mut taken = nobody(topics);
        for (place, member) in order.iter().enumerate() {
            let wants = |topic: TopicIndex| self.subscribers[topic.at()].binary_search(&place).is_ok();
            for one in kept(&members[*member], &rank, topics, &mut taken, wants) {
                self.owners[one.topic.at()][one.partition as usize] = Some(place);
                self.loads[place] += 1;
            }
        }
    }

    /// What nobody holds goes to the least loaded subscriber, each time.
    fn spread(&mut self) {
        for topic in &self.topics {
            let owners = &mut self.owners[*topic];
            let free: Vec<usize> =
                (0..owners.len()).filter(|partition| owners[*partition].is_none()).collect();
            if free.is_empty() {
                continue;
            }
            let mut load = Load::of(&self.subscribers[*topic], &self.loads);
            for partition in free {
                let receiver = load.receiver(&self.loads);
                owners[partition] = Some(receiver);
                self.loads[receiver] += 1;
            }
        }
    }

    /// Goes round the topics until a whole round moved nothing, or long enough.
    fn even_out(&mut self) {
        let shared: Vec<usize> =
            self.topics.iter().copied().filter(|topic| self.subscribers[*topic].len() >= 2).collect();
        let mut held =
            Held { of_topic: Vec::new(), from: vec![0; self.loads.len()], to: vec![0; self.loads.len()] };
        let mut last_changed = None;
        for _ in 0..ROUNDS_MAX {
            for (index, topic) in shared.iter().enumerate() {
                if last_changed == Some(index) {
                    return;
                }
                if self.even_out_topic(*topic, &mut held) || last_changed.is_none() {
                    last_changed = Some(index);
                }
            }
        }
    }

    /// Moves partitions from the most to the least loaded subscribers. Whether anything moved.
    fn even_out_topic(&mut self, topic: usize, held: &mut Held) -> bool {
        let mut load = Load::of(&self.subscribers[topic], &self.loads);
        if load.spread(&self.loads) <= 1 {
            return false;
        }
        held.fill(&self.owners[topic], &self.subscribers[topic]);
        let mut moved = false;
        while !load.is_even() {
            let Some(giver) = load.giver(&self.loads, |member| held.from[member] < held.to[member]) else {
                break;
            };
            held.to[giver] -= 1;
            let partition = held.of_topic[held.to[giver]];
            let receiver = load.receiver(&self.loads);
            if load.is_even() {
                break;
            }
            self.owners[topic][partition] = Some(receiver);
            self.loads[giver] -= 1;
            self.loads[receiver] += 1;
            moved = true;
        }
        moved
    }
}

/// The partitions of one topic, grouped by owner: `of_topic[from[member]..to[member]]`. Used again for each topic.
struct Held {
    of_topic: Vec<usize>,
    from: Vec<usize>,
    to: Vec<usize>,
}

impl Held {
    fn fill(&mut self, owners: &[Option<usize>], subscribers: &[usize]) {
        for member in subscribers {
            self.from[*member] = 0;
            self.to[*member] = 0;
        }
        self.of_topic.clear();
        self.of_topic.extend(0..owners.len());
        self.of_topic.sort_by_key(|partition| owners[*partition]);
        for (place, partition) in self.of_topic.iter().enumerate() {
            if let Some(owner) = owners[*partition] {
                if self.to[owner] == 0 {
                    self.from[owner] = place;
                }
                self.to[owner] = place + 1;
            }
        }
    }
}
