//! The same random requests to ottla and to Apache Kafka, whose answers must be the same.
//!
//! It runs where `OTTLA_TEST_BOOTSTRAP` names a real broker, and says so where it does not. What differs by nature is
//! made equal first: topic and node ids, times, throttling, texts. `OTTLA_TEST_SEED` repeats one run.

#![allow(clippy::print_stdout, reason = "a test that cannot run here says so")]
#![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test stands outside of the broker and its seams")]

#[path = "support/mod.rs"]
mod support;

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::{FetchRecords, Request, Str};
use ottla_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use ottla_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::messages::fetch::FetchRequest;
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::records::Compression;
use support::batches::{at, compressed, idempotent, keyless, now_ms, patched};
use support::broker::unique;
use support::requests::{
    create_topics, delete_records, fetch_topic, init_producer_id, list_offsets_of, metadata, topic_to_create,
};
use support::{Client, TestBroker};

/// Random numbers that a seed repeats (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }
}

/// Both brokers, and what was found to differ.
struct Pair {
    ours: Client,
    theirs: Client,
    our_node: i32,
    their_node: i32,
    differences: Vec<String>,
}

impl Pair {
    /// Asks both the same and compares what `plain` makes of the answers.
    fn ask<R: Request + Clone + Debug, P: PartialEq + Debug>(
        &mut self,
        version: i16,
        request: &R,
        plain: impl Fn(R::Response) -> P,
    ) {
        let ours = plain(self.ours.call(version, request.clone()));
        let theirs = plain(self.theirs.call(version, request.clone()));
        if ours != theirs {
            let mut asked = format!("{request:?}");
            asked.truncate(700);
            self.differences
                .push(format!("{} {version}: {asked}\n  ours:   {ours:?}\n  theirs: {theirs:?}", R::KEY));
        }
    }
}

struct Names {
    topics: Vec<String>,
    absent: String,
}

impl Names {
    fn any(&self, chance: &mut Chance) -> String {
        if chance.below(12) == 0 { self.absent.clone() } else { chance.one_of(&self.topics) }
    }
}

fn produce(pair: &mut Pair, names: &Names, chance: &mut Chance) {
    let values = ["a", "b", "c"];
    let count = 1 + chance.below(3) as usize;
    let codec = chance.one_of(&[
        Compression::None,
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ]);
    let honest = compressed(codec, &values[..count]);
    // One mistake at a time: a lying batch goes to a partition that is there.
    let lie = chance.below(14);
    let (index, topic) = match lie {
        0..=4 | 9 => (chance.below(2) as i32, chance.one_of(&names.topics)),
        _ => (chance.one_of(&[0, 0, 0, 1, 7, -1]), names.any(chance)),
    };
    let batch = match lie {
        0 => keyless("v"),
        1 => patched(&honest, at::COUNT, &(count as i32 + 1).to_be_bytes()),
        2 => honest.slice(..honest.len() - 1),
        3 => patched(&honest, at::MAGIC, &[chance.below(4) as u8]),
        4 => patched(&honest, at::BASE_SEQUENCE, &5_i32.to_be_bytes()),
        5..=8 => {
            idempotent(pair_producer(names), chance.below(3) as i16, chance.below(6) as i32, &values[..count])
        }
        9 => Bytes::from([&honest[..], &honest].concat()),
        _ => honest,
    };
    let acks = chance.one_of(&[-1, 1]);
    // Zstd is not for the older versions, which is a mistake of its own.
    let version = if codec == Compression::Zstd { 7 } else { 3 } + chance.below(3) as i16;
    let data = PartitionProduceData { index, records: Some(batch) };
    let topic = TopicProduceData { name: Str::from(topic), partition_data: vec![data] };
    let request = ProduceRequest { acks, timeout_ms: 5_000, topic_data: vec![topic], ..Default::default() };
    pair.ask(version, &request, |response| {
        let row = &response.responses[0].partition_responses[0];
        let blamed: Vec<i32> = row.record_errors.iter().map(|record| record.batch_index).collect();
        // Beside an error, Apache Kafka tells the log's start or does not.
        let log_start_offset = if row.error_code.is_error() { -1 } else { row.log_start_offset };
        // Of a retry, Apache Kafka tells the time of the first try, whoever has set it.
        let append_time = row.log_append_time_ms > 0 && !(5..=8).contains(&lie);
        (row.error_code, row.base_offset, append_time, log_start_offset, blamed)
    });
}

/// A producer id for both, which neither has given.
fn pair_producer(names: &Names) -> i64 {
    1_000_000 + names.topics[0].len() as i64
}

