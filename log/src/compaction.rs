//! Compaction: of each key the last value, at its offset; the rest goes (KIP-58, KIP-98, KIP-354, KIP-534).
//!
//! A round reads the dirty part of the log into a map of keys, then writes every group of old segments anew and lets the
//! result take their place. No lock is held while records are read or written; the log is asked before each swap whether
//! the old segments are still its own, so that retention, truncation and deletion never wait for it and never meet
//! half of it. It does not decide when it runs. Bytes and crash states: docs/internals/log.md §7. Invariant (I16): of a
//! key that is in the log, the record with the greatest offset stays, and no record changes its offset.

mod filter;
mod offset_map;
mod output;
mod plan;
mod swap;
mod transactions;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use ottla_protocol::records::{BatchHeader, OutputLimit, Rules, ValidBatch};
use ottla_protocol::{Offset, ProducerEpoch, ProducerId};

use self::filter::{BatchFilter, Outcome};
use self::offset_map::{MapFull, OffsetMap};
use self::output::Output;
pub use self::plan::Dirtiness;
use self::plan::{Bounds, SegmentFacts};
pub(crate) use self::swap::finish_swaps;
use self::transactions::CleanedTransactions;
use crate::error::LogError;
use crate::group::end_marker;
use crate::log::Log;
use crate::roll::segment_bytes_max;
use crate::scan::BatchScan;
use crate::segment::Segment;

/// How a round is to be run.
#[derive(Clone, Copy, Debug)]
pub struct CleanSettings {
    /// The time of day.
    pub now_ms: i64,
    /// Nothing at or above it is touched.
    pub last_stable_offset: Offset,
    /// Memory for keys.
    pub dedupe_buffer_bytes: u64,
    /// The share of that memory which is filled.
    pub load_factor: f64,
    /// Memory for reading and writing, but for a batch that is larger.
    pub io_buffer_bytes: usize,
    /// What makes the digests of keys unpredictable.
    pub secret: u128,
}

/// What a round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Whether it came to its end; otherwise it was stopped, or the log changed under it, and it is to be run again.
    pub is_complete: bool,
    /// Everything below is clean now.
    pub clean_end: Offset,
    /// Segments that were written anew.
    pub segments_before: usize,
    /// Segments that have taken their place.
    pub segments_after: usize,
    /// Their bytes before.
    pub bytes_before: u64,
    /// Their bytes after.
    pub bytes_after: u64,
    /// Keys that the dirty part had.
    pub keys: usize,
}

/// Why a round ends early.
enum Stop {
    /// The caller asked for it, or the log changed.
    Interrupted,
    Failed(LogError),
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        Stop::Failed(error)
    }
}

/// What a group of segments has become.
struct Rewritten {
    bytes: u64,
    is_unchanged: bool,
}

/// One round over one log.
struct Round<'a> {
    log: &'a Log,
    settings: CleanSettings,
    /// Is told of bytes read and written; false ends the round.
    pace: &'a mut dyn FnMut(u64) -> bool,
}

impl Log {
    /// How dirty the log is, while the last stable offset is where it is. Takes no lock.
    pub fn dirtiness(&self, now_ms: i64, last_stable_offset: Offset) -> Result<Dirtiness, LogError> {
        let (_, facts) = self.facts()?;
        Ok(plan::judge(&facts, self.bounds(now_ms, last_stable_offset), &self.config.load()))
    }

