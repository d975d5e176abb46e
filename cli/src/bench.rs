//! `ottla bench`: a load for any Kafka broker, and what came of it.
//!
//! The load is `ottla_load`'s. This file puts together a topic, workers and their clocks, and has the outcome told. Whatever
//! fails, the topic that was made for it is deleted, or the failure says that it stays.

mod arguments;
mod outcome;
mod topic;
mod watch;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ottla_client::OffsetSpec;
use ottla_load::{ConsumePlan, LoadError, Pace, ProducePlan, Run, Shape};
use tokio::task::JoinSet;

pub(crate) use self::arguments::BenchCommand;
use self::arguments::{
    BenchConsumeArguments, BenchLatencyArguments, BenchMixedArguments, BenchProduceArguments, LoadArguments,
    Via,
};
use self::outcome::{Outcome, tell};
use self::topic::{BenchTopic, idle_connections};
use self::watch::{Interrupt, watch};
use crate::failure::Failure;
use crate::progress::{Progress, Total};

/// A reader of `latency` takes at most this much at once.
const LATENCY_FETCH_BYTES: usize = 1 << 20;

/// Runs the command.
pub(crate) async fn run(command: BenchCommand) -> Result<(), Failure> {
    let load = match &command {
        BenchCommand::Produce(arguments) => &arguments.load,
        BenchCommand::Consume(arguments) => &arguments.load,
        BenchCommand::Latency(arguments) => &arguments.load,
        BenchCommand::Mixed(arguments) => &arguments.load,
    };
    let is_reader = matches!(command, BenchCommand::Consume(_));
    let from = if is_reader { OffsetSpec::Earliest } else { OffsetSpec::Latest };
    // Those who send and those who read.
    let sides = if matches!(command, BenchCommand::Latency(_) | BenchCommand::Mixed(_)) { 2 } else { 1 };
    let connections = (load.clients as usize * sides).saturating_add(load.idle_connections);
    ottla_load::make_room_for(load.clients as usize, connections).map_err(outcome::failed)?;
    let interrupt = Interrupt::listen();
    let topic = BenchTopic::prepare(load, from, &interrupt).await?;
    topic.warn_of_left_out(load.clients);
    let measured = measure(&command, load, &topic, &interrupt).await;
    let (outcomes, broken_off) = match measured {
        Ok(measured) => measured,
        Err(failure) => return Err(topic.delete_after(failure).await),
    };
    let stays = topic.delete(broken_off.is_some()).await;
    tell(&outcomes, broken_off, interrupt.is_pressed(), stays, load.output)
}

/// Runs the load; what each role did, and why it broke off, if it did.
async fn measure(
    command: &BenchCommand,
    load: &LoadArguments,
    topic: &BenchTopic,
    interrupt: &Interrupt,
) -> Result<(Vec<Outcome>, Option<LoadError>), Failure> {
    if let BenchCommand::Consume(arguments) = command {
        topic.fill(arguments, interrupt).await?;
    }
    let idle = interrupt.or(idle_connections(&topic.target, load.idle_connections)).await??;
    let roles = match command {
        BenchCommand::Produce(arguments) => produce(arguments, topic).await,
        BenchCommand::Consume(arguments) => consume(arguments, topic),
        BenchCommand::Latency(arguments) => latency(arguments, topic).await,
        BenchCommand::Mixed(arguments) => mixed(arguments, topic).await,
    };
    let mut progress = Progress::start("measured", Total::Unknown, load.quiet);
    let (runs, workers): (Vec<_>, Vec<_>) =
        roles.into_iter().map(|role| ((role.name, role.run, role.wanted), role.workers)).unzip();
    let clocks: Vec<&Arc<Run>> = runs.iter().map(|(_, run, _)| run).collect();
    let all = async {
        for workers in workers {
            workers.join().await;
        }
    };
    Run::begin(&clocks);
    watch(&clocks, all, &mut progress, interrupt).await;
    progress.clear();
    drop(idle);
    let broken_off = runs.iter().find_map(|(_, run, _)| run.take_failure());
    let outcomes = runs.iter().map(|(name, run, wanted)| Outcome {
        role: name,
        tally: run.tally(),
        measured: run.measured(),
        wanted: *wanted,
    });
    Ok((outcomes.collect(), broken_off))
}

async fn produce(arguments: &BenchProduceArguments, topic: &BenchTopic) -> Vec<Role> {
    let plan = arguments.sending.plan(topic.target.clone(), arguments.load.clients, arguments.via);
    let run = Run::new(arguments.load.window());
    let workers = match arguments.via {
        Via::Raw => Workers::threads(&run, |run| ottla_load::produce(run, &plan)),
        Via::Client => {
            Workers::tasks(&run, ottla_load::produce_through_client(&run, &topic.client, &plan).await)
        }
    };
    vec![Role { name: "produce", run, workers, wanted: arguments.sending.rate }]
}

