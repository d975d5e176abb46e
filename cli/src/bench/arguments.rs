//! The options of `ottla bench`, and the plans that they mean.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use ottla_load::{ConsumePlan, Pace, ProducePlan, RecordSize, Shape, Target, Window};

use crate::arguments::{ClusterArguments, OutputArguments};
use crate::produce::{AcksName, CompressionName};

const EXAMPLES: &str = "\
Examples:
  ottla bench produce                                   # as fast as acknowledgements come
  ottla bench produce --record-size 100 --batch-bytes 16K --compression lz4
  ottla bench produce --rate 50000 --clients 4          # open loop: latency from the intended time
  ottla bench consume --fill 2GiB
  ottla bench latency --rate 2000                       # from producer to consumer
  ottla bench mixed --partitions 100 --clients 4 --output json
  ottla bench produce --clients 1000 --in-flight 1 --idle-connections 4000";

/// `ottla bench …`.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum BenchCommand {
    /// Send record batches
    Produce(Box<BenchProduceArguments>),
    /// Read what a topic holds, round and round
    Consume(Box<BenchConsumeArguments>),
    /// Time records from producer to consumer, at a fixed rate
    Latency(Box<BenchLatencyArguments>),
    /// Send and read at the same time
    Mixed(Box<BenchMixedArguments>),
}

/// What every load has.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArguments {
    /// Topic; one that does not exist is created, and deleted at the end
    #[arg(default_value = "ottla-bench")]
    pub topic: String,
    /// Partitions of a topic that is created
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// Config of a topic that is created, e.g. --set flush.messages=1
    #[arg(short, long = "set", value_name = "KEY=VALUE", value_parser = crate::units::key_value)]
    pub set: Vec<(String, String)>,
    /// Keep the topic that was created
    #[arg(long)]
    pub keep: bool,
    /// Connections that send, and as many that read
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub clients: u32,
    /// Further connections that do nothing
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub idle_connections: usize,
    /// How long to measure
    #[arg(short, long, default_value = "10s", value_parser = crate::units::duration, value_name = "TIME")]
    pub duration: Duration,
    /// How long to run before that without counting
    #[arg(long, default_value = "2s", value_parser = crate::units::duration, value_name = "TIME")]
    pub warm_up: Duration,
    /// No progress
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

impl LoadArguments {
    pub(crate) fn window(&self) -> Window {
        Window { warm_up: self.warm_up, measured: self.duration }
    }
}

/// What drives the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    /// Requests laid out ahead, on raw connections: the broker is what is measured
    Raw,
    /// ottla's client: what a program sees
    Client,
}

/// What records and requests look like.
#[derive(Debug, Clone, Args)]
pub(crate) struct SendingArguments {
    /// Size of each value, or a range from which sizes are drawn evenly: 1K, 100-2000
    #[arg(short, long, default_value = "1K", value_parser = record_size, value_name = "SIZE")]
    pub record_size: RecordSize,
    /// Number of different keys; 0 for records without a key
    #[arg(short, long, default_value_t = 0, value_name = "N")]
    pub keys: u64,
    /// Codec of the batches
    #[arg(short = 'z', long, value_enum, default_value_t = CompressionName::None, value_name = "CODEC")]
    pub compression: CompressionName,
    /// Share of each value that repeats and can be compressed, in percent
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(..=100), value_name = "PERCENT")]
    pub repeated: u8,
    /// Who must have a record before it counts as delivered
    #[arg(short, long, value_enum, default_value_t = AcksName::All, value_name = "ACKS")]
    pub acks: AcksName,
    /// Bytes of a batch, at most
    #[arg(long, default_value = "256K", value_parser = crate::units::bytes, value_name = "SIZE")]
    pub batch_bytes: u64,
    /// Records of a batch, at most
    #[arg(long, value_name = "N")]
    pub batch_records: Option<usize>,
    /// Requests in flight on each connection
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub in_flight: u32,
    /// Records a second of all clients together, sent on time whatever the broker does [default: as fast as it goes]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub rate: Option<u32>,
    /// How long a batch waits for more records (--via client only)
    #[arg(long, default_value = "5ms", value_parser = crate::units::duration, value_name = "TIME")]
    pub linger: Duration,
}

