//! FindCoordinator (10), versions 0 to 6: which broker coordinates a group (KIP-699 asks for many at once).
//!
//! With one broker that is always this one; the request's true work is to create `__consumer_offsets` when the first
//! group comes, with the replication factor clamped to the brokers that there are. Transactions are not coordinated
//! yet: a transactional id is refused with an error that no client retries, as in InitProducerId.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use super::RequestContext;
use super::create_topics::create_topics;
use crate::coordinators::OFFSETS_TOPIC;
use crate::core::Core;

/// The type of a key that is a group.
const GROUP: i8 = 0;
/// From this version on many keys are asked for.
const BATCHED_SINCE: i16 = 4;

/// Answers with this broker for each group.
pub(super) async fn handle(
    context: RequestContext,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let found = match request.key_type {
        GROUP => ensure_offsets_topic(&context.core).await,
        _ => Err(ErrorCode::INVALID_REQUEST),
    };
    if context.api_version() >= BATCHED_SINCE {
        let coordinators = request.coordinator_keys.into_iter().map(|key| coordinator(&context, key, found));
        return FindCoordinatorResponse {
            coordinators: coordinators.collect(),
            ..FindCoordinatorResponse::default()
        };
    }
    let only = coordinator(&context, request.key, found);
    FindCoordinatorResponse {
        error_code: only.error_code,
        error_message: only.error_message,
        node_id: only.node_id,
        host: only.host,
        port: only.port,
        ..FindCoordinatorResponse::default()
    }
}

fn coordinator(context: &RequestContext, key: Str, found: Result<(), ErrorCode>) -> Coordinator {
    if let Err(error_code) = found {
        let error_message = Some(Str::from_static(error_code.sentence()));
        return Coordinator {
            key,
            node_id: -1,
            port: -1,
            error_code,
            error_message,
            ..Coordinator::default()
        };
    }
    let endpoint = context.connection.listener.endpoint_for(context.connection.local_addr);
    Coordinator {
        key,
        node_id: context.core.node_id.get(),
        host: Str::from(endpoint.host),
        port: i32::from(endpoint.port),
        error_message: Some(Str::EMPTY),
        ..Coordinator::default()
    }
}

/// Creates the topic unless it is there.
async fn ensure_offsets_topic(core: &Core) -> Result<(), ErrorCode> {
    if core.topics.load().by_name(OFFSETS_TOPIC).is_some() {
        return Ok(());
    }
    let config = &core.config;
    let brokers = i16::try_from(core.quorum.image().brokers().count()).unwrap_or(i16::MAX);
    let set =
        |name: &str, value: String| CreatableTopicConfig { name: name.into(), value: Some(value.into()) };
    let topic = CreatableTopic {
        name: OFFSETS_TOPIC.into(),
        num_partitions: config.offsets_topic_num_partitions,
        replication_factor: config.offsets_topic_replication_factor.min(brokers).max(1),
        configs: vec![
            set("cleanup.policy", "compact".to_owned()),
            set("compression.type", "producer".to_owned()),
            set("segment.bytes", config.offsets_topic_segment_bytes.to_string()),
        ],
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    let created = create_topics(core, request).await?;
    match created.topics.first().map_or(ErrorCode::NONE, |topic| topic.error_code) {
        // Somebody else was faster.
        ErrorCode::NONE | ErrorCode::TOPIC_ALREADY_EXISTS => Ok(()),
        _ => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
    }
}