fn fetch(pair: &mut Pair, names: &Names, chance: &mut Chance) {
    let limit = chance.one_of(&[0, 1, 1 << 20]);
    // A topic that is named twice is read twice by us and once by Apache Kafka.
    let mut topics = vec![names.any(chance), names.any(chance), names.any(chance)];
    topics.truncate(1 + chance.below(3) as usize);
    topics.sort();
    topics.dedup();
    let version = 4 + chance.below(9) as i16;
    let topics = topics
        .into_iter()
        .map(|topic| {
            let offset = chance.one_of(&[0, 0, 1, 2, 5, 9, 1_000, -1]);
            let mut topic = fetch_topic(&topic, offset, limit);
            topic.partitions[0].partition = chance.one_of(&[0, 0, 0, 1, 9]);
            topic.partitions[0].current_leader_epoch = chance.one_of(&[-1, -1, 0, 1]);
            if version >= 12 {
                topic.partitions[0].last_fetched_epoch = chance.one_of(&[-1, -1, 0, 1]);
            }
            topic
        })
        .collect();
    let request = FetchRequest {
        // Nothing between: gzip does not pack the same everywhere.
        max_bytes: chance.one_of(&[0, 1, 1 << 20]),
        isolation_level: chance.below(2) as i8,
        topics,
        ..FetchRequest::default()
    };
    pair.ask(version, &request, |response| {
        let mut rows = Vec::new();
        for topic in response.responses {
            for mut row in topic.partitions {
                let records = support::batches::offsets(&row);
                row.records = FetchRecords::Null;
                row.current_leader = Default::default();
                if records.is_empty() {
                    // Where there are no records, Apache Kafka has the list or has not.
                    row.aborted_transactions = None;
                }
                rows.push((topic.topic.to_string(), row, records));
            }
        }
        // Apache Kafka puts errors last.
        rows.sort_by_key(|(topic, row, _)| (topic.clone(), row.partition_index));
        (response.error_code, rows.into_iter().map(|row| format!("{row:?}")).collect::<Vec<_>>())
    });
}

fn list_offsets(pair: &mut Pair, names: &Names, chance: &mut Chance) {
    let timestamp =
        chance.one_of(&[-1, -2, -3, 0, now_ms() - 100_000, now_ms() + 100_000, -4, -5, -6, i64::MIN]);
    let mut request = list_offsets_of(&chance.one_of(&names.topics), 0..2, timestamp);
    let version = chance.one_of(&[1, 2, 4, 5, 6, 7, 7]);
    if version >= 4 {
        request.isolation_level = chance.below(2) as i8;
        // One mistake at a time.
        let epochs = if timestamp < -2 { [-1, 0, 0] } else { [-1, 0, 1] };
        request.topics[0].partitions[0].current_leader_epoch = chance.one_of(&epochs);
    }
    pair.ask(version, &request, |response| {
        let mut rows: Vec<_> = response.topics.into_iter().flat_map(|topic| topic.partitions).collect();
        rows.sort_by_key(|row| row.partition_index);
        let plain =
            rows.into_iter().map(|row| (row.error_code, row.offset, row.timestamp > 0, row.leader_epoch));
        plain.collect::<Vec<_>>()
    });
}

fn delete(pair: &mut Pair, names: &Names, chance: &mut Chance) {
    let request = delete_records(&names.any(chance), chance.one_of(&[0, 1, 2, 3, -1, -2, 1_000]));
    let version = chance.below(3) as i16;
    pair.ask(version, &request, |response| {
        let row = response.topics[0].partitions[0].clone();
        (row.error_code, row.low_watermark)
    });
}

fn end_of_epoch(pair: &mut Pair, names: &Names, chance: &mut Chance) {
    let partition = OffsetForLeaderPartition {
        partition: chance.one_of(&[0, 0, 1, 9]),
        current_leader_epoch: chance.one_of(&[-1, 0, 1]),
        leader_epoch: chance.one_of(&[-1, 0, 0, 1, 5]),
    };
    let topic = OffsetForLeaderTopic { topic: Str::from(names.any(chance)), partitions: vec![partition] };
    let request = OffsetForLeaderEpochRequest { topics: vec![topic], replica_id: -2 };
    let version = 2 + chance.below(3) as i16;
    pair.ask(version, &request, |response| response.topics);
}

