//! CreatePartitions (37), versions 0 to 3: gives topics more partitions (KIP-195).
//!
//! The controller decides, topic by topic; the reply leaves when the new partitions can be produced to.

use ottla_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopicResult,
};

use super::RequestContext;

/// Adds what can be added; each topic has its own error.
pub(super) async fn handle(
    context: RequestContext,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let names: Vec<_> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let proposed = context.core.quorum.propose(move |image| Ok(image.create_partitions(&request)));
    proposed.await.unwrap_or_else(|error_code| {
        let row = |name| CreatePartitionsTopicResult { name, error_code, ..Default::default() };
        CreatePartitionsResponse { results: names.into_iter().map(row).collect(), ..Default::default() }
    })
}
