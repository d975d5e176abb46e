//! Partitions changing hands: what the shell does for one `Take` or `Give`, in the order that loses and repeats nothing.
//!
//! Taking a revoked partition: (1) nothing of it is handed out any more; (2) wait until the program is done with what it
//! has; (3) commit that, if it is automatic; (4) the listener; (5) let go. A lost one is let go first. Giving: it is
//! assigned without a position, the listener may seek, then the group's offsets settle what is left.

use std::sync::Arc;
use std::sync::Weak;

use ottla_protocol::TopicPartition;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::commit::{Extent, commit};
use super::effect::Taking;
use super::{Group, Handle, Inner, RebalanceListener};
use crate::consumer::Consumer;

/// One change.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) kind: Kind,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Take(Taking),
    Give,
}

/// Which of the listener's calls.
#[derive(Debug, Clone, Copy)]
enum Call {
    Assigned,
    Revoked,
    Lost,
}

impl Handover {
    /// Does it. Once `hurry` is cancelled nobody waits for the program any more.
    pub(super) async fn run(self, inner: Arc<Inner>, handle: Weak<Handle>, hurry: CancellationToken) {
        let Some(group) = &inner.group else { return };
        let partitions = &self.partitions;
        match self.kind {
            Kind::Give => {
                inner.assignment.lock().add(partitions);
                tell(group, &inner, &handle, Call::Assigned, partitions).await;
            }
            Kind::Take(Taking::Lost) => {
                release(group, &inner, partitions);
                tell(group, &inner, &handle, Call::Lost, partitions).await;
            }
            Kind::Take(Taking::Revoked) => {
                inner.assignment.lock().retire(partitions);
                tokio::select! {
                    () = acknowledged(group, &inner, partitions) => {}
                    () = hurry.cancelled() => {}
                }
                if inner.config.auto_commit.is_some() {
                    commit_before_release(group, &inner, partitions).await;
                }
                tell(group, &inner, &handle, Call::Revoked, partitions).await;
                release(group, &inner, partitions);
            }
        }
    }
}

/// Waits until the program is done with what it was handed of these partitions.
async fn acknowledged(group: &Group, inner: &Inner, partitions: &[TopicPartition]) {
    loop {
        let changed = group.acknowledged.notified();
        if inner.assignment.lock().is_acknowledged(partitions) {
            return;
        }
        changed.await;
    }
}

async fn commit_before_release(group: &Group, inner: &Inner, partitions: &[TopicPartition]) {
    // The others wait for this: who cannot commit within a session gives up, and somebody reads again.
    let patience = group.settings.session_timeout.min(group.settings.rebalance_timeout / 2);
    let extent = Extent::AcknowledgedOf(partitions.to_vec());
    let failure = match timeout(patience, commit(inner, group, extent)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(_) => {
            let kind = crate::ErrorKind::Timeout { after: patience };
            crate::ClientError::new(super::commit::COMMIT, kind)
        }
    };
    tracing::warn!(error = %failure, group = group.settings.group_id, "partitions go without a commit");
    *group.parting.lock() = Some(failure);
}

fn release(group: &Group, inner: &Inner, partitions: &[TopicPartition]) {
    inner.assignment.lock().remove(partitions);
    group.committed.lock().retain(|partition, _| !partitions.contains(partition));
}

async fn tell(
    group: &Group,
    inner: &Arc<Inner>,
    handle: &Weak<Handle>,
    call: Call,
    partitions: &[TopicPartition],
) {
    let listener: Option<Arc<dyn RebalanceListener>> = group.listener.lock().clone();
    // Without a handle there is no program any more that could hear it.
    let (Some(listener), Some(handle)) = (listener, handle.upgrade()) else { return };
    let consumer = Consumer { inner: Arc::clone(inner), _handle: handle, is_listeners: true };
    match call {
        Call::Assigned => listener.on_assigned(&consumer, partitions).await,
        Call::Revoked => listener.on_revoked(&consumer, partitions).await,
        Call::Lost => listener.on_lost(&consumer, partitions).await,
    }
}
