//! Ours against Kafka's own assignors, on cases that `interop/java/Assignors.java` wrote down.
//!
//! `kafka.txt` beside this file is its output for one seed. `OTTLA_ASSIGNOR_CASES` names another file, which is how
//! `cargo xtask interop` tries fresh ones.

use ottla_assignors::{Assignor, Member, Partition, Topic, TopicIndex};
use std::collections::BTreeMap;

/// One case: the lines after `case N`, up to the next.
struct Case<'a> {
    number: &'a str,
    topics: Vec<Topic<'a>>,
    members: Vec<Member<'a>>,
    answers: Vec<(Assignor, Vec<Vec<Partition>>)>,
}

impl<'a> Case<'a> {
    fn parse(text: &'a str) -> Case<'a> {
        let mut lines = text.lines();
        let number = lines.next().expect("a case has a number");
        let mut case = Case { number, topics: Vec::new(), members: Vec::new(), answers: Vec::new() };
        for line in lines {
            let fields: Vec<&str> = line.split(' ').collect();
            match fields[..] {
                ["T", name, partitions, racks] => case.topics.push(Topic {
                    racks: split(racks, '|').map(|of| of.split(',').collect()).collect(),
                    ..Topic::new(name, partitions.parse().expect("a number"))
                }),
                ["M", id, instance, rack, generation, topics, owned] => case.members.push(Member {
                    instance_id: Some(instance).filter(|text| *text != "-"),
                    rack: Some(rack).filter(|text| *text != "-"),
                    generation: generation.parse().ok(),
                    owned: partitions(owned),
                    ..Member::new(id, ranges(topics).map(TopicIndex).collect())
                }),
                ["A", name, rows] => {
                    let assignor = Assignor::client_named(name).or(Assignor::server_named(name));
                    case.answers
                        .push((assignor.expect("one of ours"), rows.split('/').map(partitions).collect()));
                }
                _ => panic!("case {number}: {line}"),
            }
        }
        case
    }
}

fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).filter(|part| *part != "-")
}

/// `0-3,5`
fn ranges(text: &str) -> impl Iterator<Item = u32> {
    text.split(',').flat_map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        from.parse().expect("a number")..=to.parse().expect("a number")
    })
}

/// `0:0-3,5;2:1`
fn partitions(text: &str) -> Vec<Partition> {
    let of_topic = |part: &str| {
        let (topic, numbers) = part.split_once(':').expect("a topic");
        let topic = topic.parse().expect("a number");
        ranges(numbers).map(|number| Partition::new(topic, number)).collect::<Vec<_>>()
    };
    split(text, ';').flat_map(of_topic).collect()
}

#[test]
fn every_row_is_the_one_that_kafka_gives() {
    let file = std::env::var("OTTLA_ASSIGNOR_CASES");
    let file = file.unwrap_or_else(|_| format!("{}/tests/kafka.txt", env!("CARGO_MANIFEST_DIR")));
    let text = std::fs::read_to_string(&file).expect("cases");
    let mut compared: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for text in text.split("case ").skip(1) {
        let case = Case::parse(text);
        for (assignor, expected) in &case.answers {
            let rows = assignor.assign(&case.topics, &case.members);
            *compared.entry(assignor.name()).or_default() += 1;
            if rows != *expected {
                wrong.push(format!(
                    "case {}, {}: {rows:?}, Kafka: {expected:?}",
                    case.number,
                    assignor.name()
                ));
            }
        }
    }
    println!("{compared:?}");
    assert!(wrong.is_empty(), "{} of {compared:?} differ; the first: {}", wrong.len(), wrong[0]);
    for assignor in Assignor::CLIENT.iter().chain(Assignor::SERVER) {
        assert!(compared.get(assignor.name()).is_some_and(|count| *count >= 50), "{compared:?}");
    }
}
