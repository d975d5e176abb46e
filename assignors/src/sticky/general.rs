//! Sticky where subscriptions differ: keep what may be kept, give the rest to the least loaded, then even out.
//!
//! Partitions of topics with few subscribers go first, since they have the least choice. Evening out moves one partition
//! at a time to the least loaded subscriber until no move would help; if after all that the whole is no better than
//! before, nothing moves.

use super::claims::Claims;
use super::movements::Movements;
use super::{Assigned, Group};
use crate::input::{Partition, TopicIndex};
use std::collections::BTreeSet;

/// Passes over all partitions. Every case seen ends within a few; a partition sent back in place of another can in
/// principle undo a move, and this says that nobody waits for that.
const PASSES_MAX: usize = 256;

pub(super) fn assign(group: &Group<'_>, claims: &Claims) -> Assigned {
    let mut balance = Balance::new(group);
    let revoked = balance.keep(claims);
    let initial = balance.loads.iter().all(|load| *load == 0);
    let all = balance.all();
    let unassigned: Vec<Partition> =
        all.iter().copied().filter(|one| balance.owner(*one).is_none()).collect();
    balance.give_out(&unassigned);

    // Only what two members could have may move.
    let shared = |one: &Partition| group.subscribers[one.topic.at()].len() >= 2;
    let (owners, loads) = (balance.owners.clone(), balance.loads.clone());
    let movable = balance.movable();
    let of_movable = |loads: &[usize]| movable.iter().map(|member| loads[*member]).collect::<Vec<usize>>();
    if !revoked {
        let new: Vec<Partition> = unassigned.into_iter().filter(shared).collect();
        balance.even_out(&new, claims);
    }
    let reassignable: Vec<Partition> = all.into_iter().filter(shared).collect();
    let moved = balance.even_out(&reassignable, claims);
    if !initial && moved && unevenness(of_movable(&balance.loads)) >= unevenness(of_movable(&loads)) {
        balance.owners = owners;
    }
    Assigned { rows: balance.rows(), moving: None }
}

/// The sum of differences over all pairs of members.
fn unevenness(mut loads: Vec<usize>) -> usize {
    loads.sort_unstable();
    let mut before = 0;
    let mut sum = 0;
    for (place, load) in loads.into_iter().enumerate() {
        sum += load * place - before;
        before += load;
    }
    sum
}

struct Balance<'a> {
    group: &'a Group<'a>,
    /// Per topic and member.
    wants: Vec<Vec<bool>>,
    /// Per topic and partition.
    owners: Vec<Vec<Option<usize>>>,
    /// Per member.
    loads: Vec<usize>,
    /// Load, place in the order of ids, member: the least loaded first.
    sorted: BTreeSet<(usize, usize, usize)>,
    movements: Movements,
    /// A topic that was found uneven last; it usually still is.
    uneven: Option<usize>,
}