fn consume(arguments: &BenchConsumeArguments, topic: &BenchTopic) -> Vec<Role> {
    let plan = arguments.reading.plan(topic.target.clone(), arguments.load.clients, true);
    let run = Run::new(arguments.load.window());
    let workers = match arguments.via {
        Via::Raw => Workers::threads(&run, |run| ottla_load::consume(run, &plan)),
        Via::Client => Workers::tasks(&run, ottla_load::consume_through_client(&run, &topic.client, &plan)),
    };
    vec![Role { name: "consume", run, workers, wanted: None }]
}

async fn latency(arguments: &BenchLatencyArguments, topic: &BenchTopic) -> Vec<Role> {
    let clients = arguments.load.clients as usize;
    let sending = ProducePlan {
        target: topic.target.clone(),
        shape: Shape {
            record_bytes: arguments.record_size,
            keys: 0,
            batch_bytes: arguments.record_size.largest(),
            records_per_batch: 1,
            compression: ottla_client::Compression::None,
            repeated_percent: 0,
        },
        clients,
        acks: arguments.acks.into(),
        pace: Pace::Open { records_per_second: f64::from(arguments.rate) },
        linger: Duration::ZERO,
        bytes_max: None,
    };
    let reading = ConsumePlan {
        target: topic.target.clone(),
        clients,
        fetch_bytes: LATENCY_FETCH_BYTES.max(2 * arguments.record_size.largest()),
        verify: false,
        again: false,
    };
    let run = Run::new(arguments.load.window());
    let workers = match arguments.via {
        Via::Raw => Workers::threads(&run, |run| ottla_load::end_to_end(run, &sending, &reading)),
        Via::Client => {
            let tasks = ottla_load::end_to_end_through_client(&run, &topic.client, &sending, &reading);
            Workers::tasks(&run, tasks.await)
        }
    };
    vec![Role { name: "end to end", run, workers, wanted: Some(arguments.rate) }]
}

async fn mixed(arguments: &BenchMixedArguments, topic: &BenchTopic) -> Vec<Role> {
    let clients = arguments.load.clients;
    let sending = arguments.sending.plan(topic.target.clone(), clients, arguments.via);
    let reading = arguments.reading.plan(topic.target.clone(), clients, false);
    let window = arguments.load.window();
    let (produce_run, consume_run) = (Run::new(window), Run::new(window));
    let (consumers, producers) = match arguments.via {
        Via::Raw => (
            Workers::threads(&consume_run, |run| ottla_load::consume(run, &reading)),
            Workers::threads(&produce_run, |run| ottla_load::produce(run, &sending)),
        ),
        Via::Client => {
            let consumers = ottla_load::consume_through_client(&consume_run, &topic.client, &reading);
            let producers = ottla_load::produce_through_client(&produce_run, &topic.client, &sending).await;
            (Workers::tasks(&consume_run, consumers), Workers::tasks(&produce_run, producers))
        }
    };
    vec![
        Role { name: "produce", run: produce_run, workers: producers, wanted: arguments.sending.rate },
        Role { name: "consume", run: consume_run, workers: consumers, wanted: None },
    ]
}

/// Those who send or read.
#[derive(Debug)]
enum Workers {
    Threads(Vec<JoinHandle<()>>),
    Tasks(JoinSet<()>),
}

impl Workers {
    /// Connects threads; when they cannot be started the run has failed and there are none.
    fn threads(
        run: &Arc<Run>,
        connect: impl FnOnce(&Arc<Run>) -> ottla_load::Result<Vec<JoinHandle<()>>>,
    ) -> Workers {
        let threads = connect(run).unwrap_or_else(|error| {
            run.fail(error);
            Vec::new()
        });
        Workers::Threads(threads)
    }

    /// The same for tasks.
    fn tasks(run: &Arc<Run>, tasks: ottla_load::Result<JoinSet<()>>) -> Workers {
        let tasks = tasks.unwrap_or_else(|error| {
            run.fail(error);
            JoinSet::new()
        });
        Workers::Tasks(tasks)
    }

    async fn join(self) {
        match self {
            Workers::Threads(threads) => {
                let join = || threads.into_iter().for_each(|thread| drop(thread.join()));
                // It only waits; a panic of a worker was printed by itself.
                let _ = tokio::task::spawn_blocking(join).await;
            }
            Workers::Tasks(mut tasks) => while tasks.join_next().await.is_some() {},
        }
    }
}

/// Workers with one run.
#[derive(Debug)]
struct Role {
    name: &'static str,
    run: Arc<Run>,
    workers: Workers,
    wanted: Option<u32>,
}
