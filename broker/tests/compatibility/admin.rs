//! Rule 10: administration answers a row for everything it was asked, and `-1` is the broker's default.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use ottla_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResult,
};

use crate::support::broker::unique;
use crate::support::requests::{create_topics, metadata_of_all, topic_to_create};
use crate::support::{Client, TestBroker};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// This broker's id, as Metadata gives it.
fn node_id(client: &mut Client) -> i32 {
    client.call(12, metadata_of_all()).brokers[0].node_id
}

fn assigned(name: &str, replicas: &[&[i32]]) -> CreatableTopic {
    let assignment = |(index, brokers): (usize, &&[i32])| CreatableReplicaAssignment {
        partition_index: index as i32,
        broker_ids: brokers.to_vec(),
    };
    CreatableTopic {
        name: Str::from(name),
        num_partitions: -1,
        replication_factor: -1,
        assignments: replicas.iter().enumerate().map(assignment).collect(),
        ..CreatableTopic::default()
    }
}

/// Creates one topic and gives its error.
fn code_of(client: &mut Client, topic: CreatableTopic) -> ErrorCode {
    let response = client.call(7, create_topics(vec![topic]));
    assert_eq!(response.topics.len(), 1);
    response.topics[0].error_code
}

fn more_partitions(topics: &[(&str, i32)]) -> CreatePartitionsRequest {
    let topic = |(name, count): &(&str, i32)| CreatePartitionsTopic {
        name: Str::from(*name),
        count: *count,
        ..CreatePartitionsTopic::default()
    };
    CreatePartitionsRequest {
        topics: topics.iter().map(topic).collect(),
        timeout_ms: 10_000,
        ..CreatePartitionsRequest::default()
    }
}

fn describe(
    client: &mut Client,
    resources: &[(i8, &str)],
    keys: Option<&[&str]>,
) -> Vec<DescribeConfigsResult> {
    let keys = keys.map(|keys| keys.iter().map(|key| Str::from(*key)).collect::<Vec<Str>>());
    let resource = |(resource_type, name): &(i8, &str)| DescribeConfigsResource {
        resource_type: *resource_type,
        resource_name: Str::from(*name),
        configuration_keys: keys.clone(),
    };
    let request = DescribeConfigsRequest {
        resources: resources.iter().map(resource).collect(),
        ..DescribeConfigsRequest::default()
    };
    client.call(4, request).results
}

#[test]
fn rule_10_minus_1_partitions_and_replicas_are_the_broker_s_defaults() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let name = unique("defaults");
    let topic = CreatableTopic { replication_factor: -1, ..topic_to_create(&name, -1, &[]) };
    let response = client.call(7, create_topics(vec![topic]));
    let row = &response.topics[0];
    assert_eq!(row.error_code, ErrorCode::NONE, "{:?}", row.error_message);
    assert_eq!((row.num_partitions, row.replication_factor), (1, 1));
    assert!(!row.topic_id.is_nil());
    assert_eq!(client.wait_for_leaders(&name).partitions.len(), 1);
}

#[test]
fn rule_10_minus_1_partitions_follow_num_partitions() {
    let broker = TestBroker::start(&[("num.partitions", "4")]);
    let mut client = broker.connect();
    let topic = CreatableTopic { replication_factor: -1, ..topic_to_create("defaults", -1, &[]) };
    let response = client.call(7, create_topics(vec![topic]));
    assert_eq!(response.topics[0].num_partitions, 4);
    assert_eq!(client.wait_for_leaders("defaults").partitions.len(), 4);
}

#[test]
fn rule_10_with_a_manual_assignment_the_partition_count_comes_from_it() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let this = node_id(&mut client);
    let name = unique("assigned");
    let response = client.call(7, create_topics(vec![assigned(&name, &[&[this], &[this], &[this]])]));
    let row = &response.topics[0];
    assert_eq!(row.error_code, ErrorCode::NONE, "{:?}", row.error_message);
    assert_eq!((row.num_partitions, row.replication_factor), (3, 1));
    assert_eq!(client.wait_for_leaders(&name).partitions.len(), 3);
}

