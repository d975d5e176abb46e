//! Consumers on raw connections: one fetch in flight each, round and round over what a topic holds, or at its end.
//!
//! What comes back is counted by the headers of its batches; checksums only where asked for, because they would be the
//! larger part of the work. Latencies are those of the fetches.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use ottla_protocol::codec::FetchRecords;
use ottla_protocol::messages::fetch::PartitionData;
use ottla_protocol::records::{BatchError, BatchHeader, Rules, ValidBatch};

use crate::error::{LoadError, Result};
use crate::plan::ConsumePlan;
use crate::produce::{sleep_until, spawn};
use crate::reader::Reader;
use crate::run::Run;

/// Connects the consumers of `plan`; they begin and end with the run.
///
/// # Errors
/// When a connection cannot be made.
pub fn consume(run: &Arc<Run>, plan: &ConsumePlan) -> Result<Vec<JoinHandle<()>>> {
    let readers = (0..plan.clients).map(|index| Reader::connect(run, plan, index));
    let readers = readers.collect::<Result<Vec<_>>>()?;
    let start = |reader: Reader| {
        let (run, plan) = (Arc::clone(run), plan.clone());
        spawn("load-fetch", move || run.note(read(reader, &run, &plan)))
    };
    readers.into_iter().map(start).collect()
}

fn read(mut reader: Reader, run: &Run, plan: &ConsumePlan) -> Result<()> {
    let tally = run.new_tally();
    sleep_until(run, run.starts());
    loop {
        let asked = Instant::now();
        if run.is_over(asked) {
            return Ok(());
        }
        if run.counts(asked) {
            tally.lock().awaited += 1;
        }
        let mut counted = Counted::default();
        for answer in reader.fetch()? {
            counted.add(take(&mut reader, &answer, plan)?);
        }
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
fn take(reader: &mut Reader, answer: &PartitionData, plan: &ConsumePlan) -> Result<Counted> {
    let records = records_of(answer)?;
    let partition = answer.partition_index;
    let counted = count(partition, &records, plan.verify)?;
    if let Some(next) = counted.next {
        let is_end = plan.again && next >= answer.high_watermark;
        reader.advance(partition, if is_end { answer.log_start_offset.max(0) } else { next });
    }
    Ok(counted)
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
