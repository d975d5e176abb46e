//! The committed offsets of groups: read, set and deleted from outside.
//!
//! Topics go by name, so the versions that know them only by id are not spoken. Who is a member of the group cannot be
//! overruled: offsets are set only while it has none.

use std::collections::BTreeMap;

use ottla_protocol::messages::offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
use ottla_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use ottla_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ottla_protocol::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicName, TopicPartition};

use super::coordinators::GroupCall;
use super::{group_error, group_verdict};
use crate::admin::{Admin, PerResource, only};
use crate::consumer::{
    COMMIT_VERSION_MAX, FETCH_VERSION_MAX, Identity, OffsetAndMetadata, commit_codes, commit_request,
};
use crate::error::{ClientError, Result};

/// The result for each partition.
type PerPartition = Vec<(TopicPartition, Result<()>)>;

/// Committed offsets by partition.
type Committed = BTreeMap<TopicPartition, OffsetAndMetadata>;

impl Admin {
    /// Everything that these groups have committed. A group that does not exist has committed nothing.
    ///
    /// # Errors
    /// When a coordinator does not answer in time; what is wrong with one group is in its own result.
    pub async fn group_offsets(&self, groups: &[&str]) -> Result<PerResource<Committed>> {
        self.ask_coordinators(groups, &FetchOffsets).await
    }

    /// Sets offsets of a group that has no members; a group that does not exist comes into being.
    ///
    /// # Errors
    /// When the coordinator does not answer in time. In a partition's own result: `UNKNOWN_MEMBER_ID` when the group has
    /// members, `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn alter_group_offsets(&self, group: &str, offsets: &Committed) -> Result<PerPartition> {
        only(CommitOffsets::OPERATION, self.ask_coordinators(&[group], &CommitOffsets { offsets }).await?)
    }

    /// Deletes offsets of a group. Topics that members of the group subscribe to keep theirs.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP` when members are no consumers. In a partition's own result:
    /// `GROUP_SUBSCRIBED_TO_TOPIC`, `UNKNOWN_TOPIC_OR_PARTITION`.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<PerPartition> {
        only(DeleteOffsets::OPERATION, self.ask_coordinators(&[group], &DeleteOffsets { partitions }).await?)
    }
}

/// OffsetFetch of all topics.
struct FetchOffsets;

impl GroupCall for FetchOffsets {
    type Api = OffsetFetchRequest;
    type Answer = Committed;
    const OPERATION: &'static str = "read the offsets of group";
    const VERSION_MAX: i16 = FETCH_VERSION_MAX;

    fn groups_max(&self, version: i16) -> usize {
        if version < 8 { 1 } else { 1_000 }
    }

    fn request(&self, groups: &[String], version: i16) -> OffsetFetchRequest {
        if version < 8 {
            return OffsetFetchRequest {
                group_id: groups[0].as_str().into(),
                topics: None,
                ..Default::default()
            };
        }
        let group = |id: &String| OffsetFetchRequestGroup {
            group_id: id.as_str().into(),
            topics: None,
            ..Default::default()
        };
        OffsetFetchRequest { groups: groups.iter().map(group).collect(), ..Default::default() }
    }

    fn answers(
        &self,
        response: OffsetFetchResponse,
        groups: &[String],
        _: BrokerId,
    ) -> PerResource<Committed> {
        let mut rows = response.groups;
        if rows.is_empty() {
            let topics = response.topics.into_iter().map(|topic| OffsetFetchResponseTopics {
                name: topic.name,
                partitions: topic.partitions.into_iter().map(of_one_group).collect(),
                ..Default::default()
            });
            rows.push(OffsetFetchResponseGroup {
                group_id: groups[0].as_str().into(),
                topics: topics.collect(),
                error_code: response.error_code,
            });
        }
        rows.iter().map(|row| (row.group_id.to_string(), committed(row))).collect()
    }
}

/// The same fields, as they are named up to version 7.
fn of_one_group(
    row: ottla_protocol::messages::offset_fetch::OffsetFetchResponsePartition,
) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: row.partition_index,
        committed_offset: row.committed_offset,
        committed_leader_epoch: row.committed_leader_epoch,
        metadata: row.metadata,
        error_code: row.error_code,
    }
}

