//! Rule 10 for the requests that only ask: a row for everything, an error for what is not there.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::messages::describe_cluster::DescribeClusterRequest;
use ottla_protocol::messages::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use ottla_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, TopicRequest,
};
use ottla_protocol::messages::init_producer_id::InitProducerIdRequest;
use ottla_protocol::messages::list_offsets::{ListOffsetsRequest, ListOffsetsTopic};
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::records::{BatchBuilder, Compression};

use crate::support::TestBroker;
use crate::support::batches::{batch, now_ms};
use crate::support::broker::unique;
use crate::support::requests::{
    create_topic, init_producer_id, list_offsets, list_offsets_of, metadata_of_all,
};

#[test]
fn rule_10_list_offsets_has_a_row_for_every_partition() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(2, &[]);
    client.append(&topic, batch(&["a", "b"]));
    for version in 1..=7 {
        let mut request: ListOffsetsRequest = list_offsets_of(&topic, 0..4, -1);
        request.topics.extend(list_offsets("a-topic-that-nobody-created", -1).topics);
        let response = client.call(version, request);
        let mut rows = Vec::new();
        for mut topic in response.topics {
            topic.partitions.sort_by_key(|row| row.partition_index);
            rows.extend(topic.partitions.iter().map(|row| (row.error_code, row.offset)));
        }
        let unknown = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, -1);
        let expected = [(ErrorCode::NONE, 2), (ErrorCode::NONE, 0), unknown, unknown, unknown];
        assert_eq!(rows, expected, "version {version}");
    }
}

#[test]
fn rule_10_no_topics_to_list_are_no_rows() {
    let broker = TestBroker::any();
    let request =
        ListOffsetsRequest { topics: Vec::<ListOffsetsTopic>::new(), replica_id: -1, isolation_level: 0 };
    assert_eq!(broker.connect().call(7, request).topics.len(), 0);
}

#[test]
fn rule_10_a_time_is_found_record_by_record_also_inside_of_a_compressed_batch() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let base = now_ms() - 10_000;
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let first = client.list_offset(&topic, -1);
        let start = base + first * 1_000;
        let mut builder = BatchBuilder::new(compression);
        for step in 0..3 {
            builder.push(start + step * 100, Some(b"k"), Some(b"v"), &[]).unwrap();
        }
        client.append(&topic, builder.build());
        for (time, offset) in [(start, 0), (start + 1, 1), (start + 100, 1), (start + 200, 2)] {
            assert_eq!(client.list_offset(&topic, time), first + offset, "{compression:?}");
        }
    }
}

#[test]
fn rule_10_metadata_answers_every_topic_that_was_asked_about() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let known = [client.new_topic(1, &[]), client.new_topic(1, &[])];
    let missing = unique("missing");
    let names = [known[1].as_str(), &missing, &known[0]];
    let topic = |name: &str| MetadataRequestTopic { name: Some(Str::from(name)), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(names.map(topic).into()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let response = client.call(9, request);
    let code =
        |name: &str| response.topics.iter().find(|row| row.name.as_deref() == Some(name)).unwrap().error_code;
    assert_eq!(response.topics.len(), 3);
    assert_eq!(names.map(code), [ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::NONE]);
}

#[test]
fn rule_10_delete_topics_has_a_row_for_every_topic_in_every_version() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for version in 1..=6 {
        let (known, missing) = (client.new_topic(1, &[]), unique("missing"));
        let names: Vec<Str> = [&known, &missing].map(|name| Str::from(name.as_str())).into();
        let state = |name: &Str| DeleteTopicState { name: Some(name.clone()), ..Default::default() };
        let by_state = version >= 6;
        let request = DeleteTopicsRequest {
            topics: if by_state { names.iter().map(state).collect() } else { Vec::new() },
            topic_names: if by_state { Vec::new() } else { names },
            timeout_ms: 10_000,
        };
        let response = client.call(version, request);
        let code = |name: &str| {
            response.responses.iter().find(|row| row.name.as_deref() == Some(name)).unwrap().error_code
        };
        assert_eq!(code(&known), ErrorCode::NONE, "version {version}");
        assert_eq!(code(&missing), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
    }
}

#[test]
fn rule_10_a_broker_that_forbids_deletion_says_so() {
    let broker = TestBroker::start(&[("delete.topic.enable", "false")]);
    let mut client = broker.connect();
    client.create_topic("stays", 1, &[]);
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState { name: Some(Str::from("stays")), ..Default::default() }],
        timeout_ms: 1_000,
        ..DeleteTopicsRequest::default()
    };
    let code = client.call(6, request).responses[0].error_code;
    assert_eq!(code, ErrorCode::TOPIC_DELETION_DISABLED);
}

