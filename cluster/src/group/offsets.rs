//! How far groups have read: a record machine. Requests become records; only committed records change what is stored.
//!
//! Who may commit is [`super::committing`]'s to say, and when an offset is over [`super::retention`]'s.

use std::collections::BTreeMap;

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use ottla_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ottla_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
};

use super::effect::{Answer, Then};
use super::member::own;
use super::record::{CommittedOffset, GroupRecord};
use super::retention::subscribed_topics;
use super::shard::GroupShard;
use super::{GroupConfig, Now};

/// The committed offsets of one group.
#[derive(Debug, Default)]
pub(crate) struct Offsets(BTreeMap<Str, BTreeMap<i32, CommittedOffset>>);

impl Offsets {
    pub(crate) fn set(&mut self, topic: &Str, partition: i32, committed: CommittedOffset) {
        if !self.0.contains_key(topic) {
            self.0.insert(own(topic), BTreeMap::new());
        }
        if let Some(partitions) = self.0.get_mut(topic) {
            partitions.insert(partition, committed);
        }
    }

    pub(crate) fn remove(&mut self, topic: &Str, partition: i32) {
        if let Some(partitions) = self.0.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.0.remove(topic);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    fn get(&self, topic: &Str, partition: i32) -> Option<&CommittedOffset> {
        self.0.get(topic)?.get(&partition)
    }

    /// Tombstones for the offsets that `is_over` points out.
    pub(crate) fn tombstones(
        &self,
        group: &Str,
        is_over: impl Fn(&Str, i32, &CommittedOffset) -> bool,
    ) -> Vec<GroupRecord> {
        let all =
            self.0.iter().flat_map(|(topic, partitions)| partitions.iter().map(move |row| (topic, row)));
        all.filter(|(topic, (partition, committed))| is_over(topic, **partition, committed))
            .map(|(topic, (partition, _))| GroupRecord::Offset {
                group: own(group),
                topic: topic.clone(),
                partition: *partition,
                value: None,
            })
            .collect()
    }
}

/// Puts an error on every partition that was about to succeed.
pub(crate) fn refuse_commit(response: &mut OffsetCommitResponse, code: ErrorCode) {
    let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for partition in partitions.filter(|partition| !partition.error_code.is_error()) {
        partition.error_code = code;
    }
}

fn found(partition_index: i32, committed: Option<&CommittedOffset>) -> OffsetFetchResponsePartitions {
    let none = OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        metadata: Some(Str::EMPTY),
        ..OffsetFetchResponsePartitions::default()
    };
    let Some(committed) = committed else { return none };
    OffsetFetchResponsePartitions {
        committed_offset: committed.offset,
        committed_leader_epoch: committed.leader_epoch,
        metadata: Some(committed.metadata.clone()),
        ..none
    }
}

