//! COMPAT §3c, of the resource type BROKER_LOGGER (KIP-412): the levels of a process's log are seen and changed through
//! the admin API.

use std::sync::{Arc, Mutex};

use ottla_broker::LogLevels;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::support::{Client, TestBroker};

const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;

fn described(kind: i8, name: &str) -> DescribeConfigsResource {
    let resource_name = Str::from(name);
    DescribeConfigsResource { resource_type: kind, resource_name, configuration_keys: None }
}

fn set(name: &str, logger: &str, level: &str) -> AlterConfigsResource {
    let config =
        AlterableConfig { name: Str::from(logger), config_operation: 0, value: Some(Str::from(level)) };
    AlterConfigsResource {
        resource_type: BROKER_LOGGER,
        resource_name: Str::from(name),
        configs: vec![config],
    }
}

fn alter(client: &mut Client, resources: Vec<AlterConfigsResource>) -> Vec<ErrorCode> {
    let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
    client.call(1, request).responses.iter().map(|row| row.error_code).collect()
}

#[test]
fn levels_are_seen_and_changed_at_the_broker_that_is_meant() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let resources =
        vec![described(BROKER_LOGGER, "1"), described(BROKER, "1"), described(BROKER_LOGGER, "2")];
    let request = DescribeConfigsRequest { resources, ..Default::default() };
    let nobody_said_how = client.call(4, request.clone()).results;
    assert_eq!((nobody_said_how[0].error_code, nobody_said_how[0].configs.len()), (ErrorCode::NONE, 0));
    assert_eq!(alter(&mut client, vec![set("1", "root", "WARN")]), [ErrorCode::INVALID_REQUEST]);

    let told = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&told);
    broker.handle().set_log_levels(LogLevels::new("info", move |directives| {
        directives.clone_into(&mut log.lock().unwrap());
    }));
    let results = client.call(4, request).results;
    let kinds: Vec<i8> = results.iter().map(|result| result.resource_type).collect();
    assert_eq!(kinds, [BROKER_LOGGER, BROKER, BROKER_LOGGER], "in the order of the request");
    assert_eq!(results[2].error_code, ErrorCode::INVALID_REQUEST, "that broker has to be asked itself");
    let root = results[0].configs.iter().find(|row| row.name == "root").unwrap();
    assert_eq!((root.value.as_deref(), root.config_source), (Some("INFO"), 6));

    let resources = vec![set("1", "ottla_log", "DEBUG"), set("2", "root", "WARN"), set("x", "root", "WARN")];
    let codes = alter(&mut client, resources);
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::INVALID_REQUEST, ErrorCode::INVALID_REQUEST]);
    assert_eq!(*told.lock().unwrap(), "ottla_log=debug");
    assert_eq!(alter(&mut client, vec![set("1", "kafka.server", "DEBUG")]), [ErrorCode::INVALID_CONFIG]);
}
