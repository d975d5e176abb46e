//! The instrument of PERFORMANCE.md: floors, ottla and Apache Kafka measured side by side in one run.
//!
//! It starts every system itself, drives it with batches that were prepared ahead on raw connections, reads the
//! server's CPU from `/proc`, and ends every row by reading everything back. It is not a client and shares no code
//! with what it measures. It asserts no figure: a table is for people to judge.

mod batch;
mod bounds;
mod catalogue;
mod comparison;
mod error;
mod floor;
mod instructions;
mod machine;
mod namespace;
mod page;
mod plot;
mod process;
mod profile;
mod report;
mod rows;
mod run;
mod scale;
mod scale_partitions;
mod scale_recovery;
mod stats;
mod system;
mod warm;
mod watch;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::error::{BenchError, Doing, Result};
use crate::floor::FloorKind;
use crate::machine::Machine;
use crate::rows::Plan;
use crate::scale::Extent;
use crate::system::{Places, System};

/// Measures ottla, Apache Kafka and the floors of this machine side by side.
#[derive(Debug, Parser)]
#[command(name = "ottla-benches")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure rows of PERFORMANCE.md §4 and keep the results.
    Run(RunArgs),
    /// Measure clients: ours, librdkafka (feature `librdkafka`) and Java's, side by side.
    Clients(ClientsArgs),
    /// Measure what many partitions, connections and segments cost one broker.
    Scale(ScaleArgs),
    /// Count the broker's instructions for one request, under valgrind.
    Instructions(RunArgs),
    /// Find out where the broker's time goes: shares, flame graphs, system calls, waits, allocations.
    Profile(ProfileArgs),
    /// Print as JSON what requests make a counting broker allocate (for the test that holds it).
    #[command(hide = true)]
    Allocations { counting_broker: PathBuf },
    /// Be one client (started by `clients`).
    #[command(hide = true)]
    ClientWorker(rows::clients::Job),
    /// Be a floor's server (started by `run`).
    #[command(hide = true)]
    FloorServer { kind: FloorKind, address: SocketAddr, file: PathBuf },
    /// Use a processor that has nothing else to do (started by `run`).
    #[command(hide = true)]
    Spin,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Rows to measure. Row 8 has 10 and 14 in it, row 12 has 11; 16 takes minutes and is measured when asked for; 18 to 21
    /// are loads of other people's generators.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,5,6,7,8,9,12,13,18,19,20,21")]
    rows: Vec<u8>,
    /// What to measure.
    #[arg(long, value_delimiter = ',', default_value = "floor,ottla,kafka")]
    systems: Vec<System>,
    /// Counted rounds of each row; one more warms up.
    #[arg(long)]
    rounds: Option<u32>,
    /// Smaller volumes and three rounds instead of seven.
    #[arg(long)]
    quick: bool,
    /// The `ottla` binary; by default the one beside this program.
    #[arg(long)]
    ottla: Option<PathBuf>,
    /// The directory with Apache Kafka's jars, as `cargo xtask interop` fetches them.
    #[arg(long, env = "OTTLA_KAFKA_LIBS", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache/kafka"))]
    kafka_libs: PathBuf,
    /// Data and logs; by default a temporary directory. It must be on the disk to measure.
    #[arg(long)]
    work_dir: Option<PathBuf>,
    /// Where the results go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    results: PathBuf,
    /// The results' file name, without extension; by default the Unix time.
    #[arg(long)]
    name: Option<String>,
    /// Also write the page for people here, e.g. docs/performance.md.
    #[arg(long)]
    page: Option<PathBuf>,
    /// Let the processors sleep during rows 5, 6 and 16: no spinner of idle priority on each.
    #[arg(long)]
    no_spinners: bool,
    /// Stay in the machine's own network.
    #[arg(long)]
    host_network: bool,
}

#[derive(Debug, Args)]
struct ScaleArgs {
    #[command(flatten)]
    run: RunArgs,
    /// How many partitions, in thousands; 0 for none.
    #[arg(long, value_delimiter = ',', default_value = "10,50")]
    thousands: Vec<u16>,
    /// How long a log the restarts find, in segments of 1 GiB; 0 for none.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100", value_parser = clap::value_parser!(u16).range(..=4096))]
    gigabytes: Vec<u16>,
}

