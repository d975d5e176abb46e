//! How long a record takes from the moment it should have been sent until a consumer holds it.
//!
//! Always an open loop. Each record is a batch of its own and carries its due time and the run's mark, so that a consumer
//! needs no list of what is on its way and other people's records do not count. Sender and reader share a clock because
//! they share a process.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use ottla_client::Acks;
use ottla_protocol::messages::produce::ProduceRequest;
use ottla_protocol::records::{BatchBuilder, Compression, OutputLimit, batches};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::consume::{Position, fetch, records_of};
use crate::error::{LoadError, Result};
use crate::pace::{Pace, Schedule};
use crate::plan::{ConsumePlan, ProducePlan};
use crate::prepared::{PRODUCE_VERSION, Prepared, fill, now_ms};
use crate::produce::{check, sleep_until, spawn};
use crate::run::Run;
use crate::wire::Wire;

/// The run's mark and the due time, before the rest of a value.
const STAMP_BYTES: usize = 16;
/// What has not arrived so long after the end is lost.
const GRACE: Duration = Duration::from_secs(5);

/// Starts as many producers as `plan` says and as many consumers; they begin where the target's partitions end.
///
/// # Errors
/// When a connection cannot be made, or the plan is a closed loop.
pub fn end_to_end(run: &Arc<Run>, plan: &ProducePlan, reading: &ConsumePlan) -> Result<Vec<JoinHandle<()>>> {
    let Pace::Open { records_per_second } = plan.pace else {
        return Err(LoadError::Plan("end-to-end latency needs a rate to send at".to_owned()));
    };
    let mark: u64 = rand::random();
    let (mut readers, mut senders, mut threads) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..reading.clients {
        let (address, leaders) = reading.target.share(index, reading.clients);
        let positions =
            leaders.iter().map(|leader| Position { partition: leader.partition, next: leader.from });
        let reader = Reader {
            wire: Wire::open(address)?,
            topic: reading.target.topic.clone(),
            positions: positions.collect(),
            bytes_max: reading.fetch_bytes,
            mark,
        };
        readers.push(reader);
    }
    for index in 0..plan.clients {
        let (address, leaders) = plan.target.share(index, plan.clients);
        let sender = Sender {
            wire: Wire::open(address)?,
            plan: plan.clone(),
            partitions: leaders.iter().map(|leader| leader.partition).collect(),
            mark,
        };
        senders.push(sender);
    }
    for reader in readers {
        let run = Arc::clone(run);
        threads.push(spawn("load-arrive", move || run.note(reader.read(&run)))?);
    }
    for (index, sender) in senders.into_iter().enumerate() {
        let schedule = Schedule::new(run.starts(), records_per_second, index, plan.clients);
        threads.extend(sender.start(run, schedule)?);
    }
    Ok(threads)
}

#[derive(Debug)]
struct Sender {
    wire: Wire,
    plan: ProducePlan,
    partitions: Vec<i32>,
    mark: u64,
}

impl Sender {
    fn start(mut self, run: &Arc<Run>, schedule: Schedule) -> Result<[JoinHandle<()>; 2]> {
        let mut acks = self.wire.reader()?;
        let (read_run, send_run) = (Arc::clone(run), Arc::clone(run));
        let (sent, answers) = std::sync::mpsc::sync_channel::<()>(1 << 14);
        let acks_wanted = self.plan.acks;
        let reading = spawn("load-read", move || {
            let mut read = || -> Result<()> {
                while let Ok(()) = answers.recv() {
                    if acks_wanted != Acks::None {
                        check(&acks.answer::<ProduceRequest>(PRODUCE_VERSION)?)?;
                    }
                }
                Ok(())
            };
            read_run.note(read());
        });
        let sending = spawn("load-send", move || {
            let outcome = self.send(&send_run, schedule, &sent);
            send_run.note(outcome);
        });
        Ok([reading?, sending?])
    }

