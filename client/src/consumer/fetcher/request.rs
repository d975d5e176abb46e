//! Fetch as bytes see it: what a turn of a session asks for, and what the rows of an answer mean.
//!
//! Topics go by id where the broker and the metadata both have them (KIP-516) and by name otherwise; a request carries
//! both and the version decides. Batches are verified here, before anybody sees them. Pure functions.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::RandomState;
use ottla_protocol::codec::FetchRecords;
use ottla_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic, PartitionData,
};
use ottla_protocol::records::{BatchError, batches};
use ottla_protocol::{BrokerId, ErrorCode, LeaderEpoch, Offset, TopicId, TopicPartition};

use super::session::Turn;
use crate::consumer::aborted::committed;
use crate::consumer::assignment::{EpochEnd, Fetched, Wanted};
use crate::consumer::batch::corrupt_batch;
use crate::consumer::config::{ConsumerConfig, IsolationLevel};
use crate::error::{ClientError, Result};
use crate::metadata::{BrokerInfo, LeaderHint};
use crate::metrics::Observation;

/// The last version of Fetch that names topics.
const BY_NAME_VERSION_MAX: i16 = 12;

/// The first version whose broker looks for diverging logs.
const LAST_FETCHED_EPOCH_SINCE: i16 = 12;

/// The highest version that can say this.
pub(super) fn version_max(wanted: &[Wanted], turn: &Turn) -> i16 {
    let without_id = |id: &TopicId| id.is_zero();
    let nameless = wanted.iter().any(|wanted| without_id(&wanted.topic_id))
        || turn.forgotten.iter().any(|(_, topic_id)| without_id(topic_id));
    if nameless { BY_NAME_VERSION_MAX } else { i16::MAX }
}

/// A turn of a session, to be answered with at most so many bytes.
pub(super) fn request(
    config: &ConsumerConfig,
    wanted: &[Wanted],
    turn: &Turn,
    bytes_max: usize,
) -> FetchRequest {
    let wire = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    let mut topics: Vec<FetchTopic> = Vec::new();
    for wanted in turn.named.iter().map(|place| &wanted[*place]) {
        let partition = FetchPartition {
            partition: wanted.partition.partition.get(),
            current_leader_epoch: wanted.leader_epoch.map_or(-1, LeaderEpoch::get),
            fetch_offset: wanted.fetch_offset.get(),
            last_fetched_epoch: wanted.fetch_epoch.map_or(-1, LeaderEpoch::get),
            partition_max_bytes: wire(config.partition_bytes_max),
            ..Default::default()
        };
        // They come in the order of topics.
        match topics.last_mut().filter(|topic| topic.topic == *wanted.partition.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(FetchTopic {
                topic: (&wanted.partition.topic).into(),
                topic_id: wanted.topic_id.get(),
                partitions: vec![partition],
            }),
        }
    }
    let mut forgotten_topics_data: Vec<ForgottenTopic> = Vec::new();
    for (TopicPartition { topic, partition }, topic_id) in &turn.forgotten {
        match forgotten_topics_data.last_mut().filter(|forgotten| forgotten.topic == **topic) {
            Some(forgotten) => forgotten.partitions.push(partition.get()),
            None => forgotten_topics_data.push(ForgottenTopic {
                topic: topic.into(),
                topic_id: topic_id.get(),
                partitions: vec![partition.get()],
            }),
        }
    }
    FetchRequest {
        max_wait_ms: i32::try_from(config.fetch_wait_max.as_millis()).unwrap_or(i32::MAX),
        min_bytes: wire(config.fetch_bytes_min),
        max_bytes: wire(config.fetch_bytes_max.min(bytes_max)),
        isolation_level: isolation(config),
        session_id: turn.session_id,
        session_epoch: turn.session_epoch,
        rack_id: config.rack.as_str().into(),
        topics,
        forgotten_topics_data,
        ..Default::default()
    }
}

/// The request as a version can say it.
pub(super) fn in_version(mut request: FetchRequest, version: i16) -> FetchRequest {
    if version < LAST_FETCHED_EPOCH_SINCE {
        let partitions = request.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        partitions.for_each(|partition| partition.last_fetched_epoch = -1);
    }
    request
}

/// The new leader that an answer names, with the address it is reached at (KIP-951).
pub(super) fn hint(row: &PartitionData, response: &FetchResponse) -> Option<LeaderHint> {
    let leader = BrokerId::known(row.current_leader.leader_id)?;
    let leader_epoch = LeaderEpoch::known(row.current_leader.leader_epoch)?;
    let endpoint = response.node_endpoints.iter().find(|node| node.node_id == leader.get());
    let broker = endpoint.and_then(|node| {
        let rack = node.rack.as_ref().map(ToString::to_string);
        BrokerInfo::announced(node.node_id, &node.host, node.port, rack)
    });
    Some(LeaderHint { leader, leader_epoch, broker })
}

