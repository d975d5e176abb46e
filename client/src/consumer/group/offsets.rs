//! Committed offsets on the wire: what is sent to commit and to ask, and what the answers say.
//!
//! Topics go by name, so the versions that know them only by id are not spoken. Pure; who asks, and again, is `commit`.

use std::collections::BTreeMap;

use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ottla_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use ottla_protocol::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicName, TopicPartition};

use super::effect::Identity;
use super::partitions::by_topic;
use crate::consumer::assignment::Consumed;

/// From version 10 on topics go by id.
pub(crate) const COMMIT_VERSION_MAX: i16 = 9;
/// From version 10 on topics go by id.
pub(crate) const FETCH_VERSION_MAX: i16 = 9;

/// How far a group has read a partition, as it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next offset to read.
    pub offset: Offset,
    /// The epoch of the leader that wrote the last record before it, if known: with it a truncated log is noticed.
    pub leader_epoch: Option<LeaderEpoch>,
    /// A note to keep with the offset.
    pub metadata: Option<String>,
}

impl From<Offset> for OffsetAndMetadata {
    fn from(offset: Offset) -> Self {
        OffsetAndMetadata { offset, leader_epoch: None, metadata: None }
    }
}

impl From<Consumed> for OffsetAndMetadata {
    fn from(consumed: Consumed) -> Self {
        OffsetAndMetadata { leader_epoch: consumed.leader_epoch, ..consumed.offset.into() }
    }
}

/// Offsets by partition.
pub(crate) type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// What is committed of each partition, if anything is.
pub(crate) type Fetched = Vec<(TopicPartition, Result<Option<OffsetAndMetadata>, ErrorCode>)>;

/// Commits these offsets as this member.
pub(crate) fn commit_request(
    group_id: &str,
    instance_id: Option<&str>,
    identity: &Identity,
    offsets: &Offsets,
) -> OffsetCommitRequest {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for (partition, committed) in offsets {
        let row = OffsetCommitRequestPartition {
            partition_index: partition.partition.get(),
            committed_offset: committed.offset.get(),
            committed_leader_epoch: committed.leader_epoch.map_or(-1, LeaderEpoch::get),
            committed_metadata: Some(committed.metadata.as_deref().unwrap_or_default().into()),
        };
        match topics.last_mut().filter(|last| *last.name == *partition.topic) {
            Some(last) => last.partitions.push(row),
            None => topics.push(OffsetCommitRequestTopic {
                name: (&partition.topic).into(),
                partitions: vec![row],
                ..Default::default()
            }),
        }
    }
    OffsetCommitRequest {
        group_id: group_id.into(),
        generation_id_or_member_epoch: identity.generation,
        member_id: identity.member_id.clone(),
        // Static membership is checked only together with a generation.
        group_instance_id: instance_id.filter(|_| identity.generation >= 0).map(Into::into),
        topics,
        ..Default::default()
    }
}

/// What the coordinator said about each partition.
pub(crate) fn commit_codes(response: &OffsetCommitResponse) -> Vec<(TopicPartition, ErrorCode)> {
    let mut codes = Vec::new();
    for topic in &response.topics {
        let Ok(name) = TopicName::new(&topic.name) else { continue };
        for row in &topic.partitions {
            let index = PartitionIndex::new(row.partition_index);
            codes.push((TopicPartition::new(name.clone(), index), row.error_code));
        }
    }
    codes
}

/// Asks how far the group has read these partitions; open transactions are waited for.
pub(crate) fn fetch_request(
    group_id: &str,
    identity: &Identity,
    partitions: &[TopicPartition],
    version: i16,
) -> OffsetFetchRequest {
    let listed = by_topic(partitions);
    if version < 8 {
        let topics = listed
            .into_iter()
            .map(|topic| OffsetFetchRequestTopic { name: topic.topic, partition_indexes: topic.partitions });
        return OffsetFetchRequest {
            group_id: group_id.into(),
            topics: Some(topics.collect()),
            require_stable: version >= 7,
            ..Default::default()
        };
    }
    let topics = listed.into_iter().map(|topic| OffsetFetchRequestTopics {
        name: topic.topic,
        partition_indexes: topic.partitions,
        ..Default::default()
    });
    let group = OffsetFetchRequestGroup {
        group_id: group_id.into(),
        member_id: (!identity.member_id.is_empty()).then(|| identity.member_id.clone()),
        member_epoch: identity.generation,
        topics: Some(topics.collect()),
    };
    OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() }
}

