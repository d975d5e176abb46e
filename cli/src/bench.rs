//! `ottla bench`: a load for any Kafka broker, and what came of it.
//!
//! The load is `ottla_load`'s. This file makes the topic, shows progress, ends the run at Ctrl-C, and has the outcome told;
//! what was created is deleted again.

mod arguments;
mod outcome;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ottla_client::{Client, ErrorCode, NewTopic, OffsetSpec, TopicInfo, TopicPartition};
use ottla_load::{Leader, LoadError, Pace, ProducePlan, Run, Shape, Target, Window};
use tokio::task::JoinSet;

pub(crate) use self::arguments::BenchCommand;
use self::arguments::{
    BenchConsumeArguments, BenchLatencyArguments, BenchMixedArguments, BenchProduceArguments, LoadArguments,
    Via,
};
use self::outcome::{Outcome, tell};
use crate::cluster::connect;
use crate::failure::Failure;
use crate::progress::{Progress, Total};

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// A new topic is there within this time, or something is wrong.
const CREATION_PATIENCE: Duration = Duration::from_secs(30);
/// A topic is filled by batches of this size …
const FILL_BATCH_BYTES: usize = 256 << 10;
/// … for no longer than this.
const FILL_TIME_MAX: Duration = Duration::from_secs(3_600);

/// Runs the command.
pub(crate) async fn run(command: BenchCommand) -> Result<(), Failure> {
    match command {
        BenchCommand::Produce(arguments) => produce(&arguments).await,
        BenchCommand::Consume(arguments) => consume(&arguments).await,
        BenchCommand::Latency(arguments) => latency(&arguments).await,
        BenchCommand::Mixed(arguments) => mixed(&arguments).await,
    }
}

async fn produce(arguments: &BenchProduceArguments) -> Result<(), Failure> {
    let bench = Bench::prepare(&arguments.load, OffsetSpec::Latest).await?;
    let plan = arguments.sending.plan(bench.target.clone(), arguments.load.clients);
    let run = bench.start_clock();
    let workers = match arguments.via {
        Via::Raw => Workers::threads(&run, |run| ottla_load::produce(run, &plan)),
        Via::Client => Workers::Tasks(ottla_load::produce_through_client(&run, &bench.client, &plan)),
    };
    bench.finish(vec![Role { name: "produce", run, workers, wanted: arguments.sending.rate }]).await
}

async fn consume(arguments: &BenchConsumeArguments) -> Result<(), Failure> {
    let bench = Bench::prepare(&arguments.load, OffsetSpec::Earliest).await?;
    if bench.is_new {
        bench.fill(arguments).await?;
    }
    let plan = arguments.reading.plan(bench.target.clone(), arguments.load.clients, true);
    let run = bench.start_clock();
    let workers = match arguments.via {
        Via::Raw => Workers::threads(&run, |run| ottla_load::consume(run, &plan)),
        Via::Client => match ottla_load::consume_through_client(&run, &bench.client, &plan) {
            Ok(tasks) => Workers::Tasks(tasks),
            Err(error) => Workers::failed(&run, error),
        },
    };
    bench.finish(vec![Role { name: "consume", run, workers, wanted: None }]).await
}

async fn latency(arguments: &BenchLatencyArguments) -> Result<(), Failure> {
    let bench = Bench::prepare(&arguments.load, OffsetSpec::Latest).await?;
    let clients = arguments.load.clients;
    let sending = ProducePlan {
        target: bench.target.clone(),
        shape: Shape {
            record_bytes: arguments.record_size,
            keys: 0,
            batch_bytes: arguments.record_size.largest(),
            records_per_batch: 1,
            compression: ottla_client::Compression::None,
            repeated_percent: 0,
        },
        clients: clients as usize,
        acks: arguments.acks.into(),
        pace: Pace::Open { records_per_second: f64::from(arguments.rate) },
        linger: Duration::ZERO,
    };
    let reading = ottla_load::ConsumePlan {
        target: bench.target.clone(),
        clients: clients as usize,
        fetch_bytes: 1 << 20,
        verify: false,
        again: false,
    };
    let run = bench.start_clock();
    let workers = Workers::threads(&run, |run| ottla_load::end_to_end(run, &sending, &reading));
    bench.finish(vec![Role { name: "end to end", run, workers, wanted: Some(arguments.rate) }]).await
}

