//! `cargo xtask bench`: builds what is measured, fetches the rival, hands over to `ottla-benches`, and says how long it took.
//!
//! What a machine lacks is left out, aloud: without a C compiler there is no librdkafka, without Java no Apache Kafka.
#![allow(clippy::print_stdout, reason = "a command-line tool speaks on standard output")]

use crate::apache::Apache;
use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::run as run_to_end;
use crate::workspace::Workspace;
use std::process::Command;
use std::time::{Duration, Instant};

/// Measures. Options alone mean the command `run`, which then also writes the page for people, unless it is about some rows
/// or some systems only.
pub(crate) fn run(workspace: &Workspace, arguments: Vec<String>) -> Result<(), Failure> {
    if arguments.first().is_some_and(|first| first == "profile") {
        return profile(workspace, arguments);
    }
    let began = Instant::now();
    Ottla::build(workspace, None)?;
    let is_run = arguments.first().is_none_or(|first| first.starts_with('-'));
    let has_rival = std::env::var_os(JARS_ELSEWHERE).is_some() || is_resolved(workspace);
    build_benches(workspace)?;
    let built = began.elapsed();
    let mut command = Command::new(workspace.path("target/release/ottla-benches"));
    command.current_dir(workspace.path(""));
    if is_run {
        command.arg("run");
    }
    if is_run && is_whole(&arguments) {
        command.args(["--page", "docs/performance.md"]);
    }
    if is_run && !has_rival && !arguments.iter().any(|argument| argument.starts_with("--systems")) {
        command.args(["--systems", "floor,ottla"]);
    }
    let ran = run_to_end(command.args(arguments));
    println!("built in {}, all in {}", minutes(built), minutes(began.elapsed()));
    ran
}

/// The variable that says where Kafka's jars are, for those who have them.
const JARS_ELSEWHERE: &str = "OTTLA_KAFKA_LIBS";

/// Whether Apache Kafka's jars are here now; if not, says why.
fn is_resolved(workspace: &Workspace) -> bool {
    let resolved = Apache::resolve(workspace);
    if let Err(failure) = &resolved {
        println!("Apache Kafka is left out: {}", failure.to_string().trim_end());
    }
    resolved.is_ok()
}

/// The same code with the names of its lines, and nothing of Apache Kafka's.
fn profile(workspace: &Workspace, arguments: Vec<String>) -> Result<(), Failure> {
    let mut build = workspace.cargo();
    build.args(["build", "--quiet", "--profile", "profiling", "--locked", "--bins"]);
    run_to_end(build.args(["--package", "ottla-cli", "--package", "ottla-benches"]))?;
    let mut command = Command::new(workspace.path("target/profiling/ottla-benches"));
    command.current_dir(workspace.path(""));
    run_to_end(command.args(arguments))
}

/// Whether a page made of this run would have every row and every system in it.
fn is_whole(arguments: &[String]) -> bool {
    let is_part = |argument: &String| ["--rows", "--systems"].iter().any(|part| argument.starts_with(part));
    !arguments.iter().any(is_part)
}

/// With librdkafka, or without where its C sources do not build.
fn build_benches(workspace: &Workspace) -> Result<(), Failure> {
    let build = |more: &[&str]| {
        let mut command = workspace.cargo();
        command.args(["build", "--quiet", "--release", "--locked", "--package", "ottla-benches"]);
        command.args(["--bin", "ottla-benches"]);
        run_to_end(command.args(more))
    };
    build(&["--features", "librdkafka"]).or_else(|failure| {
        println!("librdkafka is left out: {failure}");
        build(&[])
    })
}

fn minutes(duration: Duration) -> String {
    format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn a_part_of_the_rows_leaves_the_page_as_it_is() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<String>>();
        assert!(is_whole(&words("--quick --name session-3")));
        assert!(!is_whole(&words("--rows 1,2 --quick")));
        assert!(!is_whole(&words("--quick --systems=ottla")));
    }
}
