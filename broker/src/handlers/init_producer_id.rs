//! InitProducerId (22), versions 0 to 4: gives an idempotent producer its id (KIP-98, KIP-360).
//!
//! Ids come from a block that belongs to this broker, so most requests commit nothing. Transactions are not coordinated
//! yet: a transactional id is refused with an error that no client retries.

use ottla_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_protocol::{ErrorCode, ProducerEpoch, ProducerId};

use super::RequestContext;
use crate::core::Core;

/// Answers with a fresh id at epoch 0.
pub(super) async fn handle(
    context: RequestContext,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let timeouts = 1..=context.core.config.transaction_max_timeout_ms;
    let taken = match request.transactional_id {
        Some(id) if !id.is_empty() && !timeouts.contains(&request.transaction_timeout_ms) => {
            Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT)
        }
        Some(_) => Err(ErrorCode::INVALID_REQUEST),
        None => take(&context.core).await,
    };
    let response = InitProducerIdResponse::default();
    match taken {
        Ok(producer_id) => InitProducerIdResponse {
            producer_id: producer_id.get(),
            producer_epoch: ProducerEpoch::ZERO.get(),
            ..response
        },
        Err(error_code) => {
            InitProducerIdResponse { error_code, producer_id: -1, producer_epoch: -1, ..response }
        }
    }
}

/// The next id of this broker's block; when the block is used up, of the next one.
async fn take(core: &Core) -> Result<ProducerId, ErrorCode> {
    loop {
        if let Some(id) = core.producer_ids.lock().take() {
            return Ok(id);
        }
        // Several may find the block used up and allocate one each; the ids of all but the last are never used.
        let block = core.quorum.propose(|image| image.allocate_producer_ids()).await?;
        *core.producer_ids.lock() = block;
    }
}
