//! The topic under load: created once, with the smallest segments that Kafka allows, so that rolls fall between kills.

use crate::finding::Finding;
use crate::wire::Wire;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};

const SEGMENT_BYTES: &str = "1048576";

/// Creates it; one that exists already is what an interrupted creation may have left.
pub(crate) fn create(wire: &mut Wire, name: &str, partition_count: i32) -> Result<(), Finding> {
    let config = CreatableTopicConfig { name: "segment.bytes".into(), value: Some(SEGMENT_BYTES.into()) };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partition_count,
        replication_factor: 1,
        configs: vec![config],
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