    /// Runs one round. `pace` is told of bytes that were read or written, may block, and ends the round with `false`.
    ///
    /// # Errors
    /// The log is as it was, but for the groups that were finished before; behind the commit of a swap a failure leaves it
    /// read-only.
    pub fn clean(
        &self,
        settings: CleanSettings,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Cleaned, LogError> {
        let Some(_one_at_a_time) = self.cleaning.try_lock() else {
            return Ok(Cleaned::default());
        };
        // The markers below the last stable offset become durable: were one lost, what its transaction has written would
        // be undecided again, and the values before it gone. And what was rolled is sealed by this, so that no compacted
        // segment lies above the recovery point on disk.
        self.sync()?;
        self.checkpoint()?;
        self.shared.write_recovery_points()?;
        let mut cleaned = Cleaned::default();
        match (Round { log: self, settings, pace }).run(&mut cleaned) {
            Ok(()) => cleaned.is_complete = true,
            Err(Stop::Interrupted) => {}
            Err(Stop::Failed(error)) => return Err(error),
        }
        Ok(cleaned)
    }

    /// The segments but the active one, and what is to be known of them.
    fn facts(&self) -> Result<(Vec<Arc<Segment>>, Vec<SegmentFacts>), LogError> {
        let config = self.config.load();
        let segments = self.segments.load();
        let (mut closed, mut facts) = (Vec::new(), Vec::new());
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            let (offset_index_bytes, time_index_bytes) = segment.index_bytes();
            let largest = match config.min_compaction_lag_ms {
                0 => None,
                _ => segment.largest_timestamp()?.map(|largest| largest.timestamp),
            };
            let first = match config.max_compaction_lag_ms < i64::MAX.cast_unsigned() {
                true => segment.first_timestamp()?,
                false => None,
            };
            facts.push(SegmentFacts {
                base_offset: segment.base_offset(),
                end_offset: next.base_offset(),
                bytes: segment.size(),
                offset_index_bytes,
                time_index_bytes,
                largest_timestamp: largest,
                first_timestamp: first,
            });
            closed.push(segment.clone());
        }
        Ok((closed, facts))
    }

    fn bounds(&self, now_ms: i64, stable_end: Offset) -> Bounds {
        Bounds {
            log_start: self.log_start_offset(),
            log_end: self.log_end_offset(),
            cleaned: self.shared.cleaned(&self.partition),
            stable_end,
            now_ms,
        }
    }
}

