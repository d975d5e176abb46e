//! The requests that most tests send, with everything at its default that a test does not name.

use std::ops::Range;

use bytes::Bytes;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::api_versions::ApiVersionsRequest;
use ottla_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use ottla_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::init_producer_id::InitProducerIdRequest;
use ottla_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

/// How long the broker may take for what it does in the background.
const TIMEOUT_MS: i32 = 10_000;

pub fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest { client_software_name: Str::from("test"), client_software_version: Str::from("1.0") }
}

/// Asks for one topic, and creates it if the broker does that.
pub fn metadata(topic: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic { name: Some(Str::from(topic)), ..MetadataRequestTopic::default() };
    MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() }
}

pub fn metadata_without_creation(topic: &str) -> MetadataRequest {
    MetadataRequest { allow_auto_topic_creation: false, ..metadata(topic) }
}

pub fn metadata_of_all() -> MetadataRequest {
    MetadataRequest { topics: None, ..MetadataRequest::default() }
}

pub fn topic_to_create(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreatableTopic {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: Str::from(*name),
        value: Some(Str::from(*value)),
    };
    CreatableTopic {
        name: Str::from(name),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    }
}

pub fn create_topics(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest { topics, timeout_ms: TIMEOUT_MS, ..CreateTopicsRequest::default() }
}

pub fn create_topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreateTopicsRequest {
    create_topics(vec![topic_to_create(name, partitions, configs)])
}

pub fn delete_topic(name: &str) -> DeleteTopicsRequest {
    let topic = DeleteTopicState { name: Some(Str::from(name)), ..DeleteTopicState::default() };
    DeleteTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, ..DeleteTopicsRequest::default() }
}

pub fn produce(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData { index: partition, records: Some(records) };
    let topic = TopicProduceData { name: Str::from(topic), partition_data: vec![data] };
    ProduceRequest { acks, timeout_ms: TIMEOUT_MS, topic_data: vec![topic], ..ProduceRequest::default() }
}

/// One partition of a fetch.
pub fn fetch_topic(topic: &str, offset: i64, bytes_max: i32) -> FetchTopic {
    let partition = FetchPartition {
        partition: 0,
        fetch_offset: offset,
        partition_max_bytes: bytes_max,
        ..FetchPartition::default()
    };
    FetchTopic { topic: Str::from(topic), partitions: vec![partition], ..Default::default() }
}

/// A fetch of partition 0 that does not wait.
pub fn fetch(topic: &str, offset: i64) -> FetchRequest {
    FetchRequest {
        max_bytes: 1 << 25,
        topics: vec![fetch_topic(topic, offset, 1 << 25)],
        ..FetchRequest::default()
    }
}

/// A fetch of partition 0 that waits for `min_bytes` bytes.
pub fn long_fetch(topic: &str, offset: i64, max_wait_ms: i32, min_bytes: i32) -> FetchRequest {
    FetchRequest { max_wait_ms, min_bytes, ..fetch(topic, offset) }
}

pub fn list_offsets(topic: &str, timestamp: i64) -> ListOffsetsRequest {
    list_offsets_of(topic, 0..1, timestamp)
}

pub fn list_offsets_of(topic: &str, partitions: Range<i32>, timestamp: i64) -> ListOffsetsRequest {
    let partition = |partition_index| ListOffsetsPartition {
        partition_index,
        timestamp,
        ..ListOffsetsPartition::default()
    };
    let topic = ListOffsetsTopic { name: Str::from(topic), partitions: partitions.map(partition).collect() };
    ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() }
}

pub fn delete_records(topic: &str, before: i64) -> DeleteRecordsRequest {
    let partition = DeleteRecordsPartition { partition_index: 0, offset: before };
    let topic = DeleteRecordsTopic { name: Str::from(topic), partitions: vec![partition] };
    DeleteRecordsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS }
}

/// Asks for the id of an idempotent producer.
pub fn init_producer_id() -> InitProducerIdRequest {
    InitProducerIdRequest { transaction_timeout_ms: 60_000, ..InitProducerIdRequest::default() }
}
