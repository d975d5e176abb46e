//! `ottla-chaos`: kills a real broker process under load, or sends it nonsense, and checks what it promised.
//!
//! It knows the wire protocol and nothing else of ottla, so it judges any broker that takes the same command line.
//! `cargo xtask crash` builds both and runs it.
#![allow(clippy::print_stdout, reason = "a command-line tool speaks on standard output")]

mod broker;
mod chance;
mod check;
mod check_compacted;
mod compaction;
mod descriptors;
mod disk;
mod finding;
mod full_disk;
mod hostile;
mod load;
mod moments;
mod payload;
mod points;
mod power;
mod power_loss;
mod process;
mod producer;
mod reader;
mod soak;
mod soak_report;
mod topic;
mod wire;

use clap::{Parser, Subcommand};
use finding::Finding;
use std::path::PathBuf;
use std::process::ExitCode;

/// Kills a broker and checks what it promised.
#[derive(Parser)]
struct Arguments {
    /// The `ottla` binary.
    #[arg(long)]
    broker: PathBuf,
    /// Where the broker's files go; they stay there when something was found.
    #[arg(long)]
    directory: PathBuf,
    /// Repeats a run's choices. The moments themselves are up to the machine.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// `kill -9` at random moments under load.
    Moments {
        /// How many.
        #[arg(long, default_value_t = 200)]
        count: u32,
    },
    /// `kill -9` at random moments while a topic is compacted under load.
    Compaction {
        /// How many.
        #[arg(long, default_value_t = 60)]
        count: u32,
    },
    /// Death at each of the broker's own operations.
    Points {
        /// Try only every so many.
        #[arg(long, default_value_t = 1)]
        stride: u64,
    },
    /// A disk without space, twice.
    FullDisk,
    /// The power goes, on a real ext4; then a disk turns read-only.
    PowerLoss {
        /// How often the power goes.
        #[arg(long, default_value_t = 8)]
        rounds: u32,
    },
    /// Not a file descriptor left, for a while.
    Descriptors,
    /// Mixed load for a long time: nothing may grow.
    Soak(soak::Options),
    /// Input that no client sends.
    Hostile {
        /// Frames of real clients, to be mutated: `protocol/tests/golden`.
        #[arg(long)]
        golden: PathBuf,
    },
}

fn main() -> ExitCode {
    let Arguments { broker, directory, seed, task } = Arguments::parse();
    let result: Result<(), Finding> = match task {
        Task::Moments { count } => moments::run(&broker, &directory, count, seed),
        Task::Compaction { count } => compaction::run(&broker, &directory, count, seed),
        Task::Points { stride } => points::run(&broker, &directory, stride, seed),
        Task::FullDisk => full_disk::run(&broker, &directory),
        Task::PowerLoss { rounds } => power_loss::run(&broker, &directory, rounds, seed),
        Task::Descriptors => descriptors::run(&broker, &directory, seed),
        Task::Soak(options) => soak::run(&broker, &directory, &options),
        Task::Hostile { golden } => hostile::run(&broker, &directory, &golden, seed),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(finding) => {
            println!("{finding}\nseed {seed}, files in {}", directory.display());
            ExitCode::FAILURE
        }
    }
}
