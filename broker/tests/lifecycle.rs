//! Starting, stopping and starting again: what is kept, who is refused, and that brokers do not know of each other.

mod raw;

use ottla_broker::{Broker, StartError};
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use raw::{TestBroker, batch, batch_at, config, fetch, fetched, produce, start_error};

#[tokio::test]
async fn a_clean_restart_keeps_topics_records_and_ids() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.connect().await;
    client.create_topic("kept", 2, &[]).await;
    client.produce("kept", -1, batch(&["a", "b"])).await;
    let before: MetadataResponse = client.call(12, MetadataRequest::default()).await;
    drop(client);
    let broker = broker.restart(&[]).await;
    let mut client = broker.connect().await;
    let after: MetadataResponse = client.call(12, MetadataRequest::default()).await;
    assert_eq!(after.topics, before.topics);
    assert_eq!(after.cluster_id, before.cluster_id);
    assert_eq!(fetched(&client.fetch("kept", 0).await).len(), 2);
    assert_eq!(client.produce("kept", -1, batch(&["c"])).await.base_offset, 2);
}

#[tokio::test]
async fn a_dropped_broker_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(config(directory.path(), &[])).await.unwrap();
    let mut client = raw::Client::connect(broker.address()).await;
    client.create_topic("kept", 1, &[]).await;
    for round in 0..10 {
        assert_eq!(client.produce("kept", -1, batch(&["a"])).await.base_offset, round);
    }
    drop(broker);
    client.wait_for_close().await;
    // The dropped broker lets go of its directory when the last of its tasks has ended.
    let broker = loop {
        match Broker::start(config(directory.path(), &[])).await {
            Ok(broker) => break broker,
            Err(StartError::Log(ottla_log::LogError::Locked(_))) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    };
    let mut client = raw::Client::connect(broker.address()).await;
    assert_eq!(fetched(&client.fetch("kept", 0).await).len(), 10);
}

#[tokio::test]
async fn several_brokers_live_in_one_process_and_do_not_know_of_each_other() {
    let brokers = [TestBroker::start(&[]).await, TestBroker::start(&[]).await, TestBroker::start(&[]).await];
    for (index, broker) in brokers.iter().enumerate() {
        let mut client = broker.connect().await;
        client.create_topic(&format!("only-{index}"), 1, &[]).await;
    }
    for (index, broker) in brokers.iter().enumerate() {
        let mut client = broker.connect().await;
        let all: MetadataResponse = client.call(12, MetadataRequest::default()).await;
        let names: Vec<_> = all.topics.iter().map(|topic| topic.name.clone().unwrap().to_string()).collect();
        assert_eq!(names, [format!("only-{index}")]);
    }
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    let broker = TestBroker::start(&[]).await;
    let directory = tempfile::tempdir().unwrap();
    let listener = format!("PLAINTEXT://127.0.0.1:{}", broker.address().port());
    let error = start_error(directory.path(), &[("listeners", &listener)]).await;
    assert!(matches!(error, StartError::Bind { .. }));
    let line = error.to_string();
    assert!(line.contains("in use") && line.contains(&broker.address().to_string()), "{line}");
    assert_eq!(line.lines().count(), 1);
}

#[tokio::test]
async fn a_directory_that_another_broker_holds_is_locked() {
    let broker = TestBroker::start(&[]).await;
    let error = start_error(broker.directory.path(), &[]).await;
    assert!(matches!(error, StartError::Log(ottla_log::LogError::Locked(_))), "{error}");
    assert!(error.to_string().contains("locked by another broker"));
}

#[tokio::test]
async fn a_directory_of_another_cluster_or_node_is_not_ours() {
    let broker = TestBroker::start(&[]).await;
    let directory = broker.directory;
    broker.handle.shutdown().await.unwrap();
    for pairs in [("cluster.id", "someone-elses"), ("node.id", "7")] {
        let error = start_error(directory.path(), &[pairs]).await;
        assert!(matches!(error, StartError::Log(ottla_log::LogError::NotOurs { .. })), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[tokio::test]
async fn shutdown_answers_what_has_begun_and_refuses_what_comes_after() {
    let broker = TestBroker::with_topics(&["last"]).await;
    let mut client = broker.connect().await;
    let mut waiting = broker.connect().await;
    let mut patient = fetch("last", 0);
    (patient.max_wait_ms, patient.min_bytes) = (60_000, 1);
    waiting.send(12, patient).await;
    client.call(9, produce("last", 0, -1, batch(&["a"]))).await;
    let address = broker.address();
    broker.handle.shutdown().await.unwrap();
    client.wait_for_close().await;
    waiting.wait_for_close().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn with_flush_messages_1_records_are_readable_once_they_are_acknowledged() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.connect().await;
    client.create_topic("durable", 1, &[("flush.messages", "1")]).await;
    let mut sent = Vec::new();
    for acks in [-1, 1, -1, 1] {
        sent.push(client.send(9, produce("durable", 0, acks, batch(&["a"]))).await);
    }
    for (offset, correlation_id) in (0..).zip(sent) {
        let (answered, response) =
            client.receive::<ottla_protocol::messages::produce::ProduceRequest>(9).await;
        assert_eq!(answered, correlation_id);
        assert_eq!(response.responses[0].partition_responses[0].base_offset, offset);
    }
    assert_eq!(client.fetch("durable", 0).await.high_watermark, 4);
}

#[tokio::test]
async fn offsets_are_found_by_time_at_both_ends_and_by_the_greatest_timestamp() {
    let broker = TestBroker::with_topics(&["times"]).await;
    let mut client = broker.connect().await;
    for (timestamp, value) in [(1000, "a"), (3000, "b"), (2000, "c")] {
        client.produce("times", 1, batch_at(timestamp, &[value])).await;
    }
    let mut offset_at = async |timestamp| {
        let asked = ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() };
        let topic = ListOffsetsTopic { name: "times".into(), partitions: vec![asked] };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let row = client.call(7, request).await.topics[0].partitions[0].clone();
        assert_eq!(row.error_code, ErrorCode::NONE);
        (row.offset, row.timestamp)
    };
    assert_eq!(offset_at(-1).await, (3, -1), "latest");
    assert_eq!(offset_at(-2).await, (0, -1), "earliest");
    assert_eq!(offset_at(-3).await, (1, 3000), "greatest timestamp");
    assert_eq!(offset_at(1500).await, (1, 3000));
    assert_eq!(offset_at(0).await, (0, 1000));
    assert_eq!(offset_at(9000).await, (-1, -1), "nothing is that late");
}
