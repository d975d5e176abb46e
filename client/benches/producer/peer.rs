//! The other end of a connection in memory: one broker that leads one topic and takes every batch without a look.

use bytes::Bytes;
use ottla_client::{ByteStream, Connecting, Connector};
use ottla_protocol::codec::{Request, decode_request};
use ottla_protocol::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use ottla_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_protocol::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use ottla_protocol::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use ottla_protocol::{API_TABLE, ApiKey, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use uuid::Uuid;

/// The one topic there is.
pub(crate) const TOPIC: &str = "flights";
/// What is on its way in one direction, at most.
const PIPE_BYTES: usize = 4 << 20;
const NODE_ID: i32 = 1;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) partitions: i32,
}

impl Connector for Peer {
    fn connect<'a>(&'a self, _host: &'a str, _port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let (near, far) = tokio::io::duplex(PIPE_BYTES);
            tokio::spawn(self.serve(far));
            Ok(Box::new(near) as Box<dyn ByteStream>)
        })
    }
}

impl Peer {
    /// Until the producer closes.
    async fn serve(self, mut stream: DuplexStream) -> std::io::Result<()> {
        loop {
            let length = stream.read_i32().await?;
            let mut frame = vec![0; usize::try_from(length).expect("positive")];
            stream.read_exact(&mut frame).await?;
            let (header, body) = frame::decode_request_header(frame.into()).expect("legal");
            let (key, version) = (header.api().expect("known"), header.api_version);
            let answer = self.answer(key, version, header.correlation_id, body);
            stream.write_all(&answer).await?;
        }
    }

    fn answer(self, key: ApiKey, version: i16, id: i32, body: Bytes) -> Bytes {
        fn put<R: Request>(id: i32, version: i16, response: R::Response) -> Bytes {
            frame::encode_response(id, R::KEY, version, response).expect("legal").bytes
        }
        match key {
            ApiKey::ApiVersions => put::<ApiVersionsRequest>(id, version, versions()),
            ApiKey::Metadata => put::<MetadataRequest>(id, version, self.metadata()),
            ApiKey::InitProducerId => {
                let response = InitProducerIdResponse { producer_id: 1, ..Default::default() };
                put::<InitProducerIdRequest>(id, version, response)
            }
            ApiKey::Produce => {
                put::<ProduceRequest>(id, version, acknowledge(decode_request(body, version).expect("legal")))
            }
            other => panic!("a producer asks for {other}"),
        }
    }

    fn metadata(self) -> MetadataResponse {
        let broker =
            MetadataResponseBroker { node_id: NODE_ID, host: "peer".into(), port: 1, ..Default::default() };
        let partition = |partition_index| MetadataResponsePartition {
            partition_index,
            leader_id: NODE_ID,
            ..Default::default()
        };
        let topic = MetadataResponseTopic {
            name: Some(TOPIC.into()),
            topic_id: Uuid::from_u128(1),
            partitions: (0..self.partitions).map(partition).collect(),
            ..Default::default()
        };
        MetadataResponse {
            brokers: vec![broker],
            controller_id: NODE_ID,
            topics: vec![topic],
            ..Default::default()
        }
    }
}

fn versions() -> ApiVersionsResponse {
    let api_keys = API_TABLE
        .iter()
        .map(|row| ApiVersion { api_key: row.key.key(), min_version: row.min, max_version: row.max })
        .collect();
    ApiVersionsResponse { api_keys, ..Default::default() }
}

fn acknowledge(request: ProduceRequest) -> ProduceResponse {
    let topic = |topic: TopicProduceData| {
        let one = |index| PartitionProduceResponse { index, base_offset: 0, ..Default::default() };
        let partition_responses = topic.partition_data.iter().map(|data| one(data.index)).collect();
        TopicProduceResponse { name: topic.name, partition_responses }
    };
    ProduceResponse { responses: request.topic_data.into_iter().map(topic).collect(), ..Default::default() }
}
