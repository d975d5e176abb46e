//! The command line: every command, option and default, as clap reads it and `--help` and `man` show it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use crate::bench::BenchCommand;
pub(crate) use crate::consume::ConsumeArguments;
pub(crate) use crate::group::GroupCommand;
pub(crate) use crate::log::LogArguments;
pub(crate) use crate::produce::ProduceArguments;

/// A Kafka-compatible broker and the tools that drive any Kafka cluster.
#[derive(Debug, Parser)]
#[command(
    name = "ottla",
    version,
    max_term_width = 110,
    infer_subcommands = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a broker: no configuration needed
    Serve(ServeArguments),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Send records from files or standard input
    Produce(Box<ProduceArguments>),
    /// Read records to standard output or a file
    Consume(Box<ConsumeArguments>),
    /// List, describe, reset and delete groups of consumers: members, offsets, lag
    #[command(subcommand)]
    Group(GroupCommand),
    /// Describe and alter the configs of topics and brokers
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Describe the cluster: brokers, controller, log directories
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Measure a broker: any that speaks Kafka's protocol
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Look into log files without a broker, Kafka's own too
    #[command(subcommand)]
    Log(LogArguments),
    /// Print a completion script for a shell
    Completions(CompletionsArguments),
    /// Print the manual page
    Man(ManArguments),
}

/// Where the cluster is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClusterArguments {
    /// Brokers to learn the cluster from, HOST:PORT[,HOST:PORT...]
    #[arg(short, long, env = "OTTLA_BOOTSTRAP", default_value = "localhost:9092", value_name = "HOST:PORT")]
    pub bootstrap: String,
    /// How long an operation may take with all its retries
    #[arg(long, default_value = "30s", value_parser = crate::units::duration, value_name = "TIME")]
    pub timeout: Duration,
}

/// For whom results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Tables for people
    Table,
    /// JSON for programs
    Json,
}

/// How results are written.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OutputArguments {
    /// Tables for people or JSON for programs
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Table, value_name = "FORMAT")]
    pub output: OutputFormat,
}

/// `ottla serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// Configuration file: TOML if it ends in .toml, else Kafka's server.properties
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one config, e.g. --set log.retention.hours=24; wins over the file and the environment
    #[arg(short, long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Directory of the data; short for --set log.dirs=DIR [default: ./ottla-data]
    #[arg(short, long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Port to listen on, 0 for any free one; short for --set listeners=PLAINTEXT://:PORT [default: 9092]
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<u16>,
    /// What to log: error, warn, info, debug, trace, or filters such as ottla_broker=debug
    #[arg(long, env = "OTTLA_LOG", default_value = "warn", value_name = "FILTER")]
    pub log: String,
}

/// `ottla topic …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create topics
    Create(TopicCreateArguments),
    /// List topics
    #[command(visible_alias = "ls")]
    List(TopicListArguments),
    /// Describe topics: partitions, leaders, offsets, configs that differ from the default
    Describe(TopicDescribeArguments),
    /// Raise the number of partitions, set and unset configs, delete records
    Alter(TopicAlterArguments),
    /// Delete topics and all their records
    #[command(visible_alias = "rm")]
    Delete(TopicDeleteArguments),
}

/// `ottla topic create`.
#[derive(Debug, Args)]
pub(crate) struct TopicCreateArguments {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<String>,
    /// Number of partitions [default: the broker's]
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// Number of replicas [default: the broker's]
    #[arg(short, long, value_parser = clap::value_parser!(i16).range(1..))]
    pub replication_factor: Option<i16>,
    /// Topic config, e.g. --set cleanup.policy=compact
    #[arg(short, long = "set", value_name = "KEY=VALUE", value_parser = crate::units::key_value)]
    pub set: Vec<(String, String)>,
    /// Succeed when a topic exists already
    #[arg(long)]
    pub if_not_exists: bool,
    /// Only check whether the topics could be created
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla topic list`.
#[derive(Debug, Args)]
pub(crate) struct TopicListArguments {
    /// Show the cluster's own topics too
    #[arg(long)]
    pub internal: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla topic describe`.
#[derive(Debug, Args)]
pub(crate) struct TopicDescribeArguments {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla topic alter`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct TopicAlterArguments {
    /// Name
    pub topic: String,
    /// New number of partitions; it can only grow
    #[arg(short, long, group = "change", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// Set a config
    #[arg(short, long = "set", group = "change", value_name = "KEY=VALUE", value_parser = crate::units::key_value)]
    pub set: Vec<(String, String)>,
    /// Unset a config: the broker's value applies again
    #[arg(short, long, group = "change", value_name = "KEY")]
    pub unset: Vec<String>,
    /// Delete records before this place in every partition: an offset, latest, or a time
    #[arg(long, group = "change", value_name = "BOUND", allow_hyphen_values = true)]
    pub delete_before: Option<crate::bound::Bound>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla topic delete`.
#[derive(Debug, Args)]
pub(crate) struct TopicDeleteArguments {
    /// Names
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<String>,
    /// Succeed when a topic does not exist
    #[arg(long)]
    pub if_exists: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// What has configs, as named on the command line.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ResourceArguments {
    /// A topic
    #[arg(short, long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// A broker by its id
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i32).range(0..))]
    pub broker: Option<i32>,
    /// The dynamic defaults of all brokers
    #[arg(long)]
    pub broker_defaults: bool,
}

/// `ottla config …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show configs, where they come from and what they mean
    Describe(ConfigDescribeArguments),
    /// Set and unset configs
    Alter(ConfigAlterArguments),
}

/// `ottla config describe`.
#[derive(Debug, Args)]
pub(crate) struct ConfigDescribeArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub resource: ResourceArguments,
    /// Only these keys
    #[arg(value_name = "KEY")]
    pub keys: Vec<String>,
    /// All configs, not only those that differ from the default
    #[arg(short, long)]
    pub all: bool,
    /// What each config means
    #[arg(long)]
    pub explain: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla config alter`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct ConfigAlterArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub resource: ResourceArguments,
    /// Set a config
    #[arg(short, long = "set", group = "change", value_name = "KEY=VALUE", value_parser = crate::units::key_value)]
    pub set: Vec<(String, String)>,
    /// Unset a config: what lies below applies again
    #[arg(short, long, group = "change", value_name = "KEY")]
    pub unset: Vec<String>,
    /// Add items to a list
    #[arg(long, group = "change", value_name = "KEY=VALUE", value_parser = crate::units::key_value)]
    pub append: Vec<(String, String)>,
    /// Take items off a list
    #[arg(long, group = "change", value_name = "KEY=VALUE", value_parser = crate::units::key_value)]
    pub subtract: Vec<(String, String)>,
    /// Only check whether the change would be accepted
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
}

/// `ottla cluster …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show the cluster's id, brokers and controller
    Describe(ClusterDescribeArguments),
    /// Show what lies in the brokers' log directories
    LogDirs(ClusterLogDirsArguments),
}

/// `ottla cluster describe`.
#[derive(Debug, Args)]
pub(crate) struct ClusterDescribeArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla cluster log-dirs`.
#[derive(Debug, Args)]
pub(crate) struct ClusterLogDirsArguments {
    /// Only these topics
    #[arg(value_name = "TOPIC")]
    pub topics: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `ottla man`.
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Write one page per command into this directory instead of the main page to standard output
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
