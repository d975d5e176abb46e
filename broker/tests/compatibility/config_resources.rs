//! COMPAT §3c, and what `kafka-configs.sh` asks when it is given a type without a name: the names of what has configs
//! (KIP-1142), the configs of groups (KIP-848), quotas (KIP-546) and SCRAM credentials (KIP-554).

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use ottla_protocol::messages::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};
use ottla_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_protocol::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, UserName,
};
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_protocol::messages::list_config_resources::ListConfigResourcesRequest;

use crate::support::broker::unique;
use crate::support::client::PATIENCE;
use crate::support::requests::metadata_of_all;
use crate::support::{Client, TestBroker};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// The names of one type.
fn names(client: &mut Client, kind: i8) -> Vec<String> {
    let response = client.call(1, ListConfigResourcesRequest { resource_types: vec![kind] });
    assert_eq!(response.error_code, ErrorCode::NONE);
    assert!(response.config_resources.iter().all(|resource| resource.resource_type == kind));
    response.config_resources.iter().map(|resource| resource.resource_name.to_string()).collect()
}

/// Sets configs of a group, or with `None` unsets them.
fn alter_group(client: &mut Client, group: &str, configs: &[(&str, Option<&str>)]) -> ErrorCode {
    let config = |(key, value): &(&str, Option<&str>)| AlterableConfig {
        name: Str::from(*key),
        config_operation: i8::from(value.is_none()),
        value: value.map(Str::from),
    };
    let resource = AlterConfigsResource {
        resource_type: GROUP,
        resource_name: Str::from(group),
        configs: configs.iter().map(config).collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    client.call(1, request).responses[0].error_code
}

/// Value and source of a group's config.
fn group_config(client: &mut Client, group: &str, key: &str) -> (String, i8) {
    let resource = DescribeConfigsResource {
        resource_type: GROUP,
        resource_name: Str::from(group),
        configuration_keys: Some(vec![Str::from(key)]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let config = client.call(4, request).results.remove(0).configs.remove(0);
    (config.value.unwrap_or_default().to_string(), config.config_source)
}

/// Kafka's brokers learn of a change a moment after its reply; ours know it by then.
fn eventually(mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[test]
fn resources_are_listed_by_name_and_groups_only_while_they_have_configs() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let group = unique("group");
    let ids: Vec<String> =
        client.call(12, metadata_of_all()).brokers.iter().map(|broker| broker.node_id.to_string()).collect();
    assert_eq!(names(&mut client, BROKER), ids);
    assert_eq!(names(&mut client, BROKER_LOGGER), ids);
    eventually(|| names(&mut client, TOPIC).contains(&topic));
    assert!(!names(&mut client, GROUP).contains(&group));
    let key = "consumer.session.timeout.ms";
    assert_eq!(alter_group(&mut client, &group, &[(key, Some("50000"))]), ErrorCode::NONE);
    eventually(|| names(&mut client, GROUP).contains(&group));
    assert_eq!(alter_group(&mut client, &group, &[(key, None)]), ErrorCode::NONE);
    eventually(|| !names(&mut client, GROUP).contains(&group));
}

#[test]
fn without_a_type_everything_is_listed_and_the_oldest_version_knows_client_metrics_only() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let all = client.call(1, ListConfigResourcesRequest::default());
    assert!(all.config_resources.iter().any(|resource| resource.resource_type == BROKER));
    let old = client.call(0, ListConfigResourcesRequest::default());
    assert_eq!(old.error_code, ErrorCode::NONE);
    assert!(old.config_resources.iter().all(|resource| resource.resource_type == CLIENT_METRICS));
    for unknown in [0, 1, 3, 64, -1] {
        let request = ListConfigResourcesRequest { resource_types: vec![TOPIC, unknown] };
        let refused = client.call(1, request);
        assert_eq!(refused.error_code, ErrorCode::UNSUPPORTED_VERSION, "{unknown}");
        assert!(refused.config_resources.is_empty());
    }
}

#[test]
fn a_group_s_own_timeouts_go_before_the_broker_s_and_keep_to_its_bounds() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let group = unique("group");
    let (timeout, interval) = ("consumer.session.timeout.ms", "consumer.heartbeat.interval.ms");
    assert_eq!(group_config(&mut client, &group, timeout), ("45000".to_owned(), 5));
    let own = [(timeout, Some("50000")), (interval, Some("6000"))];
    assert_eq!(alter_group(&mut client, &group, &own), ErrorCode::NONE);
    eventually(|| group_config(&mut client, &group, timeout) == ("50000".to_owned(), 8));
    for (key, value) in [
        (timeout, "44999"),
        (timeout, "60001"),
        (timeout, "soon"),
        (interval, "4999"),
        (interval, "15001"),
        ("consumer.assignment.interval.ms", "15001"),
        ("share.session.timeout.ms", "1000"),
        ("share.heartbeat.interval.ms", "1000"),
        ("share.record.lock.duration.ms", "1000"),
        ("share.delivery.count.limit", "11"),
        ("share.partition.max.record.locks", "4001"),
        ("streams.session.timeout.ms", "60001"),
        ("streams.heartbeat.interval.ms", "15001"),
        ("streams.num.standby.replicas", "3"),
        ("no.such.key", "1"),
    ] {
        let refused = alter_group(&mut client, &group, &[(key, Some(value))]);
        assert_eq!(refused, ErrorCode::INVALID_CONFIG, "{key}={value}");
    }
    assert_eq!(group_config(&mut client, &group, timeout), ("50000".to_owned(), 8));
    assert_eq!(alter_group(&mut client, "", &own), ErrorCode::INVALID_REQUEST);
}

#[test]
fn the_members_of_a_group_are_told_its_own_heartbeat_interval() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let (group, member_id) = (unique("group"), unique("member"));
    let first = ConsumerGroupHeartbeatRequest {
        group_id: Str::from(&group),
        member_id: Str::from(&member_id),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec![Str::from(unique("topic"))]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let coordinator =
        FindCoordinatorRequest { coordinator_keys: vec![Str::from(&group)], ..Default::default() };
    eventually(|| !client.call(4, coordinator.clone()).coordinators[0].error_code.is_error());
    let mut joined = client.call(1, first.clone());
    eventually(|| {
        joined = client.call(1, first.clone());
        joined.error_code == ErrorCode::NONE
    });
    assert_eq!(joined.heartbeat_interval_ms, 5_000);
    let own = [("consumer.heartbeat.interval.ms", Some("6000"))];
    assert_eq!(alter_group(&mut client, &group, &own), ErrorCode::NONE);
    let alive = ConsumerGroupHeartbeatRequest {
        group_id: Str::from(&group),
        member_id: Str::from(&member_id),
        member_epoch: joined.member_epoch,
        ..ConsumerGroupHeartbeatRequest::default()
    };
    eventually(|| {
        let answer = client.call(1, alive.clone());
        assert_eq!(answer.error_code, ErrorCode::NONE);
        answer.heartbeat_interval_ms == 6_000
    });
}

fn component(entity_type: &str, match_type: i8, name: Option<&str>) -> ComponentData {
    ComponentData { entity_type: Str::from(entity_type), match_type, r#match: name.map(Str::from) }
}

#[test]
fn a_legal_filter_of_quotas_finds_none_and_an_illegal_one_is_refused() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let nobody = unique("nobody");
    for (components, expected) in [
        (vec![component("user", 0, Some(&nobody))], ErrorCode::NONE),
        (vec![component("user", 0, Some(&nobody)), component("client-id", 2, None)], ErrorCode::NONE),
        (vec![component("client-id", 0, Some(&nobody)), component("user", 1, None)], ErrorCode::NONE),
        (vec![component("ip", 0, Some("192.0.2.7"))], ErrorCode::NONE),
        (vec![component("", 2, None)], ErrorCode::INVALID_REQUEST),
        (vec![component("user", 2, None), component("user", 1, None)], ErrorCode::INVALID_REQUEST),
        (vec![component("user", 0, None)], ErrorCode::INVALID_REQUEST),
        (vec![component("user", 1, Some("a"))], ErrorCode::INVALID_REQUEST),
        (vec![component("user", 2, Some("a"))], ErrorCode::INVALID_REQUEST),
        (vec![component("user", 3, None)], ErrorCode::INVALID_REQUEST),
        (vec![component("ip", 2, None), component("user", 2, None)], ErrorCode::INVALID_REQUEST),
        (vec![component("client-id", 2, None), component("ip", 1, None)], ErrorCode::INVALID_REQUEST),
        (vec![component("planet", 2, None)], ErrorCode::UNSUPPORTED_VERSION),
    ] {
        for version in [0, 1] {
            for strict in [false, true] {
                let request = DescribeClientQuotasRequest { components: components.clone(), strict };
                let response = client.call(version, request);
                assert_eq!(response.error_code, expected, "{components:?}");
                let message = response.error_message.unwrap_or_default();
                assert_eq!(message.is_empty(), !expected.is_error(), "{components:?}");
                let none = if expected.is_error() { None } else { Some(Vec::new()) };
                assert_eq!(response.entries, none, "{components:?}");
            }
        }
    }
}

#[test]
fn a_user_without_scram_credentials_is_not_found_and_one_named_twice_is_refused() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let all = client.call(0, DescribeUserScramCredentialsRequest { users: None });
    assert_eq!((all.error_code, all.results.len()), (ErrorCode::NONE, 0));
    let (alice, bob) = (Str::from(unique("alice")), Str::from(unique("bob")));
    let users = [&alice, &bob, &bob].map(|name| UserName { name: name.clone() }).to_vec();
    let response = client.call(0, DescribeUserScramCredentialsRequest { users: Some(users) });
    assert_eq!(response.error_code, ErrorCode::NONE);
    let mut found: Vec<_> = response.results.iter().map(|row| (row.user.clone(), row.error_code)).collect();
    found.sort();
    assert_eq!(found, [(alice, ErrorCode::RESOURCE_NOT_FOUND), (bob, ErrorCode::DUPLICATE_RESOURCE)]);
}
