//! Clients side by side: ours, librdkafka and Java's, each in a process of its own, against ottla and Apache Kafka.
//!
//! They produce the same records with the same settings, each into a topic of its own, and then all read one of these
//! topics. In each round another client comes first, and the topic that is read is the one that the first of the round
//! filled. What counts is records per second and, on a machine that is shared, processor time per record, which the
//! client measures about itself. Both ends check counts: a record too few makes a sample void.

mod job;
#[cfg(feature = "librdkafka")]
mod librdkafka;
mod ottla;
mod table;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use ottla_client::NewTopic;
use serde::Serialize;

use self::job::Report;
pub(crate) use self::job::{Action, Client, Job, SETTINGS};
pub(crate) use self::table::publish;
use super::Plan;
use crate::error::{BenchError, Doing, Result};
use crate::system::{Broker, Launcher, Meanwhile, System};
use crate::watch::Watch;

/// Partitions of each topic.
const PARTITIONS: i32 = 4;
/// Sizes of values, and how many records make a second or two of work.
const SIZES: [(usize, u64); 2] = [(100, 4_000_000), (1024, 800_000)];

/// One measurement of one client.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClientSample {
    pub(crate) broker: System,
    pub(crate) action: Action,
    pub(crate) value_bytes: usize,
    pub(crate) client: Client,
    /// Round 0 warms up and is dropped from the medians.
    pub(crate) round: u32,
    pub(crate) records_per_s: f64,
    pub(crate) mb_per_s: f64,
    pub(crate) cpu_s_per_million: f64,
    /// The share of the machine that others used meanwhile, `0..=1`.
    pub(crate) foreign_share: f64,
}

/// Does one job in this process and says what it took (started by `measure`).
#[allow(clippy::print_stdout, reason = "the report goes to whoever started this process")]
pub(crate) fn work(job: &Job) -> Result<()> {
    let report = match job.client {
        Client::Ottla => ottla::run(job)?,
        #[cfg(feature = "librdkafka")]
        Client::Librdkafka => librdkafka::run(job)?,
        #[cfg(not(feature = "librdkafka"))]
        Client::Librdkafka => {
            return Err(BenchError::Server("built without the feature `librdkafka`".to_owned()));
        }
        Client::Java => return Err(BenchError::Server("Java runs in a process of its own".to_owned())),
    };
    println!("{report}");
    Ok(())
}

/// What is needed to run jobs.
struct Bench<'a> {
    plan: &'a Plan,
    clients: &'a [Client],
    java_classes: PathBuf,
}

/// Measures all clients against all brokers of the plan.
pub(crate) fn measure(plan: &Plan, clients: &[Client]) -> Result<Vec<ClientSample>> {
    let java_classes = plan.places.work_dir.join("classes");
    let bench = Bench { plan, clients, java_classes };
    if clients.contains(&Client::Java) {
        std::fs::create_dir_all(&bench.java_classes).doing(|| "create a directory for classes".to_owned())?;
        bench.compile_java()?;
    }
    let mut samples = Vec::new();
    for system in plan.brokers() {
        let mut broker = Launcher::prepare(system, &plan.places, "clients", Meanwhile::Running)?.start()?;
        for (value_bytes, records) in SIZES {
            let records = if plan.quick { records / 4 } else { records };
            for round in 0..=plan.rounds {
                samples.extend(bench.round(&mut broker, round, value_bytes, records)?);
            }
        }
        broker.discard()?;
    }
    Ok(samples)
}

