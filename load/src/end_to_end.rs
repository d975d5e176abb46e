//! How long a record takes from the moment it should have been sent until a consumer holds it, on raw connections.
//!
//! Always an open loop. Each record is a batch of its own. Consumers begin where the partitions ended before the run.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use nix::sys::prctl;
use ottla_client::Acks;
use ottla_protocol::messages::produce::ProduceRequest;
use ottla_protocol::records::{BatchBuilder, Compression, OutputLimit, batches};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::consume::records_of;
use crate::error::{LoadError, Result};
use crate::journey::Journey;
use crate::pace::{Pace, Schedule};
use crate::plan::{ConsumePlan, ProducePlan};
use crate::prepared::{PRODUCE_VERSION, Prepared, fill, now_ms};
use crate::produce::{check, sleep_until, spawn, waiting_max};
use crate::reader::Reader;
use crate::run::Run;
use crate::wire::Wire;

/// Connects as many producers as `plan` says and as many consumers as `reading` says, but no more than have a partition of
/// their own; they begin and end with the run.
///
/// # Errors
/// When a connection cannot be made, or the plan is a closed loop.
pub fn end_to_end(run: &Arc<Run>, plan: &ProducePlan, reading: &ConsumePlan) -> Result<Vec<JoinHandle<()>>> {
    let rate = rate_of(plan)?;
    let journey = Arc::new(Journey::new(plan.clients));
    let indexes = reading.target.only_readers(reading.clients);
    let readers = indexes.map(|index| Reader::connect(run, reading, index));
    let readers = readers.collect::<Result<Vec<_>>>()?;
    let connect = |index| {
        let (address, leaders) = plan.target.share(index, plan.clients);
        Ok(Sender {
            wire: Wire::open_for(run, address, plan.target.patience)?,
            plan: plan.clone(),
            partitions: leaders.iter().map(|leader| leader.partition).collect(),
            index,
            rate,
            journey: Arc::clone(&journey),
        })
    };
    let senders = (0..plan.clients).map(connect).collect::<Result<Vec<_>>>()?;
    let mut threads = Vec::new();
    for reader in readers {
        let (run, journey) = (Arc::clone(run), Arc::clone(&journey));
        threads.push(spawn("load-arrive", move || run.note(read(reader, &run, &journey)))?);
    }
    for sender in senders {
        threads.extend(sender.start(run)?);
    }
    Ok(threads)
}

/// The rate of an open loop.
pub(crate) fn rate_of(plan: &ProducePlan) -> Result<f64> {
    match plan.pace {
        Pace::Open { records_per_second } => Ok(records_per_second),
        Pace::Closed { .. } => Err(LoadError::Plan("end-to-end latency needs a rate to send at".to_owned())),
    }
}

#[derive(Debug)]
struct Sender {
    wire: Wire,
    plan: ProducePlan,
    partitions: Vec<i32>,
    index: usize,
    rate: f64,
    journey: Arc<Journey>,
}

impl Sender {
    fn start(self, run: &Arc<Run>) -> Result<[JoinHandle<()>; 2]> {
        let mut acks = self.wire.reader();
        let (read_run, send_run) = (Arc::clone(run), Arc::clone(run));
        let (sent, answers) = sync_channel::<()>(waiting_max(self.plan.clients));
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
        let tally = run.new_tally();
        let sending = spawn("load-send", move || {
            let schedule = Schedule::new(send_run.starts(), self.rate, self.index, self.plan.clients);
            send_run.note(self.send(&send_run, schedule, &sent));
            tally.lock().awaited += schedule.due_between(send_run.measures(), send_run.counts_until());
            self.journey.sender_is_done();
        });
        Ok([reading?, sending?])
    }

    fn send(&self, run: &Run, schedule: Schedule, sent: &SyncSender<()>) -> Result<()> {
        // A sleep may otherwise end 50 µs late, which would be counted against the broker.
        let _ = prctl::set_timerslack(1);
        let mut noise = SmallRng::seed_from_u64(self.journey.seed().wrapping_add(self.index as u64));
        let (mut value, mut head) = (Vec::new(), Vec::new());
        for (number, partition) in (0u64..).zip(self.partitions.iter().cycle()) {
            let due = schedule.due(number);
            fill(&mut value, &self.plan.shape, &mut noise);
            self.journey.stamp(&mut value, run, due);
            sleep_until(run, due.min(run.counts_until()));
            if run.is_over(due.max(Instant::now())) {
                break;
            }
            let mut builder = BatchBuilder::new(Compression::None);
            let full = |_| LoadError::Plan("a record cannot be larger than two gigabytes".to_owned());
            builder.push(now_ms(), None, Some(&value), &[]).map_err(full)?;
            let request = Prepared::new(&self.plan.target.topic, self.plan.acks, builder.build(), 1)?;
            self.journey.departs();
            let rest = request.addressed_to(*partition, &mut head);
            self.wire.send_both(&head, rest)?;
            if sent.send(()).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Reads until all that was sent has arrived, or is lost.
fn read(mut reader: Reader, run: &Run, journey: &Journey) -> Result<()> {
    let tally = run.new_tally();
    let mut last_arrival = run.starts();
    while !journey.is_over(Instant::now().saturating_duration_since(last_arrival)) {
        let answers = reader.fetch()?;
        let now = Instant::now();
        for answer in answers {
            let records = records_of(&answer)?;
            let partition = answer.partition_index;
            for Arrival { due, bytes, next } in arrivals(run, journey, partition, records)? {
                reader.advance(partition, next);
                let Some(due) = due else { continue };
                last_arrival = now;
                journey.arrives();
                let mut tally = tally.lock();
                if run.counts(due) {
                    tally.carried(1, bytes);
                    tally.took(now.saturating_duration_since(due));
                }
            }
        }
    }
    Ok(())
}

/// A record that arrived.
#[derive(Debug)]
struct Arrival {
    /// None if it is not one of ours.
    due: Option<Instant>,
    /// Its batch's.
    bytes: u64,
    /// The offset behind it.
    next: i64,
}

fn arrivals(run: &Run, journey: &Journey, partition: i32, records: Bytes) -> Result<Vec<Arrival>> {
    let mut arrivals = Vec::new();
    for batch in batches(records) {
        let Ok(batch) = batch else { break };
        let damaged =
            |error| LoadError::Damaged { partition, offset: batch.header().base_offset.get(), error };
        let bytes = batch.size_in_bytes() as u64;
        for record in batch.records(OutputLimit::new(batch.size_in_bytes())).map_err(damaged)? {
            let record = record.map_err(damaged)?;
            let due = record.value.as_deref().and_then(|value| journey.due(value, run));
            arrivals.push(Arrival { due, bytes, next: record.offset.get() + 1 });
        }
    }
    Ok(arrivals)
}
