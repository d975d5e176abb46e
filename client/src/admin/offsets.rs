//! Offsets and records: where partitions begin and end, what offset a time has, delete what lies before an offset.
//!
//! Only a partition's leader can answer, so a call is split by leader; partitions whose leader moved are asked again.

use std::collections::BTreeMap;
use std::time::Instant;

use ottla_protocol::codec::Request;
use ottla_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use ottla_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use ottla_protocol::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicName, TopicPartition};

use super::Admin;
use crate::client::AutoCreate;
use crate::error::{ClientError, Result};

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first that can be read.
    Earliest,
    /// Behind the last that can be read.
    Latest,
    /// That of the record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// That of the first record at or after this time, in milliseconds since 1970.
    Timestamp(i64),
}

impl OffsetSpec {
    fn wire(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::Timestamp(ms) => ms,
        }
    }
}

/// The answer for one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; none when no record is that late, or there is no record at all.
    pub offset: Option<Offset>,
    /// The timestamp of the record there, where one was looked for.
    pub timestamp_ms: Option<i64>,
    /// The epoch of the leader that wrote it, if the broker tells.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// What is still to be asked, and what was answered.
struct Round<Q, A> {
    open: BTreeMap<TopicPartition, Q>,
    answers: Vec<(TopicPartition, Result<A>)>,
}

impl<Q: Copy, A> Round<Q, A> {
    fn new(questions: &[(TopicPartition, Q)]) -> Self {
        Round { open: questions.iter().cloned().collect(), answers: Vec::new() }
    }

    fn answer(&mut self, partition: TopicPartition, result: Result<A>) {
        self.open.remove(&partition);
        self.answers.push((partition, result));
    }

    fn topics(&self) -> Vec<TopicName> {
        let mut topics: Vec<TopicName> = self.open.keys().map(|partition| partition.topic.clone()).collect();
        topics.dedup();
        topics
    }
}

/// The questions of one leader, topic by topic.
type ByTopic<Q> = BTreeMap<TopicName, Vec<(PartitionIndex, Q)>>;

impl Admin {
    /// The offset of each partition that its spec asks for. Answers come in the order of partitions.
    ///
    /// # Errors
    /// When a partition still has no leader that answers at the end of the client's `api_timeout`; what is wrong with
    /// one partition otherwise is in its own result.
    pub async fn list_offsets(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
    ) -> Result<Vec<(TopicPartition, Result<ListedOffset>)>> {
        self.list_offsets_isolated(wanted, 0).await
    }

    /// The same, where `Latest` means what a consumer of this isolation level (its number on the wire) can read.
    pub(crate) async fn list_offsets_isolated(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
        isolation_level: i8,
    ) -> Result<Vec<(TopicPartition, Result<ListedOffset>)>> {
        const OPERATION: &str = "list offsets";
        let request = |questions: &ByTopic<OffsetSpec>| {
            let partition = |(index, spec): &(PartitionIndex, OffsetSpec)| ListOffsetsPartition {
                partition_index: index.get(),
                timestamp: spec.wire(),
                ..Default::default()
            };
            let topics = questions.iter().map(|(name, partitions)| ListOffsetsTopic {
                name: name.into(),
                partitions: partitions.iter().map(partition).collect(),
            });
            ListOffsetsRequest { replica_id: -1, isolation_level, topics: topics.collect() }
        };
        let answers = |response: ListOffsetsResponse| {
            let mut answers = Vec::new();
            for topic in &response.topics {
                for row in &topic.partitions {
                    let listed = ListedOffset {
                        offset: Offset::known(row.offset),
                        timestamp_ms: (row.timestamp >= 0).then_some(row.timestamp),
                        leader_epoch: LeaderEpoch::known(row.leader_epoch),
                    };
                    answers.push((topic.name.to_string(), row.partition_index, row.error_code, listed));
                }
            }
            answers
        };
        self.ask_leaders(OPERATION, wanted, request, answers).await
    }

    /// Deletes the records of each partition that lie before the given offset; none means all there are now. Returns
    /// the new first offset of each.
    ///
    /// # Errors
    /// As [`list_offsets`](Admin::list_offsets); `OFFSET_OUT_OF_RANGE` for an offset beyond the end.
    pub async fn delete_records(
        &self,
        before: &[(TopicPartition, Option<Offset>)],
    ) -> Result<Vec<(TopicPartition, Result<Offset>)>> {
        const OPERATION: &str = "delete records";
        let request = |questions: &ByTopic<Option<Offset>>| {
            let partition = |(index, before): &(PartitionIndex, Option<Offset>)| DeleteRecordsPartition {
                partition_index: index.get(),
                offset: before.map_or(-1, Offset::get),
            };
            let topics = questions.iter().map(|(name, partitions)| DeleteRecordsTopic {
                name: name.into(),
                partitions: partitions.iter().map(partition).collect(),
            });
            DeleteRecordsRequest { topics: topics.collect(), timeout_ms: self.timeout_ms() }
        };
        let answers = |response: DeleteRecordsResponse| {
            let mut answers = Vec::new();
            for topic in &response.topics {
                for row in &topic.partitions {
                    let low_watermark = Offset::new(row.low_watermark);
                    answers.push((
                        topic.name.to_string(),
                        row.partition_index,
                        row.error_code,
                        low_watermark,
                    ));
                }
            }
            answers
        };
        self.ask_leaders(OPERATION, before, request, answers).await
    }

