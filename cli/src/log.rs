//! `ottla log`: look into log files without a broker, ours and Apache Kafka's alike.
//!
//! Nothing here writes or locks anything; a running broker may own the files. A path may be a single file, a partition's
//! directory or a whole log directory.

mod dump;
mod targets;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::arguments::OutputArguments;
use crate::failure::Failure;

/// `ottla log …`.
#[derive(Debug, Subcommand)]
pub(crate) enum LogArguments {
    /// Show what files hold: batches, records, index entries, producers, checkpoints
    Dump(DumpArguments),
    /// Check every batch, index entry and snapshot; fails if anything is wrong
    Verify(VerifyArguments),
}

/// `ottla log dump`.
#[derive(Debug, Args)]
pub(crate) struct DumpArguments {
    /// Files (.log .index .timeindex .txnindex .snapshot, checkpoints), partition directories or log directories
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Show the records of each batch too
    #[arg(short, long)]
    pub deep: bool,
    /// Begin at this offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub from: Option<i64>,
    /// Show at most so many batches or entries of each file
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<usize>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla log verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Partition directories or log directories
    #[arg(required = true, value_name = "DIR")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// Runs the command.
pub(crate) fn run(arguments: &LogArguments) -> Result<(), Failure> {
    match arguments {
        LogArguments::Dump(arguments) => dump::run(arguments),
        LogArguments::Verify(arguments) => verify::run(arguments),
    }
}
