//! The instrument of PERFORMANCE.md: floors, ottla and Apache Kafka measured side by side in one run.
//!
//! It starts every system itself, drives it with batches that were prepared ahead on raw connections, reads the
//! server's CPU from `/proc`, and ends every row by reading everything back. It is not a client and shares no code
//! with what it measures. It asserts no figure: a table is for people to judge.

mod batch;
mod catalogue;
mod error;
mod floor;
mod instructions;
mod machine;
mod namespace;
mod page;
mod plot;
mod process;
mod report;
mod rows;
mod scale;
mod stats;
mod system;
mod warm;
mod watch;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::error::{BenchError, Doing, Result};
use crate::floor::FloorKind;
use crate::machine::Machine;
use crate::rows::{Plan, Sample};
use crate::system::{Places, System};

/// The results as seen from a page in `docs/`.
const RESULTS_FROM_PAGE: &str = "../benches/results";

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
    /// Measure what many partitions and connections cost one broker.
    Scale(ScaleArgs),
    /// Count the broker's instructions for one request, under valgrind.
    Instructions(RunArgs),
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
    /// Rows to measure, of 1 to 9, 12 and 13. Row 8 has 10 and 14 in it, row 12 has 11.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,5,6,7,8,9,12,13")]
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
    /// Let the processors sleep during rows 5, 6 and 7: no spinner of idle priority on each.
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
    /// How many partitions, in thousands.
    #[arg(long, value_delimiter = ',', default_value = "10,50", value_parser = clap::value_parser!(u16).range(1..))]
    thousands: Vec<u16>,
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
        Command::Run(arguments) => run(&arguments),
        Command::Clients(arguments) => clients(&arguments),
        Command::Scale(arguments) => scale(&arguments),
        Command::Instructions(arguments) => instructions(&arguments),
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

fn run(arguments: &RunArgs) -> Result<()> {
    let network =
        if arguments.host_network { "host network, as asked".to_owned() } else { namespace::enter() };
    let machine = Machine::describe(network);
    let temporary = tempfile::tempdir().doing(|| "create a temporary directory".to_owned())?;
    let plan = plan(arguments, temporary.path())?;
    let mut samples = Vec::new();
    let mut failures = Vec::new();
    for row in &arguments.rows {
        match measure(&plan, *row, !arguments.no_spinners) {
            Ok(measured) => samples.extend(measured),
            Err(error) => {
                eprintln!("row {row}: {error}");
                failures.push(*row);
            }
        }
    }
    let name = arguments.name.clone().unwrap_or_else(|| machine.unix_seconds.to_string());
    if !samples.is_empty() {
        report::publish(&machine, &samples, &arguments.results, &name)?;
        if let Some(path) = &arguments.page {
            page::write(path, &machine, &samples, RESULTS_FROM_PAGE, &name)?;
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(BenchError::Void(format!("rows without a result: {failures:?}")))
}

/// Clients against the brokers that were asked for.
fn clients(arguments: &ClientsArgs) -> Result<()> {
    let run = &arguments.run;
    let network = if run.host_network { "host network, as asked".to_owned() } else { namespace::enter() };
    let machine = Machine::describe(network);
    let temporary = tempfile::tempdir().doing(|| "create a temporary directory".to_owned())?;
    let samples = rows::clients::measure(&plan(run, temporary.path())?, &arguments.clients)?;
    let name = run.name.clone().unwrap_or_else(|| format!("clients-{}", machine.unix_seconds));
    rows::clients::publish(&machine, &samples, &run.results, &name)
}

/// Many partitions on the first broker that was asked for, ottla unless told otherwise.
fn scale(arguments: &ScaleArgs) -> Result<()> {
    let run = &arguments.run;
    let network = if run.host_network { "host network, as asked".to_owned() } else { namespace::enter() };
    let machine = Machine::describe(network);
    let temporary = tempfile::tempdir().doing(|| "create a temporary directory".to_owned())?;
    let plan = plan(run, temporary.path())?;
    let system = plan.brokers().next().unwrap_or(System::Ottla);
    let counts: Vec<usize> = arguments.thousands.iter().map(|count| usize::from(*count) * 1_000).collect();
    let name = run.name.clone().unwrap_or_else(|| format!("scale-{}", machine.unix_seconds));
    scale::run(&machine, &plan.places, system, &counts, &run.results, &name)
}

/// The table beside the results' directory.
fn instructions(arguments: &RunArgs) -> Result<()> {
    let machine = Machine::describe("host network".to_owned());
    let temporary = tempfile::tempdir().doing(|| "create a temporary directory".to_owned())?;
    let plan = plan(arguments, temporary.path())?;
    instructions::run(&machine, &plan.places, &arguments.results.with_file_name("instructions.md"))
}

fn plan(arguments: &RunArgs, temporary: &Path) -> Result<Plan> {
    let work_dir = arguments.work_dir.clone().unwrap_or_else(|| temporary.to_owned());
    Ok(Plan {
        places: Places {
            ottla: ottla_binary(arguments)?,
            kafka_libs: arguments.kafka_libs.clone(),
            work_dir,
        },
        systems: arguments.systems.clone(),
        rounds: arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 7 }),
        quick: arguments.quick,
    })
}

fn measure(plan: &Plan, row: u8, spinners: bool) -> Result<Vec<Sample>> {
    let _spinners =
        if spinners && matches!(row, 5..=7 | 16) { process::spinners(&plan.places.work_dir)? } else { Vec::new() };
    match row {
        1 => rows::fetch::row_1(plan),
        2 => rows::produce::row_2(plan),
        3 => rows::produce::row_3(plan),
        4 => rows::produce::row_4(plan),
        5 => rows::round_trip::row_5(plan),
        6 => rows::end_to_end::row_6(plan),
        7 => rows::round_trip::row_7(plan),
        8 => rows::launch::row_8(plan),
        9 => rows::crash::row_9(plan),
        12 => rows::connections::row_12(plan),
        13 => rows::produce::row_13(plan),
        16 => rows::soak::row_16(plan),
        other => Err(BenchError::Void(format!("there is no row {other} here"))),
    }
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
