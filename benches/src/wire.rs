//! A raw, blocking Kafka connection: just the few requests that the instrument sends, in rigid versions that ottla
//! and Apache Kafka 4.x both serve. Hand-laid on purpose, as in [`crate::batch`]; it is not a client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::batch::{self, Batch, FetchedBatch, Ledger};
use crate::error::{BenchError, Doing, Result};

const CLIENT_ID: &str = "ottla-benches";
const PRODUCE_TIMEOUT_MS: i32 = 30_000;

/// Partitions of one request: Apache Kafka refuses one that makes more than ten thousand metadata records.
const CREATED_AT_ONCE: i32 = 5_000;

/// Kafka's codes that only mean "not yet".
const NOT_YET: [i16; 5] = [3, 5, 6, 15, 19];

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    correlation_id: i32,
    reply: Vec<u8>,
}

/// A request laid out as one frame.
#[derive(Debug)]
struct Frame(Vec<u8>);

impl Frame {
    fn new(api_key: i16, version: i16, correlation_id: i32) -> Self {
        let mut frame = Self(vec![0; 4]);
        frame.i16(api_key).i16(version).i32(correlation_id).string(CLIENT_ID);
        frame
    }

    fn i8(&mut self, value: i8) -> &mut Self {
        self.0.push(value as u8);
        self
    }

    fn i16(&mut self, value: i16) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn i64(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.i16(text.len() as i16);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let length = (self.0.len() - 4) as u32;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

/// Reads the fields of a response, whose shape we know because we chose the version.
#[derive(Debug)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.0.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.0 = rest;
                Ok(*head)
            }
            None => Err(BenchError::Void("a response ended too early".to_owned())),
        }
    }

    fn i16(&mut self) -> Result<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn skip(&mut self, bytes: usize) -> Result<()> {
        match self.0.get(bytes..) {
            Some(rest) => {
                self.0 = rest;
                Ok(())
            }
            None => Err(BenchError::Void("a response ended too early".to_owned())),
        }
    }

    fn string(&mut self) -> Result<String> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        let text = String::from_utf8_lossy(self.0.get(..length).unwrap_or_default()).into_owned();
        self.skip(length).map(|()| text)
    }

    fn skip_string(&mut self) -> Result<()> {
        let length = self.i16()?;
        self.skip(usize::try_from(length).unwrap_or(0))
    }
}

/// A produce request laid out ahead: only its correlation id changes between sends.
#[derive(Debug)]
pub(crate) struct PreparedProduce {
    pub(crate) frame: Vec<u8>,
    pub(crate) batch: Batch,
}

impl PreparedProduce {
    /// Wraps a batch into a Produce v7 request with `acks=all`.
    pub(crate) fn new(topic: &str, partition: i32, batch: Batch) -> Self {
        let mut frame = Frame::new(0, 7, 0);
        frame.i16(-1).i16(-1).i32(PRODUCE_TIMEOUT_MS).i32(1).string(topic).i32(1).i32(partition);
        frame.i32(batch.bytes.len() as i32);
        frame.0.extend_from_slice(&batch.bytes);
        Self { frame: frame.finish(), batch }
    }

    /// Sends it to another partition from now on: its number stands before the batch and its length.
    pub(crate) fn address_to(&mut self, partition: i32) {
        let at = self.frame.len() - self.batch.bytes.len() - 8;
        self.frame[at..at + 4].copy_from_slice(&partition.to_be_bytes());
    }
}

/// A member of a classic group.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    group: String,
    generation: i32,
    id: String,
}

/// What a fetch brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetched {
    /// Bytes of the whole response frame.
    pub(crate) frame_bytes: usize,
    /// Where what may be read ends.
    pub(crate) high_watermark: i64,
    /// Where to go on; `None` when the response held no whole batch.
    pub(crate) next_offset: Option<i64>,
}

