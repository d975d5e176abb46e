//! The broker that coordinates a group: found when needed, remembered, forgotten when it says that it is another.
//!
//! Membership and offsets ask the same broker through connections of their own, because a JoinGroup holds up whatever is
//! behind it. Not here: what an error means beyond "it has moved", and retries.

use std::time::Duration;

use ottla_protocol::codec::Request;
use ottla_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_protocol::{BrokerId, ErrorCode};
use parking_lot::Mutex;

use crate::client::{AutoCreate, Client};
use crate::error::{ClientError, ErrorKind, Result};

const FIND: &str = "find the group's coordinator";

/// FindCoordinator's `key_type` of groups.
const GROUP: i8 = 0;

/// The last version whose meaning for groups is what is written here.
const FIND_VERSION_MAX: i16 = 6;

/// The coordinator of one group.
#[derive(Debug)]
pub(crate) struct Coordinator {
    group_id: String,
    known: Mutex<Option<BrokerId>>,
}

impl Coordinator {
    pub(crate) fn new(group_id: &str) -> Coordinator {
        Coordinator { group_id: group_id.to_owned(), known: Mutex::new(None) }
    }

    /// It has to be found again.
    pub(crate) fn forget(&self) {
        *self.known.lock() = None;
    }

    /// Whether this code of an answer says that another broker coordinates now; if so, this one is forgotten.
    pub(crate) fn has_moved(&self, code: ErrorCode) -> bool {
        let has_moved = matches!(code, ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE);
        if has_moved {
            self.forget();
        }
        has_moved
    }

    /// Asks the coordinator through the connections of `client`; one that cannot be reached is forgotten.
    pub(crate) async fn call<R: Request>(
        &self,
        client: &Client,
        version_max: i16,
        request: impl FnOnce(i16) -> R,
        deadline: Duration,
    ) -> Result<R::Response> {
        let broker = self.find(client).await?;
        let asked = async {
            client.pool().broker(broker).await?.call_versioned(version_max, request, deadline).await
        };
        let answer = asked.await;
        if answer.as_ref().is_err_and(ClientError::is_retriable) {
            self.forget();
        }
        answer
    }

    async fn find(&self, client: &Client) -> Result<BrokerId> {
        if let Some(known) = *self.known.lock() {
            return Ok(known);
        }
        let connection = client.pool().any().await.map_err(|error| error.during(FIND))?;
        let request = |version| request(&self.group_id, version);
        let deadline = client.config().request_timeout;
        let response = connection.call_versioned(FIND_VERSION_MAX, request, deadline).await;
        let broker = found(&response.map_err(|error| error.during(FIND))?)?;
        if client.metadata().broker(broker).is_none() {
            let generation = client.metadata().generation();
            client.refresh(&[], AutoCreate::Forbidden, generation).await?;
        }
        *self.known.lock() = Some(broker);
        Ok(broker)
    }
}

/// Up to version 3 one key is asked for, from 4 on a list.
fn request(group_id: &str, version: i16) -> FindCoordinatorRequest {
    if version < 4 {
        FindCoordinatorRequest { key: group_id.into(), key_type: GROUP, ..Default::default() }
    } else {
        let coordinator_keys = vec![group_id.into()];
        FindCoordinatorRequest { key_type: GROUP, coordinator_keys, ..Default::default() }
    }
}

fn found(response: &FindCoordinatorResponse) -> Result<BrokerId> {
    let (code, message, node_id) = match response.coordinators.first() {
        Some(row) => (row.error_code, row.error_message.as_deref(), row.node_id),
        None => (response.error_code, response.error_message.as_deref(), response.node_id),
    };
    if code.is_error() {
        return Err(ClientError::broker(FIND, code, message));
    }
    BrokerId::known(node_id).ok_or_else(|| {
        let reason = "a coordinator without an id".to_owned();
        ClientError::new(FIND, ErrorKind::Malformed { reason })
    })
}
