//! Config changes and descriptions as a table of requests and the answers that Kafka gives.

use ottla_protocol::TopicId;
use ottla_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::*;

fn config() -> BrokerConfig {
    BrokerConfig::from_pairs([("node.id", "1"), ("log.retention.ms", "7000")]).unwrap()
}

fn image() -> Image {
    let mut image = Image::default();
    image.apply(&MetadataRecord::RegisterBroker { broker: BrokerId::new(1), rack: None });
    let name = TopicName::new("flights").unwrap();
    image.apply(&MetadataRecord::Topic { name, id: TopicId::new(uuid::Uuid::from_u128(1)) });
    image
}

fn wanted(kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> AlterConfigsResource {
    let change = |&(key, operation, value): &(&str, i8, Option<&str>)| AlterableConfig {
        name: key.into(),
        config_operation: operation,
        value: value.map(Str::from),
    };
    AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: changes.iter().map(change).collect(),
    }
}

fn alter(image: &mut Image, resources: Vec<AlterConfigsResource>) -> Vec<ErrorCode> {
    let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
    let outcome = image.incremental_alter_configs(&request, &config());
    outcome.records.iter().for_each(|record| image.apply(record));
    outcome.reply.responses.iter().map(|response| response.error_code).collect()
}

fn describe(
    image: &Image,
    kind: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> (ErrorCode, Vec<(String, String, i8)>) {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| Str::from(*key)).collect()),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let mut response = image.describe_configs(&request, &config());
    assert_eq!(response.results.len(), 1, "one row per resource");
    let result = response.results.remove(0);
    let value = |config: &describe_configs::DescribeConfigsResourceResult| {
        let value = config.value.as_ref().map(|value| value.to_string()).unwrap_or_default();
        (config.name.to_string(), value, config.config_source)
    };
    (result.error_code, result.configs.iter().map(value).collect())
}

/// COMPAT §3c: only what a topic sets itself has source 1, and unsetting it falls back.
#[test]
fn a_topic_value_comes_and_goes() {
    let mut image = image();
    let retention = |image: &Image| describe(image, TOPIC, "flights", Some(&["retention.ms"])).1.remove(0);
    assert_eq!(retention(&image), ("retention.ms".into(), "7000".into(), 4));
    let set = wanted(TOPIC, "flights", &[("retention.ms", 0, Some("604800000"))]);
    assert_eq!(alter(&mut image, vec![set]), [ErrorCode::NONE]);
    assert_eq!(retention(&image), ("retention.ms".into(), "604800000".into(), 1));
    let name = TopicName::new("flights").unwrap();
    assert_eq!(image.topic_config(&name, &config()).retention_ms, Some(604_800_000));
    assert_eq!(
        alter(&mut image, vec![wanted(TOPIC, "flights", &[("retention.ms", 1, None)])]),
        [ErrorCode::NONE]
    );
    assert_eq!(retention(&image), ("retention.ms".into(), "7000".into(), 4));
}

#[test]
fn a_broker_value_goes_before_that_of_all_brokers() {
    let mut image = image();
    let all = wanted(BROKER, "", &[("log.retention.ms", 0, Some("2"))]);
    let one = wanted(BROKER, "1", &[("log.retention.ms", 0, Some("3"))]);
    assert_eq!(alter(&mut image, vec![all]), [ErrorCode::NONE]);
    let name = TopicName::new("flights").unwrap();
    assert_eq!(image.topic_config(&name, &config()).retention_ms, Some(2));
    assert_eq!(alter(&mut image, vec![one]), [ErrorCode::NONE]);
    assert_eq!(image.topic_config(&name, &config()).retention_ms, Some(3));
    let keys = Some(&["log.retention.ms"][..]);
    assert_eq!(describe(&image, BROKER, "1", keys).1, [("log.retention.ms".into(), "3".into(), 2)]);
    assert_eq!(describe(&image, BROKER, "", None).1, [("log.retention.ms".into(), "2".into(), 3)]);
}

