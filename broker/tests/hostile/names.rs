//! Topic names that are no names, in every request that carries one.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};

use crate::support::TestBroker;
use crate::support::batches::batch;
use crate::support::requests::{
    create_topic, delete_records, delete_topic, list_offsets, metadata, metadata_of_all,
};

/// Outside of `[a-zA-Z0-9._-]{1,249}`, or a directory of its own meaning.
fn bad_names() -> Vec<String> {
    let bad = ["", ".", "..", "../up", "a/b", "a\\b", "a b", "a\0b", "a:b", "ä", "💥", "a\nb", "*", "%2e"];
    let mut bad: Vec<String> = bad.map(str::to_owned).into();
    bad.push("x".repeat(250));
    bad
}

#[test]
fn a_bad_topic_name_is_never_created() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for name in bad_names() {
        let response = client.call(7, create_topic(&name, 1, &[]));
        assert_eq!(response.topics[0].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION, "{name:.20?}");
        let response = client.call(12, metadata(&name));
        assert_eq!(response.topics[0].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION, "{name:.20?}");
    }
    let all = client.call(12, metadata_of_all());
    let names: Vec<&str> = all.topics.iter().filter_map(|topic| topic.name.as_deref()).collect();
    assert!(bad_names().iter().all(|bad| !names.contains(&bad.as_str())));
}

#[test]
fn a_bad_topic_name_names_no_topic() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    // The last one is as long as a name on the wire can be.
    for name in bad_names().into_iter().chain(["x".repeat(32_767)]) {
        let told = [
            client.produce(&name, -1, batch(&["a"])).error_code,
            client.fetch(&name, 0).error_code,
            client.call(7, list_offsets(&name, -1)).topics[0].partitions[0].error_code,
            client.call(6, delete_topic(&name)).responses[0].error_code,
            client.call(2, delete_records(&name, 0)).topics[0].partitions[0].error_code,
        ];
        let allowed = [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::INVALID_TOPIC_EXCEPTION];
        assert!(told.iter().all(|code| allowed.contains(code)), "{name:.20?}: {told:?}");
        let topic = CreatePartitionsTopic { name: Str::from(name.as_str()), count: 3, assignments: None };
        let request =
            CreatePartitionsRequest { topics: vec![topic], timeout_ms: 1_000, validate_only: false };
        assert!(allowed.contains(&client.call(3, request).results[0].error_code), "{name:.20?}");
    }
}

#[test]
fn a_name_that_looks_like_a_path_touches_no_file() {
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let listed = |broker: &TestBroker| {
        let mut names: Vec<_> =
            std::fs::read_dir(broker.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listed(&broker);
    for name in bad_names() {
        client.call(7, create_topic(&name, 1, &[]));
        client.call(6, delete_topic(&name));
    }
    assert_eq!(listed(&broker), before);
}
