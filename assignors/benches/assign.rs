//! How long it takes to divide 10,000 partitions among 1,000 members; a rebalance waits for it. The bound is 50 ms.
//!
//! Five groups: `fresh`, where nobody holds anything; `leave`, where one of 1,001 members has gone; and `mixed`, where
//! each member wants half of the topics, other halves than its neighbours, and one has gone; `racks`, as `leave` over
//! three racks with one replica each; `patchy`, where each member wants a few topics of very different sizes and every
//! tenth member is a new one.

use criterion::{Criterion, criterion_group, criterion_main};
use ottla_assignors::{Assignor, Member, Topic, TopicIndex};
use std::hint::black_box;

const TOPICS: u32 = 100;
const PARTITIONS: u32 = 100;
const MEMBERS: usize = 1_000;
const RACKS: [&str; 3] = ["eu-west-1a", "eu-west-1b", "eu-west-1c"];

fn ids(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("consumer-group-1-{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect()
}

fn members<'a>(ids: &'a [String], wants: impl Fn(usize, u32) -> bool) -> Vec<Member<'a>> {
    let topics = |member| (0..TOPICS).filter(|topic| wants(member, *topic)).map(TopicIndex).collect();
    ids.iter().enumerate().map(|(number, id)| Member::new(id, topics(number))).collect()
}

/// The group after its last member left, everybody else holding what they were given.
fn after_leave<'a>(
    assignor: Assignor,
    topics: &[Topic<'_>],
    mut members: Vec<Member<'a>>,
) -> Vec<Member<'a>> {
    let rows = assignor.assign(topics, &members);
    for (member, row) in members.iter_mut().zip(rows) {
        member.owned = row;
        member.generation = Some(1);
    }
    members.pop();
    members
}

/// The same group with every tenth member new.
fn after_replacement<'a>(
    assignor: Assignor,
    topics: &[Topic<'_>],
    members: Vec<Member<'a>>,
) -> Vec<Member<'a>> {
    let mut members = after_leave(assignor, topics, members);
    for member in members.iter_mut().step_by(10) {
        member.owned.clear();
        member.generation = None;
    }
    members
}

fn assign(criterion: &mut Criterion) {
    let names: Vec<String> = (0..TOPICS).map(|topic| format!("topic-{topic}")).collect();
    let topics: Vec<Topic<'_>> = names.iter().map(|name| Topic::new(name, PARTITIONS)).collect();
    let in_racks = |topic: &Topic<'_>| {
        (0..PARTITIONS as usize).map(|p| vec![RACKS[(p + topic.name.len()) % 3]]).collect()
    };
    let racked: Vec<Topic<'_>> =
        topics.iter().map(|topic| Topic { racks: in_racks(topic), ..topic.clone() }).collect();
    let patchy: Vec<Topic<'_>> =
        (0..TOPICS).zip(&names).map(|(topic, name)| Topic::new(name, 1 + topic * 2)).collect();
    let few = |member: usize, topic: u32| (member * 31 + topic as usize * 17).is_multiple_of(23);
    let ids = ids(MEMBERS + 1);
    let all = |_: usize, _: u32| true;
    let half = |member: usize, topic: u32| (topic as usize + member) % 4 < 2;
    let assignors = [
        Assignor::Range,
        Assignor::RoundRobin,
        Assignor::Sticky,
        Assignor::CooperativeSticky,
        Assignor::Uniform,
    ];
    for assignor in assignors {
        let mut group = criterion.benchmark_group(assignor.name());
        group.sample_size(10);
        let mut everywhere = members(&ids, all);
        for (number, member) in everywhere.iter_mut().enumerate() {
            member.rack = Some(RACKS[number % 3]);
        }
        let cases = [
            ("fresh", &topics, members(&ids[..MEMBERS], all)),
            ("leave", &topics, after_leave(assignor, &topics, members(&ids, all))),
            ("mixed", &topics, after_leave(assignor, &topics, members(&ids, half))),
            ("racks", &racked, after_leave(assignor, &racked, everywhere)),
            ("patchy", &patchy, after_replacement(assignor, &patchy, members(&ids, few))),
        ];
        for (name, topics, members) in cases {
            group.bench_function(name, |bencher| {
                bencher.iter(|| black_box(assignor.assign(black_box(topics), black_box(&members))));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, assign);
criterion_main!(benches);
