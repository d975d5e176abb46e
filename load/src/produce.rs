//! Producers on raw connections: a thread that sends and one that reads, for each client.
//!
//! The sender hands each request's due time to the reader, which knows by Kafka's order whose answer it reads. In a closed
//! loop as many tokens go round as requests may be in flight. With `acks` 0 there is no answer: what counts is the write.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::prctl;
use ottla_client::Acks;
use ottla_protocol::messages::produce::{ProduceRequest, ProduceResponse};
use parking_lot::Mutex;

use crate::error::{LoadError, Result};
use crate::pace::{Pace, Schedule};
use crate::plan::ProducePlan;
use crate::prepared::{PRODUCE_VERSION, Prepared, prepare};
use crate::run::Run;
use crate::tally::Tally;
use crate::wire::Wire;

/// An open loop remembers so many requests that wait for an answer; beyond it the sender falls behind its schedule, which
/// the latencies then show.
const WAITING_MAX: usize = 1 << 14;
/// The stack of a thread: there may be thousands.
const STACK_BYTES: usize = 256 << 10;
/// A sleep is broken into pieces, so that an interrupted run ends soon.
const NAP: Duration = Duration::from_millis(100);

/// A request on its way.
#[derive(Debug, Clone, Copy)]
struct Sent {
    due: Instant,
    records: u64,
    bytes: u64,
}

/// Starts the producers of `plan`; the threads end with the run.
///
/// # Errors
/// When a connection cannot be made or the plan makes no sense.
pub fn produce(run: &Arc<Run>, plan: &ProducePlan) -> Result<Vec<JoinHandle<()>>> {
    let clients = (0..plan.clients).map(|index| Client::connect(plan, index));
    let clients = clients.collect::<Result<Vec<_>>>()?;
    let mut threads = Vec::new();
    for (index, client) in clients.into_iter().enumerate() {
        threads.extend(client.start(run, plan, index)?);
    }
    Ok(threads)
}

#[derive(Debug)]
struct Client {
    wire: Wire,
    requests: Vec<Prepared>,
    partitions: Vec<i32>,
    acks: Acks,
}

/// What makes the sender wait.
#[derive(Debug, Clone, Copy)]
enum Rhythm {
    Answers { in_flight: usize },
    Clock(Schedule),
}

impl Rhythm {
    /// How many requests are due before `at`; in a closed loop none is ever due.
    fn due_before(&self, at: Instant) -> u64 {
        match self {
            Rhythm::Answers { .. } => 0,
            Rhythm::Clock(schedule) => schedule.due_before(at),
        }
    }
}

impl Client {
    fn connect(plan: &ProducePlan, index: usize) -> Result<Client> {
        let (address, leaders) = plan.target.share(index, plan.clients);
        let partitions = leaders.iter().map(|leader| leader.partition).collect();
        let requests = prepare(&plan.target.topic, plan.acks, &plan.shape, index)?;
        Ok(Client { wire: Wire::open(address)?, requests, partitions, acks: plan.acks })
    }

    /// The clock has begun by now.
    fn rhythm(&self, run: &Run, plan: &ProducePlan, index: usize) -> Rhythm {
        match plan.pace {
            Pace::Closed { in_flight } => Rhythm::Answers { in_flight: in_flight.max(1) },
            Pace::Open { records_per_second } => {
                let records: u64 = self.requests.iter().map(|request| request.records).sum();
                let per_request = records as f64 / self.requests.len() as f64;
                let rate = records_per_second / per_request;
                Rhythm::Clock(Schedule::new(run.starts(), rate, index, plan.clients))
            }
        }
    }

