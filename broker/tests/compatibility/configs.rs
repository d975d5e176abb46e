//! COMPAT §3c: configs are described with where they come from, and changed key by key; a change is in force at once.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::alter_configs::{self, AlterConfigsRequest};
use ottla_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::support::batches::batch;
use crate::support::broker::unique;
use crate::support::client::PATIENCE;
use crate::support::requests::{delete_records, metadata_of_all, produce};
use crate::support::{Client, TestBroker};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn change(kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> AlterConfigsResource {
    let config = |(key, operation, value): &(&str, i8, Option<&str>)| AlterableConfig {
        name: Str::from(*key),
        config_operation: *operation,
        value: value.map(Str::from),
    };
    AlterConfigsResource {
        resource_type: kind,
        resource_name: Str::from(name),
        configs: changes.iter().map(config).collect(),
    }
}

/// Changes one resource and gives the error.
fn alter(client: &mut Client, kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> ErrorCode {
    let request = IncrementalAlterConfigsRequest {
        resources: vec![change(kind, name, changes)],
        ..IncrementalAlterConfigsRequest::default()
    };
    let response = client.call(1, request);
    assert_eq!(response.responses.len(), 1);
    response.responses[0].error_code
}

fn describe(client: &mut Client, kind: i8, name: &str, key: &str) -> DescribeConfigsResourceResult {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: Str::from(name),
        configuration_keys: Some(vec![Str::from(key)]),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    let mut results = client.call(4, request).results;
    assert_eq!(results[0].error_code, ErrorCode::NONE);
    results.remove(0).configs.remove(0)
}

/// Value and source of a config.
fn value(client: &mut Client, kind: i8, name: &str, key: &str) -> (String, i8) {
    let config = describe(client, kind, name, key);
    (config.value.map(|value| value.to_string()).unwrap_or_default(), config.config_source)
}

/// Kafka's brokers learn of a change a moment after its reply; ours know it by then.
fn wait_for_value(client: &mut Client, kind: i8, name: &str, key: &str, expected: (&str, i8)) {
    let begun = std::time::Instant::now();
    loop {
        let (found, source) = value(client, kind, name, key);
        if (found.as_str(), source) == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{key} is {found:?} from {source}, not {expected:?}");
    }
}

#[test]
fn a_value_equal_to_the_default_is_still_the_topic_s_own_until_it_is_unset() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let before = value(&mut client, TOPIC, &topic, "delete.retention.ms");
    assert_eq!(before, ("86400000".to_owned(), 5));
    let set = [("delete.retention.ms", SET, Some("86400000"))];
    assert_eq!(alter(&mut client, TOPIC, &topic, &set), ErrorCode::NONE);
    wait_for_value(&mut client, TOPIC, &topic, "delete.retention.ms", ("86400000", 1));
    let unset = [("delete.retention.ms", DELETE, None)];
    assert_eq!(alter(&mut client, TOPIC, &topic, &unset), ErrorCode::NONE);
    wait_for_value(&mut client, TOPIC, &topic, "delete.retention.ms", ("86400000", 5));
}

#[test]
fn a_described_config_has_its_type_its_synonyms_and_its_meaning() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("max.message.bytes", "2000")]);
    let config = describe(&mut client, TOPIC, &topic, "max.message.bytes");
    assert_eq!((config.config_type, config.read_only, config.is_sensitive), (3, false, false));
    let synonyms: Vec<(&str, &str, i8)> = config
        .synonyms
        .iter()
        .map(|synonym| (&*synonym.name, synonym.value.as_deref().unwrap_or_default(), synonym.source))
        .collect();
    assert_eq!(synonyms, [("max.message.bytes", "2000", 1), ("message.max.bytes", "1048588", 5)]);
    assert!(config.documentation.is_some_and(|text| text.len() > 20));
}

#[test]
fn lists_grow_and_shrink_item_by_item() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let append = [("cleanup.policy", APPEND, Some("compact"))];
    assert_eq!(alter(&mut client, TOPIC, &topic, &append), ErrorCode::NONE);
    wait_for_value(&mut client, TOPIC, &topic, "cleanup.policy", ("delete,compact", 1));
    let subtract = [("cleanup.policy", SUBTRACT, Some("delete"))];
    assert_eq!(alter(&mut client, TOPIC, &topic, &subtract), ErrorCode::NONE);
    wait_for_value(&mut client, TOPIC, &topic, "cleanup.policy", ("compact", 1));
}

