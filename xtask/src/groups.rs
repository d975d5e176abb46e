//! `cargo xtask groups`: one group of Java, librdkafka and ottla consumers that join, leave, freeze and die.
//!
//! Every process writes its history, and a pure checker reads them all: at every settled moment each partition has one
//! owner, no record is lost, and every duplicate is one that at-least-once allows. Against ottla, or against Apache Kafka
//! to prove the harness itself.

mod clients;
mod clock;
mod commits;
mod conductor;
mod delivery;
mod history;
mod member;
mod ownership;
mod plan;
mod report;
mod settings;
#[cfg(test)]
mod tests;

use crate::apache::Apache;
use crate::broker::Broker;
use crate::clients::Python;
use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::capture;
use crate::scoreboard::Scoreboard;
use crate::workspace::Workspace;
use clients::Clients;
use conductor::Conductor;
use plan::{Kind, Plan};
use settings::{Protocol, Settings};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to run against what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How long members come and go, per assignor.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Which protocol the members speak.
    #[arg(long, value_enum, default_value_t = Protocol::Classic)]
    protocol: Protocol,
    /// One assignor of the protocol, or all that two kinds of members share.
    #[arg(long, default_value = "all")]
    assignor: String,
    /// Repeats the order of what happens to the members.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kill the broker, too, once in every deck of faults.
    #[arg(long)]
    kill_broker: bool,
    /// Only these kinds of members.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Java, Kind::Librdkafka, Kind::Ottla])]
    kinds: Vec<Kind>,
    /// Run against Apache Kafka instead of ottla.
    #[arg(long)]
    apache: bool,
    /// Run against a broker that is already there; it needs the settings that this task gives to its own.
    #[arg(long, conflicts_with = "apache")]
    bootstrap: Option<SocketAddr>,
    /// An `ottla` that is built already, with `group-member` beside it, instead of a fresh release build.
    #[arg(long)]
    binary: Option<PathBuf>,
}

impl Options {
    /// What CI tries of classic groups: one deck of faults, which takes less than a minute.
    pub(crate) fn short_classic() -> Self {
        Self::short(Protocol::Classic, "cooperative-sticky")
    }

    /// The same for KIP-848.
    pub(crate) fn short_consumer() -> Self {
        Self::short(Protocol::Consumer, "uniform")
    }

    fn short(protocol: Protocol, assignor: &str) -> Self {
        Self {
            minutes: 0.1,
            protocol,
            assignor: assignor.to_owned(),
            seed: 1,
            kill_broker: false,
            kinds: vec![Kind::Java, Kind::Librdkafka, Kind::Ottla],
            apache: false,
            bootstrap: None,
            binary: None,
        }
    }

    fn assignors(&self) -> Vec<&str> {
        match (self.assignor.as_str(), self.protocol) {
            ("all", Protocol::Classic) => vec!["range", "roundrobin", "cooperative-sticky"],
            ("all", Protocol::Consumer) => vec!["uniform", "range"],
            ("all", Protocol::Upgrade) => vec!["range"],
            (one, _) => vec![one],
        }
    }

    /// librdkafka has no eager sticky assignor.
    fn kinds_for(&self, assignor: &str) -> Vec<Kind> {
        let shares = |kind: &Kind| assignor != "sticky" || *kind != Kind::Librdkafka;
        self.kinds.iter().copied().filter(shares).collect()
    }
}

/// Starts the broker and runs every assignor that was asked for.
pub(crate) fn run(workspace: &Workspace, options: &Options, board: &mut Scoreboard) -> Result<(), Failure> {
    let python = Python::install(workspace)?;
    let apache = Apache::install(workspace)?;
    let ours = options.kinds.contains(&Kind::Ottla);
    let beside = options.binary.as_deref();
    let ottla = if ours { Clients::build_ours(workspace, beside)? } else { PathBuf::new() };
    let scratch = workspace.scratch(&format!("groups-{}", options.protocol.name()))?;
    let settings = Settings::new(options.protocol, "").of_broker();
    let directory = scratch.join("broker");
    let mut broker = match options.bootstrap {
        Some(address) => Broker::Elsewhere(address),
        None if options.apache => Broker::Apache(apache.start(&directory, &settings)?),
        None => {
            let binary = Ottla::build(workspace, beside)?;
            let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
            Broker::Ottla(binary.serve(&directory, &settings)?)
        }
    };
    let clients = Clients { apache: &apache, python: &python, ottla, bootstrap: broker.address() };
    for assignor in options.assignors() {
        let name = format!("{} group, {assignor}", options.protocol.name());
        board.step(&name, || one(&clients, &mut broker, options, assignor, &scratch));
    }
    board.step("the broker ends cleanly", || broker.stop());
    Ok(())
}

fn one(
    clients: &Clients<'_>,
    broker: &mut Broker,
    options: &Options,
    assignor: &str,
    scratch: &Path,
) -> Result<(), Failure> {
    let time = Duration::from_secs_f64(options.minutes * 60.0);
    let settings = Settings::new(options.protocol, assignor);
    let group = settings.group.clone();
    let directory = scratch.join(&group);
    let frozen_for = Duration::from_millis(settings.session_timeout_ms + 3_000);
    let plan = Plan::new(options.seed, &options.kinds_for(assignor), frozen_for);
    let plan = plan.with_broker_kills(options.kill_broker);
    println!("seed {}, histories in {}", options.seed, directory.display());
    let mut conductor = Conductor::start(clients, broker, settings, plan, directory)?;
    if options.protocol == Protocol::Upgrade {
        conductor.churn(time / 3)?;
        is_of_type(clients, &group, "classic")?;
        conductor.roll(Protocol::Consumer)?;
        is_of_type(clients, &group, "consumer")?;
        conductor.churn(time / 3)?;
        conductor.roll(Protocol::Classic)?;
        is_of_type(clients, &group, "classic")?;
        conductor.churn(time / 3)?;
    } else {
        conductor.churn(time)?;
    }
    let outcome = conductor.finish()?;
    if options.kill_broker && outcome.broker_kills == 0 {
        return Err(Failure::Claim("the run proves nothing: the broker was never killed".to_owned()));
    }
    report::judge(&outcome)
}

/// Kafka's own tool says which protocol the group speaks now.
fn is_of_type(clients: &Clients<'_>, group: &str, name: &str) -> Result<(), Failure> {
    let mut command = clients.apache.tool("consumer-groups")?;
    command.args(["--bootstrap-server", &clients.bootstrap.to_string(), "--list", "--type", name]);
    let printed = capture(&mut command)?;
    let row =
        |line: &str| line.split_whitespace().map(str::to_lowercase).eq([group, name].map(str::to_owned));
    if printed.lines().any(row) {
        println!("  {group} is a {name} group");
        return Ok(());
    }
    Err(Failure::Claim(format!("{group} is no {name} group:\n{printed}")))
}