    fn start(self, run: &Arc<Run>, plan: &ProducePlan, index: usize) -> Result<[JoinHandle<()>; 2]> {
        let mut reader = self.wire.reader()?;
        let rhythm = self.rhythm(run, plan, index);
        let waiting = match rhythm {
            Rhythm::Answers { in_flight } => in_flight,
            Rhythm::Clock(_) => WAITING_MAX,
        };
        let (sent, answered) = sync_channel::<Sent>(waiting);
        let (tokens, free) = match rhythm {
            Rhythm::Answers { in_flight } => sync_channel::<()>(in_flight),
            Rhythm::Clock(_) => sync_channel(1),
        };
        if let Rhythm::Answers { in_flight } = rhythm {
            (0..in_flight).for_each(|_| tokens.try_send(()).unwrap_or_default());
        }
        let acks = self.acks;
        let tally = run.new_tally();
        let send_tally = Arc::clone(&tally);
        let (read_run, send_run) = (Arc::clone(run), Arc::clone(run));
        let reading = spawn("load-read", move || {
            let outcome = read(&mut reader, &read_run, &tally, acks, &answered, &tokens);
            if outcome.is_err() {
                // What was sent and is not answered by now never will be, and the sender need not wait for room.
                tally.lock().unanswered += answered.try_iter().count() as u64 + 1;
                reader.hang_up();
            }
            read_run.note(outcome);
        });
        let sending = spawn("load-send", move || {
            let outcome = self.send(&send_run, rhythm, &sent, &free);
            send_run.note(outcome.map(|unsent| send_tally.lock().unanswered += unsent));
        });
        Ok([reading?, sending?])
    }

    /// Sends until the run is over; how many requests were due by then and could not be sent.
    fn send(
        mut self,
        run: &Run,
        rhythm: Rhythm,
        sent: &SyncSender<Sent>,
        free: &Receiver<()>,
    ) -> Result<u64> {
        // A sleep may otherwise end 50 µs late, which would be counted against the broker.
        let _ = prctl::set_timerslack(1);
        let mut partitions = self.partitions.iter().copied().cycle();
        sleep_until(run, run.starts());
        let mut number = 0;
        loop {
            let due = match rhythm {
                Rhythm::Answers { .. } => match free.recv() {
                    Ok(()) => Instant::now(),
                    // The reader has failed, and said so.
                    Err(_) => return Ok(0),
                },
                Rhythm::Clock(schedule) => schedule.due(number),
            };
            sleep_until(run, due);
            let now = Instant::now();
            if run.is_over(due.max(now)) {
                return Ok(rhythm.due_before(run.ends().min(now)).saturating_sub(number));
            }
            let turn = number as usize % self.requests.len();
            let request = &mut self.requests[turn];
            let partition = partitions.next().unwrap_or_default();
            let note = Sent { due, records: request.records, bytes: request.bytes };
            if self.acks != Acks::None && sent.send(note).is_err() {
                return Ok(0);
            }
            self.wire.send(request.addressed_to(partition))?;
            if self.acks == Acks::None && sent.send(note).is_err() {
                return Ok(0);
            }
            number += 1;
        }
    }
}

/// Reads answers until the sender is done and all are in.
fn read(
    wire: &mut Wire,
    run: &Run,
    tally: &Mutex<Tally>,
    acks: Acks,
    sent: &Receiver<Sent>,
    tokens: &SyncSender<()>,
) -> Result<()> {
    while let Ok(Sent { due, records, bytes }) = sent.recv() {
        if acks != Acks::None {
            check(&wire.answer::<ProduceRequest>(PRODUCE_VERSION)?)?;
        }
        let now = Instant::now();
        let mut tally = tally.lock();
        if run.counts(now) {
            tally.carried(records, bytes);
        }
        if run.counts(due) {
            tally.took(now.saturating_duration_since(due));
        }
        drop(tally);
        // In an open loop nobody takes tokens, and there is no room for more.
        let _ = tokens.try_send(());
    }
    Ok(())
}

/// Whether what was sent was kept.
pub(crate) fn check(response: &ProduceResponse) -> Result<()> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    match partitions.map(|partition| partition.error_code).find(|code| code.is_error()) {
        Some(code) => Err(LoadError::Refused { request: "Produce", code }),
        None => Ok(()),
    }
}

/// Sleeps until `at`, or until the run is stopped.
pub(crate) fn sleep_until(run: &Run, at: Instant) {
    while let Some(rest) = at.checked_duration_since(Instant::now())
        && !rest.is_zero()
        && !run.is_stopped()
    {
        thread::sleep(rest.min(NAP));
    }
}

/// A thread with a small stack.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    builder.spawn(work).map_err(|error| LoadError::Plan(format!("cannot start another thread: {error}")))
}
