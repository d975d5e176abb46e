//! What is true of every assignment, whatever the group: tried on random groups that churn.

use ottla_assignors::{Assignor, Member, Partition, Topic, TopicIndex};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A group as plain values; the borrowed [`Member`]s are made from it.
#[derive(Debug, Clone)]
struct Group {
    topics: Vec<(String, u32)>,
    members: Vec<(String, BTreeSet<u32>)>,
}

impl Group {
    fn topics(&self) -> Vec<Topic<'_>> {
        self.topics.iter().map(|(name, partitions)| Topic::new(name, *partitions)).collect()
    }

    /// The members, holding what `held` says they were given in generation 1.
    fn members<'a>(&'a self, held: &BTreeMap<String, Vec<Partition>>) -> Vec<Member<'a>> {
        let member = |(id, topics): &'a (String, BTreeSet<u32>)| {
            let owned = held.get(id).cloned();
            Member {
                generation: owned.as_ref().map(|_| 1),
                owned: owned.unwrap_or_default(),
                ..Member::new(id, topics.iter().copied().map(TopicIndex).collect())
            }
        };
        self.members.iter().map(member).collect()
    }

    fn assign(
        &self,
        assignor: Assignor,
        held: &BTreeMap<String, Vec<Partition>>,
    ) -> BTreeMap<String, Vec<Partition>> {
        let rows = assignor.assign(&self.topics(), &self.members(held));
        self.members.iter().map(|(id, _)| id.clone()).zip(rows).collect()
    }

    fn wanted(&self) -> BTreeSet<Partition> {
        let topics: BTreeSet<u32> =
            self.members.iter().flat_map(|(_, topics)| topics.iter().copied()).collect();
        let partitions =
            |topic: u32| (0..self.topics[topic as usize].1).map(move |p| Partition::new(topic, p));
        topics.into_iter().flat_map(partitions).collect()
    }

    fn equal_subscriptions(&self) -> bool {
        self.members.iter().all(|(_, topics)| *topics == self.members[0].1)
    }
}

fn groups() -> impl Strategy<Value = Group> {
    (1..6_usize, 1..9_usize, any::<bool>()).prop_flat_map(|(topics, members, equal)| {
        let partitions = proptest::collection::vec(0..13_u32, topics);
        let some = proptest::collection::btree_set(0..topics as u32, 0..=topics);
        (partitions, proptest::collection::vec(some, members)).prop_map(move |(partitions, subscriptions)| {
            let all: BTreeSet<u32> = (0..topics as u32).collect();
            let subscribe = |topics: BTreeSet<u32>| if equal { all.clone() } else { topics };
            let named = |number: usize| format!("m{number}");
            Group {
                topics: partitions
                    .into_iter()
                    .zip(0..)
                    .map(|(count, topic)| (format!("t{topic}"), count))
                    .collect(),
                members: subscriptions
                    .into_iter()
                    .enumerate()
                    .map(|(n, t)| (named(n), subscribe(t)))
                    .collect(),
            }
        })
    })
}

/// A group, and the same after members left, others joined and subscriptions or partitions changed.
fn churn() -> impl Strategy<Value = (Group, Group)> {
    (groups(), groups(), any::<u16>()).prop_map(|(before, other, stay)| {
        let mut after = other.clone();
        after.topics = before.topics.clone();
        for (topic, (_, count)) in other.topics.iter().enumerate().take(before.topics.len()) {
            after.topics[topic].1 = after.topics[topic].1.max(*count);
        }
        let last = before.topics.len() as u32;
        for (number, (id, topics)) in after.members.iter_mut().enumerate() {
            topics.retain(|topic| *topic < last);
            if stay & (1 << number) == 0 {
                *id = format!("n{number}");
            }
        }
        (before, after)
    })
}

fn owners(rows: &BTreeMap<String, Vec<Partition>>) -> HashMap<Partition, &str> {
    rows.iter().flat_map(|(id, row)| row.iter().map(move |one| (*one, id.as_str()))).collect()
}

/// Every partition that somebody wants has exactly one owner, who wants it.
fn assert_sound(group: &Group, rows: &BTreeMap<String, Vec<Partition>>) {
    let given: Vec<Partition> = rows.values().flatten().copied().collect();
    let once: BTreeSet<Partition> = given.iter().copied().collect();
    assert_eq!(given.len(), once.len(), "a partition has two owners: {rows:?}");
    for (id, topics) in &group.members {
        assert!(rows[id].iter().all(|one| topics.contains(&one.topic.0)), "{id} did not subscribe: {rows:?}");
    }
}

fn assert_complete(group: &Group, rows: &BTreeMap<String, Vec<Partition>>) {
    let given: BTreeSet<Partition> = rows.values().flatten().copied().collect();
    assert_eq!(given, group.wanted());
}

fn assert_balanced(rows: &BTreeMap<String, Vec<Partition>>) {
    let sizes: Vec<usize> = rows.values().map(Vec::len).collect();
    let spread =
        sizes.iter().max().expect("a group has members") - sizes.iter().min().expect("a group has members");
    assert!(spread <= 1, "{sizes:?}");
}

const EAGER: [Assignor; 4] = [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::Uniform];

