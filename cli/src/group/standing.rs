//! Where groups stand: for each partition what is committed, where the log ends, who owns it, how far behind it is.
//!
//! The lag in offsets is log end minus committed; the lag in time is the age of the first unread record, which the
//! brokers do not tell: [`Unread`] reads it. Not here: how any of it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla_client::{Admin, GroupDescription, Offset, OffsetAndMetadata, OffsetSpec, TopicPartition};

use super::unread::Unread;
use crate::failure::Failure;
use crate::instant::TimestampMs;

/// A group, and each partition that it has committed or a member owns.
#[derive(Debug)]
pub(super) struct Standing {
    /// The group.
    pub group: GroupDescription,
    /// By topic and number.
    pub partitions: Vec<PartitionStanding>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct PartitionStanding {
    /// The partition.
    pub partition: TopicPartition,
    /// What is committed, if anything.
    pub committed: Option<OffsetAndMetadata>,
    /// Where the log ends, if the partition exists and has a leader.
    pub end: Option<Offset>,
    /// Its owner's place among the group's members.
    pub owner: Option<usize>,
    /// The age of the first unread record; zero when all is read, none when it is not known.
    pub behind: Option<Duration>,
}

impl PartitionStanding {
    /// How many offsets lie between what is committed and the end.
    pub(super) fn lag(&self) -> Option<u64> {
        let (committed, end) = (self.committed.as_ref()?.offset, self.end?);
        Some((end - committed).get().max(0).unsigned_abs())
    }
}

impl Standing {
    /// All offsets that are still to be read, as far as known; none if nothing is, as before the first commit.
    pub(super) fn lag(&self) -> Option<u64> {
        let known = self.partitions.iter().filter_map(PartitionStanding::lag);
        known.reduce(|one, other| one + other).or(self.partitions.is_empty().then_some(0))
    }

    /// The age of the oldest unread record.
    pub(super) fn behind(&self) -> Option<Duration> {
        let known = self.partitions.iter().filter_map(|partition| partition.behind);
        known.max().or(self.partitions.is_empty().then_some(Duration::ZERO))
    }
}

/// Looks at these groups; what cannot be described is a failure of its own.
pub(super) async fn look(
    admin: &Admin,
    groups: &[String],
    unread: &mut Unread,
) -> Result<(Vec<Standing>, Vec<Failure>), Failure> {
    let ids: Vec<&str> = groups.iter().map(String::as_str).collect();
    let mut committed: BTreeMap<_, _> = admin.group_offsets(&ids).await?.into_iter().collect();
    let mut standings = Vec::new();
    let mut failures = Vec::new();
    for (id, described) in admin.describe_groups(&ids).await? {
        let offsets = committed.remove(&id).unwrap_or_else(|| Ok(BTreeMap::new()));
        match (described, offsets) {
            (Ok(group), Ok(offsets)) => standings.push(stand(group, offsets)),
            (Err(error), _) | (_, Err(error)) => failures.push(Failure::from(error)),
        }
    }
    let wanted: BTreeSet<&TopicPartition> =
        standings.iter().flat_map(|one| &one.partitions).map(|one| &one.partition).collect();
    let ends = offsets(admin, wanted, OffsetSpec::Latest).await?;
    for partition in standings.iter_mut().flat_map(|one| &mut one.partitions) {
        partition.end = ends.get(&partition.partition).copied();
    }
    let lagging = standings.iter().flat_map(|one| &one.partitions).filter(|one| one.lag() > Some(0));
    let places = lagging.filter_map(|one| Some((one.partition.clone(), one.committed.as_ref()?.offset)));
    unread.read(places.collect()).await?;
    let now = TimestampMs::now();
    for partition in standings.iter_mut().flat_map(|one| &mut one.partitions) {
        partition.behind = match (partition.lag(), &partition.committed) {
            (Some(0), _) => Some(Duration::ZERO),
            (Some(_), Some(committed)) => {
                let age = |ms: i64| Duration::from_millis((now.0 - ms).max(0).unsigned_abs());
                let timestamp = unread.timestamp(&partition.partition, committed.offset);
                timestamp.map(|known| known.map_or(Duration::ZERO, age))
            }
            _ => None,
        };
    }
    Ok((standings, failures))
}

fn stand(group: GroupDescription, mut committed: BTreeMap<TopicPartition, OffsetAndMetadata>) -> Standing {
    let mut owners = BTreeMap::new();
    for (place, member) in group.members.iter().enumerate() {
        owners.extend(member.assignment.iter().map(|partition| (partition.clone(), place)));
    }
    let all: BTreeSet<TopicPartition> = committed.keys().chain(owners.keys()).cloned().collect();
    let partition = |partition: TopicPartition| PartitionStanding {
        committed: committed.remove(&partition),
        owner: owners.get(&partition).copied(),
        end: None,
        behind: None,
        partition,
    };
    Standing { partitions: all.into_iter().map(partition).collect(), group }
}

/// An offset of each partition that exists and has a leader.
pub(super) async fn offsets<'a>(
    admin: &Admin,
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
    spec: OffsetSpec,
) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
    let mut led = BTreeSet::new();
    for topic in admin.list_topics().await? {
        let with_leader = topic.partitions.iter().filter(|partition| partition.leader.is_some());
        led.extend(with_leader.map(|partition| TopicPartition::new(topic.name.clone(), partition.index)));
    }
    let wanted: Vec<_> = partitions
        .into_iter()
        .filter(|partition| led.contains(*partition))
        .map(|partition| (partition.clone(), spec))
        .collect();
    let listed = admin.list_offsets(&wanted).await?;
    Ok(listed.into_iter().filter_map(|(partition, one)| Some((partition, one.ok()?.offset?))).collect())
}
