//! The options of `ottla bench`, and the plans that they mean.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use ottla_load::{ConsumePlan, Pace, ProducePlan, RecordSize, STAMP_BYTES, Shape, Target, Window};

use crate::arguments::{ClusterArguments, OutputArguments};
use crate::produce::{AcksName, CompressionName};

/// Kafka's own bound on a request.
const REQUEST_BYTES_MAX: usize = 100 << 20;

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
    /// Partitions of a topic that is created [default: 1]
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..), value_name = "N")]
    pub partitions: Option<i32>,
    /// Replicas of a topic that is created [default: the broker's]
    #[arg(long, value_parser = clap::value_parser!(i16).range(1..), value_name = "N")]
    pub replication_factor: Option<i16>,
    /// Config of a topic that is created, e.g. --set flush.messages=1
    #[arg(short, long = "set", value_name = "KEY=VALUE", value_parser = crate::units::key_value)]
    pub set: Vec<(String, String)>,
    /// Keep the topic that was created
    #[arg(long)]
    pub keep: bool,
    /// Clients: so many connections that send, or read, or both
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub clients: u32,
    /// Further connections that do nothing
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub idle_connections: usize,
    /// How long to measure: 500ms, 10s, 5m
    #[arg(short, long, default_value = "10s", value_parser = measured_time, value_name = "TIME")]
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
    /// Number of different keys; 0 for records without a key. Requests that are laid out ahead repeat, so that raw
    /// connections send no more keys than their batches hold
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
    /// Bytes of a batch, at most, before it is compressed
    #[arg(long, default_value = "256K", value_parser = request_bytes, value_name = "SIZE")]
    pub batch_bytes: usize,
    /// Records of a batch, at most (raw connections) [default: what fits; with --rate, what comes within --linger]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub batch_records: Option<u32>,
    /// Requests in flight on each raw connection, without --rate
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub in_flight: u32,
    /// Records a second of all clients together, sent on time whatever the broker does [default: as fast as it goes]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub rate: Option<u32>,
    /// How long a batch waits for more records (--via client, or --rate)
    #[arg(long, default_value = "5ms", value_parser = crate::units::duration, value_name = "TIME")]
    pub linger: Duration,
}

impl SendingArguments {
    pub(crate) fn plan(&self, target: Target, clients: u32, via: Via) -> ProducePlan {
        let pace = match self.rate {
            Some(rate) => Pace::Open { records_per_second: f64::from(rate) },
            None => Pace::Closed { in_flight: self.in_flight as usize },
        };
        let within_linger =
            self.rate.map(|rate| f64::from(rate) * self.linger.as_secs_f64() / f64::from(clients));
        let records_per_batch = match (self.batch_records, within_linger, via) {
            (Some(records), _, _) => records as usize,
            (None, Some(records), Via::Raw) => (records as usize).max(1),
            (None, _, _) => usize::MAX,
        };
        ProducePlan {
            target,
            shape: Shape {
                record_bytes: self.record_size,
                keys: self.keys,
                batch_bytes: self.batch_bytes,
                records_per_batch,
                compression: self.compression.into(),
                repeated_percent: self.repeated,
            },
            clients: clients as usize,
            acks: self.acks.into(),
            pace,
            linger: self.linger,
            bytes_max: None,
        }
    }
}

/// How topics are read.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReadingArguments {
    /// A fetch carries at most this much, but a batch at least
    #[arg(long, default_value = "1M", value_parser = request_bytes, value_name = "SIZE")]
    pub fetch_bytes: usize,
    /// Compute the checksum of every batch
    #[arg(long)]
    pub verify: bool,
}

impl ReadingArguments {
    pub(crate) fn plan(&self, target: Target, clients: u32, again: bool) -> ConsumePlan {
        ConsumePlan {
            target,
            clients: clients as usize,
            fetch_bytes: self.fetch_bytes,
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
    /// Write so much to a topic that is created [default: 1G]
    #[arg(long, value_parser = crate::units::bytes, value_name = "SIZE")]
    pub fill: Option<u64>,
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
    /// Size of each value, or a range from which sizes are drawn evenly; 16 bytes at least, for the due time
    #[arg(short, long, default_value = "1K", value_parser = stamped_size, value_name = "SIZE")]
    pub record_size: RecordSize,
    /// Who must have a record before it counts as delivered
    #[arg(short, long, value_enum, default_value_t = AcksName::All, value_name = "ACKS")]
    pub acks: AcksName,
    /// What drives the broker
    #[arg(long, value_enum, default_value_t = Via::Raw)]
    pub via: Via,
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
    /// What drives the broker
    #[arg(long, value_enum, default_value_t = Via::Raw)]
    pub via: Via,
}

/// Reads a time that is long enough to measure something.
fn measured_time(text: &str) -> Result<Duration, String> {
    match crate::units::duration(text)? {
        Duration::ZERO => Err("nothing is measured in no time".to_owned()),
        time => Ok(time),
    }
}

/// Reads a size that fits into a request or its answer.
fn request_bytes(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(crate::units::bytes(text)?).unwrap_or(usize::MAX);
    match bytes {
        0 => Err("it must hold a byte at least".to_owned()),
        bytes if bytes <= REQUEST_BYTES_MAX => Ok(bytes),
        _ => Err(format!("'{text}' is more than a request can carry: 100M")),
    }
}

/// Reads a record size with room for the stamp that each record of `latency` carries.
fn stamped_size(text: &str) -> Result<RecordSize, String> {
    let size = record_size(text)?;
    if size.smallest() < STAMP_BYTES {
        return Err(format!("each record carries its due time, which takes {STAMP_BYTES} bytes"));
    }
    Ok(size)
}

/// Reads `1K` or `100-2000`.
fn record_size(text: &str) -> Result<RecordSize, String> {
    let size = |text: &str| -> Result<usize, String> {
        let bytes = usize::try_from(crate::units::bytes(text)?).unwrap_or(usize::MAX);
        let fits = bytes <= REQUEST_BYTES_MAX;
        fits.then_some(bytes).ok_or_else(|| format!("'{text}' is more than a request can carry: 100M"))
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
        assert!(stamped_size("16-2K").is_ok());
        assert!(stamped_size("15-2K").is_err());
    }

    #[test]
    fn sizes_and_times_that_make_no_run_are_refused() {
        assert_eq!(request_bytes("100M"), Ok(100 << 20));
        assert!(request_bytes("0").is_err());
        assert!(request_bytes("101M").is_err());
        assert!(measured_time("0").is_err());
        assert!(measured_time("1ms").is_ok());
    }
}
