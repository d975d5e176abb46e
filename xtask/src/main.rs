//! `cargo xtask`: the one tool that formats, checks, documents, tests and measures; the same at home and in CI.
//!
//! It runs other programs and judges them; it is not linked with what it judges, except for the pure generators of the
//! documentation.
#![allow(clippy::print_stdout, reason = "a command-line tool speaks on standard output")]

mod apache;
mod bench;
mod broker;
mod chaos;
mod ci;
mod clients;
mod docs;
mod failure;
mod fuzz;
mod groups;
mod interop;
mod ottla;
mod process;
mod scoreboard;
mod suite;
mod tidy;
mod workspace;

use clap::{Parser, Subcommand};
use failure::Failure;
use scoreboard::Scoreboard;
use std::process::ExitCode;
use workspace::Workspace;

/// The tasks of the ottla workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check floors, file rules and generated files.
    Tidy,
    /// Write the generated files: docs/reference and config/broker.toml.
    Docs,
    /// Run the tests of the workspace, or of the named crates.
    Test {
        /// Crates by folder, such as `protocol`.
        packages: Vec<String>,
    },
    /// Run real clients against a real broker: {ottla, librdkafka, Java} × five codecs, Kafka's tools, kcat.
    Interop(interop::Options),
    /// Run one group of Java, librdkafka and ottla consumers that join, leave, freeze and die.
    Groups(groups::Options),
    /// Run one of Apache Kafka's tools, such as `kafka topics --bootstrap-server …`.
    Kafka {
        /// The middle of the script's name: `topics` for `kafka-topics.sh`.
        tool: String,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Fuzz every target.
    Fuzz {
        /// How long, each.
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// One target only.
        target: Option<String>,
    },
    /// Kill the broker under load and check that nothing acknowledged is lost.
    Crash(chaos::Options),
    /// Send the broker input that no client sends, and watch its memory.
    Hostile,
    /// Let the broker's disk fill up and empty it again; takes root, for a tmpfs.
    FullDisk,
    /// Cut the power of a real ext4 under load, and turn one read-only; takes root and a loop device.
    PowerLoss {
        /// How often the power goes.
        #[arg(long, default_value_t = 8)]
        rounds: u32,
    },
    /// Leave the broker without a file descriptor for a while.
    Descriptors,
    /// Mixed load for a long time: memory, descriptors, threads and waits may not grow.
    Soak(chaos::Soak),
    /// Measure ottla, Apache Kafka and the floors of this machine side by side, and write docs/performance.md.
    Bench {
        /// Options of `ottla-benches run`, such as --quick or --rows 1,2; or another command of it, such as `clients`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Everything that must hold before a change lands.
    Ci,
}

fn main() -> ExitCode {
    let workspace = Workspace::here();
    match perform(&workspace, Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn perform(workspace: &Workspace, task: Task) -> Result<(), Failure> {
    let mut board = Scoreboard::default();
    match task {
        Task::Tidy => tidy::run(workspace),
        Task::Docs => docs::write(workspace),
        Task::Test { packages } => {
            let ran = suite::run(workspace, &packages, &mut board);
            ran.and(board.close("test"))
        }
        Task::Interop(options) => {
            interop::run(workspace, &options, &mut board)?;
            board.close("interop")
        }
        Task::Groups(options) => {
            groups::run(workspace, &options, &mut board)?;
            board.close("groups")
        }
        Task::Kafka { tool, arguments } => {
            let mut command = apache::Apache::install(workspace)?.tool(&tool)?;
            process::run_on_terminal(command.args(arguments))
        }
        Task::Fuzz { minutes, target } => {
            fuzz::targets(workspace, minutes, target.as_deref(), &mut board)?;
            board.close("fuzz")
        }
        Task::Crash(options) => chaos::crash(workspace, &options),
        Task::Hostile => chaos::hostile(workspace),
        Task::FullDisk => chaos::full_disk(workspace),
        Task::PowerLoss { rounds } => chaos::power_loss(workspace, rounds),
        Task::Descriptors => chaos::descriptors(workspace),
        Task::Soak(options) => chaos::soak(workspace, &options),
        Task::Bench { arguments } => bench::run(workspace, arguments),
        Task::Ci => ci::all(workspace),
    }
}
