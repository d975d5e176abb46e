//! The fetching half of the cluster in memory: sessions, leader epochs, followers, topic ids.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::FetchRecords;
use ottla_protocol::messages::fetch::{
    EpochEndOffset as Diverging, FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse,
    LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use ottla_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use uuid::Uuid;

use super::{FakeCluster, FakePartition, FakeState, TOPIC};

/// What a fetch said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) broker: i32,
    pub(crate) version: i16,
    pub(crate) session_epoch: i32,
    pub(crate) named: usize,
}

/// What the brokers remember of fetches.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    /// Every fetch so far.
    pub(crate) asked: Vec<Asked>,
    /// Answers for the next fetches in a session.
    pub(crate) session_errors: VecDeque<ErrorCode>,
    /// What the brokers ask clients to wait.
    pub(crate) throttle_time_ms: i32,
    sessions: HashMap<i32, Session>,
    next_session_id: i32,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    topic_id: Uuid,
    partitions: BTreeMap<i32, FetchPartition>,
}

impl Fetches {
    /// The sessions that are open.
    pub(crate) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The session a request belongs to after it, or why there is none.
    fn turn(&mut self, request: &FetchRequest) -> Result<(i32, Session), ErrorCode> {
        let named = request.topics.iter().flat_map(|topic| &topic.partitions);
        let named = named.map(|partition| (partition.partition, partition.clone()));
        let topic_id = request.topics.first().map(|topic| topic.topic_id);
        if request.session_epoch > 0 {
            if let Some(error) = self.session_errors.pop_front().filter(|code| code.is_error()) {
                return Err(error);
            }
            let session = self.sessions.remove(&request.session_id);
            let mut session = session.ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
            if session.epoch + 1 != request.session_epoch {
                return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
            }
            session.epoch += 1;
            session.topic_id = topic_id.unwrap_or(session.topic_id);
            for index in request.forgotten_topics_data.iter().flat_map(|topic| &topic.partitions) {
                session.partitions.remove(index);
            }
            session.partitions.extend(named);
            return Ok((request.session_id, session));
        }
        self.sessions.remove(&request.session_id);
        let session =
            Session { epoch: 0, topic_id: topic_id.unwrap_or_default(), partitions: named.collect() };
        if request.session_epoch < 0 {
            return Ok((0, session));
        }
        self.next_session_id += 1;
        Ok((self.next_session_id, session))
    }
}

impl FakePartition {
    /// Where an epoch ends: the greatest one at or below it, and the first offset of a later one.
    fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        let epoch_of = |batch: &ottla_protocol::records::ValidBatch| {
            batch.header().partition_leader_epoch.map_or(-1, |epoch| epoch.get())
        };
        let known = self.batches.iter().map(epoch_of).filter(|known| *known <= epoch).max();
        let Some(known) = known else { return (-1, -1) };
        let later = self.batches.iter().find(|batch| epoch_of(batch) > known);
        (known, later.map_or(self.log_end_offset(), |batch| batch.header().base_offset.get()))
    }

    /// The log loses everything from `offset` on, as when a replica that was not in sync takes over.
    pub(crate) fn truncate(&mut self, offset: i64) {
        self.batches.retain(|batch| batch.header().base_offset.get() < offset);
    }

    fn fetch(&mut self, broker: i32, rack: &str, asked: &FetchPartition) -> PartitionData {
        let end = self.log_end_offset();
        let is_leader = self.leader == broker;
        let error_code = match self.fetch_errors.pop_front() {
            Some(error) => error,
            None if !is_leader && self.follower != Some(broker) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            None if asked.current_leader_epoch < self.leader_epoch => ErrorCode::FENCED_LEADER_EPOCH,
            None if asked.current_leader_epoch > self.leader_epoch => ErrorCode::UNKNOWN_LEADER_EPOCH,
            None if asked.fetch_offset > end => ErrorCode::OFFSET_OUT_OF_RANGE,
            None => ErrorCode::NONE,
        };
        let mut row = PartitionData {
            partition_index: asked.partition,
            error_code,
            high_watermark: end,
            ..Default::default()
        };
        if [ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::FENCED_LEADER_EPOCH].contains(&error_code) {
            row.current_leader = LeaderIdAndEpoch { leader_id: self.leader, leader_epoch: self.leader_epoch };
        }
        if error_code.is_error() {
            return row;
        }
        if is_leader && !rack.is_empty() {
            row.preferred_read_replica = self.follower.unwrap_or(-1);
        }
        let (epoch, end_offset) = self.epoch_end(asked.last_fetched_epoch);
        if asked.last_fetched_epoch >= 0 && end_offset < asked.fetch_offset {
            row.diverging_epoch = Diverging { epoch, end_offset };
        } else if row.preferred_read_replica < 0 {
            let mut batches = self.batches.iter();
            let first = batches.find(|batch| batch.header().next_offset().get() > asked.fetch_offset);
            row.records = first.map(|batch| FetchRecords::Bytes(batch.bytes().clone())).unwrap_or_default();
        }
        row
    }
}