async fn mixed(arguments: &BenchMixedArguments) -> Result<(), Failure> {
    let bench = Bench::prepare(&arguments.load, OffsetSpec::Latest).await?;
    let clients = arguments.load.clients;
    let sending = arguments.sending.plan(bench.target.clone(), clients);
    let reading = arguments.reading.plan(bench.target.clone(), clients, false);
    let (produce_run, consume_run) = (bench.start_clock(), bench.start_clock());
    let consumers = Workers::threads(&consume_run, |run| ottla_load::consume(run, &reading));
    let producers = Workers::threads(&produce_run, |run| ottla_load::produce(run, &sending));
    let wanted = arguments.sending.rate;
    bench
        .finish(vec![
            Role { name: "produce", run: produce_run, workers: producers, wanted },
            Role { name: "consume", run: consume_run, workers: consumers, wanted: None },
        ])
        .await
}

/// Those who send or read.
#[derive(Debug)]
enum Workers {
    Threads(Vec<JoinHandle<()>>),
    Tasks(JoinSet<()>),
}

impl Workers {
    /// Starts threads; when they cannot be started the run has failed and there are none.
    fn threads(
        run: &Arc<Run>,
        start: impl FnOnce(&Arc<Run>) -> ottla_load::Result<Vec<JoinHandle<()>>>,
    ) -> Workers {
        match start(run) {
            Ok(threads) => Workers::Threads(threads),
            Err(error) => Workers::failed(run, error),
        }
    }

    fn failed(run: &Arc<Run>, error: LoadError) -> Workers {
        run.fail(error);
        Workers::Threads(Vec::new())
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

/// A topic to load, and everything around it.
struct Bench<'a> {
    arguments: &'a LoadArguments,
    client: Client,
    target: Target,
    is_new: bool,
    idle: Box<dyn std::any::Any>,
}

impl<'a> Bench<'a> {
    /// Finds or makes the topic; consumers begin where `from` says.
    async fn prepare(arguments: &'a LoadArguments, from: OffsetSpec) -> Result<Self, Failure> {
        let client = connect(&arguments.cluster).await?;
        let (info, is_new) = find_or_create(&client, arguments).await?;
        let target = target(&client, &info, from).await?;
        let address = &target.leaders[0].address;
        let idle = ottla_load::idle_connections(address, arguments.idle_connections);
        let idle = Box::new(idle.map_err(|error| Failure::new(error.to_string()))?);
        Ok(Bench { arguments, client, target, is_new, idle })
    }

    fn start_clock(&self) -> Arc<Run> {
        Run::new(self.arguments.window())
    }

    /// Writes to the topic until it holds what the arguments say.
    async fn fill(&self, arguments: &BenchConsumeArguments) -> Result<(), Failure> {
        let plan = ProducePlan {
            target: self.target.clone(),
            shape: Shape {
                record_bytes: arguments.record_size,
                keys: 0,
                batch_bytes: FILL_BATCH_BYTES.max(arguments.record_size.largest()),
                records_per_batch: usize::MAX,
                compression: ottla_client::Compression::None,
                repeated_percent: 0,
            },
            clients: 1,
            acks: ottla_client::Acks::All,
            pace: Pace::Closed { in_flight: 5 },
            linger: Duration::ZERO,
        };
        let run = Run::new(Window { warm_up: Duration::ZERO, measured: FILL_TIME_MAX });
        let workers = Workers::threads(&run, |run| ottla_load::produce(run, &plan));
        let mut progress = Progress::start("filled", Total::Bytes(arguments.fill), self.arguments.quiet);
        let filled = watch(&[&run], workers.join(), &mut progress, Some(arguments.fill)).await;
        progress.finish("");
        match run.take_failure() {
            Some(error) => Err(Failure::new(error.to_string())),
            None if filled => Ok(()),
            None => Err(Failure::new("stopped before anything was measured")),
        }
    }