impl<'a> Balance<'a> {
    fn new(group: &'a Group<'a>) -> Balance<'a> {
        let mut wants = vec![vec![false; group.members.len()]; group.topics.len()];
        for (topic, subscribers) in group.subscribers.iter().enumerate() {
            for member in subscribers {
                wants[topic][*member] = true;
            }
        }
        let members = 0..group.members.len();
        Balance {
            wants,
            owners: group.topics.iter().map(|topic| vec![None; topic.partitions as usize]).collect(),
            loads: vec![0; group.members.len()],
            sorted: members.map(|member| (0, group.id_rank[member], member)).collect(),
            movements: Movements::new(group.topics),
            uneven: None,
            group,
        }
    }

    fn owner(&self, one: Partition) -> Option<usize> {
        self.owners[one.topic.at()][one.partition as usize]
    }

    fn set_load(&mut self, member: usize, load: usize) {
        let rank = self.group.id_rank[member];
        self.sorted.remove(&(self.loads[member], rank, member));
        self.loads[member] = load;
        self.sorted.insert((load, rank, member));
    }

    fn give(&mut self, one: Partition, member: usize) {
        if let Some(before) = self.owners[one.topic.at()][one.partition as usize].replace(member) {
            self.set_load(before, self.loads[before] - 1);
        }
        self.set_load(member, self.loads[member] + 1);
    }

    /// Members keep what they claim, still want and, if racks matter, read in their rack. Whether anything was taken away.
    fn keep(&mut self, claims: &Claims) -> bool {
        let mut revoked = false;
        for (member, owned) in claims.owned.iter().enumerate() {
            for one in owned {
                if self.wants[one.topic.at()][member] && !self.group.rack_mismatches(member, *one) {
                    self.give(*one, member);
                } else {
                    revoked = true;
                }
            }
        }
        revoked
    }

    /// All partitions: topics with fewest subscribers first, then by name.
    fn all(&self) -> Vec<Partition> {
        let mut topics = self.group.wanted.clone();
        topics.sort_by_key(|topic| self.group.subscribers[*topic].len());
        let partitions = |topic: usize| {
            let index = TopicIndex(topic as u32);
            (0..self.group.topics[topic].partitions)
                .map(move |partition| Partition { topic: index, partition })
        };
        topics.into_iter().flat_map(partitions).collect()
    }

    fn give_out(&mut self, unassigned: &[Partition]) {
        let mut rest = unassigned.to_vec();
        if self.group.racks.is_some() {
            rest.retain(|one| match self.least_loaded(*one, true) {
                Some(member) => {
                    self.give(*one, member);
                    false
                }
                None => true,
            });
        }
        for one in rest {
            let member = self.least_loaded(one, false).expect("a wanted topic has a subscriber");
            self.give(one, member);
        }
    }

    fn least_loaded(&self, one: Partition, in_rack: bool) -> Option<usize> {
        let fits = |member: usize| !in_rack || !self.group.rack_mismatches(member, one);
        let subscribers = &self.group.subscribers[one.topic.at()];
        if subscribers.len() * 2 < self.loads.len() {
            // Most members would be passed over in the order of loads.
            let candidates = subscribers.iter().copied().filter(|member| fits(*member));
            return candidates.min_by_key(|member| (self.loads[*member], self.group.id_rank[*member]));
        }
        let wants = &self.wants[one.topic.at()];
        self.sorted.iter().map(|(_, _, member)| *member).find(|member| wants[*member] && fits(*member))
    }

    /// Members that could get or lose something: those that lack a partition they want, or share a topic.
    fn movable(&self) -> Vec<usize> {
        let mut most = vec![0; self.loads.len()];
        let mut shares = vec![false; self.loads.len()];
        for topic in &self.group.wanted {
            let subscribers = &self.group.subscribers[*topic];
            for member in subscribers {
                most[*member] += self.owners[*topic].len();
            }
            if subscribers.len() >= 2 {
                self.owners[*topic].iter().flatten().for_each(|member| shares[*member] = true);
            }
        }
        (0..self.loads.len())
            .filter(|member| self.loads[*member] < most[*member] || shares[*member])
            .collect()
    }

    /// Moves partitions of this list while that evens out the whole. Whether any moved.
    fn even_out(&mut self, partitions: &[Partition], claims: &Claims) -> bool {
        let mut any = false;
        let mut even = self.is_even();
        for _ in 0..PASSES_MAX {
            let mut moved = false;
            for one in partitions {
                if even {
                    break;
                }
                let owner = self.owner(*one).expect("everything wanted has been given out");
                if let Some(to) = self.better_owner(*one, owner, claims) {
                    self.pass_on(*one, owner, to);
                    moved = true;
                    even = self.is_even();
                }
            }
            if !moved {
                break;
            }
            any = true;
        }
        any
    }

    /// Whoever had the partition in an older generation if that helps; else the least loaded subscriber if that helps.
    fn better_owner(&self, one: Partition, owner: usize, claims: &Claims) -> Option<usize> {
        let helps = |other: usize| self.loads[owner] > self.loads[other] + 1;
        let previous = claims.previous.get(&one).copied();
        if let Some(previous) = previous
            && self.wants[one.topic.at()][previous]
            && helps(previous)
        {
            return Some(previous);
        }
        self.least_loaded(one, false).filter(|least| helps(*least))
    }

    fn pass_on(&mut self, one: Partition, owner: usize, to: usize) {
        let instead = self.movements.instead_of(one, owner, to);
        let from = self.owner(instead).expect("what moved has an owner");
        self.movements.record(instead, from, to);
        self.give(instead, to);
    }

    /// Whether no partition could go to a subscriber who has at least two fewer than its owner.
    fn is_even(&mut self) -> bool {
        let loads = (self.sorted.first(), self.sorted.last());
        if let (Some((least, ..)), Some((most, ..))) = loads
            && *most <= *least + 1
        {
            return true;
        }
        if self.uneven.is_some_and(|topic| self.is_uneven(topic)) {
            return false;
        }
        self.uneven = self.group.wanted.iter().copied().find(|topic| self.is_uneven(*topic));
        self.uneven.is_none()
    }

    fn is_uneven(&self, topic: usize) -> bool {
        let least = self.group.subscribers[topic].iter().map(|member| self.loads[*member]).min();
        let most = self.owners[topic].iter().flatten().map(|member| self.loads[*member]).max();
        matches!((least, most), (Some(least), Some(most)) if most > least + 1)
    }

    fn rows(&self) -> Vec<Vec<Partition>> {
        let mut rows = vec![Vec::new(); self.group.members.len()];
        for (topic, owners) in self.owners.iter().enumerate() {
            for (owner, partition) in owners.iter().zip(0..) {
                if let Some(member) = owner {
                    rows[*member].push(Partition::new(topic as u32, partition));
                }
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unevenness_is_the_sum_over_pairs() {
        assert_eq!(unevenness(vec![3, 1, 2]), 4);
        assert_eq!(unevenness(vec![5, 5, 5]), 0);
    }
}
