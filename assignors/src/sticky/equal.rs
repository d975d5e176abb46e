//! Sticky where all subscribed to the same topics: two quotas a partition apart say who keeps how many.
//!
//! Members keep what they own up to the quota, in their own rack if racks matter; what is left is dealt to those below it,
//! first within racks, then to anybody.

use super::claims::Claims;
use super::{Assigned, Group};
use crate::input::{Partition, TopicIndex};
use std::collections::{HashMap, HashSet, VecDeque};

pub(super) fn assign(group: &Group<'_>, claims: &Claims) -> Assigned {
    let total = group.total();
    let mut deal = Deal {
        group,
        claims,
        rows: vec![Vec::new(); group.members.len()],
        below: Vec::new(),
        at_least: VecDeque::new(),
        least: total / group.members.len(),
        most: total.div_ceil(group.members.len()),
        extras: total % group.members.len(),
        extras_given: 0,
        lost: HashMap::new(),
        moving: HashMap::new(),
    };
    deal.keep();
    let by_id = |member: &usize| group.id_rank[*member];
    deal.below.sort_by_key(by_id);
    deal.at_least.make_contiguous().sort_by_key(by_id);
    let mut unassigned = deal.unassigned();
    if group.racks.is_some() {
        deal.sort_by_rack_readers(&mut unassigned);
        deal.deal_within_racks(&mut unassigned);
    }
    deal.deal_to_anybody(&unassigned);
    Assigned { rows: deal.rows, moving: Some(deal.moving) }
}

struct Deal<'a> {
    group: &'a Group<'a>,
    claims: &'a Claims,
    rows: Vec<Vec<Partition>>,
    /// Members with fewer than `least` partitions.
    below: Vec<usize>,
    /// Members with exactly `least` that may still get one more.
    at_least: VecDeque<usize>,
    least: usize,
    most: usize,
    /// How many members get `most`; 0 if that is no more than `least`.
    extras: usize,
    extras_given: usize,
    /// What a member owned and could not keep.
    lost: HashMap<Partition, usize>,
    /// What goes to another than its owner.
    moving: HashMap<Partition, usize>,
}

impl Deal<'_> {
    /// Everybody keeps what they own, up to their quota.
    fn keep(&mut self) {
        for member in self.group.asked.iter().copied() {
            let mut owned = self.claims.owned[member].clone();
            owned.retain(|one| {
                let mismatch = self.group.rack_mismatches(member, *one);
                if mismatch {
                    self.lost.insert(*one, member);
                }
                !mismatch && !self.claims.disputed.contains(one)
            });
            owned.sort_unstable_by_key(|one| (one.partition, self.group.name_rank[one.topic.at()]));
            let mut kept = owned.len();
            if owned.len() < self.least {
                self.below.push(member);
            } else if owned.len() >= self.most && self.extras_given < self.extras {
                kept = self.most;
                self.give_extra();
            } else {
                kept = self.least;
                if self.extras_given < self.extras {
                    self.at_least.push_back(member);
                }
            }
            self.lost.extend(owned.drain(kept..).map(|one| (one, member)));
            self.rows[member] = owned;
        }
    }

    /// One more member has `most`; with the last of them nobody else may get more than `least`.
    fn give_extra(&mut self) {
        self.extras_given += 1;
        if self.extras_given == self.extras {
            self.at_least.clear();
        }
    }

    /// What nobody kept, by the topic's name and the partition's number.
    fn unassigned(&self) -> Vec<Partition> {
        let kept: HashSet<Partition> = self.rows.iter().flatten().copied().collect();
        let partitions = |topic: &usize| {
            let index = TopicIndex(*topic as u32);
            (0..self.group.topics[*topic].partitions)
                .map(move |partition| Partition { topic: index, partition })
        };
        self.group.wanted.iter().flat_map(partitions).filter(|one| !kept.contains(one)).collect()
    }

    /// Partitions that few members could read in their own rack go first.
    fn sort_by_rack_readers(&self, partitions: &mut [Partition]) {
        let Some(racks) = &self.group.racks else { return };
        let members = 0..self.group.members.len();
        let in_racks: Vec<u32> = members.filter_map(|member| racks.of_member(member)).collect();
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for rack in in_racks {
            *counts.entry(rack).or_default() += 1;
        }
        let readers = |one: &Partition| {
            let replicas = racks.of_replicas(one.topic.at(), one.partition);
            replicas.iter().map(|rack| counts.get(rack).copied().unwrap_or(0)).sum::<usize>()
        };
        partitions.sort_by_cached_key(readers);
    }

    fn deal_within_racks(&mut self, unassigned: &mut Vec<Partition>) {
        let mut next = 0;
        unassigned.retain(|one| {
            if let Some(place) = reader(self.group, *one, &self.below, next) {
                let member = self.below[place];
                let count = self.rows[member].len() + 1;
                next = place + 1;
                if count >= self.least {
                    self.below.remove(place);
                    next = place;
                    if count < self.most && self.extras_given < self.extras {
                        self.at_least.push_back(member);
                    }
                }
                next = if self.below.is_empty() { 0 } else { next % self.below.len() };
                self.give(*one, member);
                return false;
            }
            let Some(place) = reader(self.group, *one, self.at_least.make_contiguous(), 0) else {
                return true;
            };
            let member = self.at_least[place];
            if self.rows[member].len() + 1 == self.most {
                self.at_least.remove(place);
                self.give_extra();
            }
            self.give(*one, member);
            false
        });
    }

    fn deal_to_anybody(&mut self, unassigned: &[Partition]) {
        let mut next = 0;
        for one in unassigned {
            if next >= self.below.len() {
                next = 0;
            }
            let member = match self.below.get(next) {
                Some(member) => *member,
                None => self.at_least.pop_front().expect("quotas cover all partitions"),
            };
            self.give(*one, member);
            if self.below.is_empty() {
                continue;
            }
            next += 1;
            if self.rows[member].len() == self.least {
                next -= 1;
                self.below.remove(next);
                self.at_least.push_back(member);
            }
        }
    }

    fn give(&mut self, one: Partition, member: usize) {
        self.rows[member].push(one);
        let lost = self.lost.get(&one).is_some_and(|owner| *owner != member);
        if lost || self.claims.disputed.contains(&one) {
            self.moving.insert(one, member);
        }
    }
}

/// The place of the first of these members, from `first` on and round, that has a replica in its rack.
fn reader(group: &Group<'_>, one: Partition, members: &[usize], first: usize) -> Option<usize> {
    let racks = group.racks.as_ref()?;
    (0..members.len()).map(|step| (first + step) % members.len()).find(|place| {
        let member = members[*place];
        racks.of_member(member).is_some() && racks.matches(member, one.topic.at(), one.partition)
    })
}
