//! DeleteTopics (20), versions 1 to 6: deletes topics by name or by id (KIP-4, KIP-516).
//!
//! The controller decides, topic by topic. When the reply leaves, no client finds the topic any more; its files go after
//! `file.delete.delay.ms`.

use ottla_protocol::codec::Str;
use ottla_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse,
};
use uuid::Uuid;

use super::RequestContext;

/// Deletes what can be deleted; each topic has its own error.
pub(super) async fn handle(context: RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let by_either = request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id));
    let by_name = request.topic_names.iter().map(|name| (Some(name.clone()), Uuid::nil()));
    let asked: Vec<(Option<Str>, Uuid)> = by_either.chain(by_name).collect();
    let delete_topic_enable = context.core.config.delete_topic_enable;
    let proposed =
        context.core.quorum.propose(move |image| Ok(image.delete_topics(&request, delete_topic_enable)));
    let response = proposed.await.unwrap_or_else(|error_code| {
        let row =
            |(name, topic_id)| DeletableTopicResult { name, topic_id, error_code, ..Default::default() };
        DeleteTopicsResponse { responses: asked.into_iter().map(row).collect(), ..Default::default() }
    });
    let deleted = response.responses.iter().filter(|topic| !topic.error_code.is_error());
    for topic in deleted.filter_map(|topic| topic.name.as_ref()) {
        context.core.groups.topic_deleted(&context.core, topic).await;
    }
    response
}
