//! Reads a partition through Fetch: to its end for the check, or following the log while it grows.

use crate::check_compacted::Placed;
use crate::finding::Finding;
use crate::payload::{Identity, identity_of};
use crate::wire::Wire;
use ottla_protocol::codec::FetchRecords;
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ottla_protocol::records::{BatchError, OutputLimit, batches};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const FETCH_VERSION: i16 = 12;
const PARTITION_BYTES_MAX: i32 = 16 << 20;
const RECORDS_BYTES_MAX: usize = 16 << 20;
const RETRY_DEADLINE: Duration = Duration::from_secs(30);

/// Reads one partition from offset zero on; the records read so far, each at its offset.
pub(crate) struct Reader {
    topic: String,
    partition: i32,
    /// Index is offset, unless the topic is compacted.
    pub(crate) records: Vec<Identity>,
    /// Where each record lies, if the topic is compacted.
    offsets: Option<Vec<i64>>,
    next_offset: i64,
    /// The highest high watermark that was seen; it never goes back.
    high_watermark: i64,
}

impl Reader {
    /// A reader that has read nothing.
    pub(crate) fn new(topic: &str, partition: i32) -> Self {
        let (records, offsets) = (Vec::new(), None);
        Self { topic: topic.to_owned(), partition, records, offsets, next_offset: 0, high_watermark: 0 }
    }

    /// A reader of a topic in which records may be missing.
    pub(crate) fn of_compacted(topic: &str, partition: i32) -> Self {
        Self { offsets: Some(Vec::new()), ..Self::new(topic, partition) }
    }

    /// What was read of a compacted topic.
    pub(crate) fn placed(&self) -> Vec<Placed> {
        self.offsets.iter().flatten().copied().zip(self.records.iter().copied()).collect()
    }

    /// Reads up to the high watermark of now.
    pub(crate) fn read_to_end(&mut self, wire: &mut Wire) -> Result<(), Finding> {
        let started = Instant::now();
        loop {
            let answer = self.fetch(wire, 0)?;
            let Some(answer) = answer else {
                if started.elapsed() > RETRY_DEADLINE {
                    return Err(Finding::Broken(format!("{} is not available after 30 s", self.place())));
                }
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            if self.next_offset >= answer {
                return Ok(());
            }
        }
    }

    /// Reads whatever comes, until the connection breaks.
    pub(crate) fn follow(&mut self, address: SocketAddr) -> Result<(), Finding> {
        let mut wire = Wire::connect(address)?;
        loop {
            if self.fetch(&mut wire, 50)?.is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// One fetch; the high watermark, or nothing when the broker asks to try again.
    fn fetch(&mut self, wire: &mut Wire, max_wait_ms: i32) -> Result<Option<i64>, Finding> {
        let partition = FetchPartition {
            partition: self.partition,
            fetch_offset: self.next_offset,
            partition_max_bytes: PARTITION_BYTES_MAX,
            ..FetchPartition::default()
        };
        let request = FetchRequest {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: PARTITION_BYTES_MAX,
            topics: vec![FetchTopic {
                topic: self.topic.as_str().into(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..FetchRequest::default()
        };
        let response = wire.call(FETCH_VERSION, request)?;
        let answer = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let Some(answer) = answer else {
            return Err(Finding::Broken(format!("a fetch response without {}", self.place())));
        };
        if answer.error_code.is_retriable() {
            return Ok(None);
        }
        if answer.error_code.is_error() {
            let operation = format!("fetch of {} at {}", self.place(), self.next_offset);
            return Err(Finding::Refused { operation, code: answer.error_code });
        }
        if answer.high_watermark < self.high_watermark {
            let (from, to) = (self.high_watermark, answer.high_watermark);
            return Err(Finding::Broken(format!(
                "the high watermark of {} fell from {from} to {to}",
                self.place()
            )));
        }
        self.high_watermark = answer.high_watermark;
        self.take(answer)?;
        Ok(Some(self.high_watermark))
    }

    fn take(&mut self, answer: PartitionData) -> Result<(), Finding> {
        let FetchRecords::Bytes(bytes) = answer.records else { return Ok(()) };
        for batch in batches(bytes) {
            let batch = match batch {
                // A fetch may end within a batch; the next one brings it whole.
                Err(BatchError::Truncated { .. }) => break,
                batch => batch?,
            };
            for record in batch.records(OutputLimit::new(RECORDS_BYTES_MAX))? {
                let record = record?;
                let (offset, due) = (record.offset.get(), self.next_offset);
                if offset < due {
                    continue; // The fetch began inside this batch.
                }
                if offset > due && self.offsets.is_none() {
                    let place = self.place();
                    return Err(Finding::Broken(format!(
                        "{place}: offset {offset} came where {due} was due"
                    )));
                }
                let identity = record.value.as_deref().and_then(identity_of);
                let Some(identity) = identity else {
                    let place = self.place();
                    return Err(Finding::Broken(format!(
                        "{place}: the record at {offset} is not as it was sent"
                    )));
                };
                self.records.push(identity);
                self.next_offset = offset + 1;
                self.offsets.iter_mut().for_each(|offsets| offsets.push(offset));
            }
            if self.offsets.is_some() {
                // The last records of the batch may be gone, and all of them.
                self.next_offset = self.next_offset.max(batch.header().next_offset().get());
            }
        }
        Ok(())
    }

    fn place(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }
}