    /// Asks each partition's leader, round after round until every partition has an answer.
    async fn ask_leaders<Q: Copy, A: Copy, R: Request>(
        &self,
        operation: &'static str,
        questions: &[(TopicPartition, Q)],
        request: impl Fn(&ByTopic<Q>) -> R,
        answers: impl Fn(R::Response) -> Vec<(String, i32, ErrorCode, A)>,
    ) -> Result<Vec<(TopicPartition, Result<A>)>> {
        let started = Instant::now();
        let mut round: Round<Q, A> = Round::new(questions);
        let mut attempt = 0;
        while !round.open.is_empty() {
            let mut failure = None;
            for (leader, by_topic) in self.by_leader(operation, &mut round).await? {
                let asked =
                    self.client.pool().call_broker(leader, request(&by_topic), self.request_timeout());
                match asked.await {
                    Ok(response) => {
                        failure = take_answers(operation, &mut round, answers(response)).or(failure)
                    }
                    Err(error) => failure = Some(error.during(operation)),
                }
            }
            if round.open.is_empty() {
                break;
            }
            let nobody = || ClientError::broker(operation, ErrorCode::LEADER_NOT_AVAILABLE, None);
            let error = failure.unwrap_or_else(nobody);
            attempt = self.client.pause_or_give_up(started, attempt, false, error).await?;
            let generation = self.client.metadata().generation();
            // Whether this worked shows in the next round.
            let _ = self.client.refresh(&round.topics(), AutoCreate::Forbidden, generation).await;
        }
        round.answers.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(round.answers)
    }

    /// The open questions by leader. Those without a leader stay open; those that cannot have one are answered.
    async fn by_leader<Q: Copy, A>(
        &self,
        operation: &'static str,
        round: &mut Round<Q, A>,
    ) -> Result<BTreeMap<BrokerId, ByTopic<Q>>> {
        let mut by_leader: BTreeMap<BrokerId, ByTopic<Q>> = BTreeMap::new();
        for topic in round.topics() {
            let info = self.client.topic_info(&topic, AutoCreate::Forbidden).await;
            let mine: Vec<(TopicPartition, Q)> = round
                .open
                .iter()
                .filter(|(partition, _)| partition.topic == topic)
                .map(|(partition, question)| (partition.clone(), *question))
                .collect();
            for (partition, question) in mine {
                let index = partition.partition;
                let known = info.as_ref().map_err(|error| error.clone().during(operation)).and_then(|info| {
                    let place = usize::try_from(index.get()).unwrap_or(usize::MAX);
                    info.partitions.get(place).ok_or_else(|| {
                        let partition_count = u32::try_from(info.partitions.len()).unwrap_or(u32::MAX);
                        let kind = crate::ErrorKind::NoSuchPartition { partition_count };
                        ClientError::new(operation, kind).for_topic(&topic).for_partition(index.get())
                    })
                });
                match known {
                    Err(error) => round.answer(partition, Err(error)),
                    Ok(info) => {
                        if let Some(leader) = info.leader {
                            by_leader
                                .entry(leader)
                                .or_default()
                                .entry(topic.clone())
                                .or_default()
                                .push((index, question));
                        }
                    }
                }
            }
        }
        Ok(by_leader)
    }
}

/// Takes in one leader's answers; the last error that is worth another round is returned.
fn take_answers<Q: Copy, A>(
    operation: &'static str,
    round: &mut Round<Q, A>,
    answers: Vec<(String, i32, ErrorCode, A)>,
) -> Option<ClientError> {
    let mut failure = None;
    for (topic, index, code, answer) in answers {
        let Ok(name) = TopicName::new(&topic) else { continue };
        let partition = TopicPartition::new(name, PartitionIndex::new(index));
        if !round.open.contains_key(&partition) {
            continue;
        }
        if code.is_none() {
            round.answer(partition, Ok(answer));
            continue;
        }
        let error = ClientError::broker(operation, code, None).for_topic(&topic).for_partition(index);
        if error.is_retriable() {
            failure = Some(error);
        } else {
            round.answer(partition, Err(error));
        }
    }
    failure
}
