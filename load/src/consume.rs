//! Consumers on raw connections: one fetch in flight each, round and round over what a topic holds, or at its end.
//!
//! What comes back is counted by the headers of its batches; checksums only where asked for, because they would be the
//! larger part of the work. Latencies are those of the fetches.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use ottla_protocol::codec::{FetchRecords, Str};
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ottla_protocol::records::{BatchError, BatchHeader, Rules, ValidBatch};

use crate::error::{LoadError, Result};
use crate::plan::ConsumePlan;
use crate::produce::{sleep_until, spawn};
use crate::run::Run;
use crate::wire::{Wire, request};

/// The newest rigid version.
pub(crate) const FETCH_VERSION: i16 = 11;
/// How long the broker may wait for something to read; also how late a run may end.
const WAIT_MS: i32 = 100;

/// A partition and where it is read next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) partition: i32,
    pub(crate) next: i64,
}

/// Starts the consumers of `plan`; the threads end with the run.
///
/// # Errors
/// When a connection cannot be made.
pub fn consume(run: &Arc<Run>, plan: &ConsumePlan) -> Result<Vec<JoinHandle<()>>> {
    let readers = (0..plan.clients).map(|index| Reader::connect(plan, index)).collect::<Result<Vec<_>>>()?;
    let start = |reader: Reader| {
        let run = Arc::clone(run);
        spawn("load-fetch", move || run.note(reader.read(&run)))
    };
    readers.into_iter().map(start).collect()
}

#[derive(Debug)]
struct Reader {
    wire: Wire,
    plan: ConsumePlan,
    positions: Vec<Position>,
}

impl Reader {
    fn connect(plan: &ConsumePlan, index: usize) -> Result<Reader> {
        let (address, leaders) = plan.target.share(index, plan.clients);
        let positions =
            leaders.iter().map(|leader| Position { partition: leader.partition, next: leader.from });
        Ok(Reader { wire: Wire::open(address)?, positions: positions.collect(), plan: plan.clone() })
    }

    fn read(mut self, run: &Run) -> Result<()> {
        let tally = run.new_tally();
        sleep_until(run, run.starts());
        loop {
            let asked = Instant::now();
            if run.is_over(asked) {
                return Ok(());
            }
            let mut counted = Counted::default();
            let topic = &self.plan.target.topic;
            let answers = fetch(&mut self.wire, topic, &self.positions, self.plan.fetch_bytes)?;
            for answer in answers {
                counted.add(self.take(&answer)?);
            }
            // A response is filled in the order of the request: nobody shall always be last.
            self.positions.rotate_left(1);
            let now = Instant::now();
            let mut tally = tally.lock();
            if run.counts(now) {
                tally.carried(counted.records, counted.bytes);
            }
            if run.counts(asked) {
                tally.took(now.duration_since(asked));
            }
        }
    }

    /// Counts what one partition brought and moves its position.
    fn take(&mut self, answer: &PartitionData) -> Result<Counted> {
        let records = records_of(answer)?;
        let (partition, again) = (answer.partition_index, self.plan.again);
        let counted = count(partition, &records, self.plan.verify)?;
        if let Some(position) = self.positions.iter_mut().find(|position| position.partition == partition) {
            position.next = counted.next.unwrap_or(position.next);
            if again && position.next >= answer.high_watermark {
                position.next = answer.log_start_offset.max(0);
            }
        }
        Ok(counted)
    }
}

/// Fetches from these positions.
pub(crate) fn fetch(
    wire: &mut Wire,
    topic: &str,
    positions: &[Position],
    bytes_max: usize,
) -> Result<Vec<PartitionData>> {
    let bytes_max = i32::try_from(bytes_max).unwrap_or(i32::MAX);
    let partition = |position: &Position| FetchPartition {
        partition: position.partition,
        fetch_offset: position.next,
        partition_max_bytes: bytes_max,
        ..Default::default()
    };
    let partitions = positions.iter().map(partition).collect();
    let fetch = FetchRequest {
        max_wait_ms: WAIT_MS,
        min_bytes: 1,
        max_bytes: bytes_max,
        topics: vec![FetchTopic { topic: Str::from(topic), partitions, ..Default::default() }],
        ..Default::default()
    };
    wire.send(&request(FETCH_VERSION, fetch)?)?;
    let response = wire.answer::<FetchRequest>(FETCH_VERSION)?;
    if response.error_code.is_error() {
        return Err(LoadError::Refused { request: "Fetch", code: response.error_code });
    }
    Ok(response.responses.into_iter().flat_map(|topic| topic.partitions).collect())
}

/// The record batches of an answer.
pub(crate) fn records_of(answer: &PartitionData) -> Result<Bytes> {
    if answer.error_code.is_error() {
        return Err(LoadError::Refused { request: "Fetch", code: answer.error_code });
    }
    match &answer.records {
        FetchRecords::Bytes(bytes) => Ok(bytes.clone()),
        FetchRecords::Null | FetchRecords::Region { .. } => Ok(Bytes::new()),
    }
}

/// What a fetch brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    records: u64,
    bytes: u64,
    next: Option<i64>,
}

impl Counted {
    fn add(&mut self, other: Counted) {
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// Walks the whole batches; the last one may be cut off.
fn count(partition: i32, records: &Bytes, verify: bool) -> Result<Counted> {
    let mut counted = Counted::default();
    let mut rest = records.clone();
    while !rest.is_empty() {
        let damaged = |error, offset| LoadError::Damaged { partition, offset, error };
        let header = match BatchHeader::parse(&rest) {
            Ok(header) if header.size_in_bytes() <= rest.len() => header,
            Ok(_) | Err(BatchError::Truncated { .. }) => break,
            Err(error) => return Err(damaged(error, counted.next.unwrap_or(-1))),
        };
        let batch = rest.split_to(header.size_in_bytes());
        counted.bytes += batch.len() as u64;
        counted.records += u64::try_from(header.records_count).unwrap_or(0);
        counted.next = Some(header.next_offset().get());
        if verify {
            let checked = ValidBatch::check(batch, &Rules::stored());
            checked.map_err(|error| damaged(error, header.base_offset.get()))?;
        }
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::records::{BatchBuilder, Compression};

    #[test]
    fn whole_batches_are_counted_and_a_cut_one_is_left_for_the_next_fetch() {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(1, None, Some(b"value"), &[]).unwrap();
        builder.push(1, None, Some(b"value"), &[]).unwrap();
        let batch = builder.build();
        let two = Bytes::from([&batch[..], &batch[..batch.len() - 1]].concat());
        let expected = Counted { records: 2, bytes: batch.len() as u64, next: Some(2) };
        assert_eq!(count(0, &two, true).unwrap(), expected);
        let mut flipped = batch.to_vec();
        flipped[70] ^= 1;
        assert!(count(0, &flipped.clone().into(), false).is_ok());
        assert!(matches!(count(0, &flipped.into(), true), Err(LoadError::Damaged { offset: 0, .. })));
    }
}