impl<W> GroupShard<W> {
    /// OffsetCommit. `exists` says whether there is such a partition. The answer comes as an effect.
    pub fn handle_commit(
        &mut self,
        now: Now,
        request: &OffsetCommitRequest,
        api_version: i16,
        exists: impl Fn(&str, i32) -> bool,
        waiter: W,
    ) {
        let right = self.commit_right(now, request, api_version);
        let mut records = Vec::new();
        let mut response = OffsetCommitResponse::default();
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            let topic_id = self.topics.shape(&topic.name).map(|shape| shape.id);
            for partition in &topic.partitions {
                let right = right.as_ref().map_err(|code| *code);
                let stored = right.and_then(|right| {
                    self.config.check_metadata(partition)?;
                    if !exists(&topic.name, partition.partition_index) {
                        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                    }
                    right.check(topic_id, partition.partition_index)?;
                    Ok(to_record(now, request, &topic.name, partition))
                });
                let error_code = stored.as_ref().err().copied().unwrap_or(ErrorCode::NONE);
                records.extend(stored.ok());
                let partition_index = partition.partition_index;
                partitions.push(OffsetCommitResponsePartition { partition_index, error_code });
            }
            let (name, topic_id) = (topic.name.clone(), topic.topic_id);
            response.topics.push(OffsetCommitResponseTopic { name, topic_id, partitions });
        }
        if records.is_empty() {
            self.outbox.answer(waiter, Answer::Commit(response));
        } else {
            self.outbox.append(records, Then::AnswerCommit { waiter, response });
        }
    }

    /// OffsetFetch, for one group.
    pub fn fetch_offsets(&self, request: &OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
        let group_id = request.group_id.clone();
        if let Err(error_code) = self.check_fetch(request) {
            return OffsetFetchResponseGroup { group_id, topics: Vec::new(), error_code };
        }
        let group = self.groups.get(&request.group_id);
        let topics = match &request.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| OffsetFetchResponseTopics {
                    name: topic.name.clone(),
                    topic_id: topic.topic_id,
                    partitions: topic
                        .partition_indexes
                        .iter()
                        .map(|index| {
                            found(*index, group.and_then(|group| group.offsets.get(&topic.name, *index)))
                        })
                        .collect(),
                })
                .collect(),
            None => group
                .into_iter()
                .flat_map(|group| &group.offsets.0)
                .map(|(name, partitions)| OffsetFetchResponseTopics {
                    name: name.clone(),
                    partitions: partitions
                        .iter()
                        .map(|(index, committed)| found(*index, Some(committed)))
                        .collect(),
                    ..OffsetFetchResponseTopics::default()
                })
                .collect(),
        };
        OffsetFetchResponseGroup { group_id, topics, error_code: ErrorCode::NONE }
    }

    /// OffsetDelete. `exists` says whether there is such a partition. The answer comes as an effect.
    pub fn handle_offset_delete(
        &mut self,
        request: &OffsetDeleteRequest,
        exists: impl Fn(&str, i32) -> bool,
        waiter: W,
    ) {
        let refuse = |error_code| OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() };
        let Some(group) = self.groups.get(&request.group_id) else {
            let response = refuse(ErrorCode::GROUP_ID_NOT_FOUND);
            return self.outbox.answer(waiter, Answer::OffsetDelete(response));
        };
        let Some(subscribed) = subscribed_topics(group) else {
            return self.outbox.answer(waiter, Answer::OffsetDelete(refuse(ErrorCode::NON_EMPTY_GROUP)));
        };
        let mut records = Vec::new();
        let mut response = OffsetDeleteResponse::default();
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let partition_index = partition.partition_index;
                let error_code = if !exists(&topic.name, partition_index) {
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                } else if subscribed.contains(&topic.name) {
                    ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC
                } else {
                    records.extend(group.offsets.tombstones(&request.group_id, |name, index, _| {
                        *name == topic.name && index == partition_index
                    }));
                    ErrorCode::NONE
                };
                partitions.push(OffsetDeleteResponsePartition { partition_index, error_code });
            }
            response.topics.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions });
        }
        if records.is_empty() {
            self.outbox.answer(waiter, Answer::OffsetDelete(response));
        } else {
            self.outbox.append(records, Then::AnswerOffsetDelete { waiter, response });
        }
    }

    /// A topic is gone: so are its offsets.
    pub fn handle_topic_deleted(&mut self, topic: &Str) {
        for (id, group) in &self.groups {
            let records = group.offsets.tombstones(id, |name, _, _| name == topic);
            if !records.is_empty() {
                self.outbox.append(records, Then::Nothing);
            }
        }
    }
}

fn to_record(
    now: Now,
    request: &OffsetCommitRequest,
    topic: &Str,
    partition: &OffsetCommitRequestPartition,
) -> GroupRecord {
    let retention_ms = Some(request.retention_time_ms).filter(|ms| *ms >= 0);
    GroupRecord::Offset {
        group: own(&request.group_id),
        topic: own(topic),
        partition: partition.partition_index,
        value: Some(CommittedOffset {
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_ref().map(own).unwrap_or_default(),
            commit_timestamp_ms: now.unix_ms,
            expire_timestamp_ms: retention_ms.map(|ms| now.unix_ms.saturating_add(ms)),
        }),
    }
}

impl GroupConfig {
    fn check_metadata(&self, partition: &OffsetCommitRequestPartition) -> Result<(), ErrorCode> {
        let bytes = partition.committed_metadata.as_ref().map_or(0, |metadata| metadata.len());
        if bytes > self.offset_metadata_bytes_max {
            Err(ErrorCode::OFFSET_METADATA_TOO_LARGE)
        } else {
            Ok(())
        }
    }
}