/// What the coordinator knows of each partition; none where nothing was committed. An error of the whole answer is the
/// outer one.
pub(crate) fn fetched(response: &OffsetFetchResponse) -> Result<Fetched, ErrorCode> {
    let mut answers = Vec::new();
    let mut answer =
        |topic: &str, index: i32, code: ErrorCode, offset: i64, epoch: i32, note: Option<&str>| {
            let Ok(name) = TopicName::new(topic) else { return };
            let committed = Offset::known(offset).map(|offset| OffsetAndMetadata {
                offset,
                leader_epoch: LeaderEpoch::known(epoch),
                metadata: note.filter(|note| !note.is_empty()).map(str::to_owned),
            });
            answers
                .push((TopicPartition::new(name, PartitionIndex::new(index)), code.ok().map(|()| committed)));
        };
    if let Some(group) = response.groups.first() {
        group.error_code.ok()?;
        for topic in &group.topics {
            for row in &topic.partitions {
                let (epoch, note) = (row.committed_leader_epoch, row.metadata.as_deref());
                answer(&topic.name, row.partition_index, row.error_code, row.committed_offset, epoch, note);
            }
        }
        return Ok(answers);
    }
    response.error_code.ok()?;
    for topic in &response.topics {
        for row in &topic.partitions {
            let (epoch, note) = (row.committed_leader_epoch, row.metadata.as_deref());
            answer(&topic.name, row.partition_index, row.error_code, row.committed_offset, epoch, note);
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::messages::offset_fetch::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    };
    use ottla_protocol::{api, frame};

    fn partition(topic: &str, index: i32) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).expect("legal"), PartitionIndex::new(index))
    }

    fn member() -> Identity {
        Identity { member_id: "m1".into(), generation: 7 }
    }

    #[test]
    fn both_requests_can_be_written_in_every_version_that_is_spoken() {
        let offsets: Offsets = [(partition("flights", 0), Offset::new(5).into())].into();
        for version in
            api::served(ottla_protocol::ApiKey::OffsetCommit).expect("known").min..=COMMIT_VERSION_MAX
        {
            let instance_id = Some("till-1").filter(|_| version >= 7);
            let request = commit_request("billing", instance_id, &member(), &offsets);
            frame::encode_request(1, None, version, request)
                .unwrap_or_else(|error| panic!("{version}: {error}"));
        }
        for version in
            api::served(ottla_protocol::ApiKey::OffsetFetch).expect("known").min..=FETCH_VERSION_MAX
        {
            let request = fetch_request("billing", &member(), &[partition("flights", 0)], version);
            frame::encode_request(1, None, version, request)
                .unwrap_or_else(|error| panic!("{version}: {error}"));
        }
    }

    #[test]
    fn a_static_name_is_only_told_with_a_generation() {
        let offsets = Offsets::new();
        let told =
            |identity| commit_request("billing", Some("till-1"), &identity, &offsets).group_instance_id;
        assert!(told(member()).is_some());
        assert!(told(Identity::none()).is_none());
    }

    #[test]
    fn nothing_committed_is_none_and_an_error_is_the_partitions_own() {
        let row = |index, committed_offset, error_code| OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset,
            metadata: Some("".into()),
            error_code,
            ..Default::default()
        };
        let rows = vec![
            row(0, 42, ErrorCode::NONE),
            row(1, -1, ErrorCode::NONE),
            row(2, -1, ErrorCode::UNSTABLE_OFFSET_COMMIT),
        ];
        let topic =
            OffsetFetchResponseTopics { name: "flights".into(), partitions: rows, ..Default::default() };
        let group = OffsetFetchResponseGroup { topics: vec![topic], ..Default::default() };
        let mut response = OffsetFetchResponse { groups: vec![group], ..Default::default() };
        let answers = fetched(&response).expect("no error of the whole");
        let answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer).collect();
        let unstable = ErrorCode::UNSTABLE_OFFSET_COMMIT;
        assert_eq!(answers, [Ok(Some(Offset::new(42).into())), Ok(None), Err(unstable)]);
        response.groups[0].error_code = ErrorCode::NOT_COORDINATOR;
        assert_eq!(fetched(&response), Err(ErrorCode::NOT_COORDINATOR));
    }
}