#[derive(Debug, Args)]
struct ProfileArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Under which loads.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "produce-1k,produce-100b,fetch,end-to-end,fsync,heartbeat"
    )]
    loads: Vec<profile::Load>,
    /// How many seconds each load is watched, two or three times.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// The broker that counts its allocations; by default the one beside this program.
    #[arg(long)]
    counting_broker: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ClientsArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Which clients.
    #[arg(long, value_delimiter = ',', default_value = "ottla,librdkafka,java")]
    clients: Vec<rows::clients::Client>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Clients(arguments) => clients(&arguments),
        Command::Scale(arguments) => scale(&arguments),
        Command::Instructions(arguments) => instructions(&arguments),
        Command::Profile(arguments) => profile(&arguments),
        Command::Allocations { counting_broker } => profile::print_allocations(&counting_broker),
        Command::ClientWorker(job) => rows::clients::work(&job),
        Command::FloorServer { kind, address, file } => floor::serve(kind, address, &file),
        Command::Spin => loop {
            std::hint::spin_loop();
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ottla-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Enters a network of our own, unless told otherwise.
fn network(arguments: &RunArgs) -> String {
    if arguments.host_network { "host network, as asked".to_owned() } else { namespace::enter() }
}

/// Clients against the brokers that were asked for.
fn clients(arguments: &ClientsArgs) -> Result<()> {
    let run = &arguments.run;
    let machine = Machine::describe(network(run));
    let temporary = tempfile::tempdir().doing(|| "create a temporary directory".to_owned())?;
    let samples = rows::clients::measure(&plan(run, temporary.path())?, &arguments.clients)?;
    let name = run.name.clone().unwrap_or_else(|| format!("clients-{}", machine.unix_seconds));
    rows::clients::publish(&machine, &samples, &run.results, &name)
}

/// Many partitions on the first broker that was asked for, ottla unless told otherwise; and long logs.
fn scale(arguments: &ScaleArgs) -> Result<()> {
    let run = &arguments.run;
    let machine = Machine::describe(network(run));
    let temporary = tempfile::tempdir().doing(|| "create a temporary directory".to_owned())?;
    let plan = plan(run, temporary.path())?;
    let system = plan.brokers().next().unwrap_or(System::Ottla);
    let extent = Extent {
        partitions: wanted(&arguments.thousands).map(|count| count * 1_000).collect(),
        gigabytes: wanted(&arguments.gigabytes).collect(),
    };
    let name = run.name.clone().unwrap_or_else(|| format!("scale-{}", machine.unix_seconds));
    scale::run(&machine, &plan.places, system, &extent, &run.results, &name)
}

/// Counts without those that say that there is to be none.
fn wanted(counts: &[u16]) -> impl Iterator<Item = usize> {
    counts.iter().filter(|count| **count > 0).map(|count| usize::from(*count))
}

/// The table beside the results' directory.
fn instructions(arguments: &RunArgs) -> Result<()> {
    let machine = Machine::describe("host network".to_owned());
    let temporary = tempfile::tempdir().doing(|| "create a temporary directory".to_owned())?;
    let plan = plan(arguments, temporary.path())?;
    instructions::run(&machine, &plan.places, &arguments.results.with_file_name("instructions.md"))
}

/// Ottla alone, wherever its time goes.
fn profile(arguments: &ProfileArgs) -> Result<()> {
    let run = &arguments.run;
    let machine = Machine::describe(network(run));
    let temporary = tempfile::tempdir().doing(|| "create a temporary directory".to_owned())?;
    let places = plan(run, temporary.path())?.places;
    let program = std::env::current_exe().doing(|| "find this program".to_owned())?;
    let beside = || program.with_file_name("ottla-counting-broker");
    let name = run.name.clone().unwrap_or_else(|| machine.unix_seconds.to_string());
    let plan = profile::Plan {
        loads: &arguments.loads,
        window: Duration::from_secs(arguments.seconds),
        counting_broker: arguments.counting_broker.clone().unwrap_or_else(beside),
        results: &run.results,
        name: &name,
    };
    profile::run(&machine, &places, &plan)
}

fn plan(arguments: &RunArgs, temporary: &Path) -> Result<Plan> {
    let work_dir = arguments.work_dir.clone().unwrap_or_else(|| temporary.to_owned());
    let places =
        Places { ottla: ottla_binary(arguments)?, kafka_libs: arguments.kafka_libs.clone(), work_dir };
    let mut systems = arguments.systems.clone();
    if systems.contains(&System::Kafka) && !places.has_kafka() {
        eprintln!("no Apache Kafka: it takes `java` and its jars in {}", places.kafka_libs.display());
        systems.retain(|system| *system != System::Kafka);
    }
    Ok(Plan {
        places,
        systems,
        rounds: arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 7 }),
        quick: arguments.quick,
    })
}

/// The binary that was asked for, or the one that the same build made.
fn ottla_binary(arguments: &RunArgs) -> Result<PathBuf> {
    if let Some(path) = &arguments.ottla {
        return Ok(path.clone());
    }
    let program = std::env::current_exe().doing(|| "find this program".to_owned())?;
    let path = program.with_file_name("ottla");
    if path.exists() || !arguments.systems.contains(&System::Ottla) {
        return Ok(path);
    }
    Err(BenchError::Server(format!("{} is missing: run `cargo build --release` first", path.display())))
}
