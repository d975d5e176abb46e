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
#[non_exhaustive]
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
    /// The batch was too large: its first `at` records went on in one batch, the others in a second.
    Split {
        at: u32,
        halves: [Arc<BatchOutcome>; 2],
    },
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
        self.become_final(State::Settled(result));
    }

    /// Its first `at` records share the first fate from now on, the others the second.
    pub(crate) fn split(&self, at: u32) -> [Arc<BatchOutcome>; 2] {
        let halves = [(); 2].map(|()| BatchOutcome::new(self.topic_partition.clone()));
        self.become_final(State::Split { at, halves: halves.clone() });
        halves
    }

    fn become_final(&self, end: State) {
        let before = {
            let mut state = self.state.lock();
            assert!(matches!(*state, State::Pending(_)), "a batch is settled once");
            std::mem::replace(&mut *state, end)
        };
        if let State::Pending(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// The fate of the record at `index`; its offset is that of the batch it ended in plus the index it has there.
    fn poll_record(&self, index: u32, context: &mut Context<'_>) -> Poll<Result<(Acknowledged, u32)>> {
        match &mut *self.state.lock() {
            State::Settled(result) => Poll::Ready(result.clone().map(|acknowledged| (acknowledged, index))),
            State::Split { at, halves: [left, _] } if index < *at => left.poll_record(index, context),
            State::Split { at, halves: [_, right] } => right.poll_record(index - *at, context),
            State::Pending(wakers) => {
                if !wakers.iter().any(|known| known.will_wake(context.waker())) {
                    wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Waits until every record of the batch is settled; the first failure among them.
    pub(crate) async fn settled(self: Arc<Self>) -> Result<()> {
        let mut waiting = vec![self];
        let mut outcome = Ok(());
        while let Some(next) = waiting.pop() {
            let settled = std::future::poll_fn(|context| next.poll_record(0, context)).await;
            if let State::Split { halves: [left, right], .. } = &*next.state.lock() {
                waiting.extend([Arc::clone(right), Arc::clone(left)]);
            } else if let (Ok(()), Err(error)) = (&outcome, settled) {
                outcome = Err(error);
            }
        }
        outcome
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
        self.outcome.poll_record(self.index, context).map(|settled| {
            settled.map(|(acknowledged, index)| RecordMetadata {
                topic: self.outcome.topic_partition.topic.clone(),
                partition: self.outcome.topic_partition.partition,
                offset: acknowledged.base_offset.map(|base| base + OffsetDelta::new(i64::from(index))),
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
    async fn the_records_of_a_split_batch_share_the_fate_of_their_half() {
        let outcome = outcome();
        let waiting: Vec<_> =
            [0, 1, 2].map(|index| tokio::spawn(Delivery::new(Arc::clone(&outcome), index))).into();
        let all = tokio::spawn(Arc::clone(&outcome).settled());
        tokio::task::yield_now().await;
        let [left, right] = outcome.split(2);
        left.settle(Ok(Acknowledged { base_offset: Some(Offset::new(10)), log_append_time_ms: None }));
        right.settle(Err(ClientError::invalid("produce", "no")));
        let mut fates = Vec::new();
        for delivery in waiting {
            fates.push(delivery.await.expect("joined").ok().and_then(|metadata| metadata.offset));
        }
        assert_eq!(fates, [Some(Offset::new(10)), Some(Offset::new(11)), None]);
        assert!(all.await.expect("joined").is_err());
    }

    #[tokio::test]
    async fn a_failed_batch_fails_each_of_its_records() {
        let outcome = outcome();
        outcome.settle(Err(ClientError::invalid("produce", "no")));
        assert!(Delivery::new(Arc::clone(&outcome), 0).await.is_err());
        assert!(Delivery::new(outcome, 1).await.is_err());
    }
}
