//! The hard compatibility rules, distilled from the failures of other brokers: one test each, named after its number.
//!
//! They speak in raw frames, so that nothing of a client's leniency hides a mistake. Rules whose APIs are not served yet
//! (topic ids in Fetch, transactions) are tested as far as they can be reached.

mod support;

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use ottla_protocol::codec::Str;
use ottla_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ottla_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ottla_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla_protocol::records::{BatchBuilder, BatchHeader, Compression, Rules, ValidBatch, batches};
use ottla_protocol::{ApiKey, ErrorCode};
use support::{TestBroker, batch, fetch, fetched, produce};
use uuid::Uuid;

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: Str::from("test"),
        client_software_version: Str::from("1.0"),
    }
}

fn named(topic: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic { name: Some(Str::from(topic)), ..MetadataRequestTopic::default() };
    MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() }
}

/// A request frame by hand: key, version, correlation id 7, then `rest`.
fn frame(api_key: i16, api_version: i16, rest: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u32(8 + rest.len() as u32);
    frame.put_i16(api_key);
    frame.put_i16(api_version);
    frame.put_i32(7);
    frame.put_slice(rest);
    frame.freeze()
}

#[tokio::test]
async fn rule_1_api_versions_has_header_0_hides_features_from_old_clients_and_never_inverts_a_row() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.connect().await;
    for version in 0..=4 {
        client.send(version, api_versions()).await;
        let frame = client.receive_frame().await.unwrap();
        // Correlation id, then at once the error code: no byte of tags between them, in any version.
        assert_eq!(frame[4..6], [0, 0], "version {version}");
        let body = frame.slice(4..);
        let response: ApiVersionsResponse =
            ottla_protocol::codec::decode(body, version, version >= 3).unwrap();
        assert!(response.api_keys.iter().all(|row| row.min_version <= row.max_version));
        assert!(version >= 4 || response.supported_features.iter().all(|feature| feature.min_version > 0));
        let produce = response.api_keys.iter().find(|row| row.api_key == 0).unwrap();
        assert_eq!((produce.min_version, produce.max_version), (0, 9));
    }
}

#[tokio::test]
async fn rule_1_an_unknown_version_of_api_versions_is_answered_in_version_0_with_error_35_and_its_row() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.connect().await;
    client.send_bytes(&frame(18, 99, &[0xff, 0xff, 0, 1, 2, 3])).await;
    let answer = client.receive_frame().await.unwrap();
    let expected: &[u8] = &[0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
    assert_eq!(answer, expected);
    let again = client.call(4, api_versions()).await;
    assert_eq!(again.error_code, ErrorCode::NONE, "the connection goes on");
}

#[tokio::test]
async fn rule_2_a_flexible_header_has_a_rigid_client_id_which_may_be_null_or_empty() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.connect().await;
    for client_id in [&[0xff, 0xff][..], &[0, 0], &[0, 3, b'a', b'b', b'c']] {
        // Metadata 12: client id, no tags, no topics, no flags, no tags.
        let rest = [client_id, &[0, 1, 0, 0, 0]].concat();
        client.send_bytes(&frame(3, 12, &rest)).await;
        let (correlation_id, response) = client.receive::<MetadataRequest>(12).await;
        assert_eq!((correlation_id, response.brokers.len()), (7, 1));
    }
}

#[tokio::test]
async fn rule_3_pipelined_requests_are_answered_in_order() {
    let broker = TestBroker::with_topics(&["orders"]).await;
    let mut client = broker.connect().await;
    let mut sent = Vec::new();
    for round in 0..50 {
        sent.push((0, client.send(9, produce("orders", 0, -1, batch(&["a", "b"]))).await));
        sent.push((18, client.send(4, api_versions()).await));
        let mut patient = fetch("orders", 2 * (round + 1));
        (patient.max_wait_ms, patient.min_bytes) = (2, 1);
        sent.push((1, client.send(12, patient).await));
        sent.push((3, client.send(0, MetadataRequest { topics: Some(Vec::new()), ..Default::default() }).await));
    }
    for (key, correlation_id) in sent {
        let answered = match key {
            0 => client.receive::<ottla_protocol::messages::produce::ProduceRequest>(9).await.0,
            18 => client.receive::<ApiVersionsRequest>(4).await.0,
            1 => client.receive::<FetchRequest>(12).await.0,
            _ => client.receive::<MetadataRequest>(0).await.0,
        };
        assert_eq!(answered, correlation_id);
    }
}