fn create(pair: &mut Pair, names: &Names, chance: &mut Chance) {
    let configs = chance.one_of(&[
        vec![],
        vec![("retention.ms", "1000")],
        vec![("retention.ms", "-2")],
        vec![("cleanup.policy", "compact,delete")],
        vec![("cleanup.policy", "nothing")],
        vec![("segment.bytes", "1")],
        vec![("no.such.key", "1")],
        vec![("min.insync.replicas", "0")],
        vec![("compression.type", "producer"), ("compression.type", "gzip")],
        vec![("max.message.bytes", "ten")],
        vec![("retention.ms", "")],
        vec![("unclean.leader.election.enable", "maybe")],
        vec![("segment.ms", "1000"), ("retention.bytes", "5")],
    ]);
    let stem = unique("made");
    // One mistake at a time: which of several is told first is nobody's business.
    let (mut name, mut partitions, mut replicas, mut with) = (stem, 1, 1, vec![]);
    match chance.below(4) {
        0 => name = chance.one_of(&[String::new(), "a/b".into(), names.topics[0].clone()]),
        1 => partitions = chance.one_of(&[2, -1, 0, -2]),
        2 => replicas = chance.one_of(&[-1, 0, 2, -2]),
        _ => with = configs,
    }
    let topic = CreatableTopic { replication_factor: replicas, ..topic_to_create(&name, partitions, &with) };
    let mut request = create_topics(vec![topic]);
    request.validate_only = chance.below(2) == 0;
    let version = 2 + chance.below(6) as i16;
    pair.ask(version, &request, |response| {
        let rows = response.topics.into_iter().map(|row| {
            let configs: Option<Vec<String>> = row.configs.map(|configs| {
                let shown = configs.into_iter().filter(|config| config.config_source == 1);
                let mut shown: Vec<String> = shown.map(|config| format!("{config:?}")).collect();
                shown.sort();
                shown
            });
            let made = row.topic_id.is_nil();
            let configs = configs.unwrap_or_default();
            (row.name.to_string(), made, row.error_code, row.num_partitions, row.replication_factor, configs)
        });
        rows.collect::<Vec<_>>()
    });
}

fn create_assigned(pair: &mut Pair, chance: &mut Chance) {
    let brokers = chance.one_of(&[vec![0], vec![0, 0], vec![77], vec![], vec![0, 77]]);
    let indexes = chance.one_of(&[vec![0], vec![0, 1], vec![1], vec![0, 0], vec![-1], vec![1, 0]]);
    let name = unique("assigned");
    let (partitions, replicas) = chance.one_of(&[(-1, -1), (-1, -1), (1, -1), (-1, 1), (2, 1)]);
    let request = |node: i32| {
        let brokers: Vec<i32> = brokers.iter().map(|id| if *id == 0 { node } else { *id }).collect();
        let assign =
            |index: &i32| CreatableReplicaAssignment { partition_index: *index, broker_ids: brokers.clone() };
        create_topics(vec![CreatableTopic {
            replication_factor: replicas,
            assignments: indexes.iter().map(assign).collect(),
            ..topic_to_create(&name, partitions, &[])
        }])
    };
    let ours = pair.ours.call(7, request(pair.our_node));
    let theirs = pair.theirs.call(7, request(pair.their_node));
    let code = |response: &ottla_protocol::messages::create_topics::CreateTopicsResponse| {
        response.topics.iter().map(|row| (row.error_code, row.num_partitions)).collect::<Vec<_>>()
    };
    if code(&ours) != code(&theirs) {
        pair.differences.push(format!(
            "assigned {brokers:?} {indexes:?} {partitions} {replicas}\n  ours:   {:?}\n  theirs: {:?}",
            code(&ours),
            code(&theirs)
        ));
    }
}

fn grow(pair: &mut Pair, names: &Names, chance: &mut Chance) {
    let topic = CreatePartitionsTopic {
        name: Str::from(names.any(chance)),
        count: chance.one_of(&[0, 1, 2, 2, 3, -1, 10_001]),
        assignments: None,
    };
    let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 5_000, validate_only: true };
    let version = chance.below(4) as i16;
    pair.ask(version, &request, |response| {
        response.results.into_iter().map(|row| (row.name.to_string(), row.error_code)).collect::<Vec<_>>()
    });
}

fn remove(pair: &mut Pair, names: &Names, chance: &mut Chance) {
    let state = DeleteTopicState {
        name: chance.one_of(&[None, Some(Str::from(names.absent.as_str()))]),
        topic_id: chance.one_of(&[uuid::Uuid::nil(), uuid::Uuid::from_u128(77)]),
    };
    let request = DeleteTopicsRequest { topics: vec![state], timeout_ms: 5_000, ..Default::default() };
    pair.ask(6, &request, |response| {
        let rows = response.responses.into_iter().map(|row| (row.name, row.topic_id, row.error_code));
        rows.collect::<Vec<_>>()
    });
}