fn committed(group: &OffsetFetchResponseGroup) -> Result<Committed> {
    group_verdict(FetchOffsets::OPERATION, &group.group_id, group.error_code, None)?;
    let mut committed = Committed::new();
    for topic in &group.topics {
        let Ok(name) = TopicName::new(&topic.name) else { continue };
        for row in &topic.partitions {
            let failed = |error: ClientError| error.for_topic(&name).for_partition(row.partition_index);
            group_verdict(FetchOffsets::OPERATION, &group.group_id, row.error_code, None).map_err(failed)?;
            let Some(offset) = Offset::known(row.committed_offset) else { continue };
            let value = OffsetAndMetadata {
                offset,
                leader_epoch: LeaderEpoch::known(row.committed_leader_epoch),
                metadata: row.metadata.as_deref().filter(|note| !note.is_empty()).map(str::to_owned),
            };
            committed
                .insert(TopicPartition::new(name.clone(), PartitionIndex::new(row.partition_index)), value);
        }
    }
    Ok(committed)
}

/// OffsetCommit by nobody: no member, no generation.
struct CommitOffsets<'a> {
    offsets: &'a Committed,
}

impl GroupCall for CommitOffsets<'_> {
    type Api = OffsetCommitRequest;
    type Answer = PerPartition;
    const OPERATION: &'static str = "set the offsets of group";
    const VERSION_MAX: i16 = COMMIT_VERSION_MAX;

    fn groups_max(&self, _version: i16) -> usize {
        1
    }

    fn request(&self, groups: &[String], _version: i16) -> OffsetCommitRequest {
        commit_request(&groups[0], None, &Identity::none(), self.offsets)
    }

    fn answers(
        &self,
        response: OffsetCommitResponse,
        groups: &[String],
        _: BrokerId,
    ) -> PerResource<PerPartition> {
        let group = &groups[0];
        let codes = commit_codes(&response);
        // An error of the coordinator stands at every partition alike; then the whole is asked again.
        let moved = codes.iter().map(|(_, code)| *code).find(|code| is_about_coordinator(*code));
        let result = match moved {
            Some(code) => Err(group_error(Self::OPERATION, group, code, None)),
            None => Ok(per_partition(Self::OPERATION, group, codes)),
        };
        vec![(group.clone(), result)]
    }
}

fn is_about_coordinator(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_COORDINATOR
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
    )
}

fn per_partition(
    operation: &'static str,
    group: &str,
    codes: impl IntoIterator<Item = (TopicPartition, ErrorCode)>,
) -> PerPartition {
    let result = |(partition, code): (TopicPartition, ErrorCode)| {
        let failed =
            |error: ClientError| error.for_topic(&partition.topic).for_partition(partition.partition.get());
        let verdict = group_verdict(operation, group, code, None).map_err(failed);
        (partition, verdict)
    };
    codes.into_iter().map(result).collect()
}

/// OffsetDelete.
struct DeleteOffsets<'a> {
    partitions: &'a [TopicPartition],
}

impl GroupCall for DeleteOffsets<'_> {
    type Api = OffsetDeleteRequest;
    type Answer = PerPartition;
    const OPERATION: &'static str = "delete the offsets of group";

    fn groups_max(&self, _version: i16) -> usize {
        1
    }

    fn request(&self, groups: &[String], _version: i16) -> OffsetDeleteRequest {
        let mut by_topic: BTreeMap<&TopicName, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for one in self.partitions {
            let row = OffsetDeleteRequestPartition { partition_index: one.partition.get() };
            by_topic.entry(&one.topic).or_default().push(row);
        }
        let topic = |(name, partitions): (&TopicName, Vec<OffsetDeleteRequestPartition>)| {
            OffsetDeleteRequestTopic { name: name.into(), partitions }
        };
        OffsetDeleteRequest {
            group_id: groups[0].as_str().into(),
            topics: by_topic.into_iter().map(topic).collect(),
        }
    }

    fn answers(
        &self,
        response: OffsetDeleteResponse,
        groups: &[String],
        _: BrokerId,
    ) -> PerResource<PerPartition> {
        let group = &groups[0];
        let mut codes = Vec::new();
        for topic in &response.topics {
            let Ok(name) = TopicName::new(&topic.name) else { continue };
            for row in &topic.partitions {
                let partition = TopicPartition::new(name.clone(), PartitionIndex::new(row.partition_index));
                codes.push((partition, row.error_code));
            }
        }
        let verdict = group_verdict(Self::OPERATION, group, response.error_code, None);
        vec![(group.clone(), verdict.map(|()| per_partition(Self::OPERATION, group, codes)))]
    }
}
