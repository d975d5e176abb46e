//! `ottla consume`: records in, lines out.
//!
//! Where to begin and to end is settled per partition before the first record: offsets, ends and times become offsets by
//! asking the brokers. A partition that has reached its end is paused; when all have, the command is done. Ctrl-C ends it
//! cleanly at any time, and so does a reader that goes away. As a member of a group (`group`) the command begins where the
//! group is and commits what it has written.

mod group;
mod span;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use ottla_client::{Consumer, ConsumerConfig, IsolationLevel, Offset, Record, RecordBatch, TopicPartition};

use crate::arguments::ClusterArguments;
use crate::bound::Bound;
use crate::cluster::connect;
use crate::failure::Failure;
use crate::output::{Output, RecordFormat};
use crate::produce::Pace;
use crate::progress::{Progress, Total};
use crate::units::{PartitionList, Rate};
use group::GroupArguments;
use span::Span;

/// How long one poll waits; between polls the ends are looked at.
const POLL_WAIT: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  ottla consume flights                              everything, then wait for more
  ottla consume flights --from -10 --exit-at-end     the last ten of each partition
  ottla consume flights --from -2h --to latest       the last two hours
  ottla consume flights --from 2013-01-01 -n 100 --format json | jq .value
  ottla consume flights --partitions 0,3-5 --from 42 -K '\\t'
  ottla consume flights weather --group billing      share the topics with the group's other members
  ottla consume --regex 'flights-.*' --group billing topics that match, also those that come later";

/// `ottla consume`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConsumeArguments {
    /// Topics
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<String>,
    /// Only these partitions, e.g. 0,2,5-9
    #[arg(short, long, value_parser = crate::units::partitions, value_name = "LIST")]
    pub partitions: Option<PartitionList>,
    /// Where to begin: earliest, latest, an offset, -N (the last N of each partition), a time, or -2h
    #[arg(short, long, default_value = "earliest", allow_hyphen_values = true, value_name = "BOUND")]
    pub from: Bound,
    /// Where to end: before this offset or time; latest means the end as it is now
    #[arg(long, allow_hyphen_values = true, value_name = "BOUND")]
    pub to: Option<Bound>,
    /// End where the partitions end now instead of waiting for more; same as --to latest
    #[arg(short, long, conflicts_with = "to")]
    pub exit_at_end: bool,
    /// End after so many records
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<u64>,
    /// How records are written
    #[arg(long, value_enum, default_value_t = OutputRecordFormat::Text, value_name = "FORMAT")]
    pub format: OutputRecordFormat,
    /// text: write keys too, with this between key and value, e.g. '\t'
    #[arg(short = 'K', long, value_parser = crate::units::separator, value_name = "TEXT")]
    pub key_separator: Option<std::vec::Vec<u8>>,
    /// text: what to write for a null key or value
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub null: String,
    /// Write to this file instead of standard output
    #[arg(short = 'O', long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// Pass over records of transactions that are open or aborted
    #[arg(long)]
    pub committed_only: bool,
    /// Go no faster than this: 5000 (records/s) or 10MB (bytes/s)
    #[arg(long, value_parser = crate::units::rate, value_name = "RATE")]
    pub rate: Option<Rate>,
    /// One fetch brings at most this much of a partition
    #[arg(long, default_value = "1M", value_parser = crate::units::bytes, value_name = "SIZE")]
    pub fetch_bytes: u64,
    /// No progress, no summary
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub group: GroupArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputRecordFormat {
    /// Values, one per line
    Text,
    /// Records as JSON, one per line, as produce --format json reads them
    Json,
    /// Values, with nothing between them
    Raw,
    /// Nothing: only count
    None,
}

impl ConsumeArguments {
    fn consumer_config(&self) -> ConsumerConfig {
        let isolation_level =
            if self.committed_only { IsolationLevel::ReadCommitted } else { IsolationLevel::ReadUncommitted };
        let partition_bytes_max = usize::try_from(self.fetch_bytes).unwrap_or(usize::MAX).max(1);
        ConsumerConfig { isolation_level, partition_bytes_max, ..ConsumerConfig::default() }
    }

    fn record_format(&self) -> Result<RecordFormat, Failure> {
        if self.key_separator.is_some() && self.format != OutputRecordFormat::Text {
            return Err(Failure::usage("--key-separator is for --format text"));
        }
        Ok(match self.format {
            OutputRecordFormat::Text => RecordFormat::Text {
                key_separator: self.key_separator.clone(),
                null: self.null.clone().into_bytes(),
            },
            OutputRecordFormat::Json => RecordFormat::Json,
            OutputRecordFormat::Raw => RecordFormat::Raw,
            OutputRecordFormat::None => RecordFormat::Nothing,
        })
    }

    fn end(&self) -> Option<Bound> {
        if self.exit_at_end { Some(Bound::Latest) } else { self.to }
    }
}

