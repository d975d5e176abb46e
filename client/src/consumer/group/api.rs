//! What programs ask of a group through [`Consumer`]: subscribe, commit, look, leave.
//!
//! Everything here only states a wish or asks the coordinator; the membership's task does the rest.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use ottla_assignors::Assignor;
use ottla_protocol::TopicPartition;
use tokio::task::JoinHandle;

use super::commit::{COMMIT, Extent, FETCH, commit, fetch_committed};
use super::subscription::Subscription;
use super::{Group, GroupMetadata, OffsetAndMetadata, RebalanceListener};
use crate::consumer::Consumer;
use crate::error::{ClientError, ErrorKind, Result};

/// A commit that is under way whether or not somebody waits for it.
#[derive(Debug)]
pub struct PendingCommit(JoinHandle<Result<()>>);

impl Future for PendingCommit {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let finished = std::task::ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(finished.unwrap_or_else(|_| Err(ClientError::new(COMMIT, ErrorKind::Closed))))
    }
}

impl Consumer {
    fn group(&self, operation: &'static str) -> Result<&Group> {
        let group = self.inner.group.as_ref();
        group.ok_or_else(|| ClientError::invalid(operation, "the consumer has no group_id"))
    }

    /// Reads these topics together with the other members of the group, and no others any more.
    ///
    /// Partitions come by themselves from now on, and go when members come; see
    /// [`set_rebalance_listener`](Consumer::set_rebalance_listener). A topic that does not exist is waited for.
    ///
    /// # Errors
    /// Without a `group_id`, when a name is not legal, or when the configuration makes no sense. What the coordinator
    /// has against it is told by `poll`.
    pub fn subscribe<T: AsRef<str>>(&self, topics: impl IntoIterator<Item = T>) -> Result<()> {
        let topics: Vec<T> = topics.into_iter().collect();
        self.want(Subscription::names(topics.iter().map(AsRef::as_ref))?)
    }

    /// Reads all topics whose whole name matches the regular expression, also those that come later (they are noticed
    /// within `metadata_max_age`), and no others any more.
    ///
    /// # Errors
    /// As [`subscribe`](Consumer::subscribe).
    pub fn subscribe_pattern(&self, pattern: &str) -> Result<()> {
        self.want(Subscription::pattern(pattern)?)
    }

    fn want(&self, subscription: Subscription) -> Result<()> {
        const OPERATION: &str = "subscribe";
        let group = self.group(OPERATION)?;
        let assignors = &self.inner.config.assignors;
        if assignors.is_empty() || !assignors.iter().all(|assignor| Assignor::CLIENT.contains(assignor)) {
            return Err(ClientError::invalid(OPERATION, "assignors must name at least one that clients run"));
        }
        if self.inner.is_closed.load(Ordering::Acquire) {
            return Err(ClientError::new(OPERATION, ErrorKind::Closed));
        }
        group.desire(Some(Arc::new(subscription)));
        Ok(())
    }

    /// Leaves the group: what was handed out counts as done, is committed if that is automatic, and goes back.
    ///
    /// # Errors
    /// Without a `group_id`.
    pub async fn unsubscribe(&self) -> Result<()> {
        let group = self.group("unsubscribe")?;
        if self.is_listeners {
            // It cannot be waited for by what it waits for.
            group.desire(None);
            return Ok(());
        }
        group.acknowledge(&self.inner);
        group.wait_until_out(group.desire(None)).await;
        Ok(())
    }

    /// Tells this listener of rebalances from now on, and no other.
    ///
    /// # Errors
    /// Without a `group_id`.
    pub fn set_rebalance_listener(&self, listener: impl RebalanceListener) -> Result<()> {
        *self.group("listen to rebalances")?.listener.lock() = Some(Arc::new(listener));
        Ok(())
    }

    /// Commits everything that was handed out, and waits until the coordinator has it.
    ///
    /// It covers whole batches: whoever reads on after a crash begins behind the last batch that was handed out before
    /// this call. To commit within a batch, use [`commit_offsets`](Consumer::commit_offsets). Inside a
    /// [`RebalanceListener`], which runs beside the program, it covers what the program was done with when it last
    /// polled or committed. Commits of one consumer are made in the order in which they are asked for.
    ///
    /// # Errors
    /// [`ErrorKind::MembershipLost`] when the partitions are others' by now, who will read the records again; after any
    /// error that is retriable nothing is known to be committed, and the same call may succeed later.
    pub async fn commit(&self) -> Result<()> {
        let group = self.group(COMMIT)?;
        commit(&self.inner, group, self.extent(group)).await
    }

    fn extent(&self, group: &Group) -> Extent {
        if self.is_listeners {
            return Extent::Acknowledged;
        }
        group.acknowledge(&self.inner);
        Extent::Consumed
    }

    /// As [`commit`](Consumer::commit), without waiting: it goes on when the result is dropped.
    ///
    /// # Errors
    /// Without a `group_id`.
    pub fn commit_async(&self) -> Result<PendingCommit> {
        let extent = self.extent(self.group(COMMIT)?);
        // What is handed out from here on is not covered.
        let extent = Extent::Given(super::commit::offsets_of(&self.inner, self.group(COMMIT)?, &extent));
        let inner = Arc::clone(&self.inner);
        Ok(PendingCommit(tokio::spawn(async move {
            match &inner.group {
                Some(group) => commit(&inner, group, extent).await,
                None => Ok(()),
            }
        })))
    }

    /// Commits these offsets: in each partition the next one to read.
    ///
    /// Works without a subscription, too, as long as the group has no members.
    ///
    /// # Errors
    /// As [`commit`](Consumer::commit), and what the coordinator has against one of them.
    pub async fn commit_offsets<O: Into<OffsetAndMetadata>>(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, O)>,
    ) -> Result<()> {
        let group = self.group(COMMIT)?;
        let offsets = offsets.into_iter().map(|(partition, offset)| (partition, offset.into())).collect();
        commit(&self.inner, group, Extent::Given(offsets)).await
    }

    /// What the group has committed of these partitions; those without a committed offset are left out.
    ///
    /// # Errors
    /// When the coordinator does not answer in time, or has something against one of them.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let answers = fetch_committed(&self.inner, self.group(FETCH)?, partitions).await?;
        let mut committed = BTreeMap::new();
        for (partition, answer) in answers {
            committed.extend(answer?.map(|offset| (partition, offset)));
        }
        Ok(committed)
    }

    /// Who this consumer is in its group now.
    ///
    /// # Errors
    /// Without a `group_id`.
    pub fn group_metadata(&self) -> Result<GroupMetadata> {
        Ok(self.group("describe the membership")?.metadata())
    }

    /// Ends it: what was handed out counts as done, is committed if that is automatic, partitions go back, the group is
    /// left. Then `poll` fails with [`ErrorKind::Closed`]. Dropping the last handle does the same in the background, but
    /// commits only what the program was done with when it last polled. Inside a [`RebalanceListener`], which the end
    /// waits for, this does not wait.
    ///
    /// # Errors
    /// When the last automatic commit failed: some records will be read again. It is closed all the same.
    pub async fn close(&self) -> Result<()> {
        if self.is_listeners {
            self.inner.close();
            return Ok(());
        }
        if let Some(group) = &self.inner.group {
            group.acknowledge(&self.inner);
            *group.parting.lock() = None;
        }
        self.inner.close();
        match &self.inner.group {
            Some(group) => {
                group.wait_until_out(u64::MAX).await;
                group.parting.lock().take().map_or(Ok(()), Err)
            }
            None => Ok(()),
        }
    }
}
