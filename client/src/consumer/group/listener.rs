//! What a program hears of rebalances.

use std::future::Future;
use std::pin::Pin;

use ottla_protocol::TopicPartition;

use crate::consumer::Consumer;

/// What a program does in a rebalance. The group waits for it.
pub type Rebalancing<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Hears which partitions come and go. The calls of one consumer never overlap, and come in order.
///
/// The group waits for the returned futures, while heartbeats go on: whoever gets a partition next begins where this
/// program has committed. They run beside the program, not inside `poll`; what the program is doing with a batch of a
/// partition that is revoked is over by then: `on_revoked` is only called once the program has polled again or has
/// committed. A future that takes longer than `rebalance_timeout` costs the membership.
///
/// ```
/// use ottla_client::{Consumer, RebalanceListener, Rebalancing, TopicPartition};
///
/// struct Finish;
///
/// impl RebalanceListener for Finish {
///     fn on_revoked<'a>(&'a self, consumer: &'a Consumer, partitions: &'a [TopicPartition]) -> Rebalancing<'a> {
///         Box::pin(async move {
///             // … finish what is under way, then:
///             if let Err(error) = consumer.commit().await {
///                 eprintln!("{} partitions go without a commit: {error}", partitions.len());
///             }
///         })
///     }
/// }
/// ```
pub trait RebalanceListener: Send + Sync + 'static {
    /// These partitions came; a `seek` in here comes before the committed offset.
    fn on_assigned<'a>(
        &'a self,
        _consumer: &'a Consumer,
        _partitions: &'a [TopicPartition],
    ) -> Rebalancing<'a> {
        Box::pin(async {})
    }

    /// These partitions go; they are still this consumer's until the future is ready.
    fn on_revoked<'a>(
        &'a self,
        _consumer: &'a Consumer,
        _partitions: &'a [TopicPartition],
    ) -> Rebalancing<'a> {
        Box::pin(async {})
    }

    /// These partitions are gone: the group went on without this consumer, and they cannot be committed any more.
    fn on_lost<'a>(&'a self, _consumer: &'a Consumer, _partitions: &'a [TopicPartition]) -> Rebalancing<'a> {
        Box::pin(async {})
    }
}