impl Connection {
    /// Connects, once.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).doing(|| format!("connect to {address}"))?;
        stream.set_nodelay(true).doing(|| "set TCP_NODELAY".to_owned())?;
        stream.set_read_timeout(Some(Duration::from_secs(120))).doing(|| "set a read timeout".to_owned())?;
        Ok(Self { stream, correlation_id: 0, reply: vec![0; 2 << 20] })
    }

    /// A second handle to the same connection, for a thread that only reads.
    pub(crate) fn reader(&self) -> Result<Self> {
        let stream = self.stream.try_clone().doing(|| "duplicate the socket".to_owned())?;
        Ok(Self { stream, correlation_id: 0, reply: vec![0; 4096] })
    }

    fn next_correlation_id(&mut self) -> i32 {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.correlation_id
    }

    /// Sends a frame without waiting.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.stream.write_all(frame).doing(|| "send a request".to_owned())
    }

    /// Reads one response frame; returns its length. Its bytes are in `self.reply`.
    pub(crate) fn receive(&mut self) -> Result<usize> {
        let mut head = [0u8; 4];
        self.stream.read_exact(&mut head).doing(|| "read a response".to_owned())?;
        let length = u32::from_be_bytes(head) as usize;
        if length > self.reply.len() {
            self.reply.resize(length, 0);
        }
        self.stream.read_exact(&mut self.reply[..length]).doing(|| "read a response".to_owned())?;
        Ok(length)
    }

    /// Sends a frame and reads an answer of any kind; the floors speak this.
    pub(crate) fn exchange(&mut self, frame: &[u8]) -> Result<usize> {
        self.send(frame)?;
        self.receive().map(|length| length + 4)
    }

    fn call(&mut self, frame: Frame) -> Result<&[u8]> {
        self.send(&frame.finish())?;
        let length = self.receive()?;
        self.reply.get(4..length).ok_or_else(|| BenchError::Void("a response without a header".to_owned()))
    }

    /// Creates a topic (CreateTopics v2) with topic configs; a large one grows to its size.
    pub(crate) fn create_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<()> {
        let first = partitions.min(CREATED_AT_ONCE);
        let mut frame = Frame::new(19, 2, self.next_correlation_id());
        frame.i32(1).string(topic).i32(first).i16(1).i32(0).i32(configs.len() as i32);
        for (key, value) in configs {
            frame.string(key).string(value);
        }
        frame.i32(60_000).i8(0);
        let mut fields = Fields(self.call(frame)?);
        fields.skip(8)?;
        fields.skip_string()?;
        match fields.i16()? {
            0 => {}
            code => return Err(BenchError::Refused { request: "CreateTopics", code }),
        }
        let mut size = first;
        while size < partitions {
            size = partitions.min(size + CREATED_AT_ONCE);
            self.grow_topic(topic, size)?;
        }
        Ok(())
    }

    /// Gives a topic more partitions (CreatePartitions v0), so many altogether.
    fn grow_topic(&mut self, topic: &str, partitions: i32) -> Result<()> {
        let mut frame = Frame::new(37, 0, self.next_correlation_id());
        frame.i32(1).string(topic).i32(partitions).i32(-1).i32(60_000).i8(0);
        let mut fields = Fields(self.call(frame)?);
        fields.skip(8)?;
        fields.skip_string()?;
        match fields.i16()? {
            0 => Ok(()),
            code => Err(BenchError::Refused { request: "CreatePartitions", code }),
        }
    }

    /// Asks for everything that there is to know of all topics (Metadata v1); the answer's length.
    pub(crate) fn describe_all(&mut self) -> Result<usize> {
        let mut frame = Frame::new(3, 1, self.next_correlation_id());
        frame.i32(-1);
        self.call(frame).map(<[u8]>::len)
    }

    /// Deletes a topic (DeleteTopics v1).
    pub(crate) fn delete_topic(&mut self, topic: &str) -> Result<()> {
        let mut frame = Frame::new(20, 1, self.next_correlation_id());
        frame.i32(1).string(topic).i32(60_000);
        let mut fields = Fields(self.call(frame)?);
        fields.skip(8)?;
        fields.skip_string()?;
        match fields.i16()? {
            0 => Ok(()),
            code => Err(BenchError::Refused { request: "DeleteTopics", code }),
        }
    }

    /// Sends a prepared produce request without waiting.
    pub(crate) fn send_produce(&mut self, prepared: &PreparedProduce) -> Result<()> {
        self.send(&prepared.frame)
    }

    /// Reads one Produce v7 response; the base offset of what was acknowledged.
    pub(crate) fn receive_ack(&mut self) -> Result<i64> {
        let length = self.receive()?;
        let mut fields = Fields(&self.reply[..length]);
        fields.skip(8)?;
        fields.skip_string()?;
        fields.skip(8)?;
        match fields.i16()? {
            0 => fields.i64(),
            code => Err(BenchError::Refused { request: "Produce", code }),
        }
    }

    /// Sends again until the answer is an acknowledgement: right after a start or a creation brokers answer "not yet".
    pub(crate) fn produce_until_acked(
        &mut self,
        prepared: &PreparedProduce,
        patience: Duration,
    ) -> Result<i64> {
        let deadline = Instant::now() + patience;
        loop {
            self.send_produce(prepared)?;
            match self.receive_ack() {
                Err(BenchError::Refused { code, .. })
                    if NOT_YET.contains(&code) && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_micros(500));
                }
                other => return other,
            }
        }
    }

    /// Becomes the only member of a group: FindCoordinator v1, JoinGroup v2, SyncGroup v1.
    pub(crate) fn join_alone(&mut self, group: &str, patience: Duration) -> Result<Member> {
        let deadline = Instant::now() + patience;
        loop {
            let mut frame = Frame::new(10, 1, self.next_correlation_id());
            frame.string(group).i8(0);
            let mut fields = Fields(self.call(frame)?);
            fields.skip(4)?;
            match fields.i16()? {
                0 => break,
                code if NOT_YET.contains(&code) && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                code => return Err(BenchError::Refused { request: "FindCoordinator", code }),
            }
        }
        let mut frame = Frame::new(11, 2, self.next_correlation_id());
        frame.string(group).i32(300_000).i32(300_000).string("").string("consumer");
        frame.i32(1).string("range").i32(0);
        let mut fields = Fields(self.call(frame)?);
        fields.skip(4)?;
        match fields.i16()? {
            0 => {}
            code => return Err(BenchError::Refused { request: "JoinGroup", code }),
        }
        let generation = fields.i32()?;
        fields.skip_string()?;
        fields.skip_string()?;
        let id = fields.string()?;
        let member = Member { group: group.to_owned(), generation, id };
        let mut frame = Frame::new(14, 1, self.next_correlation_id());
        frame.string(group).i32(generation).string(&member.id).i32(1).string(&member.id).i32(0);
        let mut fields = Fields(self.call(frame)?);
        fields.skip(4)?;
        match fields.i16()? {
            0 => Ok(member),
            code => Err(BenchError::Refused { request: "SyncGroup", code }),
        }
    }

    /// Heartbeat v1.
    pub(crate) fn heartbeat(&mut self, member: &Member) -> Result<()> {
        let mut frame = Frame::new(12, 1, self.next_correlation_id());
        frame.string(&member.group).i32(member.generation).string(&member.id);
        let mut fields = Fields(self.call(frame)?);
        fields.skip(4)?;
        match fields.i16()? {
            0 => Ok(()),
            code => Err(BenchError::Refused { request: "Heartbeat", code }),
        }
    }

    /// Fetches from `offset` (Fetch v11, no session), at most `bytes_max`, and shows each whole batch to `each`.
    pub(crate) fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        bytes_max: i32,
        each: impl FnMut(FetchedBatch<'_>),
    ) -> Result<Fetched> {
        let frame = fetch_frame(self.next_correlation_id(), topic, partition, offset, bytes_max);
        self.send(&frame)?;
        let length = self.receive()?;
        let mut fields = Fields(&self.reply[..length]);
        fields.skip(4 + 4 + 2 + 4 + 4)?;
        fields.skip_string()?;
        fields.skip(8)?;
        match fields.i16()? {
            0 => {}
            code => return Err(BenchError::Refused { request: "Fetch", code }),
        }
        let high_watermark = fields.i64()?;
        fields.skip(16)?;
        let aborted = fields.i32()?;
        fields.skip(16 * usize::try_from(aborted).unwrap_or(0))?;
        fields.skip(4)?;
        let records_bytes = usize::try_from(fields.i32()?).unwrap_or(0);
        let records = fields.0.get(..records_bytes).unwrap_or_default();
        let found = batch::walk(records, each);
        Ok(Fetched { frame_bytes: length + 4, high_watermark, next_offset: found.next_offset })
    }

    /// Where a partition that holds something ends.
    pub(crate) fn high_watermark(&mut self, topic: &str, partition: i32) -> Result<i64> {
        self.fetch(topic, partition, 0, 1, |_| {}).map(|fetched| fetched.high_watermark)
    }

    /// The offset that a timestamp stands for (ListOffsets v1); -1 is the end, -2 the start.
    pub(crate) fn list_offset(&mut self, topic: &str, partition: i32, timestamp: i64) -> Result<i64> {
        let mut frame = Frame::new(2, 1, self.next_correlation_id());
        frame.i32(-1).i32(1).string(topic).i32(1).i32(partition).i64(timestamp);
        let mut fields = Fields(self.call(frame)?);
        fields.skip(4)?;
        fields.skip_string()?;
        fields.skip(8)?;
        match fields.i16()? {
            0 => {}
            code => return Err(BenchError::Refused { request: "ListOffsets", code }),
        }
        fields.skip(8)?;
        fields.i64()
    }

    /// Reads a partition from its start up to `end_offset`; checks density and every checksum; returns its ledger.
    pub(crate) fn audit(&mut self, topic: &str, partition: i32, end_offset: i64) -> Result<Ledger> {
        self.audit_from(topic, partition, 0, end_offset)
    }

    /// The same from `start_offset`, which must be that of a batch.
    pub(crate) fn audit_from(
        &mut self,
        topic: &str,
        partition: i32,
        start_offset: i64,
        end_offset: i64,
    ) -> Result<Ledger> {
        let mut ledger = Ledger::default();
        let mut offset = start_offset;
        let mut damaged = None;
        while offset < end_offset {
            let mut expected = offset;
            let fetched = self.fetch(topic, partition, offset, 1 << 20, |batch| {
                if batch.base_offset != expected || !batch.is_intact() {
                    damaged.get_or_insert(batch.base_offset);
                }
                expected = batch.base_offset + i64::from(batch.last_offset_delta) + 1;
                ledger.add(batch.record_count, batch.crc);
            })?;
            if let Some(at) = damaged {
                return Err(BenchError::Void(format!(
                    "{topic}-{partition} is damaged or has a gap at offset {at}"
                )));
            }
            offset = fetched.next_offset.ok_or_else(|| {
                BenchError::Void(format!("{topic}-{partition} ends at offset {offset}, not {end_offset}"))
            })?;
        }
        Ok(ledger)
    }
}

/// A Fetch v11 request; also what the fetch floor's client sends, so that both read requests of one size.
pub(crate) fn fetch_frame(
    correlation_id: i32,
    topic: &str,
    partition: i32,
    offset: i64,
    bytes_max: i32,
) -> Vec<u8> {
    let mut frame = Frame::new(1, 11, correlation_id);
    frame.i32(-1).i32(500).i32(1).i32(bytes_max).i8(0).i32(0).i32(-1);
    frame.i32(1).string(topic).i32(1);
    frame.i32(partition).i32(-1).i64(offset).i64(-1).i32(bytes_max);
    frame.i32(0).string("");
    frame.finish()
}
