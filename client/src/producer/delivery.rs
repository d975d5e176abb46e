//! What became of a record: a future per record that costs no allocation per record.
//!
//! All records of one batch share one [`BatchOutcome`]; a [`Delivery`] is that plus the record's place in the batch.
//! The outcome is set exactly once, and every waiting task is woken then.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ottla_protocol::{Offset, OffsetDelta, PartitionIndex, TopicName, TopicPartition};
use parking_lot::Mutex;

use crate::error::{ClientError, Result};

/// Where a delivered record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its topic.
    pub topic: TopicName,
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its offset; unknown with acks=0 and for a duplicate that the broker had already forgotten.
    pub offset: Option<Offset>,
    /// The broker's time of append, for topics with `message.timestamp.type=LogAppendTime`.
    pub log_append_time_ms: Option<i64>,
}

/// What a batch got from the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) base_offset: Option<Offset>,
    pub(crate) log_append_time_ms: Option<i64>,
}

#[derive(Debug)]
enum State {
    Pending(Vec<Waker>),
    Settled(Result<Acknowledged>),
}

/// The fate of one batch, shared by its records.
#[derive(Debug)]
pub(crate) struct BatchOutcome {
    topic_partition: TopicPartition,
    state: Mutex<State>,
}

impl BatchOutcome {
    pub(crate) fn new(topic_partition: TopicPartition) -> Arc<Self> {
        Arc::new(BatchOutcome { topic_partition, state: Mutex::new(State::Pending(Vec::new())) })
    }

    /// Settles the batch and wakes everybody who waits for one of its records.
    pub(crate) fn settle(&self, result: Result<Acknowledged>) {
        let before = {
            let mut state = self.state.lock();
            assert!(matches!(*state, State::Pending(_)), "a batch is settled once");
            std::mem::replace(&mut *state, State::Settled(result))
        };
        if let State::Pending(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn poll_settled(&self, context: &mut Context<'_>) -> Poll<Result<Acknowledged>> {
        match &mut *self.state.lock() {
            State::Settled(result) => Poll::Ready(result.clone()),
            State::Pending(wakers) => {
                if !wakers.iter().any(|known| known.will_wake(context.waker())) {
                    wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Waits until the batch is settled.
    pub(crate) async fn settled(self: Arc<Self>) -> Result<Acknowledged> {
        std::future::poll_fn(|context| self.poll_settled(context)).await
    }
}

/// The report on one record: resolves when the broker acknowledged it or it failed for good.
///
/// Dropping it is fine: the record is sent all the same.
#[derive(Debug, Clone)]
#[must_use = "await it to learn whether the record arrived, or drop it on purpose"]
pub struct Delivery {
    outcome: Arc<BatchOutcome>,
    index: u32,
}

impl Delivery {
    pub(crate) fn new(outcome: Arc<BatchOutcome>, index: u32) -> Self {
        Delivery { outcome, index }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ClientError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let index = OffsetDelta::new(i64::from(self.index));
        self.outcome.poll_settled(context).map(|settled| {
            settled.map(|acknowledged| RecordMetadata {
                topic: self.outcome.topic_partition.topic.clone(),
                partition: self.outcome.topic_partition.partition,
                offset: acknowledged.base_offset.map(|base| base + index),
                log_append_time_ms: acknowledged.log_append_time_ms,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Arc<BatchOutcome> {
        let topic = TopicName::new("flights").expect("a legal name");
        BatchOutcome::new(TopicPartition::new(topic, PartitionIndex::new(3)))
    }

    #[tokio::test]
    async fn every_record_of_a_batch_learns_its_own_offset() {
        let outcome = outcome();
        let waiting = tokio::spawn(Delivery::new(Arc::clone(&outcome), 2));
        tokio::task::yield_now().await;
        outcome.settle(Ok(Acknowledged { base_offset: Some(Offset::new(40)), log_append_time_ms: None }));
        let metadata = waiting.await.expect("joined").expect("delivered");
        assert_eq!(metadata.offset, Some(Offset::new(42)));
        let late = Delivery::new(outcome, 0).await.expect("settled before");
        assert_eq!(late.offset, Some(Offset::new(40)));
    }

    #[tokio::test]
    async fn a_failed_batch_fails_each_of_its_records() {
        let outcome = outcome();
        outcome.settle(Err(ClientError::invalid("produce", "no")));
        assert!(Delivery::new(Arc::clone(&outcome), 0).await.is_err());
        assert!(Delivery::new(outcome, 1).await.is_err());
    }
}