impl Round<'_> {
    fn run(&mut self, cleaned: &mut Cleaned) -> Result<(), Stop> {
        let log = self.log;
        let config = log.config();
        {
            let mut background = log.background.lock();
            log.check_open()?;
            log.remove_all_cleaned()?;
            // What earlier rounds have replaced takes room.
            log.unlink_retired(&mut background, self.settings.now_ms)?;
        }
        let (segments, facts) = log.facts()?;
        let stable_end = self.settings.last_stable_offset.min(log.recovery_point());
        let judged = plan::judge(&facts, log.bounds(self.settings.now_ms, stable_end), &config);
        let (from, to) = (judged.first_dirty_offset, judged.first_uncleanable_offset);
        cleaned.clean_end = from;
        if from >= to {
            return Ok(());
        }
        let (map, map_end) = self.read_keys(&segments, from, to)?;
        cleaned.keys = map.len();
        let count = facts.iter().take_while(|one| one.base_offset < map_end).count();
        let mut filter = BatchFilter {
            map: &map,
            map_end,
            transactions: CleanedTransactions::new(log.transactions.all()),
            now_ms: self.settings.now_ms,
            delete_retention_ms: config.delete_retention_ms,
            dropped_markers: Vec::new(),
        };
        let index_bytes_max = u64::from(config.segment_index_bytes);
        for group in plan::groups(&facts[..count], segment_bytes_max(&config), index_bytes_max) {
            let group = &segments[group];
            cleaned.segments_before += group.len();
            cleaned.bytes_before += group.iter().map(|one| one.size()).sum::<u64>();
            let rewritten = self.rewrite(group, &mut filter)?;
            cleaned.segments_after += if rewritten.is_unchanged { group.len() } else { 1 };
            cleaned.bytes_after += rewritten.bytes;
        }
        {
            // While nobody can delete the log: its successor of the same name is as dirty as can be.
            let _background = log.background.lock();
            log.check_open()?;
            log.shared.set_cleaned(&log.partition, map_end)?;
        }
        cleaned.clean_end = map_end;
        Ok(())
    }

    /// Reads the dirty part into a map, and says how far the map reaches.
    fn read_keys(
        &mut self,
        segments: &[Arc<Segment>],
        from: Offset,
        to: Offset,
    ) -> Result<(OffsetMap, Offset), Stop> {
        let CleanSettings { dedupe_buffer_bytes, load_factor, secret, .. } = self.settings;
        let keys_max = (to - from).get().cast_unsigned();
        let mut map = OffsetMap::new(dedupe_buffer_bytes, load_factor, keys_max, secret);
        // A marker below is not met, and what it has ended does not reach here.
        let mut transactions = CleanedTransactions::new(self.log.aborted_transactions(from, to));
        let dirty = segments.iter().zip(segments.iter().skip(1).map(|next| next.base_offset()).chain([to]));
        for (segment, end) in dirty.filter(|(segment, end)| *end > from && segment.base_offset() < to) {
            let mut full_at = None;
            self.each_batch(segment, from, |batch| {
                let header = batch.header();
                if let Some((is_commit, _)) = end_marker(batch) {
                    transactions.see_marker(header, is_commit);
                } else if !header.attributes.is_control() && !transactions.see_data(header) {
                    full_at = put_keys(&mut map, batch, from)?;
                }
                Ok(full_at.is_none())
            })?;
            if let Some(full_at) = full_at {
                return Ok((map, full_at));
            }
            if end >= to {
                break;
            }
        }
        Ok((map, to))
    }

    /// Writes a group anew and puts the result into its place.
    fn rewrite(&mut self, group: &[Arc<Segment>], filter: &mut BatchFilter<'_>) -> Result<Rewritten, Stop> {
        let log = self.log;
        let (first, last) = (&group[0], &group[group.len() - 1]);
        let mut output = {
            let _background = log.background.lock();
            log.check_open()?;
            Output::create(log, first.base_offset(), last.created_ms(), self.settings.io_buffer_bytes / 2)?
        };
        let group_end = group.iter().rev().find(|one| one.size() > 0).unwrap_or(first).end().1;
        let producers = last_batches(log);
        filter.dropped_markers.clear();
        let (mut is_same, mut is_too_large) = (true, false);
        for segment in group {
            self.each_batch(segment, segment.base_offset(), |batch| {
                let header = batch.header();
                let must_leave_trace =
                    header.next_offset() == group_end || is_last_of_producer(&producers, header);
                let outcome = filter.judge(batch, must_leave_trace).map_err(|error| error.to_string())?;
                let pushed = match &outcome {
                    Outcome::Kept => output.push(batch),
                    Outcome::Replaced(replaced) => output.push(replaced),
                    Outcome::Dropped => Ok(true),
                };
                is_same &= matches!(outcome, Outcome::Kept);
                is_too_large = !pushed?;
                Ok(!is_too_large)
            })?;
            if is_too_large {
                break;
            }
        }
        let bytes = output.bytes();
        if is_too_large || (is_same && group.len() == 1) {
            // Packed anew it would not fit, or nothing would be different: the group stays as it is.
            drop(output);
            let _background = log.background.lock();
            log.check_open()?;
            log.remove_cleaned(first.base_offset())?;
            let bytes = group.iter().map(|one| one.size()).sum();
            return Ok(Rewritten { bytes, is_unchanged: true });
        }
        if !(self.pace)(bytes) {
            return Err(Stop::Interrupted);
        }
        let finished = output.finish()?;
        match log.swap(group, finished, &filter.dropped_markers, self.settings.now_ms)? {
            true => Ok(Rewritten { bytes, is_unchanged: false }),
            false => Err(Stop::Interrupted),
        }
    }

    /// Shows every batch of a segment that reaches to `from` or beyond, perhaps some before, until `visit` says false.
    fn each_batch(
        &mut self,
        segment: &Arc<Segment>,
        from: Offset,
        mut visit: impl FnMut(&ValidBatch) -> Result<bool, VisitError>,
    ) -> Result<(), Stop> {
        let result = self.scan(segment, from, &mut visit);
        if let Err(Stop::Failed(_)) = result {
            // Deletion, truncation or retention may have taken the file away, and that is no failure.
            self.log.check_open()?;
            if !self.log.segments.load().holds_run(std::slice::from_ref(segment)) {
                return Err(Stop::Interrupted);
            }
        }
        result
    }

    fn scan(
        &mut self,
        segment: &Segment,
        from: Offset,
        visit: &mut dyn FnMut(&ValidBatch) -> Result<bool, VisitError>,
    ) -> Result<(), Stop> {
        let path = segment.log().path();
        let position = u64::from(segment.offset_index().lookup(from)?);
        let chunk_bytes = (self.settings.io_buffer_bytes / 2).max(1);
        let mut scan = BatchScan::new(segment.log().file()?, path, position, segment.size());
        scan.read_in_chunks_of(chunk_bytes);
        let mut at = position;
        let mut unpaced = 0;
        while let Some(batch) = scan.next()? {
            let corrupt = |offset: Offset, reason: String| LogError::Corrupt {
                path: path.to_owned(),
                position: at,
                offset,
                reason,
            };
            let batch = batch.map_err(|reason| corrupt(segment.base_offset(), reason))?;
            let size = batch.size_in_bytes() as u64;
            let goes_on = visit(&batch).map_err(|error| match error {
                VisitError::Batch(reason) => corrupt(batch.header().base_offset, reason),
                VisitError::Log(error) => error,
            })?;
            at += size;
            unpaced += size;
            if unpaced >= chunk_bytes as u64 {
                if !(self.pace)(std::mem::take(&mut unpaced)) {
                    return Err(Stop::Interrupted);
                }
                self.log.check_open()?;
            }
            if !goes_on {
                break;
            }
        }
        match (self.pace)(unpaced) {
            true => Ok(()),
            false => Err(Stop::Interrupted),
        }
    }
}