/// Runs the command.
pub(crate) async fn run(arguments: ConsumeArguments) -> Result<(), Failure> {
    arguments.group.check(&arguments)?;
    let output = Output::open(arguments.output_file.as_deref(), arguments.record_format()?)?;
    let client = connect(&arguments.cluster).await?;
    if arguments.group.is_member() {
        return group::run(&client, &arguments, output).await;
    }
    let wanted = arguments.partitions.as_ref().map(|list| list.0.as_slice());
    let mut spans = Vec::new();
    for topic in &arguments.topics {
        let topic = client.topic(topic).await?;
        let (from, end) = (arguments.from, arguments.end());
        spans.extend(span::settle(&client.admin(), &topic, wanted, from, end).await?);
    }
    let total = match (arguments.count, span::offsets_between(&spans)) {
        (Some(count), between) => Total::Records(between.map_or(count, |between| between.min(count))),
        (None, Some(between)) => Total::Records(between),
        (None, None) => Total::Unknown,
    };
    let consumer = client.consumer(arguments.consumer_config());
    let open: Vec<&Span> = spans.iter().filter(|span| !span.is_empty()).collect();
    consumer.assign(open.iter().map(|span| (span.partition.clone(), span.start)));
    let mut reading = Reading {
        ends: open.iter().map(|span| (span.partition.clone(), span.end)).collect(),
        sink: Sink::new(&arguments, output, total),
        consumer,
    };
    let outcome = tokio::select! {
        outcome = reading.run() => outcome.map(|()| ""),
        _ = tokio::signal::ctrl_c() => Ok(" (interrupted)"),
    };
    let flushed = reading.sink.output.flush();
    reading.sink.finish(&outcome);
    outcome.map(drop).and(flushed)
}

/// Where records go, and how many went.
struct Sink {
    output: Output,
    progress: Progress,
    pace: Option<Pace>,
    read: u64,
    read_bytes: u64,
    /// Records still to be read.
    left: Option<u64>,
}

impl Sink {
    fn new(arguments: &ConsumeArguments, output: Output, total: Total) -> Sink {
        Sink {
            output,
            progress: Progress::start("read", total, arguments.quiet),
            pace: arguments.rate.map(|rate| Pace::new(rate, Instant::now())),
            read: 0,
            read_bytes: 0,
            left: arguments.count,
        }
    }

    /// Writes one record, in time.
    async fn write(&mut self, partition: &TopicPartition, record: &Record) -> Result<(), Failure> {
        let size = record.key.as_ref().map_or(0, |key| key.len())
            + record.value.as_ref().map_or(0, |value| value.len());
        if let Some(pace) = &mut self.pace {
            pace.wait(size as u64).await;
        }
        self.output.write(partition, record)?;
        self.read += 1;
        self.read_bytes += size as u64;
        self.left = self.left.map(|left| left - 1);
        Ok(())
    }

    /// Shows how far it is; `before` were read when it was shown last.
    fn advance(&mut self, before: u64) {
        self.progress.advance_to(self.read, self.read_bytes, self.read - before);
    }

    fn finish(mut self, outcome: &Result<&str, Failure>) {
        // A batch may have been cut short.
        self.advance(self.read);
        self.progress.finish(outcome.as_ref().map_or("", |note| note));
    }
}

struct Reading {
    consumer: Consumer,
    sink: Sink,
    /// The partitions still being read and where each ends.
    ends: BTreeMap<TopicPartition, Option<Offset>>,
}

impl Reading {
    async fn run(&mut self) -> Result<(), Failure> {
        while !self.ends.is_empty() && self.sink.left != Some(0) {
            let batch = match self.consumer.poll(Duration::ZERO).await? {
                Some(batch) => Some(batch),
                None => {
                    // Nothing at hand: let the reader see what there is.
                    self.sink.output.flush()?;
                    self.consumer.poll(POLL_WAIT).await?
                }
            };
            match batch {
                Some(batch) => self.take(&batch).await?,
                None => self.end_where_nothing_is_left(),
            }
        }
        Ok(())
    }

    async fn take(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let partition = batch.topic_partition();
        let Some(end) = self.ends.get(partition).copied() else { return Ok(()) };
        let before = self.sink.read;
        for record in batch.records()? {
            let record = record?;
            if end.is_some_and(|end| record.offset >= end) || self.sink.left == Some(0) {
                break;
            }
            self.sink.write(partition, &record).await?;
        }
        self.sink.advance(before);
        if end.is_some_and(|end| batch.next_offset() >= end) {
            self.end(partition.clone());
        }
        Ok(())
    }

    /// Records may be missing at the end (markers, compaction): then only the position says that it is reached.
    fn end_where_nothing_is_left(&mut self) {
        let reached = |(partition, end): (&TopicPartition, &Option<Offset>)| {
            let position = self.consumer.position(partition)?;
            end.is_some_and(|end| position >= end).then(|| partition.clone())
        };
        let reached: Vec<TopicPartition> = self.ends.iter().filter_map(reached).collect();
        for partition in reached {
            self.end(partition);
        }
    }

    fn end(&mut self, partition: TopicPartition) {
        self.consumer.pause(&partition, true);
        self.ends.remove(&partition);
    }
}