fn ask_metadata(pair: &mut Pair, names: &Names, chance: &mut Chance) {
    let mut request = metadata(&names.any(chance));
    request.allow_auto_topic_creation = false;
    let version = if chance.below(2) == 0 { 4 + chance.below(9) as i16 } else { 12 };
    if version == 12 && chance.below(4) == 0 {
        request.topics.as_mut().unwrap()[0].topic_id = uuid::Uuid::from_u128(77);
    }
    if request.topics.as_ref().unwrap()[0].name.is_some() && chance.below(6) == 0 {
        request.topics.as_mut().unwrap()[0].name = Some(Str::from(chance.one_of(&["", "a/b", "..", "ä"])));
    }
    pair.ask(version, &request, |response| {
        let rows = response.topics.into_iter().map(|row| {
            let partitions: Vec<_> = row
                .partitions
                .iter()
                .map(|found| {
                    (found.error_code, found.partition_index, found.leader_epoch, found.isr_nodes.len())
                })
                .collect();
            (row.error_code, row.name, row.is_internal, row.topic_id.is_nil(), partitions.len())
        });
        rows.collect::<Vec<_>>()
    });
}

fn alter(pair: &mut Pair, names: &Names, chance: &mut Chance) {
    let (key, value) = chance.one_of(&[
        ("retention.ms", Some("604800000")),
        ("retention.ms", None),
        ("retention.ms", Some("x")),
        ("cleanup.policy", Some("delete")),
        ("no.such.key", Some("1")),
        ("", Some("1")),
        ("segment.bytes", Some("1048576")),
        ("segment.bytes", Some("0")),
        ("compression.type", Some("")),
    ]);
    let config = AlterableConfig {
        name: Str::from(key),
        config_operation: chance.one_of(&[0, 0, 0, 1, 2, 3]),
        value: value.map(Str::from),
    };
    let configs = if chance.below(6) == 0 { vec![config.clone(), config] } else { vec![config] };
    let resource = AlterConfigsResource {
        resource_type: chance.one_of(&[2, 2, 2, 2, 0, 77]),
        resource_name: Str::from(chance.one_of(&names.topics)),
        configs,
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: true };
    pair.ask(chance.below(2) as i16, &request, |response| {
        response
            .responses
            .into_iter()
            .map(|row| (row.error_code, row.resource_type, row.resource_name))
            .collect::<Vec<_>>()
    });
}

#[test]
fn random_requests_have_the_same_answers_from_ottla_and_apache_kafka() {
    if std::env::var_os("OTTLA_TEST_BOOTSTRAP").is_none() {
        println!("SKIPPED: OTTLA_TEST_BOOTSTRAP names no broker to compare with");
        return;
    }
    let seed =
        std::env::var("OTTLA_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 & 0xffff_ffff
        });
    println!("OTTLA_TEST_SEED={seed}");
    let mut chance = Chance(seed);
    let (our_broker, their_broker) = (TestBroker::start(&[]), TestBroker::any());
    let (mut ours, mut theirs) = (our_broker.connect(), their_broker.connect());
    let nodes = [&mut ours, &mut theirs].map(|client| client.call(12, metadata("")).brokers[0].node_id);
    let names = Names { topics: (0..4).map(|_| unique("same")).collect(), absent: unique("absent") };
    let configs: [&[(&str, &str)]; 4] = [
        &[],
        &[("cleanup.policy", "compact")],
        &[("message.timestamp.type", "LogAppendTime"), ("compression.type", "gzip")],
        &[("max.message.bytes", "120"), ("cleanup.policy", "compact,delete")],
    ];
    for (name, configs) in names.topics.iter().zip(configs) {
        ours.create_topic(name, 2, configs);
        theirs.create_topic(name, 2, configs);
    }
    let mut pair = Pair { ours, theirs, our_node: nodes[0], their_node: nodes[1], differences: Vec::new() };
    let rounds =
        std::env::var("OTTLA_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(600);
    for _ in 0..rounds {
        match chance.below(16) {
            0..=3 => produce(&mut pair, &names, &mut chance),
            4..=6 => fetch(&mut pair, &names, &mut chance),
            7 => list_offsets(&mut pair, &names, &mut chance),
            8 if chance.below(3) == 0 => delete(&mut pair, &names, &mut chance),
            9 => end_of_epoch(&mut pair, &names, &mut chance),
            10 => create(&mut pair, &names, &mut chance),
            11 => grow(&mut pair, &names, &mut chance),
            12 => remove(&mut pair, &names, &mut chance),
            13 => ask_metadata(&mut pair, &names, &mut chance),
            14 => create_assigned(&mut pair, &mut chance),
            15 => alter(&mut pair, &names, &mut chance),
            _ => pair.ask(4, &init_producer_id(), |response| {
                (response.error_code, response.producer_epoch, response.error_code == ErrorCode::NONE)
            }),
        }
    }
    let count = pair.differences.len();
    pair.differences.truncate(40);
    assert!(count == 0, "seed {seed}: {count} answers differ\n{}", pair.differences.join("\n"));
}