/// What can go wrong with one batch.
enum VisitError {
    Batch(String),
    Log(LogError),
}

impl From<String> for VisitError {
    fn from(reason: String) -> Self {
        VisitError::Batch(reason)
    }
}

impl From<LogError> for VisitError {
    fn from(error: LogError) -> Self {
        VisitError::Log(error)
    }
}

/// Notes the keys of a batch from the offset `from` on; the offset of the first that the map has no room for.
fn put_keys(map: &mut OffsetMap, batch: &ValidBatch, from: Offset) -> Result<Option<Offset>, String> {
    let records = batch.records(OutputLimit::new(Rules::OUTPUT_BYTES_MAX));
    for record in records.map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        let Some(key) = record.key.filter(|_| record.offset >= from) else { continue };
        if map.put(&key, record.offset) == Err(MapFull) {
            return Ok(Some(record.offset));
        }
    }
    Ok(None)
}

/// The last data batch of each producer that is remembered, or none if its last was a marker.
type LastBatches = HashMap<ProducerId, (Option<Offset>, ProducerEpoch), RandomState>;

fn last_batches(log: &Log) -> LastBatches {
    let last = |(id, entry): (ProducerId, crate::producer_state::ProducerEntry)| {
        (id, (entry.last_batch().map(|batch| batch.last_offset), entry.epoch))
    };
    log.producers().into_iter().map(last).collect()
}

/// Whether the batch is what a replay would know its producer by (I10).
fn is_last_of_producer(producers: &LastBatches, header: &BatchHeader) -> bool {
    let Some(producer) = header.producer else { return false };
    match producers.get(&producer.id) {
        Some((Some(last_offset), _)) => *last_offset == header.last_offset(),
        Some((None, epoch)) => header.attributes.is_control() && producer.epoch == *epoch,
        None => false,
    }
}
