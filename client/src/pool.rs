//! The open connections of one user of the cluster: at most one per broker, opened when first needed.
//!
//! Producer, consumer and admin each have their own pool, because Kafka answers a connection's requests in order and a
//! fetch that waits for records would hold up everything behind it. Invariant: two tasks that want the same broker open
//! one connection. Metadata is asked through the pool's own connections but kept in the shared view.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use ottla_protocol::BrokerId;
use ottla_protocol::codec::Request;
use parking_lot::Mutex;

use crate::cluster_view::ClusterView;
use crate::connection::Connection;
use crate::error::{ClientError, ErrorKind, Result};
use crate::transport::BrokerAddress;

/// One connection that may not be open yet. The async mutex makes latecomers wait for whoever is opening it.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>;

pub(crate) struct Pool {
    view: Arc<ClusterView>,
    slots: Mutex<HashMap<BrokerAddress, Slot, RandomState>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("connections", &self.slots.lock().len()).finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(view: Arc<ClusterView>) -> Pool {
        Pool { view, slots: Mutex::default() }
    }

    /// A connection to a broker of the cluster.
    pub(crate) async fn broker(&self, id: BrokerId) -> Result<Arc<Connection>> {
        let address = self.view.metadata().broker(id).map(|broker| broker.address.clone());
        match address {
            Some(address) => self.at(&address).await,
            None => {
                let reason = format!("broker {id} is not in the cluster's metadata");
                Err(ClientError::new("connect", ErrorKind::Connect { reason }))
            }
        }
    }

    /// A connection to some broker: an open one, else the first that opens among the known and the bootstrap list.
    pub(crate) async fn any(&self) -> Result<Arc<Connection>> {
        if let Some(open) = self.open_one() {
            return Ok(open);
        }
        let mut candidates: Vec<BrokerAddress> =
            self.view.metadata().brokers().into_iter().map(|broker| broker.address).collect();
        if !candidates.is_empty() {
            let first = (rand::random::<u64>() % candidates.len() as u64) as usize;
            candidates.rotate_left(first);
        }
        candidates.extend(self.view.config().bootstrap.iter().cloned());
        let mut failure = ClientError::invalid("connect", "the bootstrap list is empty");
        for address in &candidates {
            match self.at(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn open_one(&self) -> Option<Arc<Connection>> {
        let slots = self.slots.lock();
        slots.values().find_map(|slot| {
            let slot = slot.try_lock().ok()?;
            slot.as_ref().filter(|connection| !connection.is_closed()).cloned()
        })
    }

    async fn at(&self, address: &BrokerAddress) -> Result<Arc<Connection>> {
        let slot = Arc::clone(self.slots.lock().entry(address.clone()).or_default());
        let mut slot = slot.lock().await;
        if let Some(open) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(Arc::clone(open));
        }
        let connection = Arc::new(Connection::open(address, self.view.config()).await?);
        *slot = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Asks any broker.
    pub(crate) async fn call_any<R: Request>(&self, request: R, deadline: Duration) -> Result<R::Response> {
        self.any().await?.call(request, deadline).await
    }

    /// Asks one broker.
    pub(crate) async fn call_broker<R: Request>(
        &self,
        id: BrokerId,
        request: R,
        deadline: Duration,
    ) -> Result<R::Response> {
        self.broker(id).await?.call(request, deadline).await
    }
}