impl Bench<'_> {
    /// Every client produces, then every client consumes.
    fn round(
        &self,
        broker: &mut Broker,
        round: u32,
        value_bytes: usize,
        records: u64,
    ) -> Result<Vec<ClientSample>> {
        let mut order = self.clients.to_vec();
        let shift = round as usize % order.len().max(1);
        order.rotate_left(shift);
        let warm = records / 4;
        let topic_of = |client: Client| format!("{client}-{value_bytes}-{round}");
        let topics: Vec<String> = order.iter().map(|client| topic_of(*client)).collect();
        create(broker, &topics)?;
        let mut samples = Vec::new();
        for (action, fixed) in [(Action::Produce, None), (Action::Consume, topics.first().cloned())] {
            for client in &order {
                let job = Job {
                    client: *client,
                    action,
                    bootstrap: broker.address.to_string(),
                    topic: fixed.clone().unwrap_or_else(|| topic_of(*client)),
                    records,
                    warm,
                    value_bytes,
                };
                samples.push(self.sample(broker, round, &job)?);
            }
        }
        delete(broker, &topics)?;
        Ok(samples)
    }

    fn sample(&self, broker: &mut Broker, round: u32, job: &Job) -> Result<ClientSample> {
        let watch = Watch::start(&broker.process)?;
        let report = self.run(job)?;
        let foreign_share = watch.stop(&broker.process)?.foreign_share;
        if report.records == 0 || report.bytes != report.records * job.value_bytes as u64 {
            return Err(BenchError::Void(format!("{} {}: {report}", job.client, job.action)));
        }
        let records = report.records as f64;
        Ok(ClientSample {
            broker: broker.system,
            action: job.action,
            value_bytes: job.value_bytes,
            client: job.client,
            round,
            records_per_s: records / report.wall_s,
            mb_per_s: report.bytes as f64 / report.wall_s / 1e6,
            cpu_s_per_million: report.cpu_s / records * 1e6,
            foreign_share,
        })
    }

    fn run(&self, job: &Job) -> Result<Report> {
        match job.client {
            Client::Java => run_to_report(self.java(job), job),
            Client::Ottla | Client::Librdkafka => run_worker(job),
        }
    }

    fn java(&self, job: &Job) -> Command {
        let mut command = Command::new("java");
        let class_path =
            format!("{}:{}/*", self.java_classes.display(), self.plan.places.kafka_libs.display());
        command.args([
            "-Xmx1g",
            "-Xms1g",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            &class_path,
        ]);
        command.arg("ClientLoad").args(&job.arguments()[1..]);
        if job.action == Action::Produce {
            command.args(SETTINGS.iter().map(|(key, value)| format!("{key}={value}")));
        }
        command
    }

    fn compile_java(&self) -> Result<()> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../interop/java/ClientLoad.java");
        let mut javac = Command::new("javac");
        javac.arg("-cp").arg(format!("{}/*", self.plan.places.kafka_libs.display()));
        javac.arg("-d").arg(&self.java_classes).arg(source);
        let output = javac.output().doing(|| "run javac".to_owned())?;
        if output.status.success() {
            return Ok(());
        }
        Err(BenchError::Server(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

/// Does a job in another process of this program.
pub(crate) fn run_worker(job: &Job) -> Result<Report> {
    let program = std::env::current_exe().doing(|| "find this program".to_owned())?;
    let mut command = Command::new(program);
    command.arg("client-worker").args(job.arguments());
    run_to_report(command, job)
}

fn run_to_report(mut command: Command, job: &Job) -> Result<Report> {
    let output = command.stderr(Stdio::inherit()).output().doing(|| format!("run {}", job.client))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(BenchError::Void(format!("{} {} ended with {}", job.client, job.action, output.status)));
    }
    printed.lines().last().unwrap_or_default().parse()
}

fn create(broker: &Broker, topics: &[String]) -> Result<()> {
    administer(broker, async |admin| {
        for topic in topics {
            admin.create_topic(NewTopic::new(topic).partitions(PARTITIONS)).await?;
            admin.wait_for_leaders(topic).await?;
        }
        Ok(())
    })
}

fn delete(broker: &Broker, topics: &[String]) -> Result<()> {
    administer(broker, async |admin| {
        for topic in topics {
            admin.delete_topic(topic).await?;
        }
        Ok(())
    })
}

fn administer(
    broker: &Broker,
    with: impl AsyncFnOnce(ottla_client::Admin) -> ottla_client::Result<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.doing(|| "start a runtime".to_owned())?;
    let done = runtime.block_on(async {
        with(ottla_client::Client::connect(&broker.address.to_string()).await?.admin()).await
    });
    done.map_err(|error| BenchError::Void(error.to_string()))
}
