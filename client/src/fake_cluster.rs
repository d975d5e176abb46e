//! A cluster in memory for the client's own tests: several brokers, leaders that move, errors on demand.
//!
//! It answers the few APIs that a producer and a consumer use, checks sequences as Kafka does (an unknown producer may
//! begin anywhere, which is the hard case), and keeps what was appended. It is not a broker: nothing is bounded, and it
//! trusts what it is sent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::codec::{Request, decode_request};
use ottla_protocol::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use ottla_protocol::messages::delete_groups::DeleteGroupsRequest;
use ottla_protocol::messages::fetch::FetchRequest;
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;
use ottla_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ottla_protocol::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use ottla_protocol::messages::offset_for_leader_epoch::OffsetForLeaderEpochRequest;
use ottla_protocol::messages::produce::{
    LeaderIdAndEpoch, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use ottla_protocol::records::{OutputLimit, Rules, ValidBatch};
use ottla_protocol::{API_TABLE, ApiKey, ErrorCode, LeaderEpoch, Offset, frame};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::transport::{ByteStream, Connecting, Connector};

/// The one topic there is.
pub(crate) const TOPIC: &str = "flights";

/// One partition's log.
#[derive(Debug, Default)]
pub(crate) struct FakePartition {
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    /// Answers for the next produce requests, before anything is looked at.
    pub(crate) produce_errors: VecDeque<ErrorCode>,
    /// Answers for the next fetches.
    pub(crate) fetch_errors: VecDeque<ErrorCode>,
    pub(crate) batch_bytes_max: Option<usize>,
    /// A follower that clients in a rack are sent to.
    pub(crate) follower: Option<i32>,
    batches: Vec<ValidBatch>,
    /// Epoch and next sequence by producer id.
    producers: HashMap<i64, (i16, i32)>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct FakeState {
    pub(crate) partitions: Vec<FakePartition>,
    pub(crate) brokers: Vec<i32>,
    pub(crate) produce_count: usize,
    /// What the next answer to a produce request asks the client to wait.
    pub(crate) produce_throttle_ms: i32,
    /// Producer ids that were given out.
    pub(crate) producer_ids_given: usize,
    pub(crate) metadata_count: usize,
    /// The topic's id; zero is a cluster without ids.
    pub(crate) topic_id: u128,
    pub(crate) fetches: fetches::Fetches,
    groups: groups::Groups,
    next_producer_id: i64,
}

/// A handle on the cluster; as a connector it is the network, `broker-N` being broker N.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeCluster(pub(crate) Arc<Mutex<FakeState>>);

impl FakePartition {
    fn log_end_offset(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.header().next_offset().get())
    }

    /// Appends a batch if its sequence is the next one of its producer.
    fn append(&mut self, bytes: Bytes) -> Result<i64, ErrorCode> {
        let batch = ValidBatch::check(bytes, &Rules::client(1 << 30)).map_err(|error| error.code())?;
        if self.batch_bytes_max.is_some_and(|max| batch.size_in_bytes() > max) {
            return Err(ErrorCode::MESSAGE_TOO_LARGE);
        }
        let header = batch.header();
        let producer = header.producer.and_then(|producer| Some((producer, producer.base_sequence?.get())));
        if let Some((producer, base)) = producer {
            let epoch = producer.epoch.get();
            match self.producers.get(&producer.id.get()) {
                Some((known, _)) if epoch < *known => return Err(ErrorCode::INVALID_PRODUCER_EPOCH),
                Some((known, _)) if epoch > *known && base != 0 => {
                    return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
                }
                Some((known, next)) if epoch == *known && base < *next => {
                    return Err(ErrorCode::DUPLICATE_SEQUENCE_NUMBER);
                }
                Some((known, next)) if epoch == *known && base > *next => {
                    return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
                }
                _ => self.producers.insert(producer.id.get(), (epoch, base + header.records_count)),
            };
        }
        let base_offset = self.log_end_offset();
        self.batches.push(batch.stamped(Offset::new(base_offset), LeaderEpoch::new(self.leader_epoch)));
        Ok(base_offset)
    }

    /// The values of all records, in order.
    pub(crate) fn values(&self) -> Vec<Vec<u8>> {
        let records =
            self.batches.iter().flat_map(|batch| batch.records(OutputLimit::new(1 << 30)).expect("whole"));
        records.map(|record| record.expect("whole").value.expect("there").to_vec()).collect()
    }

    /// The producer is forgotten, as after a retention of its last record.
    pub(crate) fn forget_producers(&mut self) {
        self.producers.clear();
    }
}

impl FakeCluster {
    /// Brokers 1 to `brokers`; partition n is led by broker n mod `brokers` + 1.
    pub(crate) fn new(brokers: i32, partitions: i32) -> Self {
        let partition = |index| FakePartition { leader: index % brokers + 1, ..FakePartition::default() };
        let state = FakeState {
            partitions: (0..partitions).map(partition).collect(),
            brokers: (1..=brokers).collect(),
            topic_id: 1,
            ..FakeState::default()
        };
        FakeCluster(Arc::new(Mutex::new(state)))
    }

    /// The topic is deleted and created again with so many partitions.
    pub(crate) fn recreate_topic(&self, partitions: i32) {
        let mut state = self.0.lock();
        let partition = |_| FakePartition { leader: 1, ..FakePartition::default() };
        state.topic_id += 1;
        state.partitions = (0..partitions).map(partition).collect();
    }

    /// Another broker leads a partition from now on.
    pub(crate) fn move_leader(&self, partition: usize, leader: i32) {
        let mut state = self.0.lock();
        state.partitions[partition].leader = leader;
        state.partitions[partition].leader_epoch += 1;
    }

    async fn serve(self, broker: i32, mut stream: DuplexStream) -> std::io::Result<()> {
        loop {
            let length = stream.read_i32().await?;
            let mut frame = vec![0; usize::try_from(length).expect("positive")];
            stream.read_exact(&mut frame).await?;
            let (header, body) = frame::decode_request_header(frame.into()).expect("legal");
            let (key, version) = (header.api().expect("known"), header.api_version);
            let answer = self.answer(broker, key, version, header.correlation_id, body).await;
            stream.write_all(&answer).await?;
        }
    }

    async fn answer(&self, broker: i32, key: ApiKey, version: i16, id: i32, body: Bytes) -> Bytes {
        fn put<R: Request>(id: i32, version: i16, response: R::Response) -> Bytes {
            frame::encode_response(id, R::KEY, version, response).expect("legal").bytes
        }
        match key {
            ApiKey::ApiVersions => put::<ApiVersionsRequest>(id, version, versions()),
            ApiKey::Metadata => put::<MetadataRequest>(id, version, self.metadata()),
            ApiKey::InitProducerId => put::<InitProducerIdRequest>(id, version, self.producer_id()),
            ApiKey::Produce => put::<ProduceRequest>(
                id,
                version,
                self.produce(broker, decode_request(body, version).expect("legal")),
            ),
            ApiKey::ListOffsets => {
                let request = decode_request(body, version).expect("legal");
                put::<ListOffsetsRequest>(id, version, self.list_offsets(broker, request))
            }
            ApiKey::OffsetForLeaderEpoch => {
                let request = decode_request(body, version).expect("legal");
                put::<OffsetForLeaderEpochRequest>(id, version, self.epoch_ends(broker, &request))
            }
            ApiKey::Fetch => {
                let request: FetchRequest = decode_request(body, version).expect("legal");
                let response = self.fetch(broker, version, request);
                if response
                    .responses
                    .iter()
                    .flat_map(|topic| &topic.partitions)
                    .all(|row| row.records.is_empty())
                {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                put::<FetchRequest>(id, version, response)
            }
            ApiKey::FindCoordinator => {
                let request = decode_request(body, version).expect("legal");
                put::<FindCoordinatorRequest>(id, version, self.find_coordinator(request))
            }
            ApiKey::DeleteGroups => {
                let request = decode_request(body, version).expect("legal");
                put::<DeleteGroupsRequest>(id, version, self.delete_groups(broker, request))
            }
            other => panic!("the fake cluster does not serve {other}"),
        }
    }

    fn metadata(&self) -> MetadataResponse {
        let mut state = self.0.lock();
        state.metadata_count += 1;
        let broker = |id: &i32| MetadataResponseBroker {
            node_id: *id,
            host: format!("broker-{id}").into(),
            port: 1,
            ..Default::default()
        };
        let partition = |(index, partition): (i32, &FakePartition)| MetadataResponsePartition {
            partition_index: index,
            leader_id: partition.leader,
            leader_epoch: partition.leader_epoch,
            ..Default::default()
        };
        let topic = MetadataResponseTopic {
            name: Some(TOPIC.into()),
            topic_id: uuid::Uuid::from_u128(state.topic_id),
            partitions: (0..).zip(&state.partitions).map(partition).collect(),
            ..Default::default()
        };
        let brokers = state.brokers.iter().map(broker).collect();
        MetadataResponse { brokers, controller_id: 1, topics: vec![topic], ..Default::default() }
    }

    fn producer_id(&self) -> InitProducerIdResponse {
        let mut state = self.0.lock();
        state.next_producer_id += 1;
        state.producer_ids_given += 1;
        InitProducerIdResponse { producer_id: state.next_producer_id, ..Default::default() }
    }

    fn produce(&self, broker: i32, request: ProduceRequest) -> ProduceResponse {
        let mut state = self.0.lock();
        state.produce_count += 1;
        let mut partition_responses = Vec::new();
        for data in request.topic_data.into_iter().flat_map(|topic| topic.partition_data) {
            let topic_has = state.partitions.len();
            let Some(partition) = state.partitions.get_mut(data.index as usize) else {
                panic!("partition {} of {topic_has} is written to", data.index)
            };
            let appended = match partition.produce_errors.pop_front() {
                Some(ErrorCode::NONE) | None if partition.leader != broker => {
                    Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)
                }
                Some(ErrorCode::NONE) | None => partition.append(data.records.expect("records")),
                // It says so although the batch is there.
                Some(ErrorCode::REQUEST_TIMED_OUT) => {
                    partition.append(data.records.expect("records")).and(Err(ErrorCode::REQUEST_TIMED_OUT))
                }
                Some(error) => Err(error),
            };
            partition_responses.push(PartitionProduceResponse {
                index: data.index,
                error_code: appended.err().unwrap_or(ErrorCode::NONE),
                base_offset: appended.unwrap_or(-1),
                current_leader: match appended {
                    Err(ErrorCode::NOT_LEADER_OR_FOLLOWER) => {
                        LeaderIdAndEpoch { leader_id: partition.leader, leader_epoch: partition.leader_epoch }
                    }
                    _ => LeaderIdAndEpoch::default(),
                },
                ..Default::default()
            });
        }
        let responses = vec![TopicProduceResponse { name: TOPIC.into(), partition_responses }];
        let throttle_time_ms = std::mem::take(&mut state.produce_throttle_ms);
        ProduceResponse { responses, throttle_time_ms, ..Default::default() }
    }

    fn list_offsets(&self, broker: i32, request: ListOffsetsRequest) -> ListOffsetsResponse {
        let state = self.0.lock();
        let row = |asked: &ottla_protocol::messages::list_offsets::ListOffsetsPartition| {
            let partition = &state.partitions[asked.partition_index as usize];
            let is_leader = partition.leader == broker;
            ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                error_code: if is_leader { ErrorCode::NONE } else { ErrorCode::NOT_LEADER_OR_FOLLOWER },
                offset: if asked.timestamp == -2 { 0 } else { partition.log_end_offset() },
                ..Default::default()
            }
        };
        let topic =
            |topic: &ottla_protocol::messages::list_offsets::ListOffsetsTopic| ListOffsetsTopicResponse {
                name: topic.name.clone(),
                partitions: topic.partitions.iter().map(row).collect(),
            };
        ListOffsetsResponse { topics: request.topics.iter().map(topic).collect(), ..Default::default() }
    }
}

fn versions() -> ApiVersionsResponse {
    let api_keys = API_TABLE
        .iter()
        .map(|row| ApiVersion { api_key: row.key.key(), min_version: row.min, max_version: row.max })
        .collect();
    ApiVersionsResponse { api_keys, ..Default::default() }
}

impl Connector for FakeCluster {
    fn connect<'a>(&'a self, host: &'a str, _port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let broker: i32 = host.strip_prefix("broker-").and_then(|id| id.parse().ok()).expect("broker-N");
            if !self.0.lock().brokers.contains(&broker) {
                return Err(std::io::ErrorKind::ConnectionRefused.into());
            }
            let (near, far) = tokio::io::duplex(1 << 16);
            tokio::spawn(self.clone().serve(broker, far));
            Ok(Box::new(near) as Box<dyn ByteStream>)
        })
    }
}

mod dialogues;
mod fetches;
mod groups;