impl SendingArguments {
    pub(crate) fn plan(&self, target: Target, clients: u32) -> ProducePlan {
        let pace = match self.rate {
            Some(rate) => Pace::Open { records_per_second: f64::from(rate) },
            None => Pace::Closed { in_flight: self.in_flight as usize },
        };
        ProducePlan {
            target,
            shape: Shape {
                record_bytes: self.record_size,
                keys: self.keys,
                batch_bytes: usize::try_from(self.batch_bytes).unwrap_or(usize::MAX),
                records_per_batch: self.batch_records.unwrap_or(usize::MAX).max(1),
                compression: self.compression.into(),
                repeated_percent: self.repeated,
            },
            clients: clients as usize,
            acks: self.acks.into(),
            pace,
            linger: self.linger,
        }
    }
}

/// How topics are read.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReadingArguments {
    /// A fetch carries at most this much
    #[arg(long, default_value = "1M", value_parser = crate::units::bytes, value_name = "SIZE")]
    pub fetch_bytes: u64,
    /// Compute the checksum of every batch
    #[arg(long)]
    pub verify: bool,
}

impl ReadingArguments {
    pub(crate) fn plan(&self, target: Target, clients: u32, again: bool) -> ConsumePlan {
        ConsumePlan {
            target,
            clients: clients as usize,
            fetch_bytes: usize::try_from(self.fetch_bytes).unwrap_or(usize::MAX),
            verify: self.verify,
            again,
        }
    }
}

/// `ottla bench produce`.
#[derive(Debug, Args)]
pub(crate) struct BenchProduceArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub load: LoadArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub sending: SendingArguments,
    /// What drives the broker
    #[arg(long, value_enum, default_value_t = Via::Raw)]
    pub via: Via,
}

/// `ottla bench consume`.
#[derive(Debug, Args)]
pub(crate) struct BenchConsumeArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub load: LoadArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: ReadingArguments,
    /// Write so much first, if the topic is created
    #[arg(long, default_value = "1G", value_parser = crate::units::bytes, value_name = "SIZE")]
    pub fill: u64,
    /// Size of the values that are written first
    #[arg(short, long, default_value = "1K", value_parser = record_size, value_name = "SIZE")]
    pub record_size: RecordSize,
    /// What drives the broker
    #[arg(long, value_enum, default_value_t = Via::Raw)]
    pub via: Via,
}

/// `ottla bench latency`.
#[derive(Debug, Args)]
pub(crate) struct BenchLatencyArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub load: LoadArguments,
    /// Records a second of all clients together, each a request of its own
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub rate: u32,
    /// Size of each value, or a range from which sizes are drawn evenly
    #[arg(short, long, default_value = "1K", value_parser = record_size, value_name = "SIZE")]
    pub record_size: RecordSize,
    /// Who must have a record before it counts as delivered
    #[arg(short, long, value_enum, default_value_t = AcksName::All, value_name = "ACKS")]
    pub acks: AcksName,
}

/// `ottla bench mixed`.
#[derive(Debug, Args)]
pub(crate) struct BenchMixedArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub load: LoadArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub sending: SendingArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: ReadingArguments,
}

/// Reads `1K` or `100-2000`.
fn record_size(text: &str) -> Result<RecordSize, String> {
    let size = |text: &str| -> Result<usize, String> {
        let bytes = crate::units::bytes(text)?;
        // Larger records than a frame can carry cannot be sent anyway.
        usize::try_from(bytes)
            .ok()
            .filter(|bytes| *bytes <= 100 << 20)
            .ok_or_else(|| format!("'{text}' is more than a request can carry"))
    };
    match text.split_once('-') {
        Some((from, to)) => Ok(RecordSize::between(size(from)?, size(to)?)),
        None => size(text).map(|size_of_all| RecordSize::between(size_of_all, size_of_all)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_size_is_one_size_or_a_range() {
        assert_eq!(record_size("1K"), Ok(RecordSize::between(1_024, 1_024)));
        assert_eq!(record_size("100-2K"), Ok(RecordSize::between(100, 2_048)));
        assert!(record_size("1G").is_err());
        assert!(record_size("small").is_err());
    }
}