#[test]
fn what_cannot_be_changed_says_why_by_its_code() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let missing = unique("missing");
    let this = client.call(12, metadata_of_all()).brokers[0].node_id.to_string();
    for (kind, name, changes, expected) in [
        (TOPIC, topic.as_str(), &[("no.such.key", SET, Some("1"))][..], ErrorCode::INVALID_CONFIG),
        (TOPIC, &topic, &[("retention.ms", SET, Some("soon"))], ErrorCode::INVALID_CONFIG),
        (TOPIC, &topic, &[("retention.ms", SET, Some("-2"))], ErrorCode::INVALID_CONFIG),
        (TOPIC, &topic, &[("retention.ms", APPEND, Some("1"))], ErrorCode::INVALID_CONFIG),
        (TOPIC, &topic, &[("retention.ms", SET, None)], ErrorCode::INVALID_REQUEST),
        (
            TOPIC,
            &topic,
            &[("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))],
            ErrorCode::INVALID_REQUEST,
        ),
        (TOPIC, &missing, &[("retention.ms", SET, Some("1"))], ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "", &[("retention.ms", SET, Some("1"))], ErrorCode::INVALID_REQUEST),
        (BROKER, &this, &[("log.dirs", SET, Some("/x"))], ErrorCode::INVALID_REQUEST),
        (BROKER, &this, &[("message.max.bytes", SET, Some("many"))], ErrorCode::INVALID_REQUEST),
        (BROKER, "", &[("listeners", SET, Some("PLAINTEXT://:1"))], ErrorCode::INVALID_REQUEST),
    ] {
        assert_eq!(alter(&mut client, kind, name, changes), expected, "{kind} {name:?} {changes:?}");
    }
}

#[test]
fn a_resource_that_is_named_twice_is_changed_by_neither() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let resource = change(TOPIC, &topic, &[("retention.ms", SET, Some("1000"))]);
    let request = IncrementalAlterConfigsRequest {
        resources: vec![resource.clone(), resource],
        ..IncrementalAlterConfigsRequest::default()
    };
    let codes: Vec<_> = client.call(1, request).responses.iter().map(|row| row.error_code).collect();
    assert!(!codes.is_empty() && codes.iter().all(|code| *code == ErrorCode::INVALID_REQUEST), "{codes:?}");
    assert_eq!(value(&mut client, TOPIC, &topic, "retention.ms").0, "604800000");
}

#[test]
fn validate_only_says_what_would_happen_and_lets_nothing_happen() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let resources = vec![
        change(TOPIC, &topic, &[("retention.ms", SET, Some("1000"))]),
        change(TOPIC, &unique("missing"), &[("retention.ms", SET, Some("1000"))]),
    ];
    let response = client.call(1, IncrementalAlterConfigsRequest { resources, validate_only: true });
    let mut codes: Vec<_> = response.responses.iter().map(|row| row.error_code).collect();
    codes.sort_unstable();
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
    assert_eq!(value(&mut client, TOPIC, &topic, "retention.ms"), ("604800000".to_owned(), 5));
}

#[test]
fn the_older_api_replaces_every_value_of_the_topic() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[("retention.ms", "1000"), ("segment.ms", "2000")]);
    let config =
        alter_configs::AlterableConfig { name: Str::from("segment.ms"), value: Some(Str::from("3000")) };
    let resource = alter_configs::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: Str::from(&*topic),
        configs: vec![config],
    };
    let request = AlterConfigsRequest { resources: vec![resource], ..AlterConfigsRequest::default() };
    assert_eq!(client.call(2, request).responses[0].error_code, ErrorCode::NONE);
    wait_for_value(&mut client, TOPIC, &topic, "segment.ms", ("3000", 1));
    wait_for_value(&mut client, TOPIC, &topic, "retention.ms", ("604800000", 5));
}

#[test]
fn a_change_is_in_force_when_its_reply_has_come() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let (own, plain) = (client.new_topic(1, &[]), client.new_topic(1, &[]));
    let large = "x".repeat(5000);
    let code = |client: &mut Client, topic: &str| {
        let response = client.call(9, produce(topic, 0, -1, batch(&[&large])));
        response.responses[0].partition_responses[0].error_code
    };
    let narrow = [("max.message.bytes", SET, Some("1000"))];
    assert_eq!(alter(&mut client, TOPIC, &own, &narrow), ErrorCode::NONE);
    assert_eq!(code(&mut client, &own), ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(code(&mut client, &plain), ErrorCode::NONE);
    // For all brokers, and so for every topic that has no value of its own.
    assert_eq!(alter(&mut client, BROKER, "", &[("message.max.bytes", SET, Some("1000"))]), ErrorCode::NONE);
    assert_eq!(code(&mut client, &plain), ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(alter(&mut client, TOPIC, &own, &[("max.message.bytes", SET, Some("9000"))]), ErrorCode::NONE);
    assert_eq!(code(&mut client, &own), ErrorCode::NONE);
    assert_eq!(value(&mut client, TOPIC, &plain, "max.message.bytes"), ("1000".to_owned(), 3));
    let broker = broker.restart(&[]);
    let mut client = broker.connect();
    assert_eq!(code(&mut client, &plain), ErrorCode::MESSAGE_TOO_LARGE);
}

#[test]
fn a_limit_of_connections_counts_from_the_next_connection_on() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let limit = [("max.connections.per.ip", SET, Some("1"))];
    assert_eq!(alter(&mut client, BROKER, "", &limit), ErrorCode::NONE);
    broker.connect().expect_close();
    let unset = [("max.connections.per.ip", DELETE, None)];
    assert_eq!(alter(&mut client, BROKER, "", &unset), ErrorCode::NONE);
    broker.connect().expect_service();
    let nonsense = [("max.connections.per.ip.overrides", SET, Some("here:5"))];
    assert_eq!(alter(&mut client, BROKER, "", &nonsense), ErrorCode::INVALID_REQUEST);
}

#[test]
fn records_are_deleted_only_where_the_policy_allows_it() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for (policy, expected) in [
        ("delete", ErrorCode::NONE),
        ("compact,delete", ErrorCode::NONE),
        ("", ErrorCode::NONE),
        ("compact", ErrorCode::POLICY_VIOLATION),
    ] {
        let topic = client.new_topic(1, &[("cleanup.policy", policy)]);
        let produced = client.call(9, produce(&topic, 0, -1, batch(&["a", "b"])));
        assert_eq!(produced.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
        let deleted = client.call(2, delete_records(&topic, 1));
        assert_eq!(deleted.topics[0].partitions[0].error_code, expected, "{policy}");
    }
}