#[test]
fn rule_10_describe_cluster_names_the_same_brokers_and_controller_as_metadata() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let metadata = client.call(12, metadata_of_all());
    let cluster = client.call(1, DescribeClusterRequest { endpoint_type: 1, ..Default::default() });
    assert_eq!(cluster.error_code, ErrorCode::NONE);
    assert_eq!(Some(&cluster.cluster_id), metadata.cluster_id.as_ref());
    assert_eq!(cluster.controller_id, metadata.controller_id);
    let [named] = &cluster.brokers[..] else { panic!("{:?}", cluster.brokers) };
    let known = &metadata.brokers[0];
    assert_eq!((named.broker_id, &named.host, named.port), (known.node_id, &known.host, known.port));
}

#[test]
fn rule_10_log_directories_tell_the_size_of_every_partition_asked_for() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(2, &[]);
    let sent = batch(&[&"x".repeat(5_000)]);
    client.append(&topic, sent.clone());
    for version in 1..=4 {
        let asked = DescribableLogDirTopic { topic: Str::from(topic.as_str()), partitions: vec![0, 1] };
        let response = client.call(version, DescribeLogDirsRequest { topics: Some(vec![asked]) });
        let [directory] = &response.results[..] else { panic!("{:?}", response.results) };
        assert_eq!(directory.error_code, ErrorCode::NONE);
        let [found] = &directory.topics[..] else { panic!("{:?}", directory.topics) };
        let mut sizes: Vec<(i32, i64)> =
            found.partitions.iter().map(|row| (row.partition_index, row.partition_size)).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [(0, sent.len() as i64), (1, 0)], "version {version}");
        assert!(version < 4 || (directory.total_bytes > 0 && directory.usable_bytes > 0));
    }
}

#[test]
fn rule_10_describe_topic_partitions_goes_on_where_its_cursor_points() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(5, &[]);
    let missing = unique("zz-missing");
    let mut request = DescribeTopicPartitionsRequest {
        topics: [&missing, &topic].map(|name| TopicRequest { name: Str::from(name.as_str()) }).into(),
        response_partition_limit: 2,
        cursor: None,
    };
    let mut indexes = Vec::new();
    loop {
        let response = client.call(0, request.clone());
        for found in response.topics.iter().filter(|found| found.name.as_deref() == Some(&topic)) {
            assert_eq!(found.error_code, ErrorCode::NONE);
            indexes.extend(found.partitions.iter().map(|row| row.partition_index));
        }
        let Some(Cursor { topic_name, partition_index }) = response.next_cursor else { break };
        request.cursor = Some(Cursor { topic_name, partition_index });
    }
    assert_eq!(indexes, [0, 1, 2, 3, 4]);
    request.cursor = None;
    request.response_partition_limit = 2_000;
    let response = client.call(0, request);
    let code =
        |name: &str| response.topics.iter().find(|row| row.name.as_deref() == Some(name)).unwrap().error_code;
    assert_eq!((code(&topic), code(&missing)), (ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
}

#[test]
fn rule_10_a_producer_id_is_given_in_every_version_and_to_whoever_had_one() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let mut ids = Vec::new();
    for version in 0..=4 {
        let had = InitProducerIdRequest { producer_id: 5, producer_epoch: 7, ..init_producer_id() };
        let requests = if version < 3 { vec![init_producer_id()] } else { vec![init_producer_id(), had] };
        for request in requests {
            let response = client.call(version, request);
            assert_eq!((response.error_code, response.producer_epoch), (ErrorCode::NONE, 0));
            ids.push(response.producer_id);
        }
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn rule_10_creation_answers_in_every_version() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for version in 2..=7 {
        let name = unique("versioned");
        let response = client.call(version, create_topic(&name, 2, &[("retention.ms", "1")]));
        let row = &response.topics[0];
        assert_eq!((&*row.name, row.error_code), (name.as_str(), ErrorCode::NONE), "version {version}");
        assert!(version < 5 || (row.num_partitions, row.replication_factor) == (2, 1));
        assert!(version < 7 || !row.topic_id.is_nil());
        let response = client.call(version, create_topic(&name, 2, &[]));
        assert_eq!(response.topics[0].error_code, ErrorCode::TOPIC_ALREADY_EXISTS);
        assert!(response.topics[0].error_message.as_ref().is_some_and(|message| message.contains(&name)));
    }
}