#[test]
fn every_resource_has_its_own_error_and_spares_the_others() {
    let set = [("retention.ms", 0, Some("5"))];
    let table = [
        (wanted(TOPIC, "nope", &set), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (wanted(TOPIC, "", &set), ErrorCode::INVALID_REQUEST),
        (wanted(TOPIC, "a b", &set), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (wanted(BROKER, "7", &set), ErrorCode::INVALID_REQUEST),
        (wanted(BROKER, "abc", &set), ErrorCode::INVALID_REQUEST),
        (wanted(GROUP, "", &set), ErrorCode::INVALID_REQUEST),
        (wanted(99, "x", &set), ErrorCode::INVALID_REQUEST),
        (wanted(BROKER_LOGGER, "1", &set), ErrorCode::INVALID_REQUEST),
        (wanted(BROKER, "1", &[("num.partitions", 9, None)]), ErrorCode::INVALID_REQUEST),
        (wanted(TOPIC, "flights", &set), ErrorCode::NONE),
    ];
    let mut image = image();
    let expected: Vec<_> = table.iter().map(|(_, code)| *code).collect();
    assert_eq!(alter(&mut image, table.into_iter().map(|(resource, _)| resource).collect()), expected);
    let twice = vec![wanted(TOPIC, "flights", &set), wanted(TOPIC, "flights", &set)];
    assert_eq!(alter(&mut image, twice), [ErrorCode::INVALID_REQUEST; 2]);
}

/// COMPAT §2c.10 and §3c: every known key with its effective value, never an empty list.
#[test]
fn a_description_holds_every_key_or_those_asked_for() {
    let image = image();
    assert_eq!(describe(&image, TOPIC, "flights", None).1.len(), 33);
    assert_eq!(describe(&image, TOPIC, "flights", Some(&[])).1.len(), 33);
    assert_eq!(describe(&image, TOPIC, "flights", Some(&["nonsense"])).1, []);
    assert!(describe(&image, BROKER, "1", None).1.len() >= 340);
    assert_eq!(describe(&image, GROUP, "g", None).1.len(), 17);
    assert_eq!(describe(&image, CLIENT_METRICS, "m", None).1.len(), 3);
    assert_eq!(describe(&image, CLIENT_METRICS, "", None).0, ErrorCode::INVALID_REQUEST);
    assert_eq!(describe(&image, TOPIC, "nope", None), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, vec![]));
    assert_eq!(describe(&image, BROKER, "7", None).0, ErrorCode::INVALID_REQUEST);
    assert_eq!(describe(&image, GROUP, "", None).0, ErrorCode::INVALID_REQUEST);
}

#[test]
fn validate_only_changes_nothing() {
    let image = image();
    let request = IncrementalAlterConfigsRequest {
        resources: vec![wanted(TOPIC, "flights", &[("retention.ms", 0, Some("5"))])],
        validate_only: true,
    };
    let outcome = image.incremental_alter_configs(&request, &config());
    assert_eq!(outcome.reply.responses[0].error_code, ErrorCode::NONE);
    assert_eq!(outcome.records, []);
}

#[test]
fn the_older_api_unsets_what_it_does_not_name() {
    let mut image = image();
    let both = [("retention.ms", 0, Some("5")), ("segment.ms", 0, Some("6"))];
    alter(&mut image, vec![wanted(TOPIC, "flights", &both)]);
    let config_of = |name: &str, value: &str| alter_configs::AlterableConfig {
        name: name.into(),
        value: Some(value.into()),
    };
    let resource = alter_configs::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: "flights".into(),
        configs: vec![config_of("segment.ms", "6")],
    };
    let request = alter_configs::AlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let outcome = image.alter_configs(&request, &config());
    outcome.records.iter().for_each(|record| image.apply(record));
    let own = image.configs(&ConfigResource::Topic(TopicName::new("flights").unwrap()));
    assert_eq!(own.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), [("segment.ms", "6")]);
}

/// RELIABILITY I19: a few bytes for each group must not cost a page of configs for each.
#[test]
fn one_request_describes_a_bounded_number_of_configs() {
    let image = image();
    let group = |number: u32| DescribeConfigsResource {
        resource_type: GROUP,
        resource_name: Str::from(number.to_string()),
        configuration_keys: None,
    };
    let request =
        DescribeConfigsRequest { resources: (0..30_000).map(group).collect(), ..Default::default() };
    let response = image.describe_configs(&request, &config());
    assert_eq!(response.results.len(), 30_000, "one row per resource");
    let described: usize = response.results.iter().map(|result| result.configs.len()).sum();
    assert!((DESCRIBED_MAX..DESCRIBED_MAX + 20).contains(&described));
    assert_eq!(response.results[29_999].error_code, ErrorCode::POLICY_VIOLATION);
}

#[test]
fn one_request_changes_a_bounded_number_of_resources() {
    let mut image = image();
    let resources = (0..=ALTERED_MAX).map(|number| wanted(GROUP, &number.to_string(), &[]));
    let codes = alter(&mut image, resources.collect());
    assert!(codes.iter().all(|code| *code == ErrorCode::POLICY_VIOLATION));
}