#[test]
fn rule_10_an_assignment_that_cannot_be_is_refused() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let this = node_id(&mut client);
    let name = unique("refused");
    let unknown = assigned(&name, &[&[this + 1000]]);
    assert_eq!(code_of(&mut client, unknown), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    let twice = assigned(&name, &[&[this, this]]);
    assert_eq!(code_of(&mut client, twice), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    let mut gap = assigned(&name, &[&[this], &[this]]);
    gap.assignments[1].partition_index = 2;
    assert_eq!(code_of(&mut client, gap), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    let both = CreatableTopic { num_partitions: 1, ..assigned(&name, &[&[this]]) };
    assert_eq!(code_of(&mut client, both), ErrorCode::INVALID_REQUEST);
}

#[test]
fn rule_10_each_topic_of_a_creation_has_its_own_error() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let existing = client.new_topic(1, &[]);
    let [zero, wide, unset, odd, good] = ["zero", "wide", "unset", "odd", "good"].map(unique);
    let topics = vec![
        topic_to_create(&existing, 1, &[]),
        topic_to_create(&zero, 0, &[]),
        CreatableTopic { replication_factor: 2, ..topic_to_create(&wide, 1, &[]) },
        topic_to_create(&unset, 1, &[("no.such.key", "1")]),
        topic_to_create(&odd, 1, &[("retention.ms", "soon")]),
        topic_to_create("a/b", 1, &[]),
        topic_to_create(&good, 1, &[("retention.ms", "1000")]),
    ];
    let names: Vec<Str> = topics.iter().map(|topic| topic.name.clone()).collect();
    let response = client.call(7, create_topics(topics));
    let code = |name: &Str| response.topics.iter().find(|row| row.name == *name).unwrap().error_code;
    let codes: Vec<ErrorCode> = names.iter().map(code).collect();
    let expected = [
        ErrorCode::TOPIC_ALREADY_EXISTS,
        ErrorCode::INVALID_PARTITIONS,
        ErrorCode::INVALID_REPLICATION_FACTOR,
        ErrorCode::INVALID_CONFIG,
        ErrorCode::INVALID_CONFIG,
        ErrorCode::INVALID_TOPIC_EXCEPTION,
        ErrorCode::NONE,
    ];
    assert_eq!(codes, expected);
    let good = response.topics.iter().find(|row| row.error_code == ErrorCode::NONE).unwrap();
    let configs = good.configs.as_ref().expect("the effective configuration is returned (version 5)");
    let retention = configs.iter().find(|config| &*config.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("1000"), 1));
    assert!(configs.len() > 20, "all of it");
}

#[test]
fn rule_10_a_topic_named_twice_in_one_creation_is_an_invalid_request() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let name = unique("twice");
    let topics = vec![topic_to_create(&name, 1, &[]), topic_to_create(&name, 2, &[])];
    let response = client.call(7, create_topics(topics));
    assert!(!response.topics.is_empty());
    assert!(response.topics.iter().all(|row| row.error_code == ErrorCode::INVALID_REQUEST));
}

#[test]
fn rule_10_names_that_differ_only_in_dots_and_underscores_collide() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let dotted = unique("a.b");
    client.create_topic(&dotted, 1, &[]);
    let underscored = topic_to_create(&dotted.replace('.', "_"), 1, &[]);
    assert_eq!(code_of(&mut client, underscored), ErrorCode::INVALID_TOPIC_EXCEPTION);
}

#[test]
fn rule_10_validate_only_creates_nothing() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let name = unique("thought");
    for _ in 0..2 {
        let mut request = create_topics(vec![topic_to_create(&name, 2, &[])]);
        request.validate_only = true;
        assert_eq!(client.call(7, request).topics[0].error_code, ErrorCode::NONE);
    }
    assert_eq!(code_of(&mut client, topic_to_create(&name, 1, &[])), ErrorCode::NONE);
}

#[test]
fn rule_10_create_partitions_has_a_row_for_every_topic() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let [grows, shrinks, same] = [(); 3].map(|()| client.new_topic(2, &[]));
    let missing = unique("missing");
    let asked = [(grows.as_str(), 5), (&shrinks, 1), (&same, 2), (&missing, 3)];
    let response = client.call(3, more_partitions(&asked));
    let code = |name: &str| response.results.iter().find(|row| &*row.name == name).unwrap().error_code;
    assert_eq!(response.results.len(), 4);
    assert_eq!(
        asked.map(|(name, _)| code(name)),
        [
            ErrorCode::NONE,
            ErrorCode::INVALID_PARTITIONS,
            ErrorCode::INVALID_PARTITIONS,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ]
    );
    let grown = client.wait_for_topic(&grows, |topic| topic.partitions.len() == 5);
    assert!(grown.partitions.iter().all(|row| row.error_code == ErrorCode::NONE || row.leader_id < 0));
}

#[test]
fn rule_10_describe_configs_has_a_row_for_every_resource() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("retention.ms", "604800000")]);
    let missing = unique("missing");
    let this = node_id(&mut client).to_string();
    let resources =
        [(TOPIC, topic.as_str()), (TOPIC, &missing), (TOPIC, "a/b"), (BROKER, &this), (BROKER, "")];
    let results = describe(&mut client, &resources, None);
    let found = |name: &str| results.iter().find(|row| &*row.resource_name == name).unwrap();
    assert_eq!(results.len(), resources.len());
    assert_eq!(found(&missing).error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(found("a/b").error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
    assert_eq!(found("").error_code, ErrorCode::NONE);
    let of_topic = found(&topic);
    assert_eq!(of_topic.error_code, ErrorCode::NONE);
    let retention = of_topic.configs.iter().find(|config| &*config.name == "retention.ms").unwrap();
    assert_eq!(retention.config_source, 1, "an override equal to the default is still an override");
    assert!(of_topic.configs.len() > 20 && found(&this).configs.len() > 100, "never an empty list");
}

#[test]
fn rule_10_describe_configs_honours_the_filter_of_keys() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let keys = ["segment.bytes", "no.such.key", "cleanup.policy"];
    let results = describe(&mut client, &[(TOPIC, &topic)], Some(&keys));
    let mut names: Vec<&str> = results[0].configs.iter().map(|config| &*config.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["cleanup.policy", "segment.bytes"]);
}