    fn send(&mut self, run: &Run, schedule: Schedule, sent: &std::sync::mpsc::SyncSender<()>) -> Result<()> {
        // A sleep may otherwise end 50 µs late, which would be counted against the broker.
        let _ = prctl::set_timerslack(1);
        let mut noise = SmallRng::seed_from_u64(self.mark);
        let mut value = Vec::new();
        let partitions = self.partitions.clone();
        for (number, partition) in (0u64..).zip(partitions.iter().cycle()) {
            let due = schedule.due(number);
            fill(&mut value, &self.plan.shape, &mut noise);
            value.resize(value.len().max(STAMP_BYTES), 0);
            value[..8].copy_from_slice(&self.mark.to_be_bytes());
            let since_start = due.saturating_duration_since(run.starts()).as_nanos() as u64;
            value[8..STAMP_BYTES].copy_from_slice(&since_start.to_be_bytes());
            sleep_until(run, due);
            if run.is_over(due.max(Instant::now())) {
                break;
            }
            let mut builder = BatchBuilder::new(Compression::None);
            let full = |_| LoadError::Plan("a record cannot be larger than two gigabytes".to_owned());
            builder.push(now_ms(), None, Some(&value), &[]).map_err(full)?;
            let mut request = Prepared::new(&self.plan.target.topic, self.plan.acks, builder.build(), 1)?;
            self.wire.send(request.addressed_to(*partition))?;
            if sent.send(()).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Reader {
    wire: Wire,
    topic: String,
    positions: Vec<Position>,
    bytes_max: usize,
    mark: u64,
}

impl Reader {
    /// Reads until all that was due before the end has had its time to arrive.
    fn read(mut self, run: &Run) -> Result<()> {
        let tally = run.new_tally();
        let mut idle_since = None;
        loop {
            let answers = fetch(&mut self.wire, &self.topic, &self.positions, self.bytes_max)?;
            let now = Instant::now();
            let mut arrived = false;
            for answer in answers {
                let records = records_of(&answer)?;
                let partition = answer.partition_index;
                for (due, bytes, next) in self.due_times(run, partition, records)? {
                    if let Some(at) = self.positions.iter_mut().find(|at| at.partition == partition) {
                        at.next = next;
                    }
                    let Some(due) = due else { continue };
                    arrived = true;
                    let mut tally = tally.lock();
                    if run.counts(due) {
                        tally.carried(1, bytes);
                        tally.took(now.saturating_duration_since(due));
                    }
                }
            }
            self.positions.rotate_left(1);
            if arrived || !run.is_over(now) {
                idle_since = None;
            } else if now.duration_since(*idle_since.get_or_insert(now)) >= GRACE.min(run.measured()) {
                return Ok(());
            }
            if run.is_stopped() {
                return Ok(());
            }
        }
    }

    /// When each record of ours was due, its batch's bytes, and the offset behind it.
    fn due_times(
        &self,
        run: &Run,
        partition: i32,
        records: bytes::Bytes,
    ) -> Result<Vec<(Option<Instant>, u64, i64)>> {
        let mut due = Vec::new();
        for batch in batches(records) {
            let Ok(batch) = batch else { break };
            let damaged =
                |error| LoadError::Damaged { partition, offset: batch.header().base_offset.get(), error };
            let bytes = batch.size_in_bytes() as u64;
            for record in batch.records(OutputLimit::new(batch.size_in_bytes())).map_err(damaged)? {
                let record = record.map_err(damaged)?;
                let at = record.value.as_deref().and_then(|value| self.stamped(run, value));
                due.push((at, bytes, record.offset.get() + 1));
            }
        }
        Ok(due)
    }

    fn stamped(&self, run: &Run, value: &[u8]) -> Option<Instant> {
        let (mark, rest) = value.split_first_chunk::<8>()?;
        let (nanos, _) = rest.split_first_chunk::<8>()?;
        let is_ours = u64::from_be_bytes(*mark) == self.mark;
        is_ours.then(|| run.starts() + Duration::from_nanos(u64::from_be_bytes(*nanos)))
    }
}
