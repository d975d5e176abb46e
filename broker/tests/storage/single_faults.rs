//! One operation of the file system fails, once, somewhere in the life of a broker: every request is answered, what was
//! acknowledged is kept, and the next broker on the same files is sound.

use std::io;

use ottla_log::storage::{FaultyStorage, Operation};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use crate::support::batches::{batch, values};
use crate::support::requests::{create_topic, delete_records, delete_topic, metadata_without_creation};
use crate::support::{Client, TestBroker};

const KINDS: [Operation; 7] = [
    Operation::Create,
    Operation::Write,
    Operation::SyncData,
    Operation::SyncDirectory,
    Operation::Rename,
    Operation::Truncate,
    Operation::Remove,
];

/// What a life consists of; the fault comes right before one of these.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Create,
    Produce,
    Alter,
    Shorten,
    Delete,
    Stop,
}

const STEPS: [Step; 6] = [Step::Create, Step::Produce, Step::Alter, Step::Shorten, Step::Delete, Step::Stop];

/// What the broker has acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    created: bool,
    records: usize,
    shortened: bool,
    deleted: bool,
}

/// Lives once on `storage`, with a fault of this kind before that step.
fn live(storage: &FaultyStorage, fault: (Operation, io::ErrorKind), before: Step) -> Acknowledged {
    let mut broker = TestBroker::start_on(storage, &[]).unwrap();
    let mut client = broker.connect();
    client.create_topic("witness", 1, &[("flush.messages", "1")]);
    client.create_topic("doomed", 1, &[]);
    let mut acknowledged = Acknowledged::default();
    for step in STEPS {
        if step == before {
            storage.fail_next(fault.0, fault.1);
        }
        match step {
            Step::Create => {
                let response = client.call(7, create_topic("life", 1, &[("flush.messages", "1")]));
                acknowledged.created = response.topics[0].error_code == ErrorCode::NONE;
            }
            Step::Produce => {
                for number in 0..3 {
                    let row = client.produce("life", -1, batch(&[&format!("v{number}")]));
                    if row.error_code != ErrorCode::NONE {
                        break;
                    }
                    assert_eq!(row.base_offset, number, "{fault:?} before {before:?}");
                    acknowledged.records += 1;
                }
            }
            Step::Alter => {
                let config = AlterableConfig {
                    name: Str::from("retention.ms"),
                    config_operation: 0,
                    value: Some(Str::from("86400000")),
                };
                let resource = AlterConfigsResource {
                    resource_type: 2,
                    resource_name: Str::from("life"),
                    configs: vec![config],
                };
                let request =
                    IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
                client.call(1, request);
            }
            Step::Shorten => {
                let response = client.call(2, delete_records("life", 1));
                acknowledged.shortened = response.topics[0].partitions[0].error_code == ErrorCode::NONE;
            }
            Step::Delete => {
                let response = client.call(6, delete_topic("doomed"));
                acknowledged.deleted = response.responses[0].error_code == ErrorCode::NONE;
            }
            // It may complain, but it must end.
            Step::Stop => broker.try_stop(),
        }
    }
    acknowledged
}

/// A broker that finds these files must be sound and have all that was acknowledged.
fn check(found: &FaultyStorage, acknowledged: &Acknowledged, what: &str) {
    let broker = match TestBroker::start_on(found, &[]) {
        Ok(broker) => broker,
        Err(error) => panic!("{what}: the next broker does not start: {error}"),
    };
    let mut client = broker.connect();
    let code = |client: &mut Client, topic: &str| {
        client.call(12, metadata_without_creation(topic)).topics[0].error_code
    };
    if acknowledged.created {
        assert_eq!(code(&mut client, "life"), ErrorCode::NONE, "{what}");
        // A deletion that was not acknowledged may have happened; one that was, must have.
        let start = client.list_offset("life", -2);
        assert!(start == 1 || (start == 0 && !acknowledged.shortened), "{what}: it begins at {start}");
        let row = client.fetch("life", start);
        assert_eq!(row.error_code, ErrorCode::NONE, "{what}: {acknowledged:?}");
        let found = values(&row);
        let expected: Vec<String> =
            (start as usize..acknowledged.records).map(|number| format!("v{number}")).collect();
        assert!(found.starts_with(&expected), "{what}: {found:?}, acknowledged {acknowledged:?}");
        client.append("life", batch(&["next"]));
    }
    if acknowledged.deleted {
        assert_eq!(code(&mut client, "doomed"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "{what}");
    }
    client.append("witness", batch(&["still here"]));
    client.create_topic("another", 1, &[]);
    client.append("another", batch(&["a"]));
}

fn check_every_fault(kind: io::ErrorKind) {
    for operation in KINDS {
        for before in STEPS {
            let storage = FaultyStorage::new();
            let acknowledged = live(&storage, (operation, kind), before);
            let what = format!("{kind:?} of {operation:?} before {before:?}");
            check(&storage.after_kill(), &acknowledged, &format!("{what}, killed"));
            check(&storage.after_power_loss(|| 0), &acknowledged, &format!("{what}, power lost"));
        }
    }
}

#[test]
fn one_failure_of_the_disk_loses_nothing_that_was_acknowledged() {
    check_every_fault(io::ErrorKind::Other);
}

#[test]
fn one_moment_without_room_loses_nothing_that_was_acknowledged() {
    check_every_fault(io::ErrorKind::StorageFull);
}
