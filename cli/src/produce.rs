//! `ottla produce`: lines in, records out.
//!
//! A thread reads ahead, this task parses and hands each record to the producer, whose own task compresses and sends. The
//! first record that cannot be delivered ends the command; so does the first line that cannot be parsed, unless bad lines
//! are skipped. Ctrl-C stops reading, delivers what was read, and tells how far it came.

mod csv;
mod pace;
mod parser;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ottla_client::{
    Acks, Client, Compression, ErrorKind, PartitionIndex, Partitioner, Producer, ProducerConfig,
    ProducerRecord,
};

use crate::arguments::ClusterArguments;
use crate::cluster::connect;
use crate::failure::Failure;
use crate::input::{Chunk, Lines};
use crate::progress::{Progress, Total};
use crate::units::Rate;
pub(crate) use pace::Pace;
pub(crate) use parser::InputFormat;
use parser::Parser;

const EXAMPLES: &str = "\
Examples:
  seq 10 | ottla produce numbers
  ottla produce users users.txt --key-separator : --compression zstd
  ottla produce flights flights.csv --format csv --key-field tailnum --timestamp-field time_hour
  ottla consume flights --exit-at-end --format json | ottla produce copy --format json";

/// `ottla produce`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ProduceArguments {
    /// Topic; created by the broker if it does not exist and the broker creates topics
    pub topic: String,
    /// Files to read, one record per line; - or none for standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What a line is
    #[arg(short, long, value_enum, default_value_t = InputFormat::Text, value_name = "FORMAT")]
    pub format: InputFormat,
    /// text: what stands between key and value, e.g. '\t' (a line without it has no key)
    #[arg(short = 'K', long, value_parser = crate::units::separator, value_name = "TEXT")]
    pub key_separator: Option<std::vec::Vec<u8>>,
    /// text: a value that is exactly this text is null (deletes the key in a compacted topic)
    #[arg(long, value_name = "TEXT")]
    pub null: Option<String>,
    /// object, csv: the field whose value becomes the key, a.b for a field within a field
    #[arg(short, long, value_name = "FIELD")]
    pub key_field: Option<String>,
    /// object, csv: the field whose value becomes the timestamp: a time, or milliseconds since 1970
    #[arg(long, value_name = "FIELD")]
    pub timestamp_field: Option<String>,
    /// Header of every record, NAME=VALUE
    #[arg(short = 'H', long = "header", value_parser = crate::units::key_value, value_name = "NAME=VALUE")]
    pub headers: Vec<(String, String)>,
    /// Send everything to this partition
    #[arg(short, long, value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// Where records without a partition go
    #[arg(long, value_enum, default_value_t = PartitionerName::Murmur2, value_name = "NAME")]
    pub partitioner: PartitionerName,
    /// Codec of the batches
    #[arg(short = 'z', long, value_enum, default_value_t = CompressionName::None, value_name = "CODEC")]
    pub compression: CompressionName,
    /// Level of the codec
    #[arg(long, allow_hyphen_values = true, value_name = "LEVEL")]
    pub compression_level: Option<i32>,
    /// Who must have a record before it counts as delivered
    #[arg(short, long, value_enum, default_value_t = AcksName::All, value_name = "ACKS")]
    pub acks: AcksName,
    /// Do not ask the broker to recognise repeated requests
    #[arg(long)]
    pub no_idempotence: bool,
    /// Send a batch once it has this size …
    #[arg(long, default_value = "128K", value_parser = crate::units::bytes, value_name = "SIZE")]
    pub batch_bytes: u64,
    /// … or this age
    #[arg(long, default_value = "5ms", value_parser = crate::units::duration, value_name = "TIME")]
    pub linger: Duration,
    /// A request carries at most this much
    #[arg(long, default_value = "1M", value_parser = crate::units::bytes, value_name = "SIZE")]
    pub request_bytes: u64,
    /// Records not yet acknowledged take at most this much memory
    #[arg(long, default_value = "64M", value_parser = crate::units::bytes, value_name = "SIZE")]
    pub buffer_bytes: u64,
    /// Go no faster than this: 5000 (records/s) or 10MB (bytes/s)
    #[arg(long, value_parser = crate::units::rate, value_name = "RATE")]
    pub rate: Option<Rate>,
    /// Stop after so many records
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<u64>,
    /// Skip lines that cannot be parsed instead of stopping at the first
    #[arg(long)]
    pub skip_bad: bool,
    /// No progress, no summary
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
}

/// A partitioner by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartitionerName {
    /// By the key's hash as Java does; without a key, a batch here, a batch there
    Murmur2,
    /// A batch here, a batch there
    Sticky,
    /// One after another
    RoundRobin,
}

/// A codec by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub(crate) enum CompressionName {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<CompressionName> for Compression {
    fn from(name: CompressionName) -> Self {
        match name {
            CompressionName::None => Compression::None,
            CompressionName::Gzip => Compression::Gzip,
            CompressionName::Snappy => Compression::Snappy,
            CompressionName::Lz4 => Compression::Lz4,
            CompressionName::Zstd => Compression::Zstd,
        }
    }
}

/// Acks by name or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AcksName {
    /// All in-sync replicas
    #[value(alias = "-1")]
    All,
    /// The leader
    #[value(name = "leader", alias = "1")]
    Leader,
    /// Nobody
    #[value(name = "none", alias = "0")]
    None,
}

impl From<AcksName> for Acks {
    fn from(name: AcksName) -> Self {
        match name {
            AcksName::All => Acks::All,
            AcksName::Leader => Acks::Leader,
            AcksName::None => Acks::None,
        }
    }
}