proptest! {
    #[test]
    fn every_wanted_partition_has_one_owner_who_wants_it((before, after) in churn()) {
        for assignor in EAGER {
            let held = before.assign(assignor, &BTreeMap::new());
            assert_sound(&before, &held);
            assert_complete(&before, &held);
            let rows = after.assign(assignor, &held);
            assert_sound(&after, &rows);
            assert_complete(&after, &rows);
        }
    }

    #[test]
    fn equal_subscriptions_are_balanced_within_one((before, after) in churn()) {
        for assignor in [Assignor::RoundRobin, Assignor::Sticky, Assignor::Uniform] {
            let held = before.assign(assignor, &BTreeMap::new());
            if after.equal_subscriptions() {
                assert_balanced(&after.assign(assignor, &held));
            }
        }
    }

    #[test]
    fn range_gives_equal_topics_to_equal_members(group in groups()) {
        let rows = group.assign(Assignor::Range, &BTreeMap::new());
        let owner = owners(&rows);
        let subscribers = |topic: u32| group.members.iter().filter(move |(_, topics)| topics.contains(&topic));
        for (left, (_, count)) in group.topics.iter().enumerate() {
            for (right, (_, other)) in group.topics.iter().enumerate() {
                let same = subscribers(left as u32).eq(subscribers(right as u32));
                for partition in 0..if count == other && same { *count } else { 0 } {
                    let one = |topic: usize| owner.get(&Partition::new(topic as u32, partition));
                    assert_eq!(one(left), one(right));
                }
            }
        }
    }

    #[test]
    fn nothing_moves_if_nothing_changed(group in groups()) {
        for assignor in [Assignor::Sticky, Assignor::CooperativeSticky, Assignor::Uniform] {
            let held = group.assign(assignor, &BTreeMap::new());
            assert_eq!(group.assign(assignor, &held), held);
        }
    }

    #[test]
    fn sticky_moves_no_more_than_balance_needs((before, after) in churn()) {
        for assignor in [Assignor::Sticky, Assignor::Uniform] {
            let held = before.assign(assignor, &BTreeMap::new());
            if !after.equal_subscriptions() {
                continue;
            }
            let rows = after.assign(assignor, &held);
            let total: usize = rows.values().map(Vec::len).sum();
            let (least, extras) = (total / rows.len(), total % rows.len());
            // Whoever can keep least + 1 and has that many keeps them, as long as there are extras; the rest keep least.
            let wanted = after.wanted();
            let keepable = |id: &String| {
                held.get(id).map_or(0, |row| row.iter().filter(|one| wanted.contains(one)).count())
            };
            let sizes: Vec<usize> = rows.keys().map(keepable).collect();
            let with_extra = sizes.iter().filter(|size| **size > least).count().min(extras);
            let could: usize = sizes.iter().map(|size| (*size).min(least)).sum::<usize>() + with_extra;
            let kept: usize = rows
                .iter()
                .map(|(id, row)| row.iter().filter(|one| held.get(id).is_some_and(|had| had.contains(one))).count())
                .sum();
            assert!(kept >= could, "{assignor:?} kept {kept} of {could}: {held:?} {rows:?}");
        }
    }

    #[test]
    fn cooperative_gives_nothing_that_another_owns((before, after) in churn()) {
        let held = before.assign(Assignor::Sticky, &BTreeMap::new());
        let rows = after.assign(Assignor::CooperativeSticky, &held);
        assert_sound(&after, &rows);
        let present: BTreeMap<_, _> = held
            .iter()
            .filter(|(id, _)| rows.contains_key(*id))
            .map(|(id, row)| (id.clone(), row.clone()))
            .collect();
        let owner = owners(&present);
        for (id, row) in &rows {
            for one in row {
                assert!(owner.get(one).is_none_or(|other| other == id), "{one:?} is still owned: {held:?} {rows:?}");
            }
        }
    }

    #[test]
    fn cooperative_has_given_everything_after_one_more_rebalance((before, after) in churn()) {
        let held = before.assign(Assignor::Sticky, &BTreeMap::new());
        let mut rows = after.assign(Assignor::CooperativeSticky, &held);
        // Where subscriptions differ, what was revoked may set off another move.
        let rounds = if after.equal_subscriptions() { 1 } else { 8 };
        for _ in 0..rounds {
            rows = after.assign(Assignor::CooperativeSticky, &rows);
        }
        assert_complete(&after, &rows);
        if after.equal_subscriptions() {
            assert_balanced(&rows);
        }
    }

    #[test]
    fn claims_that_contradict_each_other_do_not_give_two_owners(
        group in groups(),
        claims in proptest::collection::vec((0..9_usize, 0..6_u32, 0..15_u32, -1..4_i32), 0..40),
    ) {
        let topics = group.topics();
        let mut members = group.members(&BTreeMap::new());
        for (member, topic, partition, generation) in claims {
            let count = members.len();
            let member = &mut members[member % count];
            member.owned.push(Partition::new(topic % topics.len() as u32, partition));
            member.generation = (generation >= 0).then_some(generation);
        }
        for assignor in [Assignor::Sticky, Assignor::CooperativeSticky, Assignor::Uniform] {
            let rows = assignor.assign(&topics, &members);
            let rows = group.members.iter().map(|(id, _)| id.clone()).zip(rows).collect();
            assert_sound(&group, &rows);
            if assignor != Assignor::CooperativeSticky {
                assert_complete(&group, &rows);
            }
        }
    }

    #[test]
    fn the_order_of_members_decides_nothing(group in groups()) {
        let mut shuffled = group.clone();
        shuffled.members.reverse();
        for assignor in EAGER {
            assert_eq!(group.assign(assignor, &BTreeMap::new()), shuffled.assign(assignor, &BTreeMap::new()));
        }
    }
}
