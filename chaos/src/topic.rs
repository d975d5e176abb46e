//! The topics under load: created with the smallest segments that Kafka allows, so that rolls fall between kills; and what
//! the broker says of them.

use crate::finding::Finding;
use crate::payload::{Identity, value_of};
use crate::wire::Wire;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponseTopic};
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::records::{BatchBuilder, Compression};
use std::time::{SystemTime, UNIX_EPOCH};

const SEGMENT_BYTES: &str = "1048576";

/// Creates it; one that exists already is what an interrupted creation may have left.
pub(crate) fn create(
    wire: &mut Wire,
    name: &str,
    partition_count: i32,
    configs: &[(&str, &str)],
) -> Result<(), Finding> {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
    };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partition_count,
        replication_factor: 1,
        configs: [("segment.bytes", SEGMENT_BYTES)].iter().chain(configs).map(config).collect(),
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
    let response = wire.call(7, request)?;
    for result in response.topics {
        if result.error_code.is_error() && result.error_code != ErrorCode::TOPIC_ALREADY_EXISTS {
            return Err(Finding::Refused {
                operation: format!("creation of {name}"),
                code: result.error_code,
            });
        }
    }
    Ok(())
}

/// It exists, and each of its partitions has a leader.
pub(crate) fn expect(wire: &mut Wire, name: &str) -> Result<(), Finding> {
    let topic = describe(wire, name)?;
    match topic.partitions.iter().all(|partition| partition.leader_id >= 0) && !topic.partitions.is_empty() {
        true => Ok(()),
        false => Err(Finding::Broken(format!("{name} was created, and now it is {:?}", topic.error_code))),
    }
}

/// Appends a batch of so many records, which are of no producer that is checked.
pub(crate) fn append(
    wire: &mut Wire,
    name: &str,
    partition: i32,
    record_count: u64,
) -> Result<ErrorCode, Finding> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let mut builder = BatchBuilder::new(Compression::None);
    for number in 0..record_count {
        let value = value_of(Identity { producer: u64::MAX, number });
        if builder.push(now_ms, None, Some(&value), &[]).is_err() {
            return Err(Finding::Void("a batch of this size cannot be built".to_owned()));
        }
    }
    let data = PartitionProduceData { index: partition, records: Some(builder.build()) };
    let topic = TopicProduceData { name: name.into(), partition_data: vec![data] };
    let request =
        ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 10_000, topic_data: vec![topic] };
    let response = wire.call(9, request)?;
    let answer = response.responses.first().and_then(|topic| topic.partition_responses.first());
    Ok(answer.map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |answer| answer.error_code))
}

fn describe(wire: &mut Wire, name: &str) -> Result<MetadataResponseTopic, Finding> {
    let topic = MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let response = wire.call(12, request)?;
    let topic = response.topics.into_iter().next();
    topic.ok_or_else(|| Finding::Broken(format!("a metadata response without {name}")))
}
