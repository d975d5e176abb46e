//! Producers on raw connections: a thread that sends and one that reads, for each client.
//!
//! The sender hands each request's due time to the reader, which knows by Kafka's order whose answer it reads. In a closed
//! loop as many tokens go round as requests may be in flight. With `acks` 0 there is no answer: what counts is the write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// A client of an open loop remembers so many requests that wait for an answer; beyond it the sender falls behind its
/// schedule, which the latencies then show.
const WAITING_MAX: usize = 1 << 14;
/// All clients together remember no more than this, but each a few: it is memory.
const WAITING_OF_ALL_MAX: usize = 1 << 20;
const WAITING_MIN: usize = 64;
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

/// Connects the producers of `plan`; they begin and end with the run.
///
/// # Errors
/// When a connection cannot be made or the plan makes no sense.
pub fn produce(run: &Arc<Run>, plan: &ProducePlan) -> Result<Vec<JoinHandle<()>>> {
    let requests: Arc<[Prepared]> = prepare(&plan.target.topic, plan.acks, &plan.shape)?.into();
    let sent_bytes = Arc::new(AtomicU64::new(0));
    let connect = |index| {
        let (address, leaders) = plan.target.share(index, plan.clients);
        Ok(Client {
            wire: Wire::open_for(run, address, plan.target.patience)?,
            requests: Arc::clone(&requests),
            partitions: leaders.iter().map(|leader| leader.partition).collect(),
            index,
            plan: plan.clone(),
            sent_bytes: Arc::clone(&sent_bytes),
        })
    };
    let clients = (0..plan.clients).map(connect).collect::<Result<Vec<_>>>()?;
    let mut threads = Vec::new();
    for client in clients {
        threads.extend(client.start(run)?);
    }
    Ok(threads)
}

#[derive(Debug)]
struct Client {
    wire: Wire,
    requests: Arc<[Prepared]>,
    partitions: Vec<i32>,
    index: usize,
    plan: ProducePlan,
    /// By all clients.
    sent_bytes: Arc<AtomicU64>,
}

/// What makes the sender wait.
#[derive(Debug, Clone, Copy)]
enum Rhythm {
    Answers,
    Clock(Schedule),
}

impl Client {
    fn rhythm(&self, starts: Instant) -> Rhythm {
        match self.plan.pace {
            Pace::Closed { .. } => Rhythm::Answers,
            Pace::Open { records_per_second } => {
                let records: u64 = self.requests.iter().map(|request| request.records).sum();
                let per_request = records as f64 / self.requests.len() as f64;
                let rate = records_per_second / per_request;
                Rhythm::Clock(Schedule::new(starts, rate, self.index, self.plan.clients))
            }
        }
    }

    fn start(self, run: &Arc<Run>) -> Result<[JoinHandle<()>; 2]> {
        let mut reader = self.wire.reader();
        let (waiting, in_flight) = match self.plan.pace {
            Pace::Closed { in_flight } => (in_flight.max(1), in_flight.max(1)),
            Pace::Open { .. } => (waiting_max(self.plan.clients), 1),
        };
        let (sent, answered) = sync_channel::<Sent>(waiting);
        let (tokens, free) = sync_channel::<()>(in_flight);
        (0..in_flight).for_each(|_| tokens.try_send(()).unwrap_or_default());
        let acks = self.plan.acks;
        let tally = run.new_tally();
        let send_tally = Arc::clone(&tally);
        let (read_run, send_run) = (Arc::clone(run), Arc::clone(run));
        let reading = spawn("load-read", move || {
            let outcome = read(&mut reader, &read_run, &tally, acks, &answered, &tokens);
            let is_broken = outcome.is_err();
            read_run.note(outcome);
            if is_broken {
                // The sender need not wait for room; what it meets now is an echo.
                reader.hang_up();
            }
        });
        let sending = spawn("load-send", move || {
            let outcome = self.send(&send_run, &send_tally, &sent, &free);
            send_run.note(outcome);
        });
        Ok([reading?, sending?])
    }

    /// Sends until the run is over, and tells the tally what was due while it was measured.
    fn send(
        self,
        run: &Run,
        tally: &Mutex<Tally>,
        sent: &SyncSender<Sent>,
        free: &Receiver<()>,
    ) -> Result<()> {
        // A sleep may otherwise end 50 µs late, which would be counted against the broker.
        let _ = prctl::set_timerslack(1);
        let rhythm = self.rhythm(run.starts());
        sleep_until(run, run.starts());
        let outcome = self.send_in(rhythm, run, tally, sent, free);
        if let Rhythm::Clock(schedule) = rhythm {
            if let Err(error) = outcome {
                run.fail(error);
            }
            tally.lock().awaited += schedule.due_between(run.measures(), run.counts_until());
            return Ok(());
        }
        outcome
    }

    fn send_in(
        &self,
        rhythm: Rhythm,
        run: &Run,
        tally: &Mutex<Tally>,
        sent: &SyncSender<Sent>,
        free: &Receiver<()>,
    ) -> Result<()> {
        let acks = self.plan.acks;
        let mut head = Vec::new();
        let turns = self.requests.iter().cycle().zip(self.partitions.iter().cycle());
        for (number, (request, partition)) in (0u64..).zip(turns) {
            let due = match rhythm {
                Rhythm::Answers => match free.recv() {
                    Ok(()) => Instant::now(),
                    // The reader has failed, and said so.
                    Err(_) => return Ok(()),
                },
                Rhythm::Clock(schedule) => schedule.due(number),
            };
            sleep_until(run, due.min(run.counts_until()));
            if run.is_over(due.max(Instant::now())) || self.is_enough(request.bytes()) {
                return Ok(());
            }
            if matches!(rhythm, Rhythm::Answers) && run.counts(due) {
                tally.lock().awaited += 1;
            }
            let note = Sent { due, records: request.records, bytes: request.bytes() };
            if acks != Acks::None && sent.send(note).is_err() {
                return Ok(());
            }
            let rest = request.addressed_to(*partition, &mut head);
            self.wire.send_both(&head, rest)?;
            if acks == Acks::None && sent.send(note).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether `bytes` more would exceed what is to be sent.
    fn is_enough(&self, bytes: u64) -> bool {
        let Some(bytes_max) = self.plan.bytes_max else { return false };
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed) >= bytes_max
    }
}

/// How many requests of one of so many clients may wait for an answer.
pub(crate) fn waiting_max(clients: usize) -> usize {
    (WAITING_OF_ALL_MAX / clients.max(1)).clamp(WAITING_MIN, WAITING_MAX)
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
