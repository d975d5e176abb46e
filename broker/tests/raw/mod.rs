//! What the broker's own tests share: a broker in a fresh directory on the test's runtime, and a raw connection that
//! speaks in frames.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "a module of a test binary, shared by several of them")]
#![allow(clippy::disallowed_methods, reason = "a client is not the broker: it uses the system's sockets and clock")]

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker::{Broker, BrokerConfig, BrokerHandle, StartError};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::{Request, Str, decode_response};
use ottla_protocol::frame::{decode_response_header, encode_request};
use ottla_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ottla_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use ottla_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use ottla_protocol::records::{BatchBuilder, Compression};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The configuration of a broker on a free port with its data in `directory`.
pub fn config(directory: &Path, pairs: &[(&str, &str)]) -> BrokerConfig {
    let directory = directory.to_str().unwrap();
    let mut all = vec![("listeners", "PLAINTEXT://127.0.0.1:0"), ("log.dirs", directory)];
    all.retain(|(key, _)| !pairs.iter().any(|(given, _)| given == key));
    all.extend(pairs);
    BrokerConfig::from_pairs(all).unwrap()
}

/// A broker in a directory of its own.
pub struct TestBroker {
    pub directory: TempDir,
    pub handle: BrokerHandle,
}

impl TestBroker {
    pub async fn start(pairs: &[(&str, &str)]) -> TestBroker {
        let directory = tempfile::tempdir().unwrap();
        let handle = Broker::start(config(directory.path(), pairs)).await.unwrap();
        TestBroker { directory, handle }
    }

    /// A broker with the topics `topics`, each with one partition.
    pub async fn with_topics(topics: &[&str]) -> TestBroker {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.connect().await;
        for topic in topics {
            client.create_topic(topic, 1, &[]).await;
        }
        broker
    }

    pub fn address(&self) -> SocketAddr {
        self.handle.address()
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// Stops the broker cleanly and starts another one in the same directory.
    pub async fn restart(self, pairs: &[(&str, &str)]) -> TestBroker {
        self.handle.shutdown().await.unwrap();
        let handle = Broker::start(config(self.directory.path(), pairs)).await.unwrap();
        TestBroker { directory: self.directory, handle }
    }
}

/// Why a broker does not start.
pub async fn start_error(directory: &Path, pairs: &[(&str, &str)]) -> StartError {
    match Broker::start(config(directory, pairs)).await {
        Ok(_) => panic!("the broker started"),
        Err(error) => error,
    }
}

/// One raw connection.
pub struct Client {
    pub stream: TcpStream,
    next_correlation_id: i32,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, next_correlation_id: 1 }
    }

    /// Sends a request and returns its correlation id.
    pub async fn send<R: Request>(&mut self, version: i16, request: R) -> i32 {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let frame = encode_request(correlation_id, Some(Str::from("test")), version, request).unwrap();
        self.send_bytes(&frame).await;
        correlation_id
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame, without its length; an error when the connection ends first.
    pub async fn receive_frame(&mut self) -> io::Result<Bytes> {
        let read = async {
            let mut size = [0; 4];
            self.stream.read_exact(&mut size).await?;
            let mut frame = vec![0; u32::from_be_bytes(size) as usize];
            self.stream.read_exact(&mut frame).await?;
            Ok(Bytes::from(frame))
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the broker answers in time")
    }

    pub async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = self.receive_frame().await.unwrap();
        let (correlation_id, body) = decode_response_header(frame, R::KEY, version).unwrap();
        (correlation_id, decode_response::<R>(body, version).unwrap())
    }

    /// Sends a request and waits for its response.
    pub async fn call<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        let sent = self.send(version, request).await;
        let (correlation_id, response) = self.receive::<R>(version).await;
        assert_eq!(correlation_id, sent, "answers come in order");
        response
    }

    /// Waits for the broker to close the connection, and counts the bytes that still come.
    pub async fn wait_for_close(&mut self) -> usize {
        let mut count = 0;
        let read = async {
            let mut buffer = [0; 4096];
            loop {
                match self.stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => count += read,
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the broker closes the connection in time");
        count
    }

    pub async fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let created = self.call(7, create_topic(name, partitions, configs)).await;
        assert_eq!(created.topics[0].error_code, ErrorCode::NONE, "{:?}", created.topics[0].error_message);
    }

    pub async fn produce(&mut self, topic: &str, acks: i16, records: Bytes) -> PartitionProduceResponse {
        let response = self.call(9, produce(topic, 0, acks, records)).await;
        response.responses[0].partition_responses[0].clone()
    }

    pub async fn fetch(&mut self, topic: &str, offset: i64) -> PartitionData {
        let response: FetchResponse = self.call(12, fetch(topic, offset)).await;
        assert_eq!(response.error_code, ErrorCode::NONE);
        response.responses[0].partitions[0].clone()
    }
}

pub fn create_topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreateTopicsRequest {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: Str::from(*name),
        value: Some(Str::from(*value)),
    };
    CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: Str::from(name),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.iter().map(config).collect(),
            ..CreatableTopic::default()
        }],
        timeout_ms: 10_000,
        ..CreateTopicsRequest::default()
    }
}

pub fn produce(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData { index: partition, records: Some(records) };
    ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData { name: Str::from(topic), partition_data: vec![data] }],
        ..ProduceRequest::default()
    }
}

/// A fetch that does not wait.
pub fn fetch(topic: &str, offset: i64) -> FetchRequest {
    let asked = FetchPartition {
        partition: 0,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_bytes: 1 << 20,
        topics: vec![FetchTopic { topic: Str::from(topic), partitions: vec![asked] }],
        ..FetchRequest::default()
    }
}

/// A batch of records with the keys `k0`, `k1`, … and the given values.
pub fn batch(values: &[&str]) -> Bytes {
    batch_at(1_700_000_000_000, values)
}

/// The same with a timestamp.
pub fn batch_at(timestamp: i64, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for (index, value) in values.iter().enumerate() {
        builder.push(timestamp, Some(format!("k{index}").as_bytes()), Some(value.as_bytes()), &[]).unwrap();
    }
    builder.build()
}

/// Offset and value of every record in fetched bytes.
pub fn records(bytes: &Bytes) -> Vec<(i64, String)> {
    use ottla_protocol::records::{OutputLimit, batches};
    let mut found = Vec::new();
    for batch in batches(bytes.clone()) {
        let Ok(batch) = batch else { break };
        for record in batch.records(OutputLimit::new(1 << 20)).unwrap() {
            let record = record.unwrap();
            let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
            found.push((record.offset.get(), value));
        }
    }
    found
}

/// The records of a fetched partition.
pub fn fetched(row: &PartitionData) -> Vec<(i64, String)> {
    match &row.records {
        ottla_protocol::codec::FetchRecords::Bytes(bytes) => records(bytes),
        other => panic!("decoding yields bytes, not {other:?}"),
    }
}