    /// Waits for the end, tells what came of it, and cleans up.
    async fn finish(self, roles: Vec<Role>) -> Result<(), Failure> {
        let mut progress = Progress::start("measured", Total::Unknown, self.arguments.quiet);
        let (runs, workers): (Vec<_>, Vec<_>) =
            roles.into_iter().map(|role| ((role.name, role.run, role.wanted), role.workers)).unzip();
        let clocks: Vec<&Arc<Run>> = runs.iter().map(|(_, run, _)| run).collect();
        let all = async {
            for workers in workers {
                workers.join().await;
            }
        };
        watch(&clocks, all, &mut progress, None).await;
        progress.clear();
        let broken_off = runs.iter().find_map(|(_, run, _)| run.take_failure());
        let outcomes = runs.iter().map(|(name, run, wanted)| Outcome {
            role: name,
            tally: run.tally(),
            measured: run.measured(),
            wanted: *wanted,
        });
        let outcomes: Vec<Outcome> = outcomes.collect();
        drop(self.idle);
        if self.is_new && !self.arguments.keep {
            let deleted = self.client.admin().delete_topic(&self.target.topic).await;
            // After a broken run there may be no broker left to tell.
            if let (Err(error), None) = (deleted, &broken_off) {
                eprintln!("ottla: {} stays: {error}", self.target.topic);
            }
        }
        tell(&outcomes, broken_off, self.arguments.output)
    }
}

/// Shows progress until the workers are done. Ctrl-C ends the runs, and so do `bytes` or the failure of one of them.
/// Whether `bytes` were reached.
async fn watch(
    runs: &[&Arc<Run>],
    workers: impl Future<Output = ()>,
    progress: &mut Progress,
    bytes: Option<u64>,
) -> bool {
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    let mut workers = std::pin::pin!(workers);
    let mut shown = 0;
    let mut reached = false;
    loop {
        tokio::select! {
            () = &mut workers => return reached,
            _ = tokio::signal::ctrl_c() => runs.iter().for_each(|run| run.stop()),
            _ = tick.tick() => {}
        }
        let (mut records, mut sum) = (0, 0);
        for tally in runs.iter().map(|run| run.tally()) {
            records += tally.records;
            sum += tally.bytes;
        }
        progress.advance_to(records, sum, sum - shown);
        shown = sum;
        reached |= bytes.is_some_and(|bytes| sum >= bytes);
        if reached || runs.iter().any(|run| run.is_stopped()) {
            runs.iter().for_each(|run| run.stop());
        }
    }
}

/// The topic, and whether it was made for this.
async fn find_or_create(client: &Client, arguments: &LoadArguments) -> Result<(TopicInfo, bool), Failure> {
    match client.topic(&arguments.topic).await {
        Ok(info) => return Ok((info, false)),
        Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {}
        Err(error) => return Err(error.into()),
    }
    let topic = NewTopic::new(&arguments.topic).partitions(arguments.partitions);
    let set = arguments.set.iter();
    client.admin().create_topic(set.fold(topic, |topic, (key, value)| topic.config(key, value))).await?;
    let deadline = Instant::now() + CREATION_PATIENCE;
    loop {
        let found = client.topic(&arguments.topic).await;
        match found {
            Ok(info) if info.partitions.iter().all(|partition| partition.leader.is_some()) => {
                return Ok((info, true));
            }
            Ok(_) | Err(_) if Instant::now() < deadline => tokio::time::sleep(PROGRESS_EVERY).await,
            Ok(info) => return Err(Failure::new(format!("{} has partitions without a leader", info.name))),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Who leads each partition, and where it begins or ends.
async fn target(client: &Client, info: &TopicInfo, from: OffsetSpec) -> Result<Target, Failure> {
    let partition = |index| TopicPartition::new(info.name.clone(), index);
    let wanted = info.partitions.iter().map(|info| (partition(info.index), from));
    let offsets = client.admin().list_offsets(&wanted.collect::<Vec<_>>()).await?;
    let brokers = client.brokers();
    let mut leaders = Vec::new();
    for (partition, offset) in offsets {
        let offset = offset?.offset.map_or(0, |offset| offset.get());
        let led = info.partitions.iter().find(|info| info.index == partition.partition);
        let leader = led.and_then(|led| brokers.iter().find(|broker| Some(broker.id) == led.leader));
        let leader =
            leader.ok_or_else(|| Failure::new(format!("{partition} has no leader now; try again")))?;
        leaders.push(Leader {
            partition: partition.partition.get(),
            address: leader.address.to_string(),
            from: offset,
        });
    }
    Ok(Target { topic: info.name.to_string(), leaders })
}
