//! One raw connection: it sends what it is told, also what no client would, and reads frames.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::{Request, Str, decode_response};
use ottla_protocol::frame::{decode_response_header, encode_request};
use ottla_protocol::messages::fetch::{FetchRequest, FetchResponse, PartitionData};
use ottla_protocol::messages::metadata::MetadataResponseTopic;
use ottla_protocol::messages::produce::PartitionProduceResponse;

use super::broker::unique;
use super::requests;

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// See the module.
pub struct Client {
    stream: TcpStream,
    next_correlation_id: i32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap()
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream, next_correlation_id: 1 })
    }

    /// Sends a request and gives its correlation id.
    pub fn send<R: Request>(&mut self, version: i16, request: R) -> i32 {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let frame = encode_request(correlation_id, Some(Str::from("test")), version, request).unwrap();
        self.send_bytes(&frame);
        correlation_id
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends as much as the broker takes; it may close the connection at any byte.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The sending side, for a thread of its own.
    pub fn writer(&self) -> impl Write + Send + use<> {
        self.stream.try_clone().unwrap()
    }

    /// How long the next reads and writes wait.
    pub fn set_patience(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        self.stream.set_write_timeout(Some(patience)).unwrap();
    }

    /// The next frame, without its length.
    ///
    /// # Errors
    /// The connection ended, or nothing came in time.
    pub fn receive_frame(&mut self) -> io::Result<Bytes> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(Bytes::from(frame))
    }

    /// The next response with its correlation id.
    pub fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let frame = self.receive_frame().expect("an answer in time");
        let (correlation_id, body) = decode_response_header(frame, R::KEY, version).unwrap();
        (correlation_id, decode_response::<R>(body, version).unwrap())
    }

    /// Sends a request and waits for its response.
    pub fn call<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        let sent = self.send(version, request);
        let (correlation_id, response) = self.receive::<R>(version);
        assert_eq!(correlation_id, sent, "answers come in order");
        response
    }

    /// Waits for the end of the connection; no byte may come before it.
    #[track_caller]
    pub fn expect_close(&mut self) {
        self.expect_close_after("this");
    }

    /// [`Client::expect_close`] with what the broker was sent, for the case that it stays open.
    #[track_caller]
    pub fn expect_close_after(&mut self, what: &str) {
        match self.stream.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => panic!("after {what}: a byte instead of the end of the connection"),
            Err(error) if is_timeout(&error) => panic!("after {what}: the connection stays open"),
            // A reset: the broker closed with some of our bytes unread.
            Err(_) => {}
        }
    }

    /// Whether the broker keeps the connection open, silently, for as long as `time`.
    pub fn stays_open(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let read = self.stream.read(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        read.is_err_and(|error| is_timeout(&error))
    }

    /// Says that nothing more will come, and goes on reading.
    pub fn shut_down_writes(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Creates a topic with a name of its own and waits until it has its leaders.
    pub fn new_topic(&mut self, partitions: i32, configs: &[(&str, &str)]) -> String {
        let name = unique("topic");
        self.create_topic(&name, partitions, configs);
        name
    }

    /// Creates a topic and waits until it has its leaders.
    pub fn create_topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let created = self.call(7, requests::create_topic(name, partitions, configs));
        let topic = &created.topics[0];
        assert_eq!(topic.error_code, ErrorCode::NONE, "{:?}", topic.error_message);
        self.wait_for_leaders(name);
        self.wait_for_logs(name);
    }

    /// Deletes a topic and waits until nobody knows it.
    pub fn delete_topic(&mut self, name: &str) {
        let deleted = self.call(6, requests::delete_topic(name));
        assert_eq!(deleted.responses[0].error_code, ErrorCode::NONE);
        let gone = |topic: &MetadataResponseTopic| topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        self.wait_for_topic(name, gone);
    }

    pub fn wait_for_leaders(&mut self, name: &str) -> MetadataResponseTopic {
        let led = |topic: &MetadataResponseTopic| {
            topic.error_code == ErrorCode::NONE
                && topic.partitions.iter().all(|partition| partition.leader_id >= 0)
        };
        self.wait_for_topic(name, led)
    }

    /// Apache Kafka may name a leader that does not know yet that it is one.
    fn wait_for_logs(&mut self, name: &str) {
        let partitions = self.wait_for_leaders(name).partitions.len() as i32;
        let began = Instant::now();
        loop {
            let response = self.call(7, requests::list_offsets_of(name, 0..partitions, -1));
            if response.topics[0].partitions.iter().all(|row| row.error_code == ErrorCode::NONE) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "still {response:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks for the topic until it is as wanted. No broker promises more than "soon" here.
    pub fn wait_for_topic(
        &mut self,
        name: &str,
        wanted: impl Fn(&MetadataResponseTopic) -> bool,
    ) -> MetadataResponseTopic {
        let began = Instant::now();
        loop {
            let mut response = self.call(12, requests::metadata_without_creation(name));
            let topic = response.topics.remove(0);
            if wanted(&topic) {
                return topic;
            }
            assert!(began.elapsed() < PATIENCE, "still {topic:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Appends to partition 0.
    pub fn produce(&mut self, topic: &str, acks: i16, records: Bytes) -> PartitionProduceResponse {
        let mut response = self.call(9, requests::produce(topic, 0, acks, records));
        response.responses.remove(0).partition_responses.remove(0)
    }

    /// Appends to partition 0, which must succeed; gives the base offset.
    #[track_caller]
    pub fn append(&mut self, topic: &str, records: Bytes) -> i64 {
        let row = self.produce(topic, -1, records);
        assert_eq!(row.error_code, ErrorCode::NONE, "{:?}", row.error_message);
        row.base_offset
    }

    /// Reads partition 0 without waiting.
    pub fn fetch(&mut self, topic: &str, offset: i64) -> PartitionData {
        self.fetch_with(requests::fetch(topic, offset))
    }

    /// The only row of a fetch.
    pub fn fetch_with(&mut self, request: FetchRequest) -> PartitionData {
        let mut response: FetchResponse = self.call(12, request);
        assert_eq!(response.error_code, ErrorCode::NONE);
        response.responses.remove(0).partitions.remove(0)
    }

    /// The offset that ListOffsets gives for partition 0 and a timestamp (-1 latest, -2 earliest, -3 largest).
    pub fn list_offset(&mut self, topic: &str, timestamp: i64) -> i64 {
        let response = self.call(7, requests::list_offsets(topic, timestamp));
        let row = &response.topics[0].partitions[0];
        assert_eq!(row.error_code, ErrorCode::NONE);
        row.offset
    }

    /// Asks something small and expects a sound answer.
    #[track_caller]
    pub fn expect_service(&mut self) {
        let response = self.call(3, requests::api_versions());
        assert_eq!(response.error_code, ErrorCode::NONE);
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A request frame by hand: key, version, correlation id 7, then `rest`, which begins with the client id.
pub fn frame(api_key: i16, api_version: i16, rest: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u32(8 + rest.len() as u32);
    frame.put_i16(api_key);
    frame.put_i16(api_version);
    frame.put_i32(7);
    frame.put_slice(rest);
    frame.freeze()
}