/// The isolation level's number on the wire.
pub(super) fn isolation(config: &ConsumerConfig) -> i8 {
    i8::from(config.isolation_level == IsolationLevel::ReadCommitted)
}

/// The last fetch of a session: it asks for nothing and closes it.
pub(super) fn farewell(session_id: i32) -> FetchRequest {
    FetchRequest { session_id, session_epoch: -1, ..Default::default() }
}

/// The rows of an answer by partition, whichever way it names topics.
pub(super) fn rows<'a>(
    wanted: &'a [Wanted],
    response: &'a FetchResponse,
) -> HashMap<&'a TopicPartition, &'a PartitionData, RandomState> {
    let mut by_id: HashMap<(TopicId, i32), &PartitionData, RandomState> = HashMap::default();
    let mut by_name: HashMap<(&str, i32), &PartitionData, RandomState> = HashMap::default();
    for topic in &response.responses {
        for row in &topic.partitions {
            if topic.topic_id.is_nil() {
                by_name.insert((topic.topic.as_str(), row.partition_index), row);
            } else {
                by_id.insert((TopicId::new(topic.topic_id), row.partition_index), row);
            }
        }
    }
    let row_of = |wanted: &Wanted| {
        let index = wanted.partition.partition.get();
        let by_name = by_name.get(&(wanted.partition.topic.as_str(), index));
        by_name.or_else(|| by_id.get(&(wanted.topic_id, index))).copied()
    };
    wanted.iter().filter_map(|wanted| Some((&wanted.partition, row_of(wanted)?))).collect()
}

/// Verifies what a fetch brought for one partition.
pub(super) fn read(wanted: &Wanted, row: &PartitionData, committed_only: bool) -> Result<Fetched> {
    if row.error_code.is_error() {
        return Err(located(ClientError::broker("fetch", row.error_code, None), wanted));
    }
    let bytes = match &row.records {
        FetchRecords::Bytes(bytes) => bytes.clone(),
        FetchRecords::Null | FetchRecords::Region { .. } => Bytes::new(),
    };
    let mut whole = Vec::new();
    for batch in batches(bytes) {
        match batch {
            Ok(batch) => whole.push(batch),
            // The answer may end in the middle of a batch, unless it is the only one.
            Err(BatchError::Truncated { .. }) if !whole.is_empty() => break,
            Err(error) => return Err(corrupt_batch(&wanted.partition, wanted.fetch_offset, &error)),
        }
    }
    let aborted = row.aborted_transactions.as_deref().filter(|_| committed_only);
    let end = if committed_only { row.last_stable_offset } else { row.high_watermark };
    let diverging =
        LeaderEpoch::known(row.diverging_epoch.epoch).zip(Offset::known(row.diverging_epoch.end_offset));
    Ok(Fetched {
        high_watermark: Offset::known(end),
        batches: committed(whole, aborted.unwrap_or_default()),
        diverging: diverging.map(|(leader_epoch, end_offset)| EpochEnd { leader_epoch, end_offset }),
        preferred_replica: BrokerId::known(row.preferred_read_replica),
    })
}

impl Fetched {
    /// What came, for whoever measures.
    pub(super) fn observation<'a>(&self, wanted: &'a Wanted) -> Observation<'a> {
        let reached =
            self.batches.last().map_or(wanted.fetch_offset, |(batch, _)| batch.header().next_offset());
        let distance = |from: Offset, to: Offset| u64::try_from((to - from).get()).unwrap_or(0);
        Observation::Fetched {
            partition: &wanted.partition,
            records: distance(wanted.fetch_offset, reached),
            bytes: self.batches.iter().map(|(batch, _)| batch.size_in_bytes()).sum(),
            lag: self.high_watermark.map(|end| distance(reached, end)),
        }
    }
}

/// The answer says nothing of a partition although it should.
pub(super) fn missing(wanted: &Wanted) -> ClientError {
    located(ClientError::broker("fetch", ErrorCode::UNKNOWN_SERVER_ERROR, None), wanted)
}

/// The error with the place that was to be fetched.
pub(super) fn located(error: ClientError, wanted: &Wanted) -> ClientError {
    let error = error.for_topic(&wanted.partition.topic).for_partition(wanted.partition.partition.get());
    error.at_offset(wanted.fetch_offset.get())
}
