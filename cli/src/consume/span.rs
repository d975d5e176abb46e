//! Which offsets of each partition are read: `--from` and `--to` settled against what the brokers have.

use std::collections::BTreeMap;

use ottla_client::{Admin, Offset, OffsetSpec, StartAt, TopicInfo, TopicPartition};

use crate::bound::Bound;
use crate::failure::Failure;
use crate::instant::TimestampMs;

/// What is read of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// The partition.
    pub partition: TopicPartition,
    /// Where reading begins.
    pub start: StartAt,
    /// The offset it begins at, if the brokers were asked.
    pub first: Option<Offset>,
    /// Where it ends, exclusive.
    pub end: Option<Offset>,
}

impl Span {
    /// Whether there is nothing to read.
    pub(crate) fn is_empty(&self) -> bool {
        matches!((self.first, self.end), (Some(first), Some(end)) if first >= end)
    }
}

/// How many offsets lie in all spans together, if all of them end.
pub(crate) fn offsets_between(spans: &[Span]) -> Option<u64> {
    let one = |span: &Span| Some((span.end? - span.first?).get().max(0).unsigned_abs());
    spans.iter().map(one).sum()
}

/// Settles the spans of the wanted partitions (all, if none are named).
///
/// # Errors
/// When a partition does not exist or the brokers cannot be asked.
pub(crate) async fn settle(
    admin: &Admin,
    topic: &TopicInfo,
    wanted: Option<&[i32]>,
    from: Bound,
    to: Option<Bound>,
) -> Result<Vec<Span>, Failure> {
    let count = topic.partitions.len();
    if let Some(missing) =
        wanted.unwrap_or_default().iter().find(|index| usize::try_from(**index).is_ok_and(|i| i >= count))
    {
        return Err(Failure::new(format!(
            "{} has {count} partitions, there is no partition {missing}",
            topic.name
        )));
    }
    let is_wanted = |index: i32| wanted.is_none_or(|wanted| wanted.contains(&index));
    let indexes =
        topic.partitions.iter().map(|partition| partition.index).filter(|index| is_wanted(index.get()));
    let partitions: Vec<_> = indexes.map(|index| TopicPartition::new(topic.name.clone(), index)).collect();
    let asks = Asks { admin, partitions: &partitions };
    let starts = asks.offsets(OffsetSpec::Earliest).await?;
    let ends = asks.offsets(OffsetSpec::Latest).await?;
    let from_times = asks.times(Some(from)).await?;
    let to_times = asks.times(to).await?;
    let spans = partitions.iter().map(|partition| {
        let (start, end) = (starts.get(partition).copied(), ends.get(partition).copied());
        let place = |bound: Bound, times: &BTreeMap<TopicPartition, Offset>| match bound {
            Bound::Earliest => start,
            Bound::Latest => end,
            Bound::Offset(offset) => Some(Offset::new(offset)),
            Bound::FromEnd(count) => Some(Offset::new((end?.get() - count).max(start?.get()))),
            Bound::Time(_) => times.get(partition).copied(),
        };
        let first = match from {
            // Nothing is that late yet.
            Bound::Time(_) => place(from, &from_times).or(end),
            _ => place(from, &from_times),
        };
        let end = match to {
            // Nothing is that late yet: in the past, nothing will be; in the future, wait for it.
            Some(bound @ Bound::Time(time)) => {
                place(bound, &to_times).or(end.filter(|_| time <= TimestampMs::now()))
            }
            Some(bound) => place(bound, &to_times),
            None => None,
        };
        let start = first.map_or(StartAt::Earliest, StartAt::Offset);
        Span { partition: partition.clone(), start, first, end }
    });
    Ok(spans.collect())
}

struct Asks<'a> {
    admin: &'a Admin,
    partitions: &'a [TopicPartition],
}

impl Asks<'_> {
    async fn offsets(&self, spec: OffsetSpec) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
        let questions: Vec<_> = self.partitions.iter().map(|partition| (partition.clone(), spec)).collect();
        let mut offsets = BTreeMap::new();
        for (partition, listed) in self.admin.list_offsets(&questions).await? {
            if let Some(offset) = listed?.offset {
                offsets.insert(partition, offset);
            }
        }
        Ok(offsets)
    }

    async fn times(&self, bound: Option<Bound>) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
        match bound {
            Some(Bound::Time(time)) => self.offsets(OffsetSpec::Timestamp(time.0)).await,
            _ => Ok(BTreeMap::new()),
        }
    }
}
