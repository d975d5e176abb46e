//! `ottla`: the one binary. A broker, and the tools that drive any Kafka cluster from the shell.
//!
//! This file parses the command line, runs the command and turns its outcome into an exit code: 0 done, 1 failed, 2 used
//! wrongly. Each command is a module of its own. Results go to standard output, everything else to standard error; a
//! reader that goes away (`ottla … | head`) ends the program without a word.

mod arguments;
mod bench;
mod bound;
mod cluster;
mod config;
mod consume;
mod failure;
mod group;
mod input;
mod instant;
mod log;
mod output;
mod produce;
mod progress;
mod record_json;
mod report;
mod serve;
mod shell;
mod topic;
mod units;
mod usage;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use failure::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::tell(&error),
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Topic(topic) => blocking(topic::run(topic)),
        Command::Group(group) => blocking(group::run(group)),
        Command::Config(config) => blocking(config::run(config)),
        Command::Cluster(cluster) => blocking(cluster::run(cluster)),
        Command::Produce(produce) => blocking(produce::run(*produce)),
        Command::Consume(consume) => blocking(consume::run(*consume)),
        Command::Bench(bench) => blocking(bench::run(bench)),
        Command::Log(log) => log::run(&log),
        Command::Completions(completions) => shell::completions(&completions),
        Command::Man(man) => shell::man(&man),
    }
}

/// Runs a client command on a runtime of its own. What still runs then (a read of the terminal) is not waited for.
fn blocking(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_background();
    outcome
}
