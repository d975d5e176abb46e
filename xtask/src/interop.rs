//! `cargo xtask interop`: real clients against a real broker, everything counted.
//!
//! The broker is ottla by default, Apache Kafka with `--apache` (which proves the harness), or any address.
//! Seven parts: the assignors on fresh groups, our client's own suite, the matrix of clients and codecs on 336,776
//! flights, Kafka's command-line tools with kcat, the tool for groups compared command by command with Apache Kafka,
//! compaction on both, and the offline tools on each other's files.

mod assignors;
mod client_suite;
mod compaction;
mod digest;
mod dumps;
mod flights_group;
mod group_script;
mod group_tools;
mod matrix;
mod segments;
mod speakers;
mod tools;

use crate::apache::Apache;
use crate::broker::Broker;
use crate::clients::{Python, install_kcat};
use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::capture;
use crate::scoreboard::Scoreboard;
use crate::workspace::Workspace;
use compaction::Compaction;
use group_tools::GroupTools;
use speakers::Speakers;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What to run against what.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Run against Apache Kafka instead of ottla.
    #[arg(long)]
    apache: bool,
    /// Run against a broker that is already there.
    #[arg(long, conflicts_with = "apache")]
    bootstrap: Option<SocketAddr>,
    /// An `ottla` that is built already, instead of a fresh release build.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Send only the first flights; 0 sends all 336,776.
    #[arg(long, default_value_t = 0)]
    rows: u32,
    /// Only these clients.
    #[arg(long, value_delimiter = ',', default_value = "ottla,librdkafka,java")]
    clients: Vec<String>,
    /// Only these parts.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "assignors,client,matrix,tools,groups,compaction,dumps"
    )]
    parts: Vec<String>,
}

impl Options {
    /// All parts against ottla, on all flights.
    pub(crate) fn everything() -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            parts: owned(&["assignors", "client", "matrix", "tools", "groups", "compaction", "dumps"]),
            clients: owned(&["ottla", "librdkafka", "java"]),
            ..Self::default()
        }
    }

    fn has(&self, part: &str) -> bool {
        self.parts.iter().any(|it| it == part)
    }
}

/// Installs what is missing, starts the broker, and runs the parts.
pub(crate) fn run(workspace: &Workspace, options: &Options, board: &mut Scoreboard) -> Result<(), Failure> {
    install_kcat()?;
    let python = Python::install(workspace)?;
    let apache = Apache::install(workspace)?;
    let ottla = Ottla::build(workspace, options.binary.as_deref())?;
    let scratch = workspace.scratch("interop")?;
    let broker = match options.bootstrap {
        Some(address) => Broker::Elsewhere(address),
        None if options.apache => Broker::Apache(apache.start(&scratch.join("broker"), &[])?),
        None => Broker::Ottla(ottla.serve(&scratch.join("broker"), &[])?),
    };
    if options.has("assignors") {
        assignors::compare(workspace, &apache, &scratch, board);
    }
    if options.has("client") {
        let beside = (!options.apache).then_some(&apache);
        client_suite::run(workspace, broker.address(), beside, &scratch, board);
    }
    if options.has("tools") {
        tools::Tools::new(&apache, broker.address().to_string()).run(board);
        board.step("kafka-python and aiokafka", || {
            let printed = capture(python.script("others.py").arg(broker.address().to_string()))?;
            println!("{}", printed.trim_end());
            Ok(())
        });
    }
    if options.has("matrix") {
        let input = scratch.join("flights.tsv");
        capture(python.script("flights.py").arg(scratch.join("flights")).arg(options.rows.to_string()))?;
        let speakers =
            Speakers { ottla: &ottla, python: &python, apache: &apache, bootstrap: broker.address() };
        matrix::run(&speakers, &options.clients, &input, broker.data().as_deref(), &scratch, board)?;
    }
    if options.has("groups") && options.bootstrap.is_none() {
        let compared = GroupTools { apache: &apache, python: &python, scratch: &scratch };
        compared.run((!options.apache).then_some(&ottla), board)?;
    }
    if options.has("groups") {
        board.step("the flights through ottla consume --group", || {
            let input = scratch.join("flights.tsv");
            capture(python.script("flights.py").arg(scratch.join("flights")).arg(options.rows.to_string()))?;
            let bootstrap = broker.address();
            let speakers = Speakers { ottla: &ottla, python: &python, apache: &apache, bootstrap };
            flights_group::run_three(&speakers, &input, &scratch)
        });
    }
    if options.has("compaction") && options.bootstrap.is_none() {
        Compaction { ottla: &ottla, apache: &apache, scratch: &scratch }.run(board);
    }
    let data = broker.data();
    board.step("the broker ends cleanly", || broker.stop());
    if let (Some(data), true) = (data, options.has("dumps")) {
        dump(&apache, &ottla, &data, options, board);
        other_way(&apache, &ottla, &python, &scratch, board);
    }
    Ok(())
}

/// Both offline tools on the files that this run left.
fn dump(apache: &Apache, ottla: &Ottla, data: &Path, options: &Options, board: &mut Scoreboard) {
    let mut topics: Vec<String> =
        ["none", "gzip", "snappy", "lz4", "zstd"].map(|codec| format!("kcat-{codec}")).to_vec();
    if options.has("matrix") {
        topics = ["ottla-zstd", "librdkafka-lz4", "java-none"].map(|name| format!("flights-{name}")).to_vec();
    }
    board.step("DumpLogSegments on the broker's files", || {
        let count = dumps::apache_reads(apache, data, &topics)?;
        println!("{count} files without a complaint");
        Ok(())
    });
    board.step("ottla log verify on the broker's files", || {
        println!("{} partitions in order", dumps::ottla_reads(ottla, data)?);
        Ok(())
    });
}

/// `ottla log verify` on the files of a real Kafka, filled by librdkafka with every codec.
fn other_way(apache: &Apache, ottla: &Ottla, python: &Python, scratch: &Path, board: &mut Scoreboard) {
    board.step("ottla log verify on Apache Kafka's files", || {
        let input = scratch.join("some-flights.tsv");
        capture(python.script("flights.py").arg(scratch.join("some-flights")).arg("20000"))?;
        let broker = apache.start(&scratch.join("apache"), &[])?;
        let speakers = Speakers { ottla, python, apache, bootstrap: broker.address };
        let topics = ["none", "gzip", "snappy", "lz4", "zstd"];
        speakers.create_topics(&topics.map(str::to_owned), 3)?;
        for codec in topics {
            speakers.produce("librdkafka", codec, codec, &input)?;
        }
        let data = broker.data.clone();
        broker.stop()?;
        println!("{} partitions in order", dumps::ottla_reads(ottla, &data)?);
        Ok(())
    });
}
