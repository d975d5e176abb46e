//! CreateTopics (19), versions 2 to 7: creates topics with partitions, replicas and configs (KIP-4, KIP-525).
//!
//! The controller decides ([`ottla_cluster::controller`]), topic by topic; the reply leaves when the topics that were
//! created can be produced to.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::create_topics::{
    CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};

use super::RequestContext;
use crate::core::Core;

/// Creates what can be created; each topic has its own error.
pub(super) async fn handle(context: RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let names: Vec<_> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    match create_topics(&context.core, request).await {
        Ok(response) => response,
        Err(error_code) => {
            let row = |name| CreatableTopicResult { name, error_code, ..CreatableTopicResult::default() };
            CreateTopicsResponse {
                topics: names.into_iter().map(row).collect(),
                ..CreateTopicsResponse::default()
            }
        }
    }
}

/// The same for this broker's own needs: auto-creation, internal topics.
pub(super) async fn create_topics(
    core: &Core,
    request: CreateTopicsRequest,
) -> Result<CreateTopicsResponse, ErrorCode> {
    let config = core.config.clone();
    let propose =
        core.quorum.propose(move |image| Ok(image.create_topics(&request, &config, Core::new_topic_id)));
    propose.await
}
