//! A consumer as a [`Stream`] of batches, for programs that are written with combinators.
//!
//! Each item is a `poll`, with all that it means in a group. Dropping the stream loses nothing.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::batch::RecordBatch;
use super::{Consumer, FAR};
use crate::error::Result;

type Waiting = Pin<Box<dyn Future<Output = Result<Option<RecordBatch>>> + Send>>;

/// The batches of a consumer as they come; see [`Consumer::stream`].
pub struct BatchStream {
    consumer: Consumer,
    waiting: Option<Waiting>,
    has_ended: bool,
}

impl fmt::Debug for BatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchStream").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

impl Consumer {
    /// The batches as they come, as a stream that waits for more at the end of the partitions. It ends when the consumer
    /// is closed, or with the error that keeps it out of its group.
    ///
    /// ```no_run
    /// # async fn f(consumer: ottla_client::Consumer) -> ottla_client::Result<()> {
    /// // With `StreamExt` of futures or tokio-stream this is `stream.next().await`.
    /// # use futures_core::Stream;
    /// let mut stream = std::pin::pin!(consumer.stream());
    /// while let Some(batch) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await {
    ///     println!("{} bytes of {}", batch.as_ref().map_or(0, |b| b.size_in_bytes()), batch?.topic_partition());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn stream(&self) -> BatchStream {
        BatchStream { consumer: self.clone(), waiting: None, has_ended: false }
    }

    /// The next batch, without waiting.
    fn poll_at_once(&self) -> Result<Option<RecordBatch>> {
        let _polling = self.enter_poll()?;
        self.try_poll().transpose()
    }
}

impl Stream for BatchStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if self.waiting.is_none() {
            match self.consumer.poll_at_once() {
                Ok(Some(batch)) => return Poll::Ready(Some(Ok(batch))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(self.end_with(error)),
            }
        }
        loop {
            let consumer = self.consumer.clone();
            let waiting =
                self.waiting.get_or_insert_with(|| Box::pin(async move { consumer.poll(FAR).await }));
            let polled = std::task::ready!(waiting.as_mut().poll(context));
            self.waiting = None;
            match polled {
                Ok(Some(batch)) => return Poll::Ready(Some(Ok(batch))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(self.end_with(error)),
            }
        }
    }
}

impl BatchStream {
    /// The error as an item; one that stays is the last, and being closed is no error.
    fn end_with(&mut self, error: crate::ClientError) -> Option<Result<RecordBatch>> {
        let end = self.consumer.inner.end();
        self.has_ended = end.is_some();
        match end {
            Some(end) if matches!(end.kind(), crate::ErrorKind::Closed) => None,
            _ => Some(Err(error)),
        }
    }
}