#[tokio::test]
async fn rule_3_acks_0_is_not_answered_and_its_failure_closes_the_connection() {
    let broker = TestBroker::with_topics(&["silent"]).await;
    let mut client = broker.connect().await;
    client.send(9, produce("silent", 0, 0, batch(&["a"]))).await;
    let versions = client.call(4, api_versions()).await;
    assert_eq!(versions.error_code, ErrorCode::NONE, "the next answer is to the next request");
    assert_eq!(fetched(&client.fetch("silent", 0).await), [(0, "a".to_owned())]);
    client.send(9, produce("nowhere", 0, 0, batch(&["a"]))).await;
    assert_eq!(client.wait_for_close().await, 0);
}

#[tokio::test]
async fn rule_4_metadata_names_a_broker_a_real_controller_and_contiguous_partitions() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.connect().await;
    client.create_topic("spread", 5, &[]).await;
    for version in 0..=12 {
        let all = if version == 0 { Some(Vec::new()) } else { None };
        let response: MetadataResponse =
            client.call(version, MetadataRequest { topics: all, ..MetadataRequest::default() }).await;
        assert_eq!(response.brokers.len(), 1);
        let this = &response.brokers[0];
        assert_eq!((this.host.as_str(), this.port), ("127.0.0.1", i32::from(broker.address().port())));
        assert!(version == 0 || response.controller_id == this.node_id);
        let topic = &response.topics[0];
        let indexes: Vec<i32> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        assert_eq!(indexes, [0, 1, 2, 3, 4]);
        assert!(topic.partitions.iter().all(|partition| partition.leader_id == this.node_id));
        assert!(version < 7 || topic.partitions.iter().all(|partition| partition.leader_epoch == 0));
        assert!(version < 10 || !topic.topic_id.is_nil(), "a zero id stops producers");
    }
}

