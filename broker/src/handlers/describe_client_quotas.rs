//! DescribeClientQuotas (48), versions 0 to 1: the quotas of users, client ids and addresses (KIP-546).
//!
//! Nobody can set a quota here (AlterClientQuotas is not served), so the answer to every legal filter is that there is
//! none; an illegal one is refused as on Kafka.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use super::RequestContext;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// Checks the filter.
pub(super) fn handle(
    _: &RequestContext,
    request: DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    match check(&request.components) {
        // Kafka has an empty text here where others have null.
        Ok(()) => DescribeClientQuotasResponse {
            error_message: Some(Str::EMPTY),
            entries: Some(Vec::new()),
            ..DescribeClientQuotasResponse::default()
        },
        Err((error_code, message)) => DescribeClientQuotasResponse {
            error_code,
            error_message: Some(message.into()),
            ..DescribeClientQuotasResponse::default()
        },
    }
}

fn check(components: &[ComponentData]) -> Result<(), (ErrorCode, String)> {
    let invalid = |message: String| Err((ErrorCode::INVALID_REQUEST, message));
    for (place, component) in components.iter().enumerate() {
        let entity_type = &*component.entity_type;
        if entity_type.is_empty() {
            return invalid("Invalid empty entity type.".to_owned());
        }
        if components[..place].iter().any(|earlier| *earlier.entity_type == *entity_type) {
            return invalid(format!("Entity type {entity_type} cannot appear more than once in the filter."));
        }
        if ![USER, CLIENT_ID, IP].contains(&entity_type) {
            let message = format!("Unsupported entity type {entity_type}");
            return Err((ErrorCode::UNSUPPORTED_VERSION, message));
        }
        match (component.match_type, &component.r#match) {
            (0, Some(_)) | (1 | 2, None) => {}
            (0, None) => return invalid("An exact match needs a name.".to_owned()),
            (1 | 2, Some(_)) => return invalid("Only an exact match takes a name.".to_owned()),
            (other, _) => return invalid(format!("Unknown match type {other}")),
        }
    }
    let names = |wanted: &str| components.iter().any(|component| *component.entity_type == *wanted);
    if names(IP) && (names(USER) || names(CLIENT_ID)) {
        return invalid("An address cannot be combined with a user or a client id.".to_owned());
    }
    Ok(())
}