impl ProduceArguments {
    fn producer_config(&self) -> ProducerConfig {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        ProducerConfig {
            acks: self.acks.into(),
            idempotent: !self.no_idempotence,
            compression: self.compression.into(),
            compression_level: self.compression_level,
            batch_bytes: size(self.batch_bytes).max(1),
            linger: self.linger,
            request_bytes_max: size(self.request_bytes).max(1),
            buffer_bytes_max: size(self.buffer_bytes),
            partitioner: match self.partitioner {
                PartitionerName::Murmur2 => Partitioner::Murmur2,
                PartitionerName::Sticky => Partitioner::Sticky,
                PartitionerName::RoundRobin => Partitioner::RoundRobin,
            },
            block_timeout: self.cluster.timeout,
            ..ProducerConfig::default()
        }
    }
}

/// Why the sending ended before the input did.
enum Stop {
    Interrupted,
    CountReached,
    Failed(Failure),
}

/// Runs the command.
pub(crate) async fn run(arguments: ProduceArguments) -> Result<(), Failure> {
    let mut parser = Parser::new(&arguments)?;
    let mut lines = Lines::start(&arguments.files)?;
    let client: Client = connect(&arguments.cluster).await?;
    let producer = client.producer(arguments.producer_config());
    // Asked for ahead, so that a topic that is missing fails before anything is read.
    producer.partition_count(&arguments.topic).await?;
    let total = lines.total_bytes.map_or(Total::Unknown, Total::Bytes);
    let mut sending = Sending {
        producer: &producer,
        arguments: &arguments,
        headers: arguments
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), Some(value.as_bytes())))
            .collect(),
        progress: Progress::start("sent", total, arguments.quiet),
        pace: arguments.rate.map(|rate| Pace::new(rate, Instant::now())),
        sent: 0,
        sent_bytes: 0,
        skipped: 0,
    };
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let stop = loop {
        let chunk = tokio::select! {
            biased;
            _ = &mut interrupt => break Some(Stop::Interrupted),
            chunk = lines.next() => chunk,
        };
        let Some(chunk) = chunk else {
            break parser.finish().err().map(|reason| Stop::Failed(Failure::new(reason)));
        };
        let sent = async {
            let chunk = chunk.map_err(Stop::Failed)?;
            sending.send_chunk(&mut parser, &chunk).await
        };
        let sent = tokio::select! {
            biased;
            _ = &mut interrupt => break Some(Stop::Interrupted),
            sent = sent => sent,
        };
        if let Err(stop) = sent {
            break Some(stop);
        }
    };
    let flushed = tokio::select! {
        flushed = producer.flush() => flushed,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    sending.finish(stop, flushed.err().map(Failure::from))
}

struct Sending<'a> {
    producer: &'a Producer,
    arguments: &'a ProduceArguments,
    headers: Vec<(&'a str, Option<&'a [u8]>)>,
    progress: Progress,
    pace: Option<Pace>,
    sent: u64,
    sent_bytes: u64,
    skipped: u64,
}

impl Sending<'_> {
    async fn send_chunk(&mut self, parser: &mut Parser, chunk: &Chunk) -> Result<(), Stop> {
        for (number, line) in chunk.lines() {
            let parsed = match parser.parse(line) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => continue,
                Err(_) if self.arguments.skip_bad => {
                    self.skipped += 1;
                    continue;
                }
                Err(reason) => {
                    let failure = format!("{}:{number}: {reason}", chunk.source);
                    return Err(Stop::Failed(Failure::new(failure)));
                }
            };
            let mut headers = Vec::new();
            let mut record = parsed.record(&self.headers, &mut headers);
            if let Some(partition) = self.arguments.partition {
                record.partition = Some(PartitionIndex::new(partition));
            }
            let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            if let Some(pace) = &mut self.pace {
                pace.wait(size as u64).await;
            }
            send(self.producer, &self.arguments.topic, record).await.map_err(|failure| {
                Stop::Failed(Failure::new(format!("{}:{number}: {failure}", chunk.source)))
            })?;
            self.sent += 1;
            self.sent_bytes += size as u64;
            if self.arguments.count == Some(self.sent) {
                return Err(Stop::CountReached);
            }
        }
        self.progress.advance_to(self.sent, self.sent_bytes, chunk.bytes.len() as u64);
        match self.producer.stats().last_failure {
            Some(error) => Err(Stop::Failed(error.into())),
            None => Ok(()),
        }
    }

    fn finish(mut self, stop: Option<Stop>, flush_failure: Option<Failure>) -> Result<(), Failure> {
        let stats = self.producer.stats();
        let mut notes = Vec::new();
        if self.skipped > 0 {
            notes.push(format!("{} bad lines skipped", self.skipped));
        }
        if matches!(stop, Some(Stop::Interrupted)) {
            notes.push("interrupted".to_owned());
        }
        if stats.delivered_records != self.sent {
            notes.push(format!("{} of {} delivered", stats.delivered_records, self.sent));
        }
        let note = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        // A chunk may have been cut short.
        self.progress.advance_to(self.sent, self.sent_bytes, 0);
        self.progress.finish(&note);
        match stop {
            Some(Stop::Failed(failure)) => Err(failure),
            Some(Stop::Interrupted | Stop::CountReached) | None => flush_failure.map_or(Ok(()), Err),
        }
    }
}

/// Hands a record over, waiting only while the memory is full.
async fn send(producer: &Producer, topic: &str, record: ProducerRecord<'_>) -> Result<(), Failure> {
    match producer.try_send(topic, record) {
        Ok(delivery) => drop(delivery),
        Err(error) if matches!(error.kind(), ErrorKind::BufferFull) => {
            drop(producer.send(topic, record).await?)
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