#[tokio::test]
async fn rule_4_a_wrong_leader_epoch_is_fenced_or_unknown() {
    let broker = TestBroker::with_topics(&["epochs"]).await;
    let mut client = broker.connect().await;
    client.produce("epochs", 1, batch(&["a"])).await;
    let fetch_at = |epoch| {
        let mut request = fetch("epochs", 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        request
    };
    for (epoch, code) in [(0, ErrorCode::NONE), (1, ErrorCode::UNKNOWN_LEADER_EPOCH)] {
        let response: FetchResponse = client.call(12, fetch_at(epoch)).await;
        assert_eq!(response.responses[0].partitions[0].error_code, code);
        let asked = ListOffsetsPartition { current_leader_epoch: epoch, timestamp: -1, partition_index: 0 };
        let topic = ListOffsetsTopic { name: Str::from("epochs"), partitions: vec![asked] };
        let request = ListOffsetsRequest { topics: vec![topic], replica_id: -1, ..Default::default() };
        assert_eq!(client.call(7, request).await.topics[0].partitions[0].error_code, code);
        let asked = OffsetForLeaderPartition { partition: 0, current_leader_epoch: epoch, leader_epoch: 0 };
        let topic = OffsetForLeaderTopic { topic: Str::from("epochs"), partitions: vec![asked] };
        let request = OffsetForLeaderEpochRequest { topics: vec![topic], ..Default::default() };
        let row = client.call(4, request).await.topics[0].partitions[0].clone();
        assert_eq!(row.error_code, code);
        assert!(code.is_error() || (row.leader_epoch, row.end_offset) == (0, 1));
    }
}

#[tokio::test]
async fn rule_5_a_fetch_inside_a_batch_returns_the_whole_batch_even_over_max_bytes() {
    let broker = TestBroker::with_topics(&["whole"]).await;
    let mut client = broker.connect().await;
    client.produce("whole", 1, batch(&["a", "b", "c"])).await;
    client.produce("whole", 1, batch(&["d"])).await;
    let mut request = fetch("whole", 1);
    request.max_bytes = 1;
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let response: FetchResponse = client.call(12, request).await;
    let row = &response.responses[0].partitions[0];
    let values: Vec<i64> = fetched(row).iter().map(|(offset, _)| *offset).collect();
    assert_eq!(values, [0, 1, 2], "from the batch's first record on, and no other batch");
    assert_eq!(row.high_watermark, 4);
    let past = client.fetch("whole", 5).await;
    assert_eq!(past.error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    let end = client.fetch("whole", 4).await;
    assert_eq!((end.error_code, fetched(&end).len()), (ErrorCode::NONE, 0));
}

#[tokio::test]
async fn rule_5_partitions_keep_the_order_of_the_request() {
    let broker = TestBroker::with_topics(&["a", "b", "c"]).await;
    let mut client = broker.connect().await;
    let names = ["c", "a", "missing", "b"];
    let topic = |name: &&str| FetchTopic {
        topic: Str::from(*name),
        partitions: vec![FetchPartition { partition_max_bytes: 100, ..FetchPartition::default() }],
    };
    let request = FetchRequest {
        topics: names.iter().map(topic).collect(),
        max_bytes: 1000,
        ..FetchRequest::default()
    };
    let response: FetchResponse = client.call(12, request).await;
    let answered: Vec<&str> = response.responses.iter().map(|topic| topic.topic.as_str()).collect();
    assert_eq!(answered, names);
    let code = response.responses[2].partitions[0].error_code;
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_5_a_fetch_waits_for_min_bytes_but_not_beyond_max_wait() {
    let broker = TestBroker::with_topics(&["slow"]).await;
    let (mut consumer, mut producer) = (broker.connect().await, broker.connect().await);
    let mut patient = fetch("slow", 0);
    (patient.max_wait_ms, patient.min_bytes) = (60_000, 150);
    consumer.send(12, patient.clone()).await;
    // One batch of a record is about 80 bytes: the first one is not enough.
    producer.produce("slow", 1, batch(&["a"])).await;
    producer.produce("slow", 1, batch(&["b"])).await;
    let (_, response) = consumer.receive::<FetchRequest>(12).await;
    assert_eq!(fetched(&response.responses[0].partitions[0]).len(), 2);
    (patient.max_wait_ms, patient.min_bytes) = (100, 1 << 20);
    let began = Instant::now();
    let response: FetchResponse = consumer.call(12, patient).await;
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert_eq!(fetched(&response.responses[0].partitions[0]).len(), 2);
}

#[tokio::test]
async fn rule_5_session_id_0_says_that_sessions_are_off() {
    let broker = TestBroker::start(&[("max.incremental.fetch.session.cache.slots", "0")]).await;
    let mut client = broker.connect().await;
    client.create_topic("off", 1, &[]).await;
    let mut request = fetch("off", 0);
    request.session_epoch = 0;
    let response: FetchResponse = client.call(12, request).await;
    assert_eq!((response.error_code, response.session_id), (ErrorCode::NONE, 0));
    assert_eq!(response.responses.len(), 1);
}

#[tokio::test]
async fn rule_5_an_incremental_session_tells_only_news() {
    let broker = TestBroker::with_topics(&["news", "quiet"]).await;
    let mut client = broker.connect().await;
    let mut request = fetch("news", 0);
    request.topics.extend(fetch("quiet", 0).topics);
    request.session_epoch = 0;
    let first: FetchResponse = client.call(12, request).await;
    assert!(first.session_id > 0);
    assert_eq!(first.responses.len(), 2);
    let next = |epoch| FetchRequest {
        session_id: first.session_id,
        session_epoch: epoch,
        max_bytes: 1 << 20,
        ..FetchRequest::default()
    };
    assert_eq!(client.call(12, next(1)).await.responses.len(), 0);
    client.produce("news", 1, batch(&["a"])).await;
    let told: FetchResponse = client.call(12, next(2)).await;
    assert_eq!(told.responses.len(), 1);
    assert_eq!(told.responses[0].topic, "news");
    let wrong: FetchResponse = client.call(12, next(2)).await;
    assert_eq!(wrong.error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    let unknown = FetchRequest { session_id: 1, session_epoch: 5, ..FetchRequest::default() };
    let unknown: FetchResponse = client.call(12, unknown).await;
    assert_eq!(unknown.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

#[tokio::test]
async fn rule_6_an_unknown_topic_id_is_error_100() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.connect().await;
    let id = Uuid::from_u128(1);
    let topic = MetadataRequestTopic { topic_id: id, name: None };
    let request = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
    let response: MetadataResponse = client.call(12, request).await;
    assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    assert_eq!(response.topics[0].topic_id, id);
    // Name and id mode cannot be mixed in a session before Fetch 13, and what is not served is not advertised.
    let versions = client.call(4, api_versions()).await;
    let fetch = versions.api_keys.iter().find(|row| row.api_key == ApiKey::Fetch.key()).unwrap();
    assert_eq!((fetch.min_version, fetch.max_version), (4, 12));
}

#[tokio::test]
async fn rule_7_a_batch_over_max_message_bytes_is_too_large() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.connect().await;
    client.create_topic("small", 1, &[("max.message.bytes", "200")]).await;
    let large = client.produce("small", -1, batch(&["x".repeat(200).as_str()])).await;
    assert_eq!(large.error_code, ErrorCode::MESSAGE_TOO_LARGE);
    let fits = client.produce("small", -1, batch(&["x"])).await;
    assert_eq!((fits.error_code, fits.base_offset), (ErrorCode::NONE, 0));
}

#[tokio::test]
async fn rule_7_a_record_without_a_key_is_invalid_on_a_compacted_topic() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.connect().await;
    client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let mut keyless = BatchBuilder::new(Compression::None);
    keyless.push(1_700_000_000_000, None, Some(b"v"), &[]).unwrap();
    let refused = client.produce("compacted", -1, keyless.build()).await;
    assert_eq!(refused.error_code, ErrorCode::INVALID_RECORD);
    assert_eq!(client.produce("compacted", -1, batch(&["v"])).await.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn rule_8_an_appended_batch_differs_from_the_sent_one_in_its_first_16_bytes_only() {
    let broker = TestBroker::with_topics(&["bytes"]).await;
    let mut client = broker.connect().await;
    client.produce("bytes", 1, batch(&["a"])).await;
    let sent = batch(&["b", "c"]);
    client.produce("bytes", 1, sent.clone()).await;
    let row = client.fetch("bytes", 1).await;
    let ottla_protocol::codec::FetchRecords::Bytes(stored) = row.records else { panic!("bytes") };
    assert_eq!(stored[16..], sent[16..]);
    let header = BatchHeader::parse(&stored).unwrap();
    assert_eq!((header.base_offset.get(), header.partition_leader_epoch.unwrap().get()), (1, 0));
}

#[tokio::test]
async fn rule_8_log_append_time_and_recompression_write_a_new_crc() {
    let broker = TestBroker::start(&[]).await;
    let mut client = broker.connect().await;
    client.create_topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    client.create_topic("packed", 1, &[("compression.type", "zstd")]).await;
    let stamped = client.produce("stamped", 1, batch(&["a"])).await;
    assert!(stamped.log_append_time_ms > 1_700_000_000_000);
    client.produce("packed", 1, batch(&["a", "b"])).await;
    for (topic, compression) in [("stamped", Compression::None), ("packed", Compression::Zstd)] {
        let row = client.fetch(topic, 0).await;
        assert!(!fetched(&row).is_empty());
        let ottla_protocol::codec::FetchRecords::Bytes(stored) = row.records else { panic!("bytes") };
        let stored = batches(stored).next().unwrap().expect("the checksum is right");
        let checked = ValidBatch::check(stored.into_bytes(), &Rules::stored()).unwrap();
        assert_eq!(checked.compression(), compression);
    }
}

#[tokio::test]
async fn rule_9_metadata_creates_a_topic_only_when_both_sides_allow_it() {
    let broker = TestBroker::start(&[("num.partitions", "3")]).await;
    let mut client = broker.connect().await;
    let forbidden = MetadataRequest { allow_auto_topic_creation: false, ..named("wanted") };
    let response: MetadataResponse = client.call(12, forbidden).await;
    assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let mut response: MetadataResponse = client.call(12, named("wanted")).await;
    if response.topics[0].error_code == ErrorCode::LEADER_NOT_AVAILABLE {
        response = client.call(12, named("wanted")).await;
    }
    assert_eq!(response.topics[0].error_code, ErrorCode::NONE);
    assert_eq!(response.topics[0].partitions.len(), 3);
    assert_eq!(client.produce("wanted", -1, batch(&["a"])).await.error_code, ErrorCode::NONE);
    let illegal: MetadataResponse = client.call(12, named("not/legal")).await;
    assert_eq!(illegal.topics[0].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);

    let strict = TestBroker::start(&[("auto.create.topics.enable", "false")]).await;
    let mut client = strict.connect().await;
    let response: MetadataResponse = client.call(12, named("wanted")).await;
    assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn rule_11_a_reader_of_committed_data_is_bounded_by_the_last_stable_offset() {
    let broker = TestBroker::with_topics(&["stable"]).await;
    let mut client = broker.connect().await;
    client.produce("stable", -1, batch(&["a"])).await;
    for isolation_level in [0, 1] {
        let request = FetchRequest { isolation_level, ..fetch("stable", 0) };
        let response: FetchResponse = client.call(12, request).await;
        let row = &response.responses[0].partitions[0];
        assert_eq!((row.high_watermark, row.last_stable_offset), (1, 1));
        assert_eq!(row.aborted_transactions.is_some(), isolation_level == 1);
        assert_eq!(fetched(row).len(), 1);
    }
}

#[tokio::test]
async fn rule_13_the_frame_limit_is_100_mib_and_a_million_claimed_elements_are_refused() {
    let broker = TestBroker::with_topics(&["large"]).await;
    let mut client = broker.connect().await;
    // A request of 20 MiB, far above 8 MiB, is read whole and answered.
    let large = vec![7; 20 << 20];
    client.send(9, produce("large", 0, -1, Bytes::from(large))).await;
    let (_, response) = client.receive::<ottla_protocol::messages::produce::ProduceRequest>(9).await;
    assert!(response.responses[0].partition_responses[0].error_code.is_error());
    let mut over = broker.connect().await;
    over.send_bytes(&(100 * 1024 * 1024 + 1u32).to_be_bytes()).await;
    assert_eq!(over.wait_for_close().await, 0);
    let mut lying = broker.connect().await;
    lying.send_bytes(&frame(3, 1, &[0xff, 0xff, 0, 0x10, 0, 0])).await;
    assert_eq!(lying.wait_for_close().await, 0);
}