/// Whether a row tells more than that there is nothing new.
fn is_news(row: &PartitionData) -> bool {
    row.error_code.is_error()
        || !row.records.is_empty()
        || row.preferred_read_replica >= 0
        || row.diverging_epoch.epoch >= 0
}

impl FakeCluster {
    pub(super) fn fetch(&self, broker: i32, version: i16, request: FetchRequest) -> FetchResponse {
        let mut guard = self.0.lock();
        let state: &mut FakeState = &mut guard;
        let named = request.topics.iter().map(|topic| topic.partitions.len()).sum();
        let session_epoch = request.session_epoch;
        state.fetches.asked.push(Asked { broker, version, session_epoch, named });
        let throttle_time_ms = std::mem::take(&mut state.fetches.throttle_time_ms);
        let (session_id, session) = match state.fetches.turn(&request) {
            Ok(turn) => turn,
            Err(error_code) => return FetchResponse { error_code, ..Default::default() },
        };
        let topic_id = Uuid::from_u128(state.topic_id);
        let is_stranger = version > 12 && session.topic_id != topic_id;
        let mut partitions = Vec::new();
        for asked in session.partitions.values() {
            let known = state.partitions.get_mut(asked.partition as usize).filter(|_| !is_stranger);
            let error_code =
                if is_stranger { ErrorCode::UNKNOWN_TOPIC_ID } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
            let row = match known {
                Some(partition) => partition.fetch(broker, &request.rack_id, asked),
                None => PartitionData { partition_index: asked.partition, error_code, ..Default::default() },
            };
            if session_epoch <= 0 || is_news(&row) {
                partitions.push(row);
            }
        }
        let node_endpoints = if version < 16 {
            Vec::new()
        } else {
            let node = |id: &i32| NodeEndpoint {
                node_id: *id,
                host: format!("broker-{id}").into(),
                port: 1,
                rack: None,
            };
            state.brokers.iter().map(node).collect()
        };
        let topic = FetchableTopicResponse { topic: TOPIC.into(), topic_id: session.topic_id, partitions };
        if session_id != 0 {
            state.fetches.sessions.insert(session_id, session);
        }
        let responses = if topic.partitions.is_empty() { Vec::new() } else { vec![topic] };
        FetchResponse { throttle_time_ms, session_id, responses, node_endpoints, ..Default::default() }
    }

    pub(super) fn epoch_ends(
        &self,
        broker: i32,
        request: &OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let state = self.0.lock();
        let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
        let row = |asked: &ottla_protocol::messages::offset_for_leader_epoch::OffsetForLeaderPartition| {
            let partition = &state.partitions[asked.partition as usize];
            let (leader_epoch, end_offset) = partition.epoch_end(asked.leader_epoch);
            let error_code = match asked.current_leader_epoch.cmp(&partition.leader_epoch) {
                _ if partition.leader != broker => ErrorCode::NOT_LEADER_OR_FOLLOWER,
                std::cmp::Ordering::Less => ErrorCode::FENCED_LEADER_EPOCH,
                std::cmp::Ordering::Greater => ErrorCode::UNKNOWN_LEADER_EPOCH,
                std::cmp::Ordering::Equal => ErrorCode::NONE,
            };
            EpochEndOffset { error_code, partition: asked.partition, leader_epoch, end_offset }
        };
        let topic = OffsetForLeaderTopicResult { topic: TOPIC.into(), partitions: asked.map(row).collect() };
        OffsetForLeaderEpochResponse { topics: vec![topic], ..Default::default() }
    }
}

mod dialogues;
